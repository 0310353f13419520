package op

import (
	"errors"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func argOperators() map[string]Spec {
	return map[string]Spec{
		"ArgMax": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeArg(true)},
		"ArgMin": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeArg(false)},
	}
}

// arg finds the position of the largest or smallest number along an axis.
type arg struct {
	axis          int64
	keep          bool
	last, largest bool
}

func makeArg(largest bool) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, _ int64) (Operator, error) {
		return arg{a.int("axis", 0), a.flag("keepdims", true), a.flag("select_last_index", false), largest}, nil
	}
}

func (o arg) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, numberTypes()...); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(tensor.Int64)}, nil
	}
	shape := slices.Clone(in[0].Shape)
	at, err := axis(o.axis, len(shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	if shape[at] == 0 {
		return nil, &OperandError{0, errors.New("has no element along the axis")}
	}
	if o.keep {
		shape[at] = 1
	} else {
		shape = slices.Delete(shape, at, at+1)
	}
	return []Info{ranked(tensor.Int64, shape...)}, nil
}

func (o arg) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	l, dst := kernel.LanesOf(in[0].Shape, at), tensor.Data[int64](out[0])
	if in[0].Type == tensor.Float32 && l.Inner == 1 {
		return o.vectors(env, dst, tensor.Data[float32](in[0]), l.N)
	}
	switch classOf(in[0].Type) {
	case signed:
		return argTo[int64](env, o, dst, in[0], l)
	case unsigned:
		return argTo[uint64](env, o, dst, in[0], l)
	}
	return argTo[float64](env, o, dst, in[0], l)
}

// vectors looks through rows of n elements.
func (o arg) vectors(env *Env, dst []int64, src []float32, n int) error {
	find := vec.ArgMin
	if o.largest {
		find = vec.ArgMax
	}
	return rows(env.On, len(dst), n, func(from, to int) {
		find(env.On.Level, dst[from:to], src[from*n:to*n], n, o.last)
	})
}

func argTo[V numeric](env *Env, o arg, dst []int64, in *tensor.Tensor, l kernel.Lanes) error {
	lane, err := work[V](env, l.N)
	if err != nil {
		return err
	}
	from := reader[V](in)
	better := func(a, b V) bool { return a < b }
	if o.largest {
		better = func(a, b V) bool { return a > b }
	}
	for i := range dst {
		if i%block == 0 || l.N > block {
			if err := env.On.Err(); err != nil {
				return err
			}
		}
		outer, inner := i/l.Inner, i%l.Inner
		from(lane, outer*l.N*l.Inner+inner, l.Inner)
		dst[i] = int64(best(lane, o.last, better))
	}
	return nil
}

// best is the first of the numbers that no other is better than, or the last.
func best[V numeric](lane []V, last bool, better func(a, b V) bool) int {
	top := 0
	for i, x := range lane {
		if better(x, lane[top]) || last && !better(lane[top], x) {
			top = i
		}
	}
	return top
}
