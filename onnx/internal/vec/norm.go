package vec

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Norm tells how rows are normalised.
type Norm struct {
	Gamma   []float32 // factors, one for each element of a row
	Beta    []float32 // summands; nil: none
	Epsilon float32   // is added to the variance
}

// LayerNorm subtracts from each of the rows of n elements its mean, divides by its
// standard deviation, multiplies by Gamma and adds Beta (ONNX LayerNormalization).
func LayerNorm(level kernel.Level, dst, src []float32, rows, n int, by Norm) {
	for r := range rows {
		LayerNormRow(level, dst[r*n:(r+1)*n], src[r*n:(r+1)*n], by)
	}
}

// LayerNormAdd is LayerNorm of a+b. The sum is left in sum, which may be dst.
func LayerNormAdd(level kernel.Level, dst, sum, a, b []float32, rows, n int, by Norm) {
	for r := range rows {
		from, to := r*n, (r+1)*n
		row := sum[from:to]
		total := addSum(level, row, a[from:to], b[from:to])
		layerNorm(level, dst[from:to], row, float64(total), by)
	}
}

// LayerNormRow is LayerNorm of one row; it returns the mean and the inverse of the
// standard deviation.
func LayerNormRow(level kernel.Level, dst, src []float32, by Norm) (mean, inverse float32) {
	return layerNorm(level, dst, src, total(level, src), by)
}

// layerNorm takes two passes: the squares of what is left after the mean is
// subtracted do not cancel.
func layerNorm(level kernel.Level, dst, src []float32, sum float64, by Norm) (mean, inverse float32) {
	n := float64(len(src))
	mean = float32(sum / n)
	variance := totalAbout(level, src, mean) / n
	inverse = float32(1 / math.Sqrt(variance+float64(by.Epsilon)))
	by.apply(level, dst, src, mean, inverse)
	return mean, inverse
}

func (by Norm) apply(level kernel.Level, dst, src []float32, center, factor float32) {
	if by.Beta == nil {
		normalScale(level, dst, src, by.Gamma, center, factor)
		return
	}
	normal(level, dst, src, by.Gamma, by.Beta, center, factor)
}

// RMSNorm divides each of the rows of n elements by the root of the mean of its
// squares, multiplies by Gamma and adds Beta (ONNX RMSNormalization).
func RMSNorm(level kernel.Level, dst, src []float32, rows, n int, by Norm) {
	for r := range rows {
		rmsNorm(level, dst[r*n:(r+1)*n], src[r*n:(r+1)*n], by)
	}
}

// RMSNormAdd is RMSNorm of a+b. The sum is left in sum, which may be dst.
func RMSNormAdd(level kernel.Level, dst, sum, a, b []float32, rows, n int, by Norm) {
	for r := range rows {
		from, to := r*n, (r+1)*n
		add(level, sum[from:to], a[from:to], b[from:to])
		rmsNorm(level, dst[from:to], sum[from:to], by)
	}
}

func rmsNorm(level kernel.Level, dst, src []float32, by Norm) {
	mean := totalAbout(level, src, 0) / float64(len(src))
	by.apply(level, dst, src, 0, float32(1/math.Sqrt(mean+float64(by.Epsilon))))
}
