package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// assemble checks that type, shape and elements agree. The type is there once, so what
// was made has it.
func (p *parser) assemble(tp *tensorProto) (*tensor.Tensor, error) {
	n, err := p.elements(tp)
	if err != nil {
		return nil, err
	}
	if err := tp.oneSource(); err != nil {
		return nil, err
	}
	switch {
	case tp.mirrored != nil:
		of := tp.mirrored
		if !slices.Equal([]int64{of.Shape[1], of.Shape[0]}, tp.dims) {
			return nil, errShapeGoesOn
		}
		return nil, nil
	case tp.made != nil:
		if !slices.Equal(tp.made.Shape, tp.dims) {
			return nil, errShapeGoesOn
		}
		return tp.made, nil
	case tp.hasRaw:
		return p.decode(tp, n, int64(len(tp.raw)), inOne(tp.raw))
	}
	return p.typed(tp, n)
}

var errShapeGoesOn = errors.New("the shape goes on after the elements")

// elements holds type and shape to the limits, and counts the elements.
func (p *parser) elements(tp *tensorProto) (int64, error) {
	if !tp.typ.Element() {
		return 0, fmt.Errorf("%s is not an element type", tp.typ)
	}
	n, err := tensor.Count(tp.dims)
	if err != nil {
		return 0, err
	}
	if n > p.lim.Elements {
		return 0, fmt.Errorf("shape %v has %d elements, the limit is %d", tp.dims, n, p.lim.Elements)
	}
	for _, d := range tp.dims { // of an empty tensor
		if d > p.lim.Elements {
			return 0, fmt.Errorf("shape %v has dimension %d, the limit is %d", tp.dims, d, p.lim.Elements)
		}
	}
	return n, nil
}

// oneSource refuses elements in a field that the type does not use, or in two.
func (tp *tensorProto) oneSource() error {
	typed := len(tp.floats) + len(tp.doubles) + len(tp.ints32) + len(tp.ints64) + len(tp.uints64) + len(tp.texts)
	own := len(tp.ints32)
	switch tp.typ {
	case tensor.Float32, tensor.Complex64:
		own = len(tp.floats)
	case tensor.Float64, tensor.Complex128:
		own = len(tp.doubles)
	case tensor.Int64:
		own = len(tp.ints64)
	case tensor.Uint32, tensor.Uint64:
		own = len(tp.uints64)
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

// rawField reads raw_data. Writers put it behind type and shape; then it goes from
// the file straight into the tensor's memory.
func (p *parser) rawField(f wire.Field, tp *tensorProto) error {
	tp.hasRaw = true
	if len(tp.dims) == 0 || !tp.typ.Element() {
		raw, err := f.Bytes()
		tp.raw = raw
		return err
	}
	n, err := p.elements(tp)
	if err != nil {
		return err
	}
	tp.made, err = p.decode(tp, n, f.Size(), f.Pieces)
	return err
}

// pieces hands out bytes in pieces whose length is a multiple of unit.
type pieces func(unit int, each func([]byte) error) error

// inOne hands out all bytes at once.
func inOne(b []byte) pieces {
	return func(_ int, each func([]byte) error) error { return each(b) }
}

// decode makes a tensor of n elements, stored as raw_data has them in so many bytes.
func (p *parser) decode(tp *tensorProto, n, size int64, from pieces) (*tensor.Tensor, error) {
	if tp.typ == tensor.String {
		return nil, errors.New("strings cannot be stored raw")
	}
	width, packed := tp.typ.Size(), tp.typ.Packed()
	if n > math.MaxInt64/width-packed || size != (n+packed-1)/packed*width {
		return nil, fmt.Errorf("shape %v needs %d %s elements of %s, got %d bytes", tp.dims, n, tp.typ, widthOf(tp.typ), size)
	}
	if err := p.addWeights(n); err != nil {
		return nil, err
	}
	if m := p.mirrorOf(tp); m != nil {
		var made *tensor.Tensor
		var err error
		made, tp.mirrored, err = m.read(from, func() (*tensor.Tensor, func([]byte) error, error) { return p.room(tp) })
		return made, err
	}
	t, take, err := p.room(tp)
	if err != nil {
		return nil, err
	}
	return t, from(int(width), take)
}

func widthOf(t tensor.DataType) string {
	if packed := t.Packed(); packed > 1 {
		return fmt.Sprintf("%d bits", 8/packed)
	}
	return fmt.Sprintf("%d bytes", t.Size())
}

// typed makes a tensor of the elements in the field of its type.
func (p *parser) typed(tp *tensorProto, n int64) (*tensor.Tensor, error) {
	var t *tensor.Tensor
	switch tp.typ {
	case tensor.Float32:
		t = tensor.Of(tp.floats, tp.dims...)
	case tensor.Float64:
		t = tensor.Of(tp.doubles, tp.dims...)
	case tensor.Int32:
		t = tensor.Of(tp.ints32, tp.dims...)
	case tensor.Int64:
		t = tensor.Of(tp.ints64, tp.dims...)
	case tensor.Uint64:
		t = tensor.Of(tp.uints64, tp.dims...)
	case tensor.String:
		t = tensor.Of(tp.texts, tp.dims...)
	default:
		return p.encoded(tp, n)
	}
	return t, t.Check()
}

// encoded makes a tensor of elements in a field of a wider type, or of pairs, by way
// of the bytes that raw_data would have.
func (p *parser) encoded(tp *tensorProto, n int64) (*tensor.Tensor, error) {
	var b []byte
	for _, v := range tp.floats {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, v := range tp.doubles {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	for i, v := range tp.uints64 {
		if v > math.MaxUint32 {
			return nil, fmt.Errorf("%s element %d is %d", tp.typ, i, v)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	low, high := stored(tp.typ)
	for i, v := range tp.ints32 {
		if v < low || v > high {
			return nil, fmt.Errorf("%s element %d is %d, expected %d to %d", tp.typ, i, v, low, high)
		}
		if b = append(b, byte(v)); tp.typ.Size() == 2 {
			b = append(b, byte(v>>8))
		}
	}
	return p.decode(tp, n, int64(len(b)), inOne(b))
}

// stored is the range of one value of int32_data, by the type of the elements; of
// types below a byte it is that of the byte which several elements share.
func stored(t tensor.DataType) (low, high int32) {
	switch {
	case t == tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case t == tensor.Int16:
		return math.MinInt16, math.MaxInt16
	case t.Size() == 2:
		return 0, math.MaxUint16
	}
	return 0, math.MaxUint8
}
