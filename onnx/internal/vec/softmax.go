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

// columnBlock is how many columns SoftmaxColumns handles at a time, with their maxima
// and sums on the stack.
const columnBlock = 256

// SoftmaxColumns computes the softmax of each column of n rows of stride elements: of
// lanes whose elements are stride apart. With logarithm it computes LogSoftmax.
func SoftmaxColumns(level kernel.Level, dst, src []float32, n, stride int, logarithm bool) {
	var tops, sums [columnBlock]float32
	for from := 0; from < stride; from += columnBlock {
		top, sum := tops[:min(columnBlock, stride-from)], sums[:min(columnBlock, stride-from)]
		MaxColumns(level, top, src[from:], n, stride)
		clear(sum)
		for at := from; at < n*stride; at += stride {
			row := dst[at : at+len(top)]
			subtract(level, row, src[at:], top)
			if logarithm {
				addExp(level, sum, row)
				continue
			}
			exp(level, row, row)
			add(level, sum, sum, row)
		}
		if logarithm {
			log(level, sum, sum)
		}
		for at := from; at < n*stride; at += stride {
			row := dst[at : at+len(top)]
			if logarithm {
				subtract(level, row, row, sum)
			} else {
				divide(level, row, row, sum)
			}
		}
	}
}

// addExp adds e^x to sum.
func addExp(level kernel.Level, sum, x []float32) {
	var powers [columnBlock]float32
	p := powers[:len(x)]
	exp(level, p, x)
	add(level, sum, sum, p)
}
