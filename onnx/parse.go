package onnx

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
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
	if m.graph, err = p.graph(body, 1); err != nil {
		return nil, err
	}
	m.graph.Versioned(m.opset)
	return m, nil
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
func (p *parser) graph(data []byte, depth int) (*graph.Graph, error) {
	if depth > p.lim.Depth {
		return nil, fmt.Errorf("graphs inside graphs: more than %d levels", p.lim.Depth)
	}
	g := &graph.Graph{}
	err := message(data, fields(1, 5, 11, 12, 13, 14, 15, 16), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = p.node(f, g, depth)
		case 2:
			g.Name, err = p.text(f)
		case 5:
			err = p.initializer(f, g)
		case 11:
			err = p.value(f, "input", &g.Inputs)
		case 12:
			err = p.value(f, "output", &g.Outputs)
		case 13:
			err = p.value(f, "value", &g.Values)
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
func (p *parser) node(f wire.Field, g *graph.Graph, depth int) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.nodes, p.lim.Nodes, "nodes"); err != nil {
		return err
	}
	n := graph.Node{Index: len(g.Nodes)}
	err = message(data, fields(1, 2, 5, 9, 10), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = p.valueName(f, &n.Inputs)
		case 2:
			err = p.valueName(f, &n.Outputs)
		case 3:
			n.Name, err = p.text(f)
		case 4:
			n.Op, err = p.text(f)
		case 5:
			err = p.attribute(f, &n, depth)
		case 7:
			n.Domain, err = p.text(f)
		case 6, 9, 10: // notes, device hints
		case 8:
			err = errors.New("overloads of functions are not supported")
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return &NodeError{Index: n.Index, Name: n.Name, Op: n.Op, Reason: err}
	}
	g.Nodes = append(g.Nodes, n)
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
func (p *parser) initializer(f wire.Field, g *graph.Graph) error {
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
	g.Stored = append(g.Stored, graph.Stored{Name: name, Tensor: t})
	return nil
}

// value reads a ValueInfoProto.
func (p *parser) value(f wire.Field, what string, list *[]graph.Decl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.values, p.lim.Values, "inputs and outputs"); err != nil {
		return err
	}
	var v graph.Decl
	err = message(data, fields(4), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			v.Name, err = p.text(f)
		case 2:
			err = p.valueType(f, &v)
		case 3, 4: // notes
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, quote(v.Name), err)
	}
	*list = append(*list, v)
	return nil
}

// valueType reads a TypeProto; only dense tensors exist here.
func (p *parser) valueType(f wire.Field, v *graph.Decl) error {
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
func (p *parser) tensorType(f wire.Field, v *graph.Decl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	return message(data, 0, func(f wire.Field) error {
		switch f.Number {
		case 1:
			t, err := f.Int()
			v.Type = tensor.TypeNumbered(t)
			return err
		case 2:
			v.Ranked = true
			return p.shape(f, v)
		}
		return unknownField(f)
	})
}

// shape reads a TensorShapeProto.
func (p *parser) shape(f wire.Field, v *graph.Decl) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	return message(data, fields(1), func(f wire.Field) error {
		if f.Number != 1 {
			return unknownField(f)
		}
		if len(v.Shape) == p.lim.Rank {
			return fmt.Errorf("more than %d dimensions", p.lim.Rank)
		}
		size, symbol, err := p.dimension(f)
		v.Shape = append(v.Shape, size)
		v.Symbols = append(v.Symbols, symbol)
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

// attribute reads an AttributeProto.
func (p *parser) attribute(f wire.Field, n *graph.Node, depth int) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.attributes, p.lim.Attributes, "attributes"); err != nil {
		return err
	}
	var a graph.Attribute
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
		return fmt.Errorf("attribute %s: %w", quote(a.Name), err)
	}
	n.Attrs = append(n.Attrs, a)
	return nil
}

func (p *parser) attributeField(f wire.Field, a *graph.Attribute, depth int) (err error) {
	switch f.Number {
	case 1:
		a.Name, err = p.text(f)
	case 2:
		a.F, err = f.Float()
	case 3:
		a.I, err = f.Int()
	case 4:
		a.S, err = p.text(f)
	case 5:
		err = p.attributeTensor(f, a)
	case 6, 11:
		err = p.subgraph(f, a, depth)
	case 7:
		err = f.Floats(func(v float32) error {
			a.Floats = append(a.Floats, v)
			return p.addWeights(1)
		})
	case 8:
		err = f.Ints(func(v int64) error {
			a.Ints = append(a.Ints, v)
			return p.addWeights(1)
		})
	case 9:
		var s string
		if s, err = p.text(f); err == nil {
			a.Strings = append(a.Strings, s)
			err = p.addWeights(1)
		}
	case 13: // notes
	case 20:
		var k int64
		k, err = f.Int()
		a.Kind = graph.Kind(tensor.TypeNumbered(k))
	case 21:
		err = errors.New("references to attributes of functions are not supported")
	case 10, 14, 15, 22, 23:
		err = errors.New("lists of tensors, types and sparse tensors are not supported")
	default:
		err = unknownField(f)
	}
	return err
}

func (p *parser) attributeTensor(f wire.Field, a *graph.Attribute) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	if err := count(&p.stored, p.lim.Initializers, "stored tensors"); err != nil {
		return err
	}
	_, a.T, err = p.tensor(data)
	return err
}

// subgraph reads a graph inside a node.
func (p *parser) subgraph(f wire.Field, a *graph.Attribute, depth int) error {
	data, err := f.Bytes()
	if err != nil {
		return err
	}
	a.G, err = p.graph(data, depth+1)
	return err
}

// valueField maps each kind of attribute to the field that holds its value.
func valueField(k graph.Kind) int {
	switch k {
	case graph.Float, graph.Int, graph.String, graph.Tensor, graph.Sub, graph.Floats, graph.Ints, graph.Strings:
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
func checkAttribute(a graph.Attribute, holds fieldSet, n *graph.Node) error {
	own := valueField(a.Kind)
	if own == 0 {
		return fmt.Errorf("kind %d (%s) is not supported", a.Kind, a.Kind)
	}
	values := fields(2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	if other := holds & values &^ fields(own); other != 0 {
		return fmt.Errorf("says it holds %s, but holds another kind too", a.Kind)
	}
	if a.Kind == graph.Tensor && a.T == nil {
		return errors.New("no tensor")
	}
	// Each is compared with all before it. No operator has a tenth as many.
	if len(n.Attrs) == maxNodeAttributes {
		return fmt.Errorf("more than %d attributes of one node", maxNodeAttributes)
	}
	same := func(b graph.Attribute) bool { return a.Name == b.Name }
	if slices.ContainsFunc(n.Attrs, same) {
		return errors.New("is there twice")
	}
	return nil
}
