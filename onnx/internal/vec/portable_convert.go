package vec

import "math"

// mapEach computes dst[i] = f(src[i]).
func mapEach[D, S any](dst []D, src []S, f func(x S) D) {
	for i, x := range src[:len(dst)] {
		dst[i] = f(x)
	}
}

func fromFloat16Portable(dst []float32, src []uint16) { mapEach(dst, src, half) }

// half is the number with the given bits in half precision (IEEE 754, binary16:
// sign, 5 bits of exponent, 10 of fraction).
func half(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exponent, fraction := uint32(bits>>10&0x1f), uint32(bits&0x3ff)
	switch {
	case exponent == 0: // fraction * 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case exponent == 0x1f && fraction != 0: // NaN becomes quiet
		return math.Float32frombits(sign | 0x7fc00000 | fraction<<13)
	case exponent == 0x1f:
		return math.Float32frombits(sign | 0x7f800000)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

func toFloat16Portable(dst []uint16, src []float32) { mapEach(dst, src, toHalf) }

func toHalf(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, bits := uint16(bits>>16&0x8000), bits&0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00 | uint16(bits>>13&0x3ff)
	case bits >= 0x477ff000: // 65520, half way to what would come after 65504
		return sign | 0x7c00
	case bits < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(bits))*0x1p24))
	}
	return sign | uint16((roundEven(bits, 13)-(127-15)<<23)>>13)
}

// roundEven adds what makes cutting the low n bits off round half to even.
func roundEven(bits, n uint32) uint32 {
	return bits + 1<<(n-1) - 1 + bits>>n&1
}

func fromBfloat16Portable(dst []float32, src []uint16) {
	mapEach(dst, src, func(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) })
}

func toBfloat16Portable(dst []uint16, src []float32) {
	mapEach(dst, src, func(x float32) uint16 {
		bits := math.Float32bits(x)
		if x != x {
			return uint16((bits | 0x00400000) >> 16)
		}
		return uint16(roundEven(bits, 16) >> 16)
	})
}

func fromInt32Portable(dst []float32, src []int32) {
	mapEach(dst, src, func(x int32) float32 { return float32(x) })
}

func fromInt64Portable(dst []float32, src []int64) {
	mapEach(dst, src, func(x int64) float32 { return float32(x) })
}

func toInt32Portable(dst []int32, src []float32) {
	mapEach(dst, src, func(x float32) int32 {
		if x >= -0x1p31 && x < 0x1p31 {
			return int32(x)
		}
		return math.MinInt32
	})
}

func toInt64Portable(dst []int64, src []float32) {
	mapEach(dst, src, func(x float32) int64 {
		if x >= -0x1p63 && x < 0x1p63 {
			return int64(x)
		}
		return math.MinInt64
	})
}

// quantized is round(x/scale) + zero within low..high; low for NaN.
func quantized(x, scale, zero, low, high float32) float32 {
	y := float32(math.RoundToEven(float64(x/scale))) + zero
	if y > low {
		return below(high, y)
	}
	return low
}

func quantizeInt8Portable(dst []int8, src []float32, scale, zero float32) {
	mapEach(dst, src, func(x float32) int8 { return int8(quantized(x, scale, zero, -128, 127)) })
}

func quantizeUint8Portable(dst []uint8, src []float32, scale, zero float32) {
	mapEach(dst, src, func(x float32) uint8 { return uint8(quantized(x, scale, zero, 0, 255)) })
}

func dequantizeInt8Portable(dst []float32, src []int8, scale, zero float32) {
	mapEach(dst, src, func(x int8) float32 { return (float32(x) - zero) * scale })
}

func dequantizeUint8Portable(dst []float32, src []uint8, scale, zero float32) {
	mapEach(dst, src, func(x uint8) float32 { return (float32(x) - zero) * scale })
}
