package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/blindbox/blindbox/onnx/internal/graph"
)

// inline returns the model's graph with each call of one of its functions replaced by
// the function's nodes, and each node's operator set version filled in. A function
// that has the name of an operator takes its place: the model says what it means.
func inline(in *file, lim Limits) (*graph.Graph, error) {
	if _, err := in.measureGraph(in.graph, lim, 0); err != nil {
		return nil, err
	}
	w := &inliner{file: in, lim: lim}
	nodes, err := w.nodes(in.graph.Nodes, &scope{opsets: in.opsets}, 1)
	in.graph.Nodes = nodes
	return in.graph, err
}

// inliner writes nodes out with functions resolved.
type inliner struct {
	*file
	lim   Limits
	names int // that were made up
}

// scope is what surrounds the nodes that are being written out: the graph of the
// model, or one call of a function.
type scope struct {
	opsets opsets
	call   *graph.Node       // nil outside of functions
	fn     *function         // that is called
	names  map[string]string // of values, from those in the function to those in the graph
	gives  map[string]string // the same of the function's results
	around *scope            // of a graph in a node, the scope of that node
}

// name translates the name of a value that is read. What the function does not have
// becomes a name that nothing makes: it must not meet a value of the caller.
func (s *scope) name(of string) string {
	if s.call == nil || of == "" {
		return of
	}
	for at := s; at != nil; at = at.around {
		if to, ok := at.names[of]; ok {
			return to
		}
	}
	return "\xff " + of
}

// define gives a value that a function makes a name that is free in the graph: its
// first byte is in no name of a file, since these are UTF-8. A value that is made
// twice keeps its name, for the checker to see.
func (w *inliner) define(s *scope, name string) string {
	if s.call == nil || name == "" {
		return name
	}
	to, known := s.names[name]
	if !known {
		to, known = s.gives[name]
	}
	if !known || to == "" {
		w.names++
		to = "\xff" + strconv.Itoa(w.names) + " " + short(name)
	}
	s.names[name] = to
	return to
}

// short keeps names that are written once for each call from taking much memory.
func short(name string) string { return name[:min(len(name), 64)] }

// nodes writes nodes out; depth counts the graphs around them.
func (w *inliner) nodes(nodes []graph.Node, s *scope, depth int) ([]graph.Node, error) {
	out := make([]graph.Node, 0, len(nodes))
	for i := range nodes {
		n, err := w.node(&nodes[i], s, depth)
		if err != nil {
			return nil, failed(&nodes[i], err)
		}
		fn := w.functions[calls(&n)]
		if fn == nil {
			if n.Opset, err = s.opsets.version(&n); err != nil {
				return nil, failed(&n, err)
			}
			if n.Overload != "" {
				return nil, failed(&n, fmt.Errorf("the model has no function of that name and overload %s", quote(n.Overload)))
			}
			out = append(out, n)
			continue
		}
		body, err := w.call(fn, &n, depth)
		if err != nil {
			return nil, failed(&n, err)
		}
		out = append(out, body...)
	}
	return out, nil
}

// node copies a node into its scope. In a function it has the index of the call.
func (w *inliner) node(from *graph.Node, s *scope, depth int) (n graph.Node, err error) {
	n = *from
	if n.Attrs, err = w.attributes(from.Attrs, s, depth); err != nil || s.call == nil {
		return n, err
	}
	n.Index, n.Name = s.call.Index, short(s.fn.name.name)+"/"+short(n.Name)
	n.Inputs, n.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
	for i, name := range n.Inputs {
		n.Inputs[i] = s.name(name)
	}
	for i, name := range n.Outputs {
		n.Outputs[i] = w.define(s, name)
	}
	return n, nil
}

// call writes out one call of a function.
func (w *inliner) call(fn *function, n *graph.Node, depth int) ([]graph.Node, error) {
	if len(n.Inputs) > len(fn.inputs) || len(n.Outputs) > len(fn.outputs) {
		return nil, fmt.Errorf("has %d inputs and %d outputs, the function has %d and %d", len(n.Inputs), len(n.Outputs), len(fn.inputs), len(fn.outputs))
	}
	for _, a := range n.Attrs {
		known := slices.Contains(fn.attributes, a.Name) || slices.ContainsFunc(fn.defaults, func(d graph.Attribute) bool { return d.Name == a.Name })
		if !known {
			return nil, fmt.Errorf("attribute %s is not known", quote(a.Name))
		}
	}
	s := &scope{opsets: fn.opsets, call: n, fn: fn, names: make(map[string]string, len(fn.inputs)+len(fn.nodes)), gives: make(map[string]string, len(fn.outputs))}
	for i, name := range fn.inputs {
		if _, twice := s.names[name]; twice || name == "" {
			return nil, fmt.Errorf("input %d of the function has no name of its own", i)
		}
		s.names[name] = ""
		if i < len(n.Inputs) {
			s.names[name] = n.Inputs[i]
		}
	}
	passed, err := w.results(fn, n, s)
	if err != nil {
		return nil, err
	}
	body, err := w.nodes(fn.nodes, s, depth)
	return append(body, passed...), err
}

// results gives the outputs of a function the names that the call has for them. What
// a function hands out just as it came in is copied.
func (w *inliner) results(fn *function, n *graph.Node, s *scope) (passed []graph.Node, err error) {
	for i, name := range fn.outputs {
		if _, twice := s.gives[name]; twice || name == "" {
			return nil, fmt.Errorf("output %d of the function has no name of its own", i)
		}
		s.gives[name] = ""
		if i < len(n.Outputs) {
			s.gives[name] = n.Outputs[i]
		}
		if from, ok := s.names[name]; ok && s.gives[name] != "" {
			passed = append(passed, graph.Node{Index: n.Index, Op: "Identity", Opset: maxOpset, Inputs: []string{from}, Outputs: []string{s.gives[name]}})
		}
	}
	return passed, nil
}

// attributes copies attributes, with references replaced by what the call says, and
// the graphs in them written out. One that the call leaves out is left out.
func (w *inliner) attributes(from []graph.Attribute, s *scope, depth int) (out []graph.Attribute, err error) {
	if !slices.ContainsFunc(from, func(a graph.Attribute) bool { return a.Ref != "" || a.G != nil }) {
		return from, nil
	}
	for _, a := range from {
		if a.Ref != "" {
			value, ok, err := s.reference(&a)
			if err != nil {
				return nil, fmt.Errorf("attribute %s: %w", quote(a.Name), err)
			}
			if ok {
				out = append(out, value)
			}
			continue
		}
		if a.G != nil {
			if a.G, err = w.graph(a.G, s, depth+1); err != nil {
				return nil, fmt.Errorf("attribute %s: %w", quote(a.Name), err)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// reference finds the value of an attribute of a function.
func (s *scope) reference(a *graph.Attribute) (graph.Attribute, bool, error) {
	if s.call == nil {
		return *a, false, errors.New("refers to an attribute of a function, but is in none")
	}
	for _, list := range [][]graph.Attribute{s.call.Attrs, s.fn.defaults} {
		for _, v := range list {
			if v.Name != a.Ref {
				continue
			}
			if v.Kind != a.Kind || v.Ref != "" || v.G != nil {
				return v, false, fmt.Errorf("refers to %s, which is %s; expected %s", quote(a.Ref), v.Kind, a.Kind)
			}
			v.Name = a.Name
			return v, true, nil
		}
	}
	if !slices.Contains(s.fn.attributes, a.Ref) {
		return *a, false, fmt.Errorf("the function has no attribute %s", quote(a.Ref))
	}
	return *a, false, nil
}

// graph writes out a graph in a node. In a function its values get names of their own.
func (w *inliner) graph(from *graph.Graph, s *scope, depth int) (*graph.Graph, error) {
	if depth > w.lim.Depth {
		return nil, tooDeep(w.lim)
	}
	g := *from
	inside := &scope{opsets: s.opsets, call: s.call, fn: s.fn, around: s, names: map[string]string{}}
	if s.call != nil {
		g.Stored = slices.Clone(from.Stored)
		for i := range g.Stored {
			g.Stored[i].Name = w.define(inside, g.Stored[i].Name)
		}
		g.Inputs = w.declare(from.Inputs, inside)
	}
	var err error
	if g.Nodes, err = w.nodes(from.Nodes, inside, depth); err != nil || s.call == nil {
		return &g, err
	}
	g.Outputs, g.Values = slices.Clone(from.Outputs), nil
	for i := range g.Outputs {
		g.Outputs[i].Name = inside.name(g.Outputs[i].Name)
	}
	return &g, nil
}

// declare gives the inputs of a graph names; one may be the name of a stored tensor.
func (w *inliner) declare(from []graph.Decl, inside *scope) []graph.Decl {
	out := slices.Clone(from)
	for i := range out {
		if to, ok := inside.names[out[i].Name]; ok {
			out[i].Name = to
			continue
		}
		out[i].Name = w.define(inside, out[i].Name)
	}
	return out
}
