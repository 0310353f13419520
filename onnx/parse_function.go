package onnx

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
)

// functionName is what tells the functions of a model apart.
type functionName struct{ domain, name, overload string }

func calls(n *graph.Node) functionName { return functionName{n.Domain, n.Op, n.Overload} }

// function is a FunctionProto: nodes that a node of this name stands for.
type function struct {
	name       functionName
	inputs     []string
	outputs    []string
	attributes []string          // that a call may set
	defaults   []graph.Attribute // those that it may also leave out, with their values
	nodes      []graph.Node
	opsets     opsets
	inlined    size // what one call adds to the graph; known when visited
	visit      visit
}

// function reads a FunctionProto.
func (p *parser) function(f wire.Field, all map[functionName]*function) error {
	if err := count(&p.nodes, p.lim.Nodes, "nodes"); err != nil {
		return err
	}
	fn := &function{opsets: opsets{}}
	err := message(f, fields(4, 5, 6, 7, 9, 11, 12, 14), func(f wire.Field) error { return p.functionField(f, fn) })
	if err == nil && fn.name.name == "" {
		err = errors.New("has no name")
	}
	if _, twice := all[fn.name]; err == nil && twice {
		err = errors.New("is there twice")
	}
	if err != nil {
		return fmt.Errorf("function %s: %w", quote(fn.name.name), err)
	}
	all[fn.name] = fn
	return nil
}

func (p *parser) functionField(f wire.Field, fn *function) (err error) {
	switch f.Number {
	case 1:
		fn.name.name, err = p.text(f)
	case 4:
		err = p.valueName(f, &fn.inputs)
	case 5:
		err = p.valueName(f, &fn.outputs)
	case 6:
		if err = p.texts(f, &fn.attributes); err == nil && len(fn.attributes) > maxNodeAttributes {
			err = tooMany(maxNodeAttributes, "attributes of one function")
		}
	case 7:
		err = p.node(f, &fn.nodes, 1)
	case 9:
		err = p.opset(f, fn.opsets)
	case 10:
		fn.name.domain, err = p.text(f)
		fn.name.domain = domain(fn.name.domain)
	case 11:
		err = p.attribute(f, &fn.defaults, 1)
	case 13:
		fn.name.overload, err = p.text(f)
	case 8, 12, 14: // notes; what is said of values inside follows from the operators
	default:
		err = unknownField(f)
	}
	return err
}
