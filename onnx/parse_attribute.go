package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// attribute reads an AttributeProto into a node's list.
func (p *parser) attribute(f wire.Field, list *[]graph.Attribute, depth int) error {
	if err := count(&p.attributes, p.lim.Attributes, "attributes"); err != nil {
		return err
	}
	var a graph.Attribute
	var holds fieldSet
	err := message(f, fields(7, 8, 9, 10, 11, 15, 23), func(f wire.Field) error {
		if f.Number < 64 {
			holds |= fields(f.Number)
		}
		return p.attributeField(f, &a, depth)
	})
	if err == nil {
		err = checkAttribute(a, holds, *list)
	}
	if err != nil {
		return fmt.Errorf("attribute %s: %w", quote(a.Name), err)
	}
	*list = append(*list, a)
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
		a.T, err = p.attributeTensor(f)
	case 6:
		a.G, err = p.graph(f, depth+1)
	case 14:
		err = p.valueType(f, &a.Type)
	case 13: // notes
	case 20:
		var k int64
		k, err = f.Int()
		a.Kind = graph.Kind(tensor.TypeNumbered(k))
	case 21:
		a.Ref, err = p.text(f)
	case 11, 15, 22, 23:
		err = errors.New("lists of graphs, lists of types and sparse tensors are not supported")
	default:
		err = p.attributeList(f, a)
	}
	return err
}

func (p *parser) attributeList(f wire.Field, a *graph.Attribute) error {
	switch f.Number {
	case 7:
		return f.Floats(func(v float32) error {
			a.Floats = append(a.Floats, v)
			return p.addWeights(1)
		})
	case 8:
		return f.Ints(func(v int64) error {
			a.Ints = append(a.Ints, v)
			return p.addWeights(1)
		})
	case 9:
		if err := p.addWeights(1); err != nil {
			return err
		}
		return p.texts(f, &a.Strings)
	case 10:
		t, err := p.attributeTensor(f)
		a.Tensors = append(a.Tensors, t)
		return err
	}
	return unknownField(f)
}

func (p *parser) attributeTensor(f wire.Field) (*tensor.Tensor, error) {
	if err := count(&p.stored, p.lim.Initializers, "stored tensors"); err != nil {
		return nil, err
	}
	_, t, err := p.tensor(f)
	return t, err
}

// valueField maps each kind of attribute to the field that holds its value.
func valueField(k graph.Kind) int {
	if k == graph.Type {
		return 14
	}
	if k < graph.Float || k > graph.Tensors {
		return 0
	}
	return [...]int{0, 2, 3, 4, 5, 6, 7, 8, 9, 10}[k]
}

const maxNodeAttributes = 256

// checkAttribute refuses an attribute whose value is not of the kind it claims
// (an absent field is the value zero, as in all of proto3), or that is there twice.
func checkAttribute(a graph.Attribute, holds fieldSet, before []graph.Attribute) error {
	own := valueField(a.Kind)
	if own == 0 {
		return fmt.Errorf("kind %d (%s) is not supported", a.Kind, a.Kind)
	}
	values := fields(2, 3, 4, 5, 6, 7, 8, 9, 10, 14)
	switch other := holds & values &^ fields(own); {
	case a.Ref != "" && holds&values != 0:
		return fmt.Errorf("refers to %s, but holds a value too", quote(a.Ref))
	case other != 0:
		return fmt.Errorf("says it holds %s, but holds another kind too", a.Kind)
	case a.Ref == "" && holds&fields(own) == 0 && (a.Kind == graph.Tensor || a.Kind == graph.Sub || a.Kind == graph.Type):
		return fmt.Errorf("no %s", a.Kind)
	case len(before) == maxNodeAttributes: // each is compared with all; no operator has a tenth as many
		return fmt.Errorf("more than %d attributes of one node", maxNodeAttributes)
	}
	if slices.ContainsFunc(before, func(b graph.Attribute) bool { return a.Name == b.Name }) {
		return errors.New("is there twice")
	}
	return nil
}
