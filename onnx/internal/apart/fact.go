package apart

import (
	"bytes"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// rows is the axis along which a value has a part for each row, or same. A value that
// is known in both runs has one if that of many rows is that of one again and again.
func (f *fact) rows(n int64) (axis int, ok bool) {
	if f.axis != loose {
		return f.axis, true
	}
	axis, ok = growth(f.one.Shape, f.many.Shape, n)
	return axis, ok && repeats(&f.one, &f.many, axis, n)
}

// growth finds the one axis in which two shapes differ: many is n times as long there.
func growth(one, many []int64, n int64) (axis int, ok bool) {
	if len(one) != len(many) {
		return 0, false
	}
	axis = -1
	for i := range one {
		if one[i] == many[i] {
			continue
		}
		if axis >= 0 {
			return 0, false
		}
		axis = i
	}
	return axis, axis >= 0 && one[axis] > 0 && many[axis] == n*one[axis]
}

// grown says that two shapes differ in this axis and no other.
func grown(one, many []int64, axis int, n int64) bool {
	at, ok := growth(one, many, n)
	return ok && at == axis && !slices.Contains(one, 0)
}

// repeats says that each n-th part of many along an axis is one.
func repeats(one, many *op.Info, axis int, n int64) bool {
	a, b := raw(one.Value), raw(many.Value)
	before := product(one.Shape[:axis])
	if a == nil || b == nil || before == 0 || len(b) != int(n)*len(a) {
		return false
	}
	part := len(a) / int(before)
	for p := range int(before) {
		for r := range int(n) {
			if !bytes.Equal(a[p*part:(p+1)*part], b[(p*int(n)+r)*part:][:part]) {
				return false
			}
		}
	}
	return true
}

// equal says that two known values are the same, bit for bit.
func equal(a, b *tensor.Tensor) bool {
	if a == b {
		return true
	}
	if a.Type != b.Type || !slices.Equal(a.Shape, b.Shape) {
		return false
	}
	x, y := raw(a), raw(b)
	return a.Len() == 0 || x != nil && bytes.Equal(x, y)
}

// raw is the elements of a tensor as bytes; nil if it has none, they are no numbers, or
// the machine has them in another order.
func raw(t *tensor.Tensor) []byte {
	switch {
	case t == nil || t.Type == tensor.String || !t.Type.Element():
		return nil
	case t.Type.Size() == 1:
		return tensor.Words[uint8](t)
	}
	return tensor.LittleEndian(t)
}

func product(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}
