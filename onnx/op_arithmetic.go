package onnx

import (
	"context"
	"errors"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// arithmetic is an operator on two operands that broadcast together. A nil
// function means that the operator does not exist for that type.
type arithmetic struct {
	f32  kernel.Zip2[float32, float32]
	i64  kernel.Zip2[int64, int64]
	zero bool // refuse integer divisors of zero
}

func arithmeticOperators() map[string]operatorSpec {
	two := func(op operator) operatorSpec {
		return operatorSpec{2, 2, 1, func(*attributes, int64) (operator, error) { return op, nil }}
	}
	many := func(op operator) operatorSpec {
		return operatorSpec{1, variadic, 1, func(*attributes, int64) (operator, error) { return op, nil }}
	}
	return map[string]operatorSpec{
		"Add": two(arithmetic{f32: kernel.Add[float32], i64: kernel.Add[int64]}),
		"Sub": two(arithmetic{f32: kernel.Sub[float32], i64: kernel.Sub[int64]}),
		"Mul": two(arithmetic{f32: kernel.Mul[float32], i64: kernel.Mul[int64]}),
		"Div": two(arithmetic{f32: kernel.Div[float32], i64: kernel.Div[int64], zero: true}),
		"Pow": two(power{}),
		"Max": many(fold{arithmetic{f32: kernel.Each(max32), i64: kernel.Each(maxInt)}}),
		"Min": many(fold{arithmetic{f32: kernel.Each(min32), i64: kernel.Each(minInt)}}),
	}
}

// The built-in max and min give NaN if either is NaN, as numpy does.
func max32(a, b float32) float32 { return max(a, b) }
func min32(a, b float32) float32 { return min(a, b) }
func maxInt(a, b int64) int64    { return max(a, b) }
func minInt(a, b int64) int64    { return min(a, b) }

func (o arithmetic) infer(in []*info) ([]info, error) {
	if err := needSame(in, Float32, Int64); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []info{{typ: in[0].typ, ranked: isRanked, shape: shape}}, err
}

func (o arithmetic) run(ctx context.Context, in, out []*Tensor) error {
	if in[0].Type == Float32 {
		return zip(ctx, out[0].Shape, out[0].F32, in[0].Shape, in[0].F32, in[1].Shape, in[1].F32, o.f32)
	}
	if o.zero {
		for _, v := range in[1].I64 {
			if v == 0 {
				return badInput(1, "holds an integer zero: division by zero")
			}
		}
	}
	return zip(ctx, out[0].Shape, out[0].I64, in[0].Shape, in[0].I64, in[1].Shape, in[1].I64, o.i64)
}

// zip runs f over two operands that broadcast to shape.
func zip[T, R any](ctx context.Context, shape []int64, dst []R, shapeA []int64, a []T, shapeB []int64, b []T, f kernel.Zip2[T, R]) error {
	operands := []kernel.Operand{kernel.Dense(shape), kernel.Broadcast(shapeA, shape), kernel.Broadcast(shapeB, shape)}
	return kernel.Walk(ctx, shape, operands, func(n int, at, step []int) error {
		f(dst[at[0]:at[0]+n], a[at[1]:], step[1], b[at[2]:], step[2])
		return nil
	})
}

// fold applies an arithmetic operator to any number of operands.
type fold struct{ two arithmetic }

func (o fold) infer(in []*info) ([]info, error) { return o.two.infer(in) }

func (o fold) run(ctx context.Context, in, out []*Tensor) error {
	if err := expand(ctx, out[0], in[0]); err != nil {
		return err
	}
	for _, t := range in[1:] {
		var err error
		if t.Type == Float32 {
			err = zip(ctx, out[0].Shape, out[0].F32, out[0].Shape, out[0].F32, t.Shape, t.F32, o.two.f32)
		} else {
			err = zip(ctx, out[0].Shape, out[0].I64, out[0].Shape, out[0].I64, t.Shape, t.I64, o.two.i64)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// power raises float32 to float32 or int64 powers.
type power struct{}

func (power) infer(in []*info) ([]info, error) {
	if err := errors.Join(needType(in, 0, Float32), needType(in, 1, Float32, Int64)); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []info{{typ: Float32, ranked: isRanked, shape: shape}}, err
}

func (power) run(ctx context.Context, in, out []*Tensor) error {
	exponent := in[1].F32
	if in[1].Type == Int64 {
		exponent = make([]float32, len(in[1].I64))
		for i, v := range in[1].I64 {
			exponent[i] = float32(v)
		}
	}
	pow := kernel.Each(func(a, b float32) float32 { return float32(math.Pow(float64(a), float64(b))) })
	return zip(ctx, out[0].Shape, out[0].F32, in[0].Shape, in[0].F32, in[1].Shape, exponent, pow)
}
