package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/wire"
)

// tensorProto is a TensorProto before its pieces are known to agree.
type tensorProto struct {
	name   string
	typ    DataType
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
func (p *parser) tensor(data []byte) (string, *Tensor, error) {
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
		tp.typ = dataType(t)
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
func (p *parser) assemble(tp *tensorProto) (*Tensor, error) {
	if !tp.typ.Supported() {
		return nil, fmt.Errorf("element type %s is not supported; this engine has float32, int64, bool and string", tp.typ)
	}
	n, err := countElements(tp.dims)
	if err != nil {
		return nil, err
	}
	if n > p.lim.Elements {
		return nil, fmt.Errorf("shape %v has %d elements, the limit is %d", tp.dims, n, p.lim.Elements)
	}
	if err := tp.oneSource(); err != nil {
		return nil, err
	}
	t := &Tensor{Type: tp.typ, Shape: tp.dims}
	if tp.hasRaw {
		err = p.fillRaw(t, tp.raw, n)
	} else {
		err = tp.fillTyped(t)
	}
	if err != nil {
		return nil, err
	}
	return t, t.Check()
}

// oneSource refuses elements in a field that the type does not use, or in two.
func (tp *tensorProto) oneSource() error {
	typed := len(tp.floats) + len(tp.ints32) + len(tp.ints64) + len(tp.texts)
	own := 0
	switch tp.typ {
	case Float32:
		own = len(tp.floats)
	case Bool:
		own = len(tp.ints32)
	case Int64:
		own = len(tp.ints64)
	case String:
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

func (tp *tensorProto) fillTyped(t *Tensor) error {
	switch t.Type {
	case Float32:
		t.F32 = tp.floats
	case Int64:
		t.I64 = tp.ints64
	case String:
		t.Str = tp.texts
	case Bool:
		t.Bool = make([]bool, len(tp.ints32))
		for i, v := range tp.ints32 {
			if v != 0 && v != 1 {
				return fmt.Errorf("bool element %d is %d, must be 0 or 1", i, v)
			}
			t.Bool[i] = v == 1
		}
	}
	return nil
}

// fillRaw decodes raw_data: little-endian, fixed width (onnx.proto3, TensorProto).
func (p *parser) fillRaw(t *Tensor, raw []byte, n int64) error {
	width := int64(1)
	switch t.Type {
	case Float32:
		width = 4
	case Int64:
		width = 8
	case String:
		return errors.New("strings cannot be stored raw")
	}
	if n > math.MaxInt64/width || int64(len(raw)) != n*width {
		return fmt.Errorf("shape %v needs %d %s elements of %d bytes, got %d bytes", t.Shape, n, t.Type, width, len(raw))
	}
	if err := p.addWeights(n); err != nil {
		return err
	}
	switch t.Type {
	case Float32:
		t.F32 = make([]float32, n)
		for i := range t.F32 {
			t.F32[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case Int64:
		t.I64 = make([]int64, n)
		for i := range t.I64 {
			t.I64[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case Bool:
		t.Bool = make([]bool, n)
		for i, b := range raw {
			if b > 1 {
				return fmt.Errorf("bool element %d is %d, must be 0 or 1", i, b)
			}
			t.Bool[i] = b == 1
		}
	}
	return nil
}
