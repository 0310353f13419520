package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// dense says whether everything is float32, and factors and summands are there for
// each element of a lane.
func (o layerNorm) dense(in, out []*tensor.Tensor, inner []int64) bool {
	n, err := tensor.Count(inner)
	if err != nil || n == 0 || !isFloat32(in...) || !isFloat32(out...) {
		return false
	}
	return int64(in[1].Len()) == n && (operand(in, 2) == nil || int64(in[2].Len()) == n)
}

// vectors normalises every lane by vector loops.
func (o layerNorm) vectors(env *Env, in, out []*tensor.Tensor) error {
	by := vec.Norm{Gamma: tensor.Data[float32](in[1]), Epsilon: o.epsilon}
	if beta := operand(in, 2); beta != nil {
		by.Beta = tensor.Data[float32](beta)
	}
	var side [2][]float32 // results 1 and 2
	for i, t := range out[1:] {
		if t != nil {
			side[i] = tensor.Data[float32](t)
		}
	}
	dst, src, n := tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), len(by.Gamma)
	return rows(env.On, len(dst)/n, n, func(from, to int) {
		if o.rms {
			vec.RMSNorm(env.On.Level, dst[from*n:to*n], src[from*n:to*n], to-from, n, by)
			return
		}
		for r := from; r < to; r++ {
			var moments [2]float32
			moments[0], moments[1] = vec.LayerNormRow(env.On.Level, dst[r*n:(r+1)*n], src[r*n:(r+1)*n], by)
			for i, s := range side {
				if s != nil {
					s[r] = moments[i]
				}
			}
		}
	})
}

// vectorReduction reduces rows of n elements, and columns of a matrix.
type vectorReduction struct {
	rows    func(l kernel.Level, dst, src []float32, n int)
	columns func(l kernel.Level, dst, src []float32, rows, stride int)
}

func vectorReductions() map[string]vectorReduction {
	return map[string]vectorReduction{
		"ReduceSum": {vec.Sum, vec.SumColumns},
		"ReduceMax": {vec.MaxRow, vec.MaxColumns},
		"ReduceMin": {vec.MinRow, vec.MinColumns},
		"ReduceMean": {vec.Mean, func(l kernel.Level, dst, src []float32, rows, stride int) {
			vec.SumColumns(l, dst, src, rows, stride)
			vec.DivScalar(l, dst, dst, float32(rows))
		}},
		"ReduceSumSquare": {rows: vec.SumOfSquares},
		"ReduceL2": {rows: func(l kernel.Level, dst, src []float32, n int) {
			vec.SumOfSquares(l, dst, src, n)
			vec.Sqrt(l, dst, dst)
		}},
	}
}

// vectors reduces by vector loops, if the axes lie beside each other: then a tensor is a
// stack of matrices whose columns are reduced. With one column, these are rows.
func (o reduce) vectors(env *Env, in []*tensor.Tensor, out *tensor.Tensor) (done bool, err error) {
	if o.v.rows == nil || in[0].Type != tensor.Float32 || in[0].Len() == 0 {
		return false, nil
	}
	set, err := o.reduced(infosOf(in))
	if err != nil {
		return true, err
	}
	l, ok := matrices(in[0].Shape, set)
	dst, src, level := tensor.Data[float32](out), tensor.Data[float32](in[0]), env.On.Level
	switch {
	case ok && l.Inner == 1:
		return true, rows(env.On, l.Outer, l.N, func(from, to int) {
			o.v.rows(level, dst[from:to], src[from*l.N:to*l.N], l.N)
		})
	case ok && o.v.columns != nil:
		return true, rows(env.On, l.Outer, l.N*l.Inner, func(from, to int) {
			for i := from; i < to; i++ {
				o.v.columns(level, dst[i*l.Inner:(i+1)*l.Inner], src[i*l.N*l.Inner:], l.N, l.Inner)
			}
		})
	}
	return false, nil
}

// matrices sees a tensor whose axes in set lie beside each other as lanes along one
// axis.
func matrices(shape []int64, set []bool) (l kernel.Lanes, ok bool) {
	l = kernel.Lanes{Outer: 1, N: 1, Inner: 1}
	for i, d := range shape {
		switch {
		case d == 1:
		case set[i] && l.Inner > 1:
			return l, false
		case set[i]:
			l.N *= int(d)
		case l.N > 1:
			l.Inner *= int(d)
		default:
			l.Outer *= int(d)
		}
	}
	return l, true
}
