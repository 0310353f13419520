package onnx

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// valueType reads a TypeProto: a tensor, or a sequence or optional of one, or a
// sequence or optional of sequences. The shapes of what a list holds may differ, so
// what is said of them is not kept.
func (p *parser) valueType(f wire.Field, v *graph.Decl) error { return p.typeInside(f, v, 0) }

// maxLists is how deep lists nest in each other.
const maxLists = 2

// typeInside reads a TypeProto inside of so many others.
func (p *parser) typeInside(f wire.Field, v *graph.Decl, lists int) error {
	kinds := 0
	err := message(f, 0, func(f wire.Field) error {
		switch f.Number {
		case 1:
			kinds++
			return p.tensorType(f, v)
		case 4:
			kinds++
			return p.listType(f, v, tensor.Sequence, lists)
		case 9:
			kinds++
			return p.listType(f, v, tensor.Optional, lists)
		case 6: // denotation: a note
			return nil
		case 5, 7, 8:
			return errors.New("maps, opaque and sparse values are not supported")
		}
		return unknownField(f)
	})
	if err == nil && kinds > 1 {
		return fmt.Errorf("is of %d types at once", kinds)
	}
	return err
}

// listType reads a TypeProto.Sequence or TypeProto.Optional.
func (p *parser) listType(f wire.Field, v *graph.Decl, list tensor.DataType, lists int) error {
	if lists == maxLists {
		return fmt.Errorf("more than %d levels of lists", maxLists)
	}
	var item graph.Decl
	err := message(f, 0, func(f wire.Field) error {
		if f.Number != 1 {
			return unknownField(f)
		}
		return p.typeInside(f, &item, lists+1)
	})
	if err == nil && item.Type == tensor.Optional {
		err = fmt.Errorf("a %s of optionals is not supported", list)
	}
	v.Type, v.Item, v.Inner = list, item.Type, item.Item
	return err
}

// tensorType reads a TypeProto.Tensor.
func (p *parser) tensorType(f wire.Field, v *graph.Decl) error {
	return message(f, 0, func(f wire.Field) error {
		switch f.Number {
		case 1:
			t, err := f.Int()
			if v.Type = tensor.TypeNumbered(t); err == nil && t != 0 && !v.Type.Element() {
				err = fmt.Errorf("element type %d is not known", t)
			}
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
	return message(f, fields(1), func(f wire.Field) error {
		if f.Number != 1 {
			return unknownField(f)
		}
		if len(v.Shape) == p.lim.Rank {
			return tooMany(p.lim.Rank, "dimensions")
		}
		size, symbol, err := p.dimension(f)
		v.Shape = append(v.Shape, size)
		v.Symbols = append(v.Symbols, symbol)
		return err
	})
}

// dimension reads a TensorShapeProto.Dimension: a size, a symbol, or neither.
func (p *parser) dimension(f wire.Field) (size int64, symbol string, err error) {
	size, sized := -1, false
	err = message(f, 0, func(f wire.Field) (err error) {
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
