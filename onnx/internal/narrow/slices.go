package narrow

import "github.com/blindbox/blindbox/onnx/tensor"

// Narrow encodes src into dst, which must be as long. See [Encode] for saturate.
func Narrow[T Float](dst []T, src []float32, saturate bool) {
	switch d := any(dst).(type) {
	case []tensor.F16:
		each(d, src, F16FromFloat32)
	case []tensor.BF16:
		each(d, src, BF16FromFloat32)
	default:
		f := formatOf[T]()
		each(dst, src, func(x float32) T { return T(f.encode(float64(x), saturate)) })
	}
}

// Widen decodes src into dst, which must be as long.
func Widen[T Float](dst []float32, src []T) {
	switch s := any(src).(type) {
	case []tensor.F16:
		each(dst, s, F16ToFloat32)
	case []tensor.BF16:
		each(dst, s, BF16ToFloat32)
	default:
		f := formatOf[T]()
		each(dst, src, func(v T) float32 { return float32(f.decode(uint64(v))) })
	}
}

func each[D, S any](dst []D, src []S, convert func(S) D) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = convert(src[i])
	}
}
