package qgemm

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Quantize divides by a scale, rounds to even and shifts by a zero point. What is beyond
// T becomes its least or greatest number, and NaN the least. dst is as long as src.
func Quantize[T Byte](level kernel.Level, dst []T, src []float32, scale float32, zero T) {
	l := limitsOf(zero)
	dst = dst[:len(src)]
	done := narrowVectors(level, dst, src, scale, &l)
	dst, src = dst[done:], src[done:]
	for i, v := range src {
		x := v / scale
		if !(x > l.low) {
			x = l.low
		}
		if !(x < l.high) {
			x = l.high
		}
		dst[i] = T(int32(math.RoundToEven(float64(x))) + l.zero)
	}
}

// Dequantize takes a zero point away and multiplies by a scale. dst is as long as src.
func Dequantize[T Byte](level kernel.Level, dst []float32, src []T, scale float32, zero T) {
	dst = dst[:len(src)]
	done := widenVectors(level, dst, src, scale, int32(zero))
	dst, src = dst[done:], src[done:]
	for i, v := range src {
		dst[i] = float32(int32(v)-int32(zero)) * scale
	}
}

// Extremes returns the least and the greatest of low, high and the numbers. NaN changes
// nothing.
func Extremes(level kernel.Level, src []float32, low, high float32) (least, greatest float32) {
	done := 0
	var lane [2 * extremeLanes]float32
	for i := range extremeLanes {
		lane[i], lane[extremeLanes+i] = low, high
	}
	done = extremeVectors(level, lane[:], src)
	for i := range extremeLanes {
		low, high = lower(lane[i], low), higher(lane[extremeLanes+i], high)
	}
	for _, v := range src[done:] {
		low, high = lower(v, low), higher(v, high)
	}
	return low, high
}

const extremeLanes = 16

func lower(v, low float32) float32 {
	if v < low {
		return v
	}
	return low
}

func higher(v, high float32) float32 {
	if v > high {
		return v
	}
	return high
}
