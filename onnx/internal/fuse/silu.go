package fuse

import (
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// silu is x * sigmoid(x), which the operator sets before 24 have no operator for.
type silu struct{}

func (silu) Infer(in []*op.Info) ([]op.Info, error) {
	if in[0].Type != tensor.Float32 {
		return nil, op.BadInput(0, "is %s, expected float32", in[0].Type)
	}
	return []op.Info{{Type: tensor.Float32, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (silu) InPlace() []int { return []int{0} }

func (silu) Run(env *op.Env, in, out []*tensor.Tensor) error {
	dst, src := tensor.Data[float32](out[0]), tensor.Data[float32](in[0])
	const part = 1 << 14
	return env.On.Parallel((len(dst)+part-1)/part, func(i int) {
		end := min(len(dst), (i+1)*part)
		vec.SiLU(env.On.Level, dst[i*part:end], src[i*part:end])
	})
}
