package op

import (
	"errors"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// arithmetic is an operator on two operands that broadcast together. A nil
// function means that the operator does not exist for that type.
type arithmetic struct {
	f32  kernel.Zip2[float32, float32]
	i64  kernel.Zip2[int64, int64]
	zero bool // refuse integer divisors of zero
}

func arithmeticOperators() map[string]Spec {
	two := func(op Operator) Spec {
		return Spec{MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return op, nil }}
	}
	many := func(op Operator) Spec {
		return Spec{MinIn: 1, MaxIn: Variadic, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return op, nil }}
	}
	return map[string]Spec{
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

func (o arithmetic) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, tensor.Float32, tensor.Int64); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []Info{{Type: in[0].Type, Ranked: isRanked, Shape: shape}}, err
}

func (o arithmetic) Run(env *Env, in, out []*tensor.Tensor) error {
	if in[0].Type == tensor.Float32 {
		return zip(env, out[0].Shape, tensor.Data[float32](out[0]), in[0].Shape, tensor.Data[float32](in[0]), in[1].Shape, tensor.Data[float32](in[1]), o.f32)
	}
	if o.zero {
		for _, v := range tensor.Data[int64](in[1]) {
			if v == 0 {
				return BadInput(1, "holds an integer zero: division by zero")
			}
		}
	}
	return zip(env, out[0].Shape, tensor.Data[int64](out[0]), in[0].Shape, tensor.Data[int64](in[0]), in[1].Shape, tensor.Data[int64](in[1]), o.i64)
}

// zip runs f over two operands that broadcast to shape.
func zip[T, R any](env *Env, shape []int64, dst []R, shapeA []int64, a []T, shapeB []int64, b []T, f kernel.Zip2[T, R]) error {
	operands := []kernel.Operand{kernel.Dense(shape), kernel.Broadcast(shapeA, shape), kernel.Broadcast(shapeB, shape)}
	return kernel.Walk(env.On, shape, operands, func(n int, at, step []int) error {
		f(dst[at[0]:at[0]+n], a[at[1]:], step[1], b[at[2]:], step[2])
		return nil
	})
}

// fold applies an arithmetic operator to any number of operands.
type fold struct{ two arithmetic }

func (o fold) Infer(in []*Info) ([]Info, error) { return o.two.Infer(in) }

func (o fold) Run(env *Env, in, out []*tensor.Tensor) error {
	if err := expand(env, out[0], in[0]); err != nil {
		return err
	}
	for _, t := range in[1:] {
		var err error
		if t.Type == tensor.Float32 {
			err = zip(env, out[0].Shape, tensor.Data[float32](out[0]), out[0].Shape, tensor.Data[float32](out[0]), t.Shape, tensor.Data[float32](t), o.two.f32)
		} else {
			err = zip(env, out[0].Shape, tensor.Data[int64](out[0]), out[0].Shape, tensor.Data[int64](out[0]), t.Shape, tensor.Data[int64](t), o.two.i64)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// power raises float32 to float32 or int64 powers.
type power struct{}

func (power) Infer(in []*Info) ([]Info, error) {
	if err := errors.Join(needType(in, 0, tensor.Float32), needType(in, 1, tensor.Float32, tensor.Int64)); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []Info{{Type: tensor.Float32, Ranked: isRanked, Shape: shape}}, err
}

func (power) Run(env *Env, in, out []*tensor.Tensor) error {
	exponent := tensor.Data[float32](in[1])
	if in[1].Type == tensor.Int64 {
		exponent = make([]float32, len(tensor.Data[int64](in[1])))
		for i, v := range tensor.Data[int64](in[1]) {
			exponent[i] = float32(v)
		}
	}
	pow := kernel.Each(func(a, b float32) float32 { return float32(math.Pow(float64(a), float64(b))) })
	return zip(env, out[0].Shape, tensor.Data[float32](out[0]), in[0].Shape, tensor.Data[float32](in[0]), in[1].Shape, exponent, pow)
}
