package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/blindbox/blindbox/onnx/internal/wire"
)

// The versions that this engine reads. Operator sets before 13 give several
// operators another meaning; those after maxOpset are not known yet.
const (
	minOpset = 13
	maxOpset = 25
	minIR    = 3
	maxIR    = 13
)

// Parse reads the bytes of an .onnx file (a ModelProto of the ONNX
// specification) within the limits, and checks that the graph is well formed.
// It refuses references to other files, functions, training graphs and sparse
// tensors, and every field that it does not know: what a field means that
// nobody looked at is not known either.
func Parse(model []byte, lim Limits) (m *Model, err error) {
	defer recovered(&err, func() { m = nil })
	if err := lim.check(); err != nil {
		return nil, err
	}
	if int64(len(model)) > lim.Bytes {
		return nil, fmt.Errorf("onnx: model has %d bytes, the limit is %d", len(model), lim.Bytes)
	}
	p := &parser{lim: lim}
	m, err = p.model(model)
	if err == nil {
		err = checkGraph(m.graph)
	}
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return m, nil
}

// parser counts what it has read against the limits of one model.
type parser struct {
	lim        Limits
	nodes      int
	stored     int
	values     int
	attributes int
	weights    int64
}

// count adds one to *n and refuses more than limit.
func count(n *int, limit int, what string) error {
	if *n++; *n > limit {
		return fmt.Errorf("more than %d %s", limit, what)
	}
	return nil
}

// fieldSet is a set of field numbers below 64.
type fieldSet uint64

func fields(numbers ...int) fieldSet {
	var s fieldSet
	for _, n := range numbers {
		s |= 1 << n
	}
	return s
}

// message hands every field of a message to do, and refuses a second value for
// a field that may have one only: readers differ in which they believe.
func message(data []byte, repeated fieldSet, do func(wire.Field) error) error {
	var seen fieldSet
	for r := wire.NewReader(data); !r.Done(); {
		f, err := r.Next()
		if err != nil {
			return err
		}
		if f.Number < 64 {
			bit := fields(f.Number)
			if seen&bit != 0 && repeated&bit == 0 {
				return fmt.Errorf("field %d is there twice", f.Number)
			}
			seen |= bit
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

func unknownField(f wire.Field) error { return fmt.Errorf("unknown field %d", f.Number) }

// text reads a string that the engine keeps.
func (p *parser) text(f wire.Field) (string, error) {
	b, err := f.Bytes()
	if err != nil {
		return "", err
	}
	if len(b) > p.lim.StringBytes {
		return "", fmt.Errorf("field %d: string of %d bytes, the limit is %d", f.Number, len(b), p.lim.StringBytes)
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("field %d: string is not UTF-8", f.Number)
	}
	return string(b), nil
}

// model reads a ModelProto. Field numbers here and below: onnx.proto3.
func (p *parser) model(data []byte) (*Model, error) {
	m := &Model{limits: p.lim}
	var ir int64
	var body []byte
	err := message(data, fields(8, 14, 20, 25, 26), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			ir, err = f.Int()
		case 7:
			body, err = f.Bytes()
		case 8:
			err = p.opset(f, m)
		case 2, 3, 4, 5, 6, 14, 26: // producer, domain, version, notes, device hints
		case 20:
			err = errors.New("training information is not supported")
		case 25:
			err = errors.New("functions are not supported; inline them before the model is exported")
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if ir < minIR || ir > maxIR {
		return nil, fmt.Errorf("file format version (ir_version) %d, this engine reads %d to %d", ir, minIR, maxIR)
	}
	if m.opset < minOpset || m.opset > maxOpset {
		return nil, fmt.Errorf("operator set version %d, this engine has %d to %d", m.opset, minOpset, maxOpset)
	}
	if body == nil {
		return nil, errors.New("no graph")
	}
	m.graph, err = p.graph(body, 1)
	return m, err
}

// opset reads an OperatorSetIdProto. Versions of other domains do not matter:
// a node in another domain is refused by name.
func (p *parser) opset(f wire.Field, m *Model) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	var domain string
	var version int64
	err = message(data, 0, func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			domain, err = p.text(f)
		case 2:
			version, err = f.Int()
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("operator set: %w", err)
	}
	if !defaultDomain(domain) {
		return nil
	}
	if m.opset != 0 {
		return errors.New("two versions of the default operator set")
	}
	m.opset = version
	return nil
}

// defaultDomain knows both spellings of the domain of the standard operators.
func defaultDomain(d string) bool { return d == "" || d == "ai.onnx" }

// graph reads a GraphProto; depth counts the graphs around it and itself.
func (p *parser) graph(data []byte, depth int) (*graph, error) {
	if depth > p.lim.Depth {
		return nil, fmt.Errorf("graphs inside graphs: more than %d levels", p.lim.Depth)
	}
	g := &graph{}
	err := message(data, fields(1, 5, 11, 12, 13, 14, 15, 16), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = p.node(f, g, depth)
		case 2:
			g.name, err = p.text(f)
		case 5:
			err = p.initializer(f, g)
		case 11:
			err = p.value(f, "input", &g.inputs)
		case 12:
			err = p.value(f, "output", &g.outputs)
		case 13:
			err = p.value(f, "value", &g.values)
		case 10, 16: // notes
		case 14:
			err = errors.New("quantization annotations are not supported")
		case 15:
			err = errors.New("sparse initializers are not supported")
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// node reads a NodeProto.
func (p *parser) node(f wire.Field, g *graph, depth int) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.nodes, p.lim.Nodes, "nodes"); err != nil {
		return err
	}
	n := node{index: len(g.nodes)}
	err = message(data, fields(1, 2, 5, 9, 10), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = p.valueName(f, &n.inputs)
		case 2:
			err = p.valueName(f, &n.outputs)
		case 3:
			n.name, err = p.text(f)
		case 4:
			n.op, err = p.text(f)
		case 5:
			err = p.attribute(f, &n, depth)
		case 7:
			n.domain, err = p.text(f)
		case 6, 9, 10: // notes, device hints
		case 8:
			err = errors.New("overloads of functions are not supported")
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return &NodeError{Index: n.index, Name: n.name, Op: n.op, Reason: err}
	}
	g.nodes = append(g.nodes, n)
	return nil
}

func (p *parser) valueName(f wire.Field, names *[]string) error {
	if err := count(&p.values, p.lim.Values, "inputs and outputs"); err != nil {
		return err
	}
	s, err := p.text(f)
	*names = append(*names, s)
	return err
}

// initializer reads a stored tensor of a graph.
func (p *parser) initializer(f wire.Field, g *graph) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.stored, p.lim.Initializers, "stored tensors"); err != nil {
		return err
	}
	name, t, err := p.tensor(data)
	if err != nil {
		return fmt.Errorf("initializer %s: %w", quote(name), err)
	}
	g.stored = append(g.stored, storedTensor{name, t})
	return nil
}

// quote bounds a name from a model before it goes into a message.
func quote(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "..."
	}
	return strconv.Quote(name)
}

// value reads a ValueInfoProto.
func (p *parser) value(f wire.Field, what string, list *[]valueDecl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.values, p.lim.Values, "inputs and outputs"); err != nil {
		return err
	}
	var v valueDecl
	err = message(data, fields(4), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			v.name, err = p.text(f)
		case 2:
			err = p.valueType(f, &v)
		case 3, 4: // notes
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, quote(v.name), err)
	}
	*list = append(*list, v)
	return nil
}

// valueType reads a TypeProto; only dense tensors exist here.
func (p *parser) valueType(f wire.Field, v *valueDecl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	return message(data, 0, func(f wire.Field) error {
		switch f.Number {
		case 1:
			return p.tensorType(f, v)
		case 6: // denotation: a note
			return nil
		case 4, 5, 7, 8, 9:
			return errors.New("sequences, maps, optional and sparse values are not supported")
		}
		return unknownField(f)
	})
}

// tensorType reads a TypeProto.Tensor.
func (p *parser) tensorType(f wire.Field, v *valueDecl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	return message(data, 0, func(f wire.Field) error {
		switch f.Number {
		case 1:
			t, err := f.Int()
			v.typ = dataType(t)
			return err
		case 2:
			v.ranked = true
			return p.shape(f, v)
		}
		return unknownField(f)
	})
}

// shape reads a TensorShapeProto.
func (p *parser) shape(f wire.Field, v *valueDecl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	return message(data, fields(1), func(f wire.Field) error {
		if f.Number != 1 {
			return unknownField(f)
		}
		if len(v.shape) == p.lim.Rank {
			return fmt.Errorf("more than %d dimensions", p.lim.Rank)
		}
		size, symbol, err := p.dimension(f)
		v.shape = append(v.shape, size)
		v.symbols = append(v.symbols, symbol)
		return err
	})
}

// dimension reads a TensorShapeProto.Dimension: a size, a symbol, or neither.
func (p *parser) dimension(f wire.Field) (size int64, symbol string, err error) {
	data, err := f.Bytes()
	if err != nil {
		return 0, "", err
	}
	size, sized := -1, false
	err = message(data, 0, func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			sized = true
			if size, err = f.Int(); err == nil && size < 0 {
				err = fmt.Errorf("dimension %d is negative", size)
			}
		case 2:
			symbol, err = p.text(f)
		case 3: // denotation: a note
		default:
			err = unknownField(f)
		}
		return err
	})
	if err == nil && sized && symbol != "" {
		err = fmt.Errorf("dimension is both %d and %s", size, quote(symbol))
	}
	return size, symbol, err
}

// dataType keeps numbers outside the enum from wrapping into it.
func dataType(v int64) DataType {
	if v < 0 || v > 1<<16 {
		return -1
	}
	return DataType(v)
}

// attribute reads an AttributeProto.
func (p *parser) attribute(f wire.Field, n *node, depth int) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.attributes, p.lim.Attributes, "attributes"); err != nil {
		return err
	}
	var a attribute
	var holds fieldSet
	err = message(data, fields(7, 8, 9, 10, 11, 15, 23), func(f wire.Field) error {
		if f.Number < 64 {
			holds |= fields(f.Number)
		}
		return p.attributeField(f, &a, depth)
	})
	if err == nil {
		err = checkAttribute(a, holds, n)
	}
	if err != nil {
		return fmt.Errorf("attribute %s: %w", quote(a.name), err)
	}
	n.attrs = append(n.attrs, a)
	return nil
}

func (p *parser) attributeField(f wire.Field, a *attribute, depth int) (err error) {
	switch f.Number {
	case 1:
		a.name, err = p.text(f)
	case 2:
		a.f, err = f.Float()
	case 3:
		a.i, err = f.Int()
	case 4:
		a.s, err = p.text(f)
	case 5:
		err = p.attributeTensor(f, a)
	case 6, 11:
		err = p.subgraph(f, depth)
	case 7:
		err = f.Floats(func(v float32) error {
			a.floats = append(a.floats, v)
			return p.addWeights(1)
		})
	case 8:
		err = f.Ints(func(v int64) error {
			a.ints = append(a.ints, v)
			return p.addWeights(1)
		})
	case 9:
		var s string
		if s, err = p.text(f); err == nil {
			a.strings = append(a.strings, s)
			err = p.addWeights(1)
		}
	case 13: // notes
	case 20:
		var k int64
		k, err = f.Int()
		a.kind = attrKind(dataType(k))
	case 21:
		err = errors.New("references to attributes of functions are not supported")
	case 10, 14, 15, 22, 23:
		err = errors.New("lists of tensors, types and sparse tensors are not supported")
	default:
		err = unknownField(f)
	}
	return err
}

func (p *parser) attributeTensor(f wire.Field, a *attribute) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.stored, p.lim.Initializers, "stored tensors"); err != nil {
		return err
	}
	_, a.t, err = p.tensor(data)
	return err
}

// subgraph reads a graph inside a node against the limits. No operator of this
// engine takes one, so what was read is not kept.
func (p *parser) subgraph(f wire.Field, depth int) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	_, err = p.graph(data, depth+1)
	return err
}

// valueField maps each kind of attribute to the field that holds its value.
func (k attrKind) valueField() int {
	switch k {
	case attrFloat, attrInt, attrString, attrTensor, attrGraph, attrFloats, attrInts, attrStrings:
		return [...]int{0, 2, 3, 4, 5, 6, 7, 8, 9}[k]
	case 10: // tensors
		return 10
	case 11: // graphs
		return 11
	}
	return 0
}

const maxNodeAttributes = 256

// checkAttribute refuses an attribute whose value is not of the kind it claims
// (an absent field is the value zero, as in all of proto3), or that is there twice.
func checkAttribute(a attribute, holds fieldSet, n *node) error {
	own := a.kind.valueField()
	if own == 0 {
		return fmt.Errorf("kind %d (%s) is not supported", a.kind, a.kind)
	}
	values := fields(2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	if other := holds & values &^ fields(own); other != 0 {
		return fmt.Errorf("says it holds %s, but holds another kind too", a.kind)
	}
	if a.kind == attrTensor && a.t == nil {
		return errors.New("no tensor")
	}
	// Each is compared with all before it. No operator has a tenth as many.
	if len(n.attrs) == maxNodeAttributes {
		return fmt.Errorf("more than %d attributes of one node", maxNodeAttributes)
	}
	same := func(b attribute) bool { return a.name == b.name }
	if slices.ContainsFunc(n.attrs, same) {
		return errors.New("is there twice")
	}
	return nil
}
