package vec

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Softmax computes e^x / sum e^x of each of the rows of n elements.
// Error below 1e-6. A row of -Inf alone, or with +Inf or NaN, becomes NaN.
func Softmax(level kernel.Level, dst, src []float32, rows, n int) {
	for r := range rows {
		d, s := dst[r*n:(r+1)*n], src[r*n:(r+1)*n]
		divideBySum(level, d, expSum(level, d, s, largest(level, s)))
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
		divideBySum(level, d, expSum(level, d, d, top))
	}
}

func divideBySum(level kernel.Level, row []float32, sum float32) {
	multiplyScalar(level, row, row, 1/sum)
}

// LogSoftmax computes x - ln sum e^x of each of the rows of n elements.
func LogSoftmax(level kernel.Level, dst, src []float32, rows, n int) {
	for r := range rows {
		d, s := dst[r*n:(r+1)*n], src[r*n:(r+1)*n]
		top := largest(level, s)
		sum := sumExp(level, s, top)
		subtractTwice(level, d, s, top, float32(math.Log(float64(sum))))
	}
}
