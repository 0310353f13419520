package vec

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// stretch is the number of elements that the vector forms of conversions take at a
// time.
const stretch = 16

// inStretches converts whole stretches, and what is left over padded with zeros.
func inStretches[D, S any](dst []D, src []S, convert func(dst []D, src []S)) {
	n := len(dst) &^ (stretch - 1)
	convert(dst[:n], src[:n])
	if n == len(dst) {
		return
	}
	var d [stretch]D
	var s [stretch]S
	copy(s[:], src[n:len(dst)])
	convert(d[:], s[:])
	copy(dst[n:], d[:])
}

// FromFloat16 converts IEEE 754 half precision, given as bits. Exact.
func FromFloat16(level kernel.Level, dst []float32, src []uint16) {
	inStretches(dst, src, func(dst []float32, src []uint16) { fromFloat16(level, dst, src) })
}

// ToFloat16 rounds to IEEE 754 half precision, halves to even: infinite from 65520.
func ToFloat16(level kernel.Level, dst []uint16, src []float32) {
	inStretches(dst, src, func(dst []uint16, src []float32) { toFloat16(level, dst, src) })
}

// FromBfloat16 converts bfloat16, given as bits. Exact.
func FromBfloat16(level kernel.Level, dst []float32, src []uint16) {
	inStretches(dst, src, func(dst []float32, src []uint16) { fromBfloat16(level, dst, src) })
}

// ToBfloat16 rounds to bfloat16, halves to even.
func ToBfloat16(level kernel.Level, dst []uint16, src []float32) {
	inStretches(dst, src, func(dst []uint16, src []float32) { toBfloat16(level, dst, src) })
}

// FromInt32 converts integers, rounding to the nearest number.
func FromInt32(level kernel.Level, dst []float32, src []int32) {
	inStretches(dst, src, func(dst []float32, src []int32) { fromInt32(level, dst, src) })
}

// ToInt32 truncates to integers; what does not fit, and NaN, becomes -2^31.
func ToInt32(level kernel.Level, dst []int32, src []float32) {
	inStretches(dst, src, func(dst []int32, src []float32) { toInt32(level, dst, src) })
}

// FromInt64 converts integers, rounding to the nearest number.
func FromInt64(level kernel.Level, dst []float32, src []int64) {
	inStretches(dst, src, func(dst []float32, src []int64) { fromInt64(level, dst, src) })
}

// ToInt64 truncates to integers; what does not fit, and NaN, becomes -2^63.
func ToInt64(level kernel.Level, dst []int64, src []float32) {
	inStretches(dst, src, func(dst []int64, src []float32) { toInt64(level, dst, src) })
}

// QuantizeInt8 computes round(src/scale) + zero, halves to even, limited to
// -128..127 (ONNX QuantizeLinear). NaN gives -128.
func QuantizeInt8(level kernel.Level, dst []int8, src []float32, scale float32, zero int8) {
	inStretches(dst, src, func(dst []int8, src []float32) { quantizeInt8(level, dst, src, scale, float32(zero)) })
}

// QuantizeUint8 computes round(src/scale) + zero, halves to even, limited to
// 0..255 (ONNX QuantizeLinear). NaN gives 0.
func QuantizeUint8(level kernel.Level, dst []uint8, src []float32, scale float32, zero uint8) {
	inStretches(dst, src, func(dst []uint8, src []float32) { quantizeUint8(level, dst, src, scale, float32(zero)) })
}

// DequantizeInt8 computes (src-zero) * scale (ONNX DequantizeLinear).
func DequantizeInt8(level kernel.Level, dst []float32, src []int8, scale float32, zero int8) {
	inStretches(dst, src, func(dst []float32, src []int8) { dequantizeInt8(level, dst, src, scale, float32(zero)) })
}

// DequantizeUint8 computes (src-zero) * scale (ONNX DequantizeLinear).
func DequantizeUint8(level kernel.Level, dst []float32, src []uint8, scale float32, zero uint8) {
	inStretches(dst, src, func(dst []float32, src []uint8) { dequantizeUint8(level, dst, src, scale, float32(zero)) })
}
