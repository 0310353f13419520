// Package narrow converts between Go's floating types and the narrow ones that
// models store: float16, bfloat16, the four float8 formats, float4e2m1 and
// float8e8m0. It answers which code stands for a number, and which number a code
// stands for. Rounding is to nearest, ties to even, in one step from the number
// that is given. What lies beyond a format follows the tables of the ONNX
// specification (operator Cast) and, where they leave it open, ml_dtypes, which
// made the specification's test data.
package narrow

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// Float is the narrow types that have a sign, an exponent and a fraction.
type Float interface {
	tensor.F16 | tensor.BF16 | tensor.E4M3 | tensor.E4M3UZ | tensor.E5M2 | tensor.E5M2UZ | tensor.E2M1
}

// format is a narrow type in numbers. Codes without their sign bit rise with what
// they stand for, which makes rounding a carry.
type format struct {
	width    uint   // bits of the code, the sign's included
	fraction uint   // bits of the fraction
	bias     int    // of the exponent
	top      uint64 // code of the largest finite number
	beyond   uint64 // code of what is larger: infinity, else NaN, else top
	nan      uint64
	unsigned bool // zero and NaN have no sign
	clamps   bool // the caller chooses between top and beyond
}

// formatOf returns the format of a type (OFP8 for E4M3 and E5M2; arXiv 2206.02915
// for the UZ forms; OCP Microscaling 1.0, section 5.3.3, for E2M1).
func formatOf[T Float]() format {
	var v T
	switch any(v).(type) {
	case tensor.F16:
		return format{width: 16, fraction: 10, bias: 15, top: 0x7bff, beyond: 0x7c00, nan: 0x7e00}
	case tensor.BF16:
		return format{width: 16, fraction: 7, bias: 127, top: 0x7f7f, beyond: 0x7f80, nan: 0x7fc0}
	case tensor.E4M3:
		return format{width: 8, fraction: 3, bias: 7, top: 0x7e, beyond: 0x7f, nan: 0x7f, clamps: true}
	case tensor.E4M3UZ:
		return format{width: 8, fraction: 3, bias: 8, top: 0x7f, beyond: 0x80, nan: 0x80, unsigned: true, clamps: true}
	case tensor.E5M2:
		return format{width: 8, fraction: 2, bias: 15, top: 0x7b, beyond: 0x7c, nan: 0x7e, clamps: true}
	case tensor.E5M2UZ:
		return format{width: 8, fraction: 2, bias: 16, top: 0x7f, beyond: 0x80, nan: 0x80, unsigned: true, clamps: true}
	}
	return format{width: 4, fraction: 1, bias: 1, top: 7, beyond: 7, nan: 8}
}

// Encode returns the code nearest to x. For the float8 formats, saturate says that
// what is beyond the largest finite number becomes that number, also infinity;
// otherwise it becomes infinity, or NaN where the format has none. float16 and
// bfloat16 always have infinity and float4e2m1 always saturates. float4e2m1 has no
// NaN: it becomes zero, of the other sign.
func Encode[T Float](x float64, saturate bool) T {
	return T(formatOf[T]().encode(x, saturate))
}

// Decode returns the number that a code stands for. It is exact. Bits of the Go
// type that the format does not have are ignored.
func Decode[T Float](v T) float64 { return formatOf[T]().decode(uint64(v)) }

const (
	fraction64 = 52 // bits of the fraction of a float64
	bias64     = 1023
)

func (f format) encode(x float64, saturate bool) uint64 {
	bits := math.Float64bits(x)
	sign := bits >> 63 << (f.width - 1)
	code := f.nearest(bits &^ (1 << 63))
	switch {
	case x != x && f.unsigned:
		return f.nan
	case x != x:
		return f.nan ^ sign
	case code > f.top && saturate && f.clamps:
		code = f.top
	case code > f.top:
		code = f.beyond
	}
	if f.unsigned && (code == 0 || code == f.nan) {
		return code
	}
	return code | sign
}

// nearest rounds a number without sign. What is beyond the format gives a code
// above top.
func (f format) nearest(bits uint64) uint64 {
	exponent := int(bits>>fraction64) - bias64 + f.bias
	value := bits & (1<<fraction64 - 1)
	shift := fraction64 - f.fraction
	switch {
	case exponent > 0:
		value |= uint64(exponent) << fraction64
	case exponent < -int(f.fraction)-1: // less than half of the smallest code
		return 0
	default:
		value |= 1 << fraction64
		shift += uint(1 - exponent)
	}
	odd := value >> shift & 1
	return (value + 1<<(shift-1) - 1 + odd) >> shift
}

func (f format) decode(code uint64) float64 {
	sign := code >> (f.width - 1) & 1
	size := code & (1<<(f.width-1) - 1)
	x := f.finite(size)
	switch {
	case f.unsigned && sign == 1 && size == 0:
		return math.NaN()
	case !f.unsigned && size > f.top && f.beyond != f.nan && size == f.beyond:
		x = math.Inf(1)
	case !f.unsigned && size > f.top:
		x = math.NaN()
	}
	if sign == 1 {
		return math.Copysign(x, -1)
	}
	return x
}

// finite reads a code without sign as a number, whatever it stands for.
func (f format) finite(size uint64) float64 {
	exponent := int(size >> f.fraction)
	value := size & (1<<f.fraction - 1)
	if exponent > 0 {
		value |= 1 << f.fraction
		exponent--
	}
	return math.Ldexp(float64(value), exponent+1-f.bias-int(f.fraction))
}
