package fuse

import (
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
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

// guarded finds what replaces elements that are not numbers by one that is.
func guarded(r *rewriter, st *plan.Step) error {
	if !is(st, "Where") || !r.f32(st.Out[0]) {
		return nil
	}
	test := r.only(st.In[0], "IsNaN")
	by, ok := r.scalar(st.In[1])
	if test == nil || !ok || test.In[0] != st.In[2] {
		return nil
	}
	if shape, known := r.shape(st.In[1]); !known || len(shape) > 0 {
		from, has := r.shape(st.In[2])
		if !has || len(from) < len(shape) {
			return nil // the one element would add dimensions
		}
	}
	r.replace(st, "Guard", guard{by}, st.In[2])
	return nil
}

// guard is its operand with a number in the place of what is none.
type guard struct{ by float32 }

func (guard) Infer(in []*op.Info) ([]op.Info, error) {
	if in[0].Type != tensor.Float32 {
		return nil, op.BadInput(0, "is %s, expected float32", in[0].Type)
	}
	return []op.Info{{Type: tensor.Float32, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (guard) InPlace() []int { return []int{0} }

func (o guard) Run(env *op.Env, in, out []*tensor.Tensor) error {
	dst, src := tensor.Data[float32](out[0]), tensor.Data[float32](in[0])
	const part = 1 << 14
	return env.On.Parallel((len(dst)+part-1)/part, func(i int) {
		from := src[i*part : min(len(dst), (i+1)*part)]
		to := dst[i*part:][:len(from)]
		for k, v := range from {
			if v != v {
				v = o.by
			}
			to[k] = v
		}
	})
}
