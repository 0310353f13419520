package narrow

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// The float16 and bfloat16 forms below give what Encode and Decode give, faster,
// except that a NaN keeps as much of its payload as fits when it is widened.

// F16FromFloat32 rounds to float16.
func F16FromFloat32(x float32) tensor.F16 {
	const (
		overflow = (127 + 16) << 23 // 2^16: rounds to infinity
		normal   = (127 - 14) << 23 // 2^-14: the smallest normal float16
		half     = 126 << 23        // 0.5, whose last place is the smallest float16
	)
	bits := math.Float32bits(x)
	sign := tensor.F16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00
	case bits >= overflow:
		return sign | 0x7c00
	case bits < normal: // the sum rounds where float16 ends
		return sign | tensor.F16(math.Float32bits(math.Float32frombits(bits)+0.5)-half)
	}
	bits += 0xfff + bits>>13&1 - (127-15)<<23
	return sign | tensor.F16(bits>>13)
}

// F16FromFloat64 rounds to float16, once.
func F16FromFloat64(x float64) tensor.F16 { return Encode[tensor.F16](x, false) }

// F16ToFloat32 is exact.
func F16ToFloat32(v tensor.F16) float32 {
	sign := uint32(v&0x8000) << 16
	size := uint32(v & 0x7fff)
	switch {
	case size >= 0x7c00:
		return math.Float32frombits(sign | 0x7f800000 | size<<13)
	case size < 0x0400:
		return math.Float32frombits(sign | math.Float32bits(float32(size)*0x1p-24))
	}
	return math.Float32frombits(sign | (size<<13 + (127-15)<<23))
}

// BF16FromFloat32 rounds to bfloat16.
func BF16FromFloat32(x float32) tensor.BF16 {
	bits := math.Float32bits(x)
	if x != x {
		return tensor.BF16(bits>>16&0x8000 | 0x7fc0)
	}
	return tensor.BF16((bits + 0x7fff + bits>>16&1) >> 16)
}

// BF16FromFloat64 rounds to bfloat16, once.
func BF16FromFloat64(x float64) tensor.BF16 { return Encode[tensor.BF16](x, false) }

// BF16ToFloat32 is exact.
func BF16ToFloat32(v tensor.BF16) float32 { return math.Float32frombits(uint32(v) << 16) }
