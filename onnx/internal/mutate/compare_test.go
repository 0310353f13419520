package mutate_test

import (
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// same compares values bit for bit.
func same(a, b *tensor.Tensor) error {
	if a.Type != b.Type || !slices.Equal(a.Shape, b.Shape) || len(a.Items) != len(b.Items) {
		return fmt.Errorf("%s%v with %d items against %s%v with %d", a.Type, a.Shape, len(a.Items), b.Type, b.Shape, len(b.Items))
	}
	for i := range a.Items {
		if err := same(a.Items[i], b.Items[i]); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	switch {
	case !a.Type.Element():
		return nil
	case a.Type == tensor.String:
		return equal(tensor.Data[string](a), tensor.Data[string](b))
	case a.Type.Size() == 1:
		return equal(tensor.Words[uint8](a), tensor.Words[uint8](b))
	case a.Type.Size() == 2:
		return equal(tensor.Words[uint16](a), tensor.Words[uint16](b))
	case a.Type.Size() == 4:
		return equal(tensor.Words[uint32](a), tensor.Words[uint32](b))
	case a.Type.Size() == 8:
		return equal(tensor.Words[uint64](a), tensor.Words[uint64](b))
	}
	return equal(tensor.Words[[2]uint64](a), tensor.Words[[2]uint64](b))
}

func equal[T comparable](a, b []T) error {
	for i := range a {
		if a[i] != b[i] {
			return fmt.Errorf("element %d is %v and %v", i, a[i], b[i])
		}
	}
	return nil
}

// near compares what should be the same with a reference that was computed in another
// order: numbers may differ by a part of the largest. Where the reference ran over all
// numbers on its way, or is near to that, the other may have gone another way.
func near(got, want *tensor.Tensor) error {
	if len(got.Items) == len(want.Items) && got.Type == want.Type {
		for i := range want.Items {
			if err := near(got.Items[i], want.Items[i]); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		if !want.Type.Element() {
			return nil
		}
	}
	err := same(got, want)
	if err == nil || want.Type != got.Type || !slices.Equal(got.Shape, want.Shape) {
		return err
	}
	part, g, w := floats(got, want)
	if g == nil {
		return nearWords(got, want, err)
	}
	return nearFloats(part, g, w)
}

// nearWords lets integers be one off, that were made of floats.
func nearWords(got, want *tensor.Tensor, err error) error {
	off := func(d int64) bool { return d < -1 || d > 1 }
	switch {
	case got.Type == tensor.String:
		return err
	case got.Type.Size() == 1:
		return oneOff(tensor.Words[uint8](got), tensor.Words[uint8](want), func(a, b uint8) bool { return off(int64(int8(a - b))) }, err)
	case got.Type.Size() == 2:
		return oneOff(tensor.Words[uint16](got), tensor.Words[uint16](want), func(a, b uint16) bool { return off(int64(int16(a - b))) }, err)
	case got.Type.Size() == 4:
		return oneOff(tensor.Words[uint32](got), tensor.Words[uint32](want), func(a, b uint32) bool { return off(int64(int32(a - b))) }, err)
	case got.Type.Size() == 8:
		return oneOff(tensor.Words[uint64](got), tensor.Words[uint64](want), func(a, b uint64) bool { return off(int64(a - b)) }, err)
	}
	return err
}

func oneOff[T any](got, want []T, off func(a, b T) bool, err error) error {
	for i := range want {
		if off(got[i], want[i]) {
			return err
		}
	}
	return nil
}

// floats are the elements of floating types, and by which part of the largest they may
// differ.
func floats(got, want *tensor.Tensor) (part float64, g, w []float64) {
	switch got.Type {
	case tensor.Float32:
		return 1e-3, wide(tensor.Data[float32](got)), wide(tensor.Data[float32](want))
	case tensor.Float64:
		return 1e-3, tensor.Data[float64](got), tensor.Data[float64](want)
	case tensor.Float16:
		return 0.03, decoded[tensor.F16](got), decoded[tensor.F16](want)
	case tensor.BFloat16:
		return 0.1, decoded[tensor.BF16](got), decoded[tensor.BF16](want)
	}
	return narrowFloats(got, want)
}

// narrowFloats are those of a byte, of which neighbours are far from each other.
func narrowFloats(got, want *tensor.Tensor) (part float64, g, w []float64) {
	switch got.Type {
	case tensor.Float8E4M3FN:
		return 0.3, decoded[tensor.E4M3](got), decoded[tensor.E4M3](want)
	case tensor.Float8E4M3FNUZ:
		return 0.3, decoded[tensor.E4M3UZ](got), decoded[tensor.E4M3UZ](want)
	case tensor.Float8E5M2:
		return 0.5, decoded[tensor.E5M2](got), decoded[tensor.E5M2](want)
	case tensor.Float8E5M2FNUZ:
		return 0.5, decoded[tensor.E5M2UZ](got), decoded[tensor.E5M2UZ](want)
	case tensor.Float4E2M1:
		return 0.5, decoded[tensor.E2M1](got), decoded[tensor.E2M1](want)
	}
	return 0, nil, nil
}

func wide(list []float32) []float64 {
	out := make([]float64, len(list))
	for i, x := range list {
		out[i] = float64(x)
	}
	return out
}

func decoded[T narrow.Float](t *tensor.Tensor) []float64 {
	out := make([]float64, t.Len())
	for i, x := range tensor.Data[T](t) {
		out[i] = narrow.Decode(x)
	}
	return out
}

func nearFloats(part float64, got, want []float64) error {
	largest := 0.0
	for _, v := range want {
		if f := math.Abs(v); !math.IsInf(f, 0) && !math.IsNaN(f) {
			largest = max(largest, f)
		}
	}
	if largest > 1e18 { // squares are beyond float32
		return nil
	}
	for i, w := range want {
		g := got[i]
		if g == w || math.IsNaN(w) || math.IsInf(w, 0) || math.Abs(g-w) <= 1e-5+part*largest {
			continue
		}
		return fmt.Errorf("element %d is %g, expected %g; the largest is %g", i, g, w, largest)
	}
	return nil
}
