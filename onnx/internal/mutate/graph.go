package mutate

import (
	"fmt"
	"slices"
	"strings"
)

func removeNode(m *Message, c *Choice) bool {
	g := one(m, c, Graph, graphNode)
	if g == nil {
		return false
	}
	g.remove(Of(c, g.all(graphNode)))
	return true
}

// copyNode repeats a node, with results of other names unless they are to clash.
func copyNode(m *Message, c *Choice) bool {
	g := one(m, c, Graph, graphNode)
	if g == nil {
		return false
	}
	at := Of(c, g.all(graphNode))
	again := g.Fields[at].Sub.clone()
	if !c.One(6) {
		suffixResults(again, fmt.Sprint("'", c.Below(100)))
	}
	g.insert(at+1, Inner(graphNode, again))
	return true
}

func suffixResults(n *Message, suffix string) {
	for _, i := range n.all(nodeOutput) {
		if name := string(n.Fields[i].Bytes); name != "" {
			n.Fields[i] = Text(nodeOutput, name+suffix)
		}
	}
}

func moveNode(m *Message, c *Choice) bool {
	g := one(m, c, Graph, graphNode)
	if g == nil {
		return false
	}
	at := g.all(graphNode)
	a, b := Of(c, at), Of(c, at)
	g.Fields[a], g.Fields[b] = g.Fields[b], g.Fields[a]
	return a != b
}

// insertNode puts a node between a value and one of its readers: what is fused is
// then in another company.
func insertNode(m *Message, c *Choice) bool {
	g := one(m, c, Graph, graphNode)
	if g == nil {
		return false
	}
	at := Of(c, g.all(graphNode))
	reader := g.Fields[at].Sub
	inputs := reader.all(nodeInput)
	if len(inputs) == 0 {
		return false
	}
	i, made := Of(c, inputs), fmt.Sprint("made", c.Below(1000))
	read := string(reader.Fields[i].Bytes)
	n := message(Node, Text(nodeInput, read), Text(nodeOutput, made))
	op := Of(c, strings.Fields("Identity Relu Transpose Neg Shape Cast Softmax Add Mul Sigmoid Flatten Unsqueeze Squeeze Exp Abs Clip Gelu Erf Tanh Not"))
	n.set(Text(nodeOp, op))
	switch op {
	case "Add", "Mul":
		n.insert(1, Text(nodeInput, Of(c, append(before(g, at, c), read))))
	case "Cast":
		n.Fields = append(n.Fields, Inner(nodeAttr, message(Attribute, Text(1, "to"), Number(attrInt, int64(1+c.Below(23))), Number(attrKind, 2))))
	case "Unsqueeze", "Squeeze":
		axes := made + "axes"
		g.Fields = append(g.Fields, Inner(graphTensor, tensorOfInts(axes, []int64{1}, int64(c.Below(4)-1))))
		n.insert(1, Text(nodeInput, axes))
	}
	reader.Fields[i] = Text(nodeInput, made)
	g.insert(at, Inner(graphNode, n))
	return true
}

// nest moves a node into a branch or a loop, which reads what is around it.
func nest(m *Message, c *Choice) bool {
	g := one(m, c, Graph, graphNode)
	if g == nil {
		return false
	}
	at := Of(c, g.all(graphNode))
	inner := g.Fields[at].Sub
	results := resultsOf(inner)
	if len(results) == 0 {
		return false
	}
	id := fmt.Sprint("nest", c.Below(1000))
	outer := message(Node)
	for _, r := range results {
		outer.Fields = append(outer.Fields, Text(nodeOutput, r))
	}
	suffixResults(inner, id)
	body := func() *Message {
		b := message(Graph, Text(2, "body"), Inner(graphNode, inner.clone()))
		for _, r := range results {
			b.Fields = append(b.Fields, Inner(graphOutput, message(Value, Text(1, r+id))))
		}
		return b
	}
	g.Fields = append(g.Fields, Inner(graphTensor, tensorOfBool(id+"yes", c.One(2))), Inner(graphTensor, tensorOfInts(id+"turns", nil, c.Dim())))
	if c.One(2) {
		nestLoop(outer, body(), id, len(results), c)
	} else {
		nestIf(outer, body(), body(), id)
	}
	g.Fields[at] = Inner(graphNode, outer)
	return true
}

func resultsOf(n *Message) []string {
	var names []string
	for _, i := range n.all(nodeOutput) {
		if name := string(n.Fields[i].Bytes); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func graphAttribute(name string, g *Message) Field {
	return Inner(nodeAttr, message(Attribute, Text(1, name), Inner(attrGraph, g), Number(attrKind, 5)))
}

func nestIf(outer, yes, no *Message, id string) {
	outer.insert(0, Text(nodeInput, id+"yes"))
	outer.Fields = append(outer.Fields, Text(nodeOp, "If"), graphAttribute("then_branch", yes), graphAttribute("else_branch", no))
}

// nestLoop gathers what each turn makes.
func nestLoop(outer, body *Message, id string, results int, c *Choice) {
	typed := func(name string, element int64) *Message {
		return message(Value, Text(1, name), Inner(2, message(Type, Inner(1, message(TensorType, Number(typeElement, element), Inner(typeShape, message(Shape)))))))
	}
	body.Fields = append(body.Fields, Inner(graphInput, typed(id+"i", 7)), Inner(graphInput, typed(id+"go", 9)))
	same := message(Node, Text(nodeInput, id+"go"), Text(nodeOutput, id+"on"), Text(nodeOp, "Identity"))
	body.Fields = append(body.Fields, Inner(graphNode, same))
	first := body.all(graphOutput)[0]
	body.insert(first, Inner(graphOutput, message(Value, Text(1, id+"on"))))
	turns, keep := id+"turns", id+"yes"
	if c.One(4) {
		turns = ""
	}
	if c.One(2) {
		keep = ""
	}
	outer.insert(0, Text(nodeInput, turns), Text(nodeInput, keep))
	outer.Fields = append(outer.Fields, Text(nodeOp, "Loop"), graphAttribute("body", body))
}

// rename gives a value a name that is empty, long, or another's, at one place.
func rename(m *Message, c *Choice) bool {
	to := Of(c, append(m.names(), "", strings.Repeat("n", 300), "\xff", "a b"))
	switch n := Of(c, m.find(Of(c, []Kind{Node, Tensor, Value}))); {
	case n == nil:
		return false
	case n.Kind == Node && len(n.all(nodeOutput)) > 0:
		n.Fields[Of(c, n.all(nodeOutput))] = Text(nodeOutput, to)
	case n.Kind == Tensor:
		n.set(Text(tensorName, to))
	default:
		n.set(Text(1, to))
	}
	return true
}

// output makes a value an output of its graph, or an output none any more.
func output(m *Message, c *Choice) bool {
	g := Of(c, m.find(Graph))
	if g == nil {
		return false
	}
	if at := g.all(graphOutput); len(at) > 0 && c.One(3) {
		g.remove(Of(c, at))
		return true
	}
	g.Fields = append(g.Fields, Inner(graphOutput, message(Value, Text(1, Of(c, g.names())))))
	return true
}

// graft puts the nodes of another model behind or before those of this one, and lets
// one of its inputs be a value from here.
func graft(m, donor *Message, c *Choice) {
	from, to := donor.sub(modelGraph), m.sub(modelGraph)
	if from == nil || to == nil || len(from.Fields) > 300 {
		return
	}
	ours := to.names()
	from, prefix := from.clone(), fmt.Sprint("graft", c.Below(100), " ")
	prefixed(from, prefix)
	inputs := from.all(graphInput)
	taken := ""
	if len(inputs) > 0 && len(ours) > 0 {
		at := Of(c, inputs)
		taken = from.Fields[at].Sub.text(1)
		from.remove(at)
		reread(from, taken, Of(c, ours))
	}
	for _, f := range from.Fields {
		switch f.Number {
		case graphNode, graphTensor, graphInput, graphOutput:
			to.Fields = append(to.Fields, f)
		}
	}
	for i := range donor.Fields { // with its operator sets, where they are others
		f := donor.Fields[i]
		if f.Number == modelOpset && !slices.ContainsFunc(m.Fields, func(o Field) bool {
			return o.Number == modelOpset && o.Sub.text(1) == f.Sub.text(1)
		}) {
			m.Fields = append(m.Fields, f)
		}
	}
}

// prefixed gives every value of a graph another name.
func prefixed(g *Message, prefix string) {
	fix := func(f *Field) {
		if len(f.Bytes) > 0 {
			f.Bytes = []byte(prefix + string(f.Bytes))
		}
	}
	g.each(func(m *Message) {
		for i := range m.Fields {
			f := &m.Fields[i]
			if m.Kind == Node && (f.Number == nodeInput || f.Number == nodeOutput) || m.Kind == Tensor && f.Number == tensorName || m.Kind == Value && f.Number == 1 {
				fix(f)
			}
		}
	})
}

// reread lets the readers of one value read another.
func reread(g *Message, old, new string) {
	for _, n := range g.find(Node) {
		for _, i := range n.all(nodeInput) {
			if string(n.Fields[i].Bytes) == old {
				n.Fields[i] = Text(nodeInput, new)
			}
		}
	}
}
