package onnx

import (
	"context"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// unary is an operator that changes every element by itself.
type unary struct {
	f32 func(float32) float32
	i64 func(int64) int64 // nil: float32 only
}

func unaryOperators() map[string]operatorSpec {
	one := func(op operator) operatorSpec {
		return operatorSpec{1, 1, 1, func(*attributes, int64) (operator, error) { return op, nil }}
	}
	return map[string]operatorSpec{
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
		"LeakyRelu":  {1, 1, 1, makeLeakyRelu},
		"Clip":       {1, 3, 1, func(*attributes, int64) (operator, error) { return clip{}, nil }},
	}
}

// wide computes in float64 and rounds once.
func wide(f func(float64) float64) func(float32) float32 {
	return func(x float32) float32 { return float32(f(float64(x))) }
}

func abs32(x float32) float32 { return float32(math.Abs(float64(x))) }

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func makeLeakyRelu(a *attributes, _ int64) (operator, error) {
	slope := a.float("alpha", 0.01)
	return unary{f32: func(x float32) float32 {
		if x < 0 {
			return slope * x
		}
		return x
	}}, nil
}

func (o unary) infer(in []*info) ([]info, error) {
	allowed := []DataType{Float32}
	if o.i64 != nil {
		allowed = append(allowed, Int64)
	}
	if err := needType(in, 0, allowed...); err != nil {
		return nil, err
	}
	return []info{{typ: in[0].typ, ranked: in[0].ranked, shape: in[0].shape}}, nil
}

func (o unary) run(ctx context.Context, in, out []*Tensor) error {
	if in[0].Type == Float32 {
		return apply(ctx, out[0].F32, in[0].F32, o.f32)
	}
	return apply(ctx, out[0].I64, in[0].I64, o.i64)
}

// apply computes dst[i] = f(src[i]).
func apply[T, R any](ctx context.Context, dst []R, src []T, f func(T) R) error {
	shape := []int64{int64(len(dst))}
	return kernel.Walk(ctx, shape, []kernel.Operand{kernel.Dense(shape)}, func(n int, at, _ []int) error {
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

func (clip) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, Float32, Int64); err != nil {
		return nil, err
	}
	for i := 1; i < len(in); i++ {
		if in[i] == nil {
			continue
		}
		if err := needType(in, i, in[0].typ); err != nil {
			return nil, err
		}
		if in[i].ranked && len(in[i].shape) != 0 {
			return nil, badInput(i, "has shape %v, must be a scalar", in[i].shape)
		}
	}
	return []info{{typ: in[0].typ, ranked: in[0].ranked, shape: in[0].shape}}, nil
}

func (clip) run(ctx context.Context, in, out []*Tensor) error {
	bound := func(i int) *Tensor {
		if i < len(in) {
			return in[i]
		}
		return nil
	}
	low, high := bound(1), bound(2)
	if in[0].Type == Int64 {
		lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
		if low != nil {
			lo = low.I64[0]
		}
		if high != nil {
			hi = high.I64[0]
		}
		return apply(ctx, out[0].I64, in[0].I64, func(x int64) int64 { return min(max(x, lo), hi) })
	}
	lo, hi := float32(math.Inf(-1)), float32(math.Inf(1))
	if low != nil {
		lo = low.F32[0]
	}
	if high != nil {
		hi = high.F32[0]
	}
	return apply(ctx, out[0].F32, in[0].F32, func(x float32) float32 { return min(max(x, lo), hi) })
}
