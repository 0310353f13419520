package vec

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// block is how many elements are added up in float32, on 16 or more accumulators;
// sums of blocks are added up in float64.
const block = 1024

// blocks adds up f of blocks of up to block elements.
func blocks(n int, f func(from, to int) float32) (sum float64) {
	for from := 0; from < n; from += block {
		sum += float64(f(from, min(n, from+block)))
	}
	return sum
}

func total(level kernel.Level, src []float32) float64 {
	return blocks(len(src), func(from, to int) float32 { return sum(level, src[from:to]) })
}

func totalAbout(level kernel.Level, src []float32, center float32) float64 {
	return blocks(len(src), func(from, to int) float32 { return sumSquaresAbout(level, src[from:to], center) })
}

// eachRow computes dst[r] = f(row r) for rows of n elements.
func eachRow(dst, src []float32, n int, f func(row []float32) float32) {
	for r := range dst {
		dst[r] = f(src[r*n : (r+1)*n])
	}
}

// Sum computes the sum of each row of n elements, one for each element of dst. The
// error is below 2e-6 of the sum of absolute values, and mostly below 1e-7.
func Sum(level kernel.Level, dst, src []float32, n int) {
	eachRow(dst, src, n, func(row []float32) float32 { return float32(total(level, row)) })
}

// SumOfSquares computes the sum of squares of each row.
func SumOfSquares(level kernel.Level, dst, src []float32, n int) {
	eachRow(dst, src, n, func(row []float32) float32 { return float32(totalAbout(level, row, 0)) })
}

// Mean computes the mean of each row: NaN if n is 0.
func Mean(level kernel.Level, dst, src []float32, n int) {
	eachRow(dst, src, n, func(row []float32) float32 { return float32(total(level, row) / float64(n)) })
}

// MaxRow computes the largest element of each row: NaN if there is one, -Inf if n
// is 0.
func MaxRow(level kernel.Level, dst, src []float32, n int) {
	eachRow(dst, src, n, func(row []float32) float32 { return largest(level, row) })
}

// MinRow computes the smallest element of each row: NaN if there is one, +Inf if n
// is 0.
func MinRow(level kernel.Level, dst, src []float32, n int) {
	eachRow(dst, src, n, func(row []float32) float32 { return smallest(level, row) })
}

// Dot computes the sum of products of a and b.
func Dot(level kernel.Level, a, b []float32) float32 {
	b = b[:len(a)]
	return float32(blocks(len(a), func(from, to int) float32 { return dot(level, a[from:to], b[from:to]) }))
}

// ArgMax finds the index of the largest element of each row, the first of equal
// ones, or the last if asked for; where there is NaN, the first of those. A row
// must not be empty.
func ArgMax(level kernel.Level, dst []int64, src []float32, n int, last bool) {
	for r := range dst {
		row := src[r*n : (r+1)*n]
		dst[r] = int64(indexOf(row, largest(level, row), last))
	}
}

// ArgMin finds the index of the smallest element, like ArgMax.
func ArgMin(level kernel.Level, dst []int64, src []float32, n int, last bool) {
	for r := range dst {
		row := src[r*n : (r+1)*n]
		dst[r] = int64(indexOf(row, smallest(level, row), last))
	}
}

func indexOf(row []float32, x float32, last bool) int {
	if math.IsNaN(float64(x)) {
		for i, y := range row {
			if y != y {
				return i
			}
		}
	}
	if last {
		for i := len(row) - 1; i > 0; i-- {
			if row[i] == x {
				return i
			}
		}
		return 0
	}
	for i, y := range row {
		if y == x {
			return i
		}
	}
	return 0
}
