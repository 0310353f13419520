package onnx

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ParseTensor reads a TensorProto by itself, as test data of models has it.
func ParseTensor(data []byte, lim Limits) (*tensor.Tensor, error) {
	return parseValue(data, lim, func(p *parser, r *wire.Reader) (*tensor.Tensor, error) {
		_, t, err := p.tensorMessage(r)
		return t, err
	})
}

// ParseSequence reads a SequenceProto (onnx-data.proto3).
func ParseSequence(data []byte, lim Limits) (*tensor.Tensor, error) {
	return parseValue(data, lim, func(p *parser, r *wire.Reader) (*tensor.Tensor, error) { return p.sequence(r, 1) })
}

// ParseOptional reads an OptionalProto (onnx-data.proto3).
func ParseOptional(data []byte, lim Limits) (*tensor.Tensor, error) {
	return parseValue(data, lim, (*parser).optional)
}

func parseValue(data []byte, lim Limits, read func(*parser, *wire.Reader) (*tensor.Tensor, error)) (t *tensor.Tensor, err error) {
	defer recovered(&err, func() { t = nil })
	if err := lim.check(); err != nil {
		return nil, err
	}
	if int64(len(data)) > lim.Bytes {
		return nil, fmt.Errorf("onnx: value has %d bytes, the limit is %d", len(data), lim.Bytes)
	}
	if t, err = read(&parser{lim: lim}, wire.NewReader(data)); err != nil {
		return nil, fmt.Errorf("onnx: value: %w", err)
	}
	return t, nil
}

// The kinds of values in sequences and optionals: SequenceProto.DataType.
const (
	valueTensor   = 1
	valueSequence = 3
)

// sequence reads a SequenceProto; depth counts it and those around it.
func (p *parser) sequence(r *wire.Reader, depth int) (*tensor.Tensor, error) {
	if depth > maxLists {
		return nil, fmt.Errorf("more than %d levels of lists", maxLists)
	}
	return p.list(r, tensor.Sequence, fields(3, 5), depth)
}

// list reads the fields that SequenceProto and OptionalProto share; many are those that
// may be there more than once.
func (p *parser) list(r *wire.Reader, as tensor.DataType, many fieldSet, depth int) (*tensor.Tensor, error) {
	kind := int64(0)
	var items []*tensor.Tensor
	err := each(r, many, func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			_, err = p.text(f)
		case 2:
			kind, err = f.Int()
		case 3, 5:
			var item *tensor.Tensor
			item, err = p.item(f, f.Number == 5, depth)
			items = append(items, item)
		case 4, 6, 7:
			err = errors.New("maps, optionals and sparse values are not supported")
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return listOf(as, kind, items)
}

// item reads a tensor or a sequence inside of a list.
func (p *parser) item(f wire.Field, list bool, depth int) (*tensor.Tensor, error) {
	if list {
		r, err := f.Message()
		if err != nil {
			return nil, err
		}
		return p.sequence(r, depth+1)
	}
	return p.attributeTensor(f)
}

// optional reads an OptionalProto.
func (p *parser) optional(r *wire.Reader) (*tensor.Tensor, error) {
	return p.list(r, tensor.Optional, 0, 1)
}

// listOf makes a list of what was read. The type of an empty one's items is not
// known: the format does not say it.
func listOf(list tensor.DataType, kind int64, items []*tensor.Tensor) (*tensor.Tensor, error) {
	t := &tensor.Tensor{Type: list, Items: items}
	if kind == valueSequence {
		t.ItemType = tensor.Sequence
	}
	for i, item := range items {
		if sequence := item.Type == tensor.Sequence; sequence != (kind == valueSequence) || kind != valueSequence && kind != valueTensor {
			return nil, fmt.Errorf("item %d is not of the kind %d that the %s says", i, kind, list)
		}
		t.ItemType, t.Inner = item.Type, item.ItemType
	}
	return t, t.Check()
}
