package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// The tolerances of the reference runner (onnx/backend/test/loader and runner):
// |got - want| <= absolute + relative * |want|, for bfloat16 two units in the
// last place.
const (
	absolute         = 1e-7
	relative         = 1e-3
	relativeBFloat16 = 1.0 / 64
)

// compare says how a result differs from what the case expects: in its type, its
// shape, or an element. Floating elements may differ by the tolerances, a NaN
// equals a NaN; all others must be equal, which is stricter than the reference
// runner is with integers.
func compare(got, want *tensor.Tensor) error {
	if got == nil {
		return errors.New("is not there")
	}
	if err := got.Check(); err != nil {
		return fmt.Errorf("is not a valid tensor: %w", err)
	}
	if got.Type != want.Type {
		return fmt.Errorf("is %s, expected %s", got.Type, want.Type)
	}
	if got.Type.Element() {
		if !slices.Equal(got.Shape, want.Shape) {
			return fmt.Errorf("has shape %v, expected %v", got.Shape, want.Shape)
		}
		return elements(got, want)
	}
	if got.Len() != want.Len() {
		return fmt.Errorf("has %d items, expected %d", got.Len(), want.Len())
	}
	for i := range want.Items {
		if err := compare(got.Items[i], want.Items[i]); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

// elements compares arrays of one type and shape.
func elements(got, want *tensor.Tensor) error {
	if g, ok := floats(got); ok {
		w, _ := floats(want)
		tolerance := relative
		if got.Type == tensor.BFloat16 {
			tolerance = relativeBFloat16
		}
		return within32(g, w, tolerance)
	}
	if got.Type == tensor.String {
		return equal(tensor.Data[string](got), tensor.Data[string](want))
	}
	switch got.Type.Size() {
	case 1:
		return equal(tensor.Words[uint8](got), tensor.Words[uint8](want))
	case 2:
		return equal(tensor.Words[uint16](got), tensor.Words[uint16](want))
	case 4:
		return equal(tensor.Words[uint32](got), tensor.Words[uint32](want))
	case 8:
		return equal(tensor.Words[uint64](got), tensor.Words[uint64](want))
	}
	return equal(tensor.Words[[2]uint64](got), tensor.Words[[2]uint64](want))
}

// equal compares elements bit for bit.
func equal[T comparable](got, want []T) error {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("element %d is %v, expected %v", i, got[i], want[i])
		}
	}
	return nil
}

func within32(got, want []float64, tolerance float64) error {
	for i, w := range want {
		g := got[i]
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		if !(math.Abs(g-w) <= absolute+tolerance*math.Abs(w)) || math.IsInf(w, 0) {
			return fmt.Errorf("element %d is %v, expected %v", i, g, w)
		}
	}
	return nil
}

// floats returns the elements of a floating type as float64.
func floats(t *tensor.Tensor) ([]float64, bool) {
	switch t.Type {
	case tensor.Float32:
		return convert(tensor.Data[float32](t), func(x float32) float64 { return float64(x) }), true
	case tensor.Float64:
		return tensor.Data[float64](t), true
	case tensor.Float16:
		return convert(tensor.Data[tensor.F16](t), narrow.Decode[tensor.F16]), true
	case tensor.BFloat16:
		return convert(tensor.Data[tensor.BF16](t), narrow.Decode[tensor.BF16]), true
	case tensor.Float8E4M3FN:
		return convert(tensor.Data[tensor.E4M3](t), narrow.Decode[tensor.E4M3]), true
	case tensor.Float8E4M3FNUZ:
		return convert(tensor.Data[tensor.E4M3UZ](t), narrow.Decode[tensor.E4M3UZ]), true
	case tensor.Float8E5M2:
		return convert(tensor.Data[tensor.E5M2](t), narrow.Decode[tensor.E5M2]), true
	case tensor.Float8E5M2FNUZ:
		return convert(tensor.Data[tensor.E5M2UZ](t), narrow.Decode[tensor.E5M2UZ]), true
	case tensor.Float4E2M1:
		return convert(tensor.Data[tensor.E2M1](t), narrow.Decode[tensor.E2M1]), true
	case tensor.Float8E8M0:
		return convert(tensor.Data[tensor.E8M0](t), narrow.E8M0ToFloat64), true
	}
	return nil, false
}

func convert[T any](data []T, f func(T) float64) []float64 {
	out := make([]float64, len(data))
	for i, x := range data {
		out[i] = f(x)
	}
	return out
}
