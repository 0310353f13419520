package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// unary is an operator that changes every element by itself.
type unary struct {
	f32 func(float32) float32
	i64 func(int64) int64 // nil: float32 only
}

func unaryOperators() map[string]Spec {
	one := func(op Operator) Spec {
		return Spec{MinIn: 1, MaxIn: 1, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return op, nil }}
	}
	return map[string]Spec{
		"Relu":       one(unary{f32: func(x float32) float32 { return max(x, 0) }, i64: func(x int64) int64 { return max(x, 0) }}),
		"Neg":        one(unary{f32: func(x float32) float32 { return -x }, i64: func(x int64) int64 { return -x }}),
		"Abs":        one(unary{f32: abs32, i64: func(x int64) int64 { return max(x, -x) }}),
		"Sigmoid":    one(unary{f32: sigmoid}),
		"Tanh":       one(unary{f32: wide(math.Tanh)}),
		"Exp":        one(unary{f32: wide(math.Exp)}),
		"Log":        one(unary{f32: wide(math.Log)}),
		"Sqrt":       one(unary{f32: wide(math.Sqrt)}),
		"Erf":        one(unary{f32: wide(math.Erf)}),
		"Reciprocal": one(unary{f32: func(x float32) float32 { return 1 / x }}),
		"LeakyRelu":  {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeLeakyRelu},
		"Clip":       {MinIn: 1, MaxIn: 3, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return clip{}, nil }},
	}
}

// wide computes in float64 and rounds once.
func wide(f func(float64) float64) func(float32) float32 {
	return func(x float32) float32 { return float32(f(float64(x))) }
}

func abs32(x float32) float32 { return float32(math.Abs(float64(x))) }

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func makeLeakyRelu(a *Attributes, _ int64) (Operator, error) {
	slope := a.float("alpha", 0.01)
	return unary{f32: func(x float32) float32 {
		if x < 0 {
			return slope * x
		}
		return x
	}}, nil
}

func (o unary) Infer(in []*Info) ([]Info, error) {
	allowed := []tensor.DataType{tensor.Float32}
	if o.i64 != nil {
		allowed = append(allowed, tensor.Int64)
	}
	if err := needType(in, 0, allowed...); err != nil {
		return nil, err
	}
	return []Info{{Type: in[0].Type, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (o unary) Run(env *Env, in, out []*tensor.Tensor) error {
	if in[0].Type == tensor.Float32 {
		return apply(env, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), o.f32)
	}
	return apply(env, tensor.Data[int64](out[0]), tensor.Data[int64](in[0]), o.i64)
}

// apply computes dst[i] = f(src[i]).
func apply[T, R any](env *Env, dst []R, src []T, f func(T) R) error {
	shape := []int64{int64(len(dst))}
	return kernel.Walk(env.On, shape, []kernel.Operand{kernel.Dense(shape)}, func(n int, at, _ []int) error {
		to, from := dst[at[0]:at[0]+n], src[at[0]:at[0]+n]
		for i := range to {
			to[i] = f(from[i])
		}
		return nil
	})
}

// clip bounds elements from below (operand 1) and above (operand 2), both
// optional scalars.
type clip struct{}

func (clip) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32, tensor.Int64); err != nil {
		return nil, err
	}
	for i := 1; i < len(in); i++ {
		if in[i] == nil {
			continue
		}
		if err := needType(in, i, in[0].Type); err != nil {
			return nil, err
		}
		if in[i].Ranked && len(in[i].Shape) != 0 {
			return nil, BadInput(i, "has shape %v, must be a scalar", in[i].Shape)
		}
	}
	return []Info{{Type: in[0].Type, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (clip) Run(env *Env, in, out []*tensor.Tensor) error {
	bound := func(i int) *tensor.Tensor {
		if i < len(in) {
			return in[i]
		}
		return nil
	}
	low, high := bound(1), bound(2)
	if in[0].Type == tensor.Int64 {
		lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
		if low != nil {
			lo = tensor.Data[int64](low)[0]
		}
		if high != nil {
			hi = tensor.Data[int64](high)[0]
		}
		return apply(env, tensor.Data[int64](out[0]), tensor.Data[int64](in[0]), func(x int64) int64 { return min(max(x, lo), hi) })
	}
	lo, hi := float32(math.Inf(-1)), float32(math.Inf(1))
	if low != nil {
		lo = tensor.Data[float32](low)[0]
	}
	if high != nil {
		hi = tensor.Data[float32](high)[0]
	}
	return apply(env, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), func(x float32) float32 { return min(max(x, lo), hi) })
}
