package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// tensorProto is a TensorProto before its pieces are known to agree.
type tensorProto struct {
	name   string
	typ    tensor.DataType
	dims   []int64
	raw    []byte
	hasRaw bool
	floats []float32
	ints32 []int64
	ints64 []int64
	texts  []string
}

// addWeights counts stored elements before memory is taken for them.
func (p *parser) addWeights(n int64) error {
	if n > p.lim.Weights-p.weights {
		return fmt.Errorf("stored tensors of more than %d elements together", p.lim.Weights)
	}
	p.weights += n
	return nil
}

// tensor reads a TensorProto. The name is returned with an error too, as far as
// it was read, for the message.
func (p *parser) tensor(data []byte) (string, *tensor.Tensor, error) {
	var tp tensorProto
	err := message(data, fields(1, 4, 5, 6, 7, 10, 11, 13, 16), func(f wire.Field) error {
		return p.tensorField(f, &tp)
	})
	if err != nil {
		return tp.name, nil, err
	}
	t, err := p.assemble(&tp)
	return tp.name, t, err
}

func (p *parser) tensorField(f wire.Field, tp *tensorProto) (err error) {
	switch f.Number {
	case 1:
		err = f.Ints(func(d int64) error {
			if len(tp.dims) == p.lim.Rank {
				return fmt.Errorf("more than %d dimensions", p.lim.Rank)
			}
			tp.dims = append(tp.dims, d)
			return nil
		})
	case 2:
		var t int64
		t, err = f.Int()
		tp.typ = tensor.TypeNumbered(t)
	case 3:
		err = errors.New("segments are not supported")
	case 4:
		err = f.Floats(func(v float32) error {
			tp.floats = append(tp.floats, v)
			return p.addWeights(1)
		})
	case 5:
		err = f.Ints(func(v int64) error {
			tp.ints32 = append(tp.ints32, v)
			return p.addWeights(1)
		})
	case 6:
		var s string
		if s, err = p.text(f); err == nil {
			tp.texts = append(tp.texts, s)
			err = p.addWeights(1)
		}
	case 7:
		err = f.Ints(func(v int64) error {
			tp.ints64 = append(tp.ints64, v)
			return p.addWeights(1)
		})
	case 8:
		tp.name, err = p.text(f)
	case 9:
		tp.hasRaw = true
		tp.raw, err = f.Bytes()
	case 12, 16: // notes
	case 10, 11:
		err = errors.New("elements of type float64 or uint64 are not supported")
	case 13:
		err = errors.New("external data is refused: a model's weights must be inside its file")
	case 14:
		var where int64
		if where, err = f.Int(); err == nil && where != 0 {
			err = errors.New("external data is refused: a model's weights must be inside its file")
		}
	default:
		err = unknownField(f)
	}
	return err
}

// assemble checks that type, shape and elements agree.
func (p *parser) assemble(tp *tensorProto) (*tensor.Tensor, error) {
	if !tp.typ.Element() {
		return nil, fmt.Errorf("%s is not an element type", tp.typ)
	}
	n, err := tensor.Count(tp.dims)
	if err != nil {
		return nil, err
	}
	if n > p.lim.Elements {
		return nil, fmt.Errorf("shape %v has %d elements, the limit is %d", tp.dims, n, p.lim.Elements)
	}
	if err := tp.oneSource(); err != nil {
		return nil, err
	}
	if tp.hasRaw {
		return p.raw(tp, n)
	}
	return tp.typed()
}

// oneSource refuses elements in a field that the type does not use, or in two.
func (tp *tensorProto) oneSource() error {
	typed := len(tp.floats) + len(tp.ints32) + len(tp.ints64) + len(tp.texts)
	own := 0
	switch tp.typ {
	case tensor.Float32:
		own = len(tp.floats)
	case tensor.Bool:
		own = len(tp.ints32)
	case tensor.Int64:
		own = len(tp.ints64)
	case tensor.String:
		own = len(tp.texts)
	}
	if typed != own {
		return fmt.Errorf("elements are stored in a field that %s does not use", tp.typ)
	}
	if typed != 0 && tp.hasRaw {
		return errors.New("elements are stored twice, raw and typed")
	}
	return nil
}

// typed makes a tensor of the elements in the field of its type.
func (tp *tensorProto) typed() (*tensor.Tensor, error) {
	var t *tensor.Tensor
	switch tp.typ {
	case tensor.Float32:
		t = tensor.Of(tp.floats, tp.dims...)
	case tensor.Int64:
		t = tensor.Of(tp.ints64, tp.dims...)
	case tensor.String:
		t = tensor.Of(tp.texts, tp.dims...)
	case tensor.Bool:
		b := make([]bool, len(tp.ints32))
		for i, v := range tp.ints32 {
			if v != 0 && v != 1 {
				return nil, fmt.Errorf("bool element %d is %d, must be 0 or 1", i, v)
			}
			b[i] = v == 1
		}
		t = tensor.Of(b, tp.dims...)
	}
	return t, t.Check()
}

// raw decodes raw_data: little-endian, fixed width (onnx.proto3, TensorProto).
func (p *parser) raw(tp *tensorProto, n int64) (*tensor.Tensor, error) {
	if tp.typ == tensor.String {
		return nil, errors.New("strings cannot be stored raw")
	}
	width := tp.typ.Size()
	if n > math.MaxInt64/width || int64(len(tp.raw)) != n*width {
		return nil, fmt.Errorf("shape %v needs %d %s elements of %d bytes, got %d bytes", tp.dims, n, tp.typ, width, len(tp.raw))
	}
	if err := p.addWeights(n); err != nil {
		return nil, err
	}
	t, err := tensor.New(tp.typ, tp.dims)
	if err != nil {
		return nil, err
	}
	switch tp.typ {
	case tensor.Float32:
		for i := range n {
			tensor.Data[float32](t)[i] = math.Float32frombits(binary.LittleEndian.Uint32(tp.raw[4*i:]))
		}
	case tensor.Int64:
		for i := range n {
			tensor.Data[int64](t)[i] = int64(binary.LittleEndian.Uint64(tp.raw[8*i:]))
		}
	case tensor.Bool:
		for i, b := range tp.raw {
			if b > 1 {
				return nil, fmt.Errorf("bool element %d is %d, must be 0 or 1", i, b)
			}
			tensor.Data[bool](t)[i] = b == 1
		}
	}
	return t, nil
}
