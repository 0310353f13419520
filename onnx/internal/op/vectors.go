package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// What is here takes operators on float32 to the vector loops of package vec. Each
// operator has a general form beside it, for the other types and for shapes that do
// not lie in memory as these loops want them.

// vector is a function of each element; dst may be src.
type vector func(l kernel.Level, dst, src []float32)

func (f vector) run(env *Env, out, in *tensor.Tensor) error {
	dst, src := tensor.Data[float32](out), tensor.Data[float32](in)
	return rows(env.On, len(dst), 1, func(from, to int) { f(env.On.Level, dst[from:to], src[from:to]) })
}

// vectors are the vector forms of operators on floats alone.
func vectors() map[string]vector {
	return map[string]vector{
		"Ceil": vec.Ceil, "Floor": vec.Floor, "Round": vec.Round,
		"Exp": vec.Exp, "Log": vec.Log, "Sqrt": vec.Sqrt, "Erf": vec.Erf, "Tanh": vec.Tanh, "Reciprocal": vec.Reciprocal,
		"Sigmoid": vec.Sigmoid, "HardSwish": vec.HardSwish, "Softplus": vec.Softplus,
	}
}

// vectorPair is a function of two operands, of which one may be a single number; dst
// may be either.
type vectorPair struct {
	both  func(l kernel.Level, dst, a, b []float32)
	right func(l kernel.Level, dst, a []float32, b float32)
	left  func(l kernel.Level, dst []float32, a float32, b []float32)
}

// eitherWay is the left form of a function whose operands may change places.
func eitherWay(right func(kernel.Level, []float32, []float32, float32)) func(kernel.Level, []float32, float32, []float32) {
	return func(l kernel.Level, dst []float32, a float32, b []float32) { right(l, dst, b, a) }
}

// vectorPairs are the vector forms of operators on two operands.
func vectorPairs() map[string]*vectorPair {
	return map[string]*vectorPair{
		"Add": {vec.Add, vec.AddScalar, eitherWay(vec.AddScalar)},
		"Sub": {vec.Sub, vec.SubScalar, vec.ScalarSub},
		"Mul": {vec.Mul, vec.MulScalar, eitherWay(vec.MulScalar)},
		"Div": {vec.Div, vec.DivScalar, vec.ScalarDiv},
		"Max": {vec.Max, vec.MaxScalar, eitherWay(vec.MaxScalar)},
		"Min": {vec.Min, vec.MinScalar, eitherWay(vec.MinScalar)},
	}
}

// run broadcasts two operands to the shape of out.
func (p *vectorPair) run(env *Env, out, a, b *tensor.Tensor) error {
	l, dst, as, bs := env.On.Level, tensor.Data[float32](out), tensor.Data[float32](a), tensor.Data[float32](b)
	if slices.Equal(a.Shape, b.Shape) && len(as) == len(dst) { // else others, later, make the result larger
		return rows(env.On, len(dst), 1, func(from, to int) { p.both(l, dst[from:to], as[from:to], bs[from:to]) })
	}
	operands := []kernel.Operand{kernel.Dense(out.Shape), kernel.Broadcast(a.Shape, out.Shape), kernel.Broadcast(b.Shape, out.Shape)}
	return kernel.Walk(env.On, out.Shape, operands, func(n int, at, step []int) error {
		to := dst[at[0] : at[0]+n]
		switch { // along the last dimension an operand is dense or repeats one number
		case step[1] == 0 && step[2] == 0:
			p.right(l, to[:1], as[at[1]:at[1]+1], bs[at[2]])
			for i := range to {
				to[i] = to[0]
			}
		case step[2] == 0:
			p.right(l, to, as[at[1]:], bs[at[2]])
		case step[1] == 0:
			p.left(l, to, as[at[1]], bs[at[2]:])
		default:
			p.both(l, to, as[at[1]:], bs[at[2]:])
		}
		return nil
	})
}

// isFloat32 says whether all tensors that are there hold float32.
func isFloat32(all ...*tensor.Tensor) bool {
	return !slices.ContainsFunc(all, func(t *tensor.Tensor) bool { return t != nil && t.Type != tensor.Float32 })
}
