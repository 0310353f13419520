package qgemm

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Output is what becomes of a product: [Sums], [Scaled] or [Requantized].
type Output interface {
	check(m, n int)
	// store takes some sums of one row, from a column on.
	store(level kernel.Level, row, column int, sums []int32)
}

// PerLine is numbers that belong to the product's columns, or to its rows if ByRow
// is set. One number is for all of them; none stands for nothing.
type PerLine[T float32 | int32] struct {
	Values []T
	ByRow  bool
}

func (l PerLine[T]) check(m, n int) {
	switch {
	case len(l.Values) <= 1:
	case l.ByRow:
		_ = l.Values[m-1]
	default:
		_ = l.Values[n-1]
	}
}

// at returns the numbers for a stretch of a row: one, or as many as there are sums.
func (l PerLine[T]) at(row, column, n int) []T {
	switch {
	case len(l.Values) <= 1:
		return l.Values
	case l.ByRow:
		return l.Values[row : row+1]
	}
	return l.Values[column : column+n]
}

// Sums leaves the product as it is. Row is the distance of Dst's rows.
type Sums struct {
	Dst []int32
	Row int
}

func (s *Sums) check(m, n int) { _ = s.Dst[(m-1)*s.Row+n-1] }

func (s *Sums) store(_ kernel.Level, row, column int, sums []int32) {
	copy(s.Dst[row*s.Row+column:], sums)
}

// Scaled makes float32(product) * Scale + Bias of it.
type Scaled struct {
	Dst         []float32
	Row         int
	Scale, Bias PerLine[float32]
}

func (s *Scaled) check(m, n int) {
	_ = s.Dst[(m-1)*s.Row+n-1]
	s.Scale.check(m, n)
	s.Bias.check(m, n)
}

func (s *Scaled) store(level kernel.Level, row, column int, sums []int32) {
	n := len(sums)
	dst := s.Dst[row*s.Row+column:][:n]
	scale, bias := s.Scale.at(row, column, n), s.Bias.at(row, column, n)
	done := scaleVectors(level, dst, sums, scale, bias)
	scaleRow(dst[done:], sums[done:], after(scale, done), after(bias, done))
}

// after is what is left of per-line numbers.
func after[T any](v []T, done int) []T {
	if len(v) <= 1 {
		return v
	}
	return v[done:]
}

func scaleRow(dst []float32, sums []int32, scale, bias []float32) {
	for i, v := range sums {
		x := float32(v)
		if len(scale) > 0 {
			x = float32(x * scale[min(i, len(scale)-1)])
		}
		if len(bias) > 0 {
			x += bias[min(i, len(bias)-1)]
		}
		dst[i] = x
	}
}

// Requantized makes float32(product + Bias) * Scale of it, rounded to the nearest
// integer, ties to even, and shifted by Zero; what is beyond T becomes its least or
// greatest number, and NaN the least.
type Requantized[T Byte] struct {
	Dst   []T
	Row   int
	Scale PerLine[float32]
	Bias  PerLine[int32]
	Zero  T
}

func (s *Requantized[T]) check(m, n int) {
	_ = s.Dst[(m-1)*s.Row+n-1]
	s.Scale.check(m, n)
	s.Bias.check(m, n)
}

// limits are the least and the greatest result before the shift.
type limits struct {
	low, high float32
	zero      int32
}

func limitsOf[T Byte](zero T) limits {
	low, high := int32(0), int32(math.MaxUint8)
	if ^T(0) < 0 {
		low, high = math.MinInt8, math.MaxInt8
	}
	z := int32(zero)
	return limits{float32(low - z), float32(high - z), z}
}

func (s *Requantized[T]) store(level kernel.Level, row, column int, sums []int32) {
	n := len(sums)
	dst := s.Dst[row*s.Row+column:][:n]
	scale, bias := s.Scale.at(row, column, n), s.Bias.at(row, column, n)
	l := limitsOf(s.Zero)
	done := quantVectors(level, dst, sums, scale, bias, &l)
	quantRow(dst[done:], sums[done:], after(scale, done), after(bias, done), &l)
}

func quantRow[T Byte](dst []T, sums []int32, scale []float32, bias []int32, l *limits) {
	for i, v := range sums {
		if len(bias) > 0 {
			v += bias[min(i, len(bias)-1)]
		}
		x := float32(v)
		if len(scale) > 0 {
			x = float32(x * scale[min(i, len(scale)-1)])
		}
		if !(x > l.low) {
			x = l.low
		}
		if !(x < l.high) {
			x = l.high
		}
		dst[i] = T(int32(math.RoundToEven(float64(x))) + l.zero)
	}
}

// negativeZero leaves every number as it is when it is added.
func negativeZero() float32 { return float32(math.Copysign(0, -1)) }
