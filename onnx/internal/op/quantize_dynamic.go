package op

import (
	"github.com/blindbox/blindbox/onnx/internal/qgemm"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// dynamicQuantize quantizes to uint8 by the least and the greatest element, and zero,
// which must be a number of its own.
type dynamicQuantize struct{}

func (dynamicQuantize) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	y := like(in[0], tensor.Uint8)
	return []Info{y, ranked(tensor.Float32), ranked(tensor.Uint8)}, nil
}

// Run follows the function that the specification gives: everything is rounded to
// float32 on the way. Without elements, or if all are zero, the scale would be 0; like
// onnxruntime's, it is then 1, and results are the zero point.
func (dynamicQuantize) Run(env *Env, in, out []*tensor.Tensor) error {
	x := tensor.Data[float32](in[0])
	low, high, err := extremes(env, x)
	if err != nil {
		return err
	}
	scale := (high - low) / 255
	if low == high {
		scale = 1
	}
	zero := []float32{-low / scale}
	toIntegers(zero, []float32{0}, 0, 255)
	tensor.Data[float32](out[1])[0] = scale
	narrowInto(out[2], 0, zero, true)
	return quantize{saturate: true}.Run(env, []*tensor.Tensor{in[0], out[1], out[2]}, out[:1])
}

// extremes is the least and the greatest of the elements and zero. NaN is neither.
func extremes(env *Env, x []float32) (low, high float32, err error) {
	for len(x) > 0 {
		if err := env.On.Err(); err != nil {
			return 0, 0, err
		}
		n := min(len(x), stretch)
		low, high = qgemm.Extremes(env.On.Level, x[:n], low, high)
		x = x[n:]
	}
	return low, high, nil
}
