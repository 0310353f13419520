package mutate_test

import (
	"fmt"
	"math"
	"slices"

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
	if err == nil || got.Type != tensor.Float32 || want.Type != got.Type || !slices.Equal(got.Shape, want.Shape) {
		return err
	}
	return nearFloats(tensor.Data[float32](got), tensor.Data[float32](want))
}

func nearFloats(got, want []float32) error {
	largest := 0.0
	for _, v := range want {
		if f := math.Abs(float64(v)); !math.IsInf(f, 0) && !math.IsNaN(f) {
			largest = max(largest, f)
		}
	}
	if largest > 1e18 { // squares are beyond float32
		return nil
	}
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if g == w || math.IsNaN(w) || math.IsInf(w, 0) || math.Abs(g-w) <= 1e-5+1e-3*largest {
			continue
		}
		return fmt.Errorf("element %d is %g, expected %g; the largest is %g", i, g, w, largest)
	}
	return nil
}
