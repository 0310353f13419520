package onnx

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
)

// graph reads a GraphProto; depth counts the graphs around it and itself.
func (p *parser) graph(f wire.Field, depth int) (*graph.Graph, error) {
	if depth > p.lim.Depth {
		return nil, tooDeep(p.lim)
	}
	g := &graph.Graph{}
	err := message(f, fields(1, 5, 11, 12, 13, 14, 15, 16), func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = p.node(f, &g.Nodes, depth)
		case 2:
			g.Name, err = p.text(f)
		case 5:
			err = p.initializer(f, g, depth)
		case 11:
			err = p.value(f, "input", &g.Inputs)
		case 12:
			err = p.value(f, "output", &g.Outputs)
		case 13:
			err = p.value(f, "value", &g.Values)
		case 10, 14, 16: // notes; which tensors hold the scales of which is one, too
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

func tooDeep(lim Limits) error {
	return fmt.Errorf("graphs inside graphs: more than %d levels", lim.Depth)
}

// node reads a NodeProto.
func (p *parser) node(f wire.Field, nodes *[]graph.Node, depth int) error {
	if err := count(&p.nodes, p.lim.Nodes, "nodes"); err != nil {
		return err
	}
	n := graph.Node{Index: len(*nodes)}
	err := message(f, fields(1, 2, 5, 9, 10), func(f wire.Field) (err error) {
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
			err = p.attribute(f, &n.Attrs, depth)
		case 7:
			n.Domain, err = p.text(f)
			n.Domain = domain(n.Domain)
		case 8:
			n.Overload, err = p.text(f)
		case 6, 9, 10: // notes, device hints
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return failed(&n, err)
	}
	*nodes = append(*nodes, n)
	return nil
}

func (p *parser) valueName(f wire.Field, names *[]string) error {
	if err := count(&p.values, p.lim.Values, "inputs and outputs"); err != nil {
		return err
	}
	return p.texts(f, names)
}

// initializer reads a stored tensor of a graph. Only those of the outermost graph are
// compared with each other.
func (p *parser) initializer(f wire.Field, g *graph.Graph, depth int) error {
	if err := count(&p.stored, p.lim.Initializers, "stored tensors"); err != nil {
		return err
	}
	tp := tensorProto{mirrors: depth == 1}
	if depth == 1 {
		tp.among = g
	}
	r, err := f.Message()
	if err != nil {
		return err
	}
	t, err := p.tensorInto(&tp, r)
	if err != nil {
		return fmt.Errorf("initializer %s: %w", quote(tp.name), err)
	}
	if tp.mirrors && t != nil && isLargeMatrix(t.Type, t.Shape) {
		p.matrices = append(p.matrices, t)
	}
	g.Stored = append(g.Stored, graph.Stored{Name: tp.name, Tensor: t, Mirrored: tp.mirrored})
	return nil
}

// value reads a ValueInfoProto.
func (p *parser) value(f wire.Field, what string, list *[]graph.Decl) error {
	if err := count(&p.values, p.lim.Values, "inputs and outputs"); err != nil {
		return err
	}
	var v graph.Decl
	err := message(f, fields(4), func(f wire.Field) (err error) {
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
