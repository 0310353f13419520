package mutate

import (
	"bytes"
	"fmt"
	"strings"
)

// change is one kind of mutation. It reports whether there was something to change.
type change func(m *Message, c *Choice) bool

// changes lists them; what is there more than once comes more often. Most leave a model
// that is still read and loaded: what is refused at the door finds little.
func changes() []change {
	return []change{
		swapOperands, swapOperands, loseOperand, rewire, rewire, rewire, rewire, moreOperands, otherOperator, otherOperator,
		attributeNumber, attributeNumber, attributeNumber, attributeNumber, attributeNumber, attributeNumber,
		attributeKind, loseAttribute, loseAttribute, copyAttribute, addAttribute,
		dimension, dimension, dimension, elementType, otherRank, tensorShape, tensorElements, tensorElements, tensorElements, tensorCut,
		removeNode, copyNode, copyNode, moveNode, insertNode, insertNode, insertNode, insertNode, nest, nest, nest,
		version, rename, output, output, anyField, swapFields,
	}
}

// Mutate changes a model by what c says, and takes parts of donor, which may be nil.
func Mutate(model, donor *Message, c *Choice) *Message {
	m, list := model.clone(), changes()
	for more := true; more; more = c.One(3) {
		if donor != nil && c.One(8) {
			graft(m, donor, c)
			continue
		}
		for range 4 {
			if Of(c, list)(m, c) {
				break
			}
		}
	}
	if !c.One(4) {
		relax(m)
	}
	return m
}

// relax takes away what the model says of shapes that follow from others: it would
// mostly be refused since it is not true any more.
func relax(m *Message) {
	g := m.sub(modelGraph)
	if g == nil {
		return
	}
	g.drop(graphValue)
	for _, i := range g.all(graphOutput) {
		v := g.Fields[i].Sub
		v.drop(2)
	}
}

// one picks a message of a kind that has a field with the number; nil if none has.
func one(m *Message, c *Choice, k Kind, field int) *Message {
	var with []*Message
	for _, at := range m.find(k) {
		if len(at.all(field)) > 0 {
			with = append(with, at)
		}
	}
	return Of(c, with)
}

func swapOperands(m *Message, c *Choice) bool {
	n := one(m, c, Node, nodeInput)
	if n == nil {
		return false
	}
	at := n.all(nodeInput)
	a, b := Of(c, at), Of(c, at)
	n.Fields[a], n.Fields[b] = n.Fields[b], n.Fields[a]
	return true
}

func loseOperand(m *Message, c *Choice) bool {
	n := one(m, c, Node, nodeInput)
	if n == nil {
		return false
	}
	if at := Of(c, n.all(nodeInput)); c.One(2) {
		n.remove(at)
	} else {
		n.Fields[at] = Text(nodeInput, "")
	}
	return true
}

// rewire lets a node read another value, mostly one that is made before it.
func rewire(m *Message, c *Choice) bool {
	g := one(m, c, Graph, graphNode)
	if g == nil {
		return false
	}
	at := Of(c, g.all(graphNode))
	n := g.Fields[at].Sub
	inputs := n.all(nodeInput)
	if len(inputs) == 0 {
		return false
	}
	n.Fields[Of(c, inputs)] = Text(nodeInput, Of(c, before(g, at, c)))
	return true
}

// before is the names that a node can read in its graph, and sometimes all others.
func before(g *Message, at int, c *Choice) []string {
	if c.One(16) {
		return g.names()
	}
	var names []string
	for i, f := range g.Fields {
		switch {
		case f.Sub == nil:
		case f.Number == graphInput:
			names = append(names, f.Sub.text(1))
		case f.Number == graphTensor:
			names = append(names, f.Sub.text(tensorName))
		case f.Number == graphNode && i < at:
			names = append(names, resultsOf(f.Sub)...)
		}
	}
	return names
}

func moreOperands(m *Message, c *Choice) bool {
	n := Of(c, m.find(Node))
	if n == nil {
		return false
	}
	if c.One(2) {
		n.Fields = append(n.Fields, Text(nodeOutput, fmt.Sprint("more", c.Below(1000))))
	} else {
		n.Fields = append(n.Fields, Text(nodeInput, Of(c, m.names())))
	}
	return true
}

// operators are some of each number of operands.
func operators(operands int) []string {
	switch operands {
	case 1:
		return strings.Fields(`Abs ArgMax Cast Clip Erf Exp Flatten Gelu GlobalAveragePool HardSigmoid Identity LeakyRelu LogSoftmax LpNormalization
			MeanVarianceNormalization Neg NonZero ReduceMean ReduceSum ReduceMax Relu Shape Sigmoid Size Softmax Softplus Sqrt Squeeze Tanh Transpose
			Unique DynamicQuantizeLinear Not Mish Det EyeLike Split SplitToSequence`)
	case 2:
		return strings.Fields(`Add And BitShift Conv ConvTranspose CumSum Div Equal Expand Gather GatherElements GatherND Gemm Less MatMul MatMulInteger
			Max Mean Min Mod Mul PRelu Pow ReduceSum ReduceL2 Reshape Squeeze Sub Sum Tile TopK Unsqueeze Xor Concat Einsum Pad Split Slice Trilu
			SequenceAt MaxUnpool GridSample RMSNormalization DequantizeLinear QuantizeLinear Compress CenterCropPad ReverseSequence`)
	case 3:
		return strings.Fields(`Attention Conv Gemm Clip GRU LSTM RNN InstanceNormalization LayerNormalization GroupNormalization OneHot Pad Range
			Resize RoiAlign RotaryEmbedding ScatterElements ScatterND Slice Where Sum Concat DequantizeLinear QuantizeLinear Max Einsum Col2Im TensorScatter`)
	}
	return strings.Fields("Concat Sum Max Resize Slice BatchNormalization QLinearMatMul Attention LSTM ConvInteger MatMulInteger Einsum SequenceConstruct")
}

// otherOperator lets a node do something else with its operands.
func otherOperator(m *Message, c *Choice) bool {
	n := Of(c, m.find(Node))
	if n == nil {
		return false
	}
	n.set(Text(nodeOp, Of(c, operators(len(n.all(nodeInput))))))
	if !c.One(4) {
		n.drop(nodeAttr)
	}
	if results := n.all(nodeOutput); len(results) > 1 && c.One(2) {
		n.remove(results[len(results)-1])
	}
	return true
}

// attributeNumber changes a number, one of a list, or a word.
func attributeNumber(m *Message, c *Choice) bool {
	a := Of(c, m.find(Attribute))
	if a == nil || len(a.Fields) == 0 {
		return false
	}
	i := c.Below(len(a.Fields))
	switch f := &a.Fields[i]; f.Number {
	case attrFloat, attrFloats:
		*f = float(f.Number, float32(c.Float()))
	case attrInt, attrInts:
		if f.Sub == nil && f.wire == length { // a packed list
			*f = Number(f.Number, c.Int())
			break
		}
		v := c.Int()
		if c.One(2) {
			v = int64(f.Int) + int64(c.Below(5)) - 2
		}
		*f = Number(f.Number, v)
		if c.One(8) {
			a.insert(i, *f)
		}
	case attrString:
		*f = Text(attrString, Of(c, words(m)))
	default:
		return false
	}
	return true
}

// words is what attributes say that choose between ways to compute.
func words(m *Message) []string {
	list := strings.Fields(`NOTSET SAME_UPPER SAME_LOWER VALID nearest linear cubic bilinear bicubic align_corners half_pixel asymmetric
		tf_crop_and_resize reflect edge wrap constant zeros border reflection DCR CRD forward reverse bidirectional Tanh Sigmoid Affine
		add mul max min none mean sum BHWC ii,jj ij,jk->ik ...ij,...jk->...ik ii->i`)
	for _, a := range m.find(Attribute) {
		if s := a.text(attrString); s != "" {
			list = append(list, s)
		}
	}
	return append(list, "")
}

func attributeKind(m *Message, c *Choice) bool {
	a := Of(c, m.find(Attribute))
	if a == nil {
		return false
	}
	a.set(Number(attrKind, int64(c.Below(16))))
	return true
}

func loseAttribute(m *Message, c *Choice) bool {
	n := one(m, c, Node, nodeAttr)
	if n == nil {
		return false
	}
	n.remove(Of(c, n.all(nodeAttr)))
	return true
}

func copyAttribute(m *Message, c *Choice) bool {
	from, to := one(m, c, Node, nodeAttr), Of(c, m.find(Node))
	if from == nil || to == nil || from.text(nodeOp) != to.text(nodeOp) && !c.One(8) {
		return false
	}
	a := from.Fields[Of(c, from.all(nodeAttr))].Sub.clone()
	for _, i := range to.all(nodeAttr) {
		if to.Fields[i].Sub.text(1) == a.text(1) {
			to.Fields[i].Sub = a
			return true
		}
	}
	to.Fields = append(to.Fields, Inner(nodeAttr, a))
	return true
}

// addAttribute adds one that many operators have.
func addAttribute(m *Message, c *Choice) bool {
	n := Of(c, m.find(Node))
	if n == nil {
		return false
	}
	a := message(Attribute, Text(1, Of(c, strings.Fields(`axis axes keepdims perm to group strides dilations pads kernel_shape transA transB
		alpha beta epsilon ceil_mode mode auto_pad output_shape shape num_heads is_causal scale hidden_size direction clip largest
		sorted exclusive reverse to blocksize batch_dims allowzero k num_outputs saturate block_size`))))
	if c.One(2) {
		a.Fields = append(a.Fields, Number(attrInt, c.Int()), Number(attrKind, 2))
	} else {
		for range 1 + c.Below(4) {
			a.Fields = append(a.Fields, Number(attrInts, c.Dim()))
		}
		a.Fields = append(a.Fields, Number(attrKind, 7))
	}
	n.Fields = append(n.Fields, Inner(nodeAttr, a))
	return true
}

// dimension changes what a declaration says of one: another size, open, with a name.
func dimension(m *Message, c *Choice) bool {
	d := Of(c, m.find(Dim))
	if d == nil {
		return false
	}
	switch c.Below(4) {
	case 0:
		d.Fields = nil
	case 1:
		d.Fields = []Field{Text(dimSymbol, Of(c, []string{"n", "m", "batch"}))}
	default:
		d.Fields = []Field{Number(dimValue, c.Dim())}
	}
	return true
}

func elementType(m *Message, c *Choice) bool {
	if c.One(3) {
		if t := Of(c, m.find(Tensor)); t != nil {
			t.set(Number(tensorType, int64(c.Below(28))))
			return true
		}
	}
	t := Of(c, m.find(TensorType))
	if t == nil {
		return false
	}
	t.set(Number(typeElement, Of(c, []int64{1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 0, 99})))
	return true
}

// otherRank gives a declared shape one dimension more or less, or makes it unknown.
func otherRank(m *Message, c *Choice) bool {
	t := Of(c, m.find(TensorType))
	if t == nil {
		return false
	}
	s := t.sub(typeShape)
	switch {
	case s == nil:
		t.Fields = append(t.Fields, Inner(typeShape, message(Shape)))
	case c.One(4):
		t.drop(typeShape)
	case c.One(2) && len(s.Fields) > 0:
		s.remove(c.Below(len(s.Fields)))
	default:
		s.insert(c.Below(len(s.Fields)+1), Inner(1, message(Dim, Number(dimValue, c.Dim()))))
	}
	return true
}

// tensorShape changes a dimension of a stored tensor, or lists them in another order.
func tensorShape(m *Message, c *Choice) bool {
	t := one(m, c, Tensor, tensorDim)
	if t == nil {
		return false
	}
	at := t.all(tensorDim)
	switch a, b := Of(c, at), Of(c, at); c.Below(4) {
	case 0:
		t.Fields[a] = Number(tensorDim, c.Dim())
	case 1:
		t.insert(a, Number(tensorDim, 1))
	case 2:
		t.Fields[a] = Number(tensorDim, 0)
		t.drop(tensorRaw)
	default:
		t.Fields[a], t.Fields[b] = t.Fields[b], t.Fields[a]
	}
	return true
}

// tensorElements changes elements: eight bytes at a time, which is a size, an index or
// two numbers.
func tensorElements(m *Message, c *Choice) bool {
	t := one(m, c, Tensor, tensorRaw)
	if t == nil {
		return false
	}
	f := &t.Fields[t.all(tensorRaw)[0]]
	raw := bytes.Clone(f.Bytes)
	for range 1 + c.Below(3) {
		if len(raw) < 8 {
			break
		}
		at := c.Below(len(raw)/8) * 8
		if c.One(2) {
			copy(raw[at:], float(0, float32(c.Float())).Bytes)
		} else {
			copy(raw[at:], tensorOfInts("", nil, c.Int()).Fields[2].Bytes)
		}
	}
	if len(raw) > 0 && len(raw) < 8 {
		raw[c.Below(len(raw))] = byte(c.Below(256))
	}
	f.Bytes = raw
	return true
}

// tensorCut takes elements away, and not what says how many there are.
func tensorCut(m *Message, c *Choice) bool {
	t := one(m, c, Tensor, tensorRaw)
	if t == nil {
		return false
	}
	f := &t.Fields[t.all(tensorRaw)[0]]
	f.Bytes = f.Bytes[:c.Below(len(f.Bytes)+1)]
	return true
}

func version(m *Message, c *Choice) bool {
	if c.One(8) {
		m.set(Number(modelVersion, int64(c.Below(16))))
		return true
	}
	o := Of(c, m.find(Opset))
	if o == nil {
		return false
	}
	o.set(Number(2, int64(c.Below(30))))
	return true
}

// anyField removes or repeats a field, whatever it is.
func anyField(m *Message, c *Choice) bool {
	var all []*Message
	m.each(func(m *Message) {
		if len(m.Fields) > 0 {
			all = append(all, m)
		}
	})
	at := Of(c, all)
	if at == nil {
		return false
	}
	i := c.Below(len(at.Fields))
	if c.One(2) {
		at.insert(i, at.Fields[i])
	} else {
		at.remove(i)
	}
	return true
}

// swapFields exchanges two fields of one number in one message.
func swapFields(m *Message, c *Choice) bool {
	k := Of(c, []Kind{Graph, Node, Shape, Attribute, Tensor})
	at := Of(c, m.find(k))
	if at == nil || len(at.Fields) < 2 {
		return false
	}
	same := at.all(at.Fields[c.Below(len(at.Fields))].Number)
	a, b := Of(c, same), Of(c, same)
	at.Fields[a], at.Fields[b] = at.Fields[b], at.Fields[a]
	return a != b
}
