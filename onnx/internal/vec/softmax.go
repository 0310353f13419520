package vec

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Softmax computes e^x / sum e^x of each of the rows of n elements.
// Errors are below 1e-6, or below 1e-6 of the element where that is above 1e-3:
// x - max is rounded before the exponential. A row of -Inf alone, or with +Inf or NaN, becomes NaN.
func Softmax(level kernel.Level, dst, src []float32, rows, n int) {
	for r := range rows {
		d, s := dst[r*n:(r+1)*n], src[r*n:(r+1)*n]
		softmaxRow(level, d, s, largest(level, s))
	}
}

// SoftmaxMasked computes the softmax of src*scale + mask, where all rows share
// the mask of n elements; nil adds nothing.
func SoftmaxMasked(level kernel.Level, dst, src []float32, rows, n int, scale float32, mask []float32) {
	for r := range rows {
		d, s := dst[r*n:(r+1)*n], src[r*n:(r+1)*n]
		var top float32
		if mask == nil {
			top = scaleLargest(level, d, s, scale)
		} else {
			top = scaleAddLargest(level, d, s, mask, scale)
		}
		softmaxRow(level, d, d, top)
	}
}

// softmaxRow is the softmax of a row whose largest element is known.
func softmaxRow(level kernel.Level, dst, src []float32, top float32) {
	sum := blocks(len(dst), func(from, to int) float32 { return expSum(level, dst[from:to], src[from:to], top) })
	multiplyScalar(level, dst, dst, float32(1/sum))
}

// LogSoftmax computes x - ln sum e^x of each of the rows of n elements.
func LogSoftmax(level kernel.Level, dst, src []float32, rows, n int) {
	for r := range rows {
		d, s := dst[r*n:(r+1)*n], src[r*n:(r+1)*n]
		top := largest(level, s)
		sum := blocks(n, func(from, to int) float32 { return sumExp(level, s[from:to], top) })
		subtractTwice(level, d, s, top, float32(math.Log(sum)))
	}
}
