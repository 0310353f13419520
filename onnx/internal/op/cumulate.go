package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func cumulateOperators() map[string]Spec {
	spec := func(o cumulate) Spec {
		return Spec{MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(a *Attributes, _ int64) (Operator, error) {
			o := o
			o.exclusive, o.reverse = a.flag("exclusive", false), a.flag("reverse", false)
			return o, nil
		}}
	}
	return map[string]Spec{
		"CumSum":  spec(cumulate{binary: binary{f: add[float64], i: add[int64], u: add[uint64]}}),
		"CumProd": spec(cumulate{binary: binary{f: mul[float64], i: mul[int64], u: mul[uint64]}, first: 1}),
	}
}

// cumulate makes of every number along an axis (operand 1, a scalar) the sum or
// product of all up to it. With exclusive it is left out itself; with reverse the
// axis runs backwards.
type cumulate struct {
	binary
	first              int
	exclusive, reverse bool
}

func (o cumulate) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, numberTypes()...); err != nil {
		return nil, err
	}
	if err := needScalar(in, 1, tensor.Int32, tensor.Int64); err != nil {
		return nil, err
	}
	return likeFirst(in), nil
}

func (cumulate) InPlace() []int { return []int{0} }

func (o cumulate) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(scalarOr[int64](in, 1, 0), len(in[0].Shape))
	if err != nil {
		return &OperandError{1, err}
	}
	l := kernel.LanesOf(in[0].Shape, at)
	switch classOf(in[0].Type) {
	case signed:
		return lanes(env, l, out[0], in[0], cumulator(o, o.i))
	case unsigned:
		return lanes(env, l, out[0], in[0], cumulator(o, o.u))
	}
	return lanes(env, l, out[0], in[0], cumulator(o, o.f))
}

func cumulator[V numeric](o cumulate, f func(a, b V) V) func([]V) {
	return func(lane []V) {
		if o.reverse {
			slices.Reverse(lane)
			defer slices.Reverse(lane)
		}
		sum := V(o.first)
		for i, x := range lane {
			if o.exclusive {
				lane[i], sum = sum, f(sum, x)
			} else {
				sum = f(sum, x)
				lane[i] = sum
			}
		}
	}
}
