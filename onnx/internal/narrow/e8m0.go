package narrow

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// Rounding says to which power of two a number between two becomes.
type Rounding uint8

// The values of Cast's attribute round_mode.
const (
	Up      Rounding = iota // to the larger power
	Down                    // to the smaller power
	Nearest                 // to the nearer one; from the middle, to the larger
)

// The codes of float8e8m0: an exponent with bias 127 and nothing else.
const (
	maxE8M0 = 0xfe
	nanE8M0 = 0xff
)

// E8M0FromFloat64 returns the power of two for x. With saturate, what is too small
// (zero too) becomes the smallest power and what is too large (infinity too) the
// largest; otherwise NaN. A negative number, which the specification leaves open,
// becomes NaN.
func E8M0FromFloat64(x float64, saturate bool, mode Rounding) tensor.E8M0 {
	code := math.Inf(1)
	switch {
	case x != x || x < 0:
		return nanE8M0
	case !math.IsInf(x, 1):
		code = float64(powerOfTwo(x, mode) + 127)
	}
	if saturate {
		return tensor.E8M0(min(max(code, 0), maxE8M0))
	}
	if code < 0 || code > maxE8M0 {
		return nanE8M0
	}
	return tensor.E8M0(code)
}

// powerOfTwo returns the exponent of the power of two that x rounds to.
func powerOfTwo(x float64, mode Rounding) int {
	if x == 0 {
		return math.MinInt32
	}
	fraction, exponent := math.Frexp(x) // fraction is at least 1/2 and below 1
	switch {
	case mode == Up && fraction > 0.5, mode == Nearest && fraction >= 0.75:
		return exponent
	}
	return exponent - 1
}

// E8M0ToFloat64 is exact.
func E8M0ToFloat64(v tensor.E8M0) float64 {
	if v == nanE8M0 {
		return math.NaN()
	}
	return math.Ldexp(1, int(v)-127)
}
