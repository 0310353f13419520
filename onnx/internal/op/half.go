package op

import (
	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// half is the floats of 16 bits.
type half interface{ tensor.F16 | tensor.BF16 }

// fromHalf gives the value of a 16-bit float.
func fromHalf[T half](x T) float32 {
	if v, ok := any(x).(tensor.F16); ok {
		return narrow.F16ToFloat32(v)
	}
	return narrow.BF16ToFloat32(tensor.BF16(x))
}

// toHalf rounds to the nearest 16-bit float.
func toHalf[T half](x float32) T {
	if _, ok := any(T(0)).(tensor.F16); ok {
		return T(narrow.F16FromFloat32(x))
	}
	return T(narrow.BF16FromFloat32(x))
}
