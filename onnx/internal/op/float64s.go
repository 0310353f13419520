package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// float64sOf returns the elements of a tensor of numbers.
func float64sOf(t *tensor.Tensor) []float64 {
	out := make([]float64, t.Len())
	reader[float64](t)(out, 0, 1)
	return out
}

// integersOf returns the elements of a tensor of numbers without their fractions.
func integersOf(t *tensor.Tensor) []int64 {
	out := make([]int64, t.Len())
	reader[int64](t)(out, 0, 1)
	return out
}

// fromFloat64s converts to the elements of a tensor of numbers. Integers round to the
// nearest, to an even one if two are as near, and stay within their type. It changes
// the values.
func fromFloat64s(t *tensor.Tensor, values []float64) {
	if low, high, ok := holds(t.Type); ok {
		for i, x := range values {
			values[i] = min(max(math.RoundToEven(x), low), high)
			if x != x {
				values[i] = 0
			}
		}
	}
	writer[float64](t)(values, 0, 1)
}

// holds gives the smallest and the greatest float64 that an integer type holds.
func holds(t tensor.DataType) (low, high float64, ok bool) {
	bits := int(8 * t.Size())
	switch {
	case classOf(t) == signed:
		low, high = -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)
	case classOf(t) == unsigned:
		high = math.Ldexp(1, bits)
	default:
		return 0, 0, false
	}
	if bits < 64 {
		return low, high - 1, true
	}
	return low, math.Nextafter(high, 0), true
}
