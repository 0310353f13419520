package op

import (
	"errors"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func softmaxOperators() map[string]Spec {
	return map[string]Spec{
		"Softmax":    {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeSoftmax(false)},
		"LogSoftmax": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeSoftmax(true)},
		"ArgMax":     {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeArg(true)},
		"ArgMin":     {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeArg(false)},
	}
}

// softmax normalises along one axis (from operator set 13 on; before, it
// flattened the tensor first).
type softmax struct {
	axis      int64
	logarithm bool
}

func makeSoftmax(logarithm bool) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, _ int64) (Operator, error) {
		return softmax{a.int("axis", -1), logarithm}, nil
	}
}

func (o softmax) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	if in[0].Ranked {
		if _, err := axis(o.axis, len(in[0].Shape)); err != nil {
			return nil, &OperandError{0, err}
		}
	}
	return []Info{{Type: tensor.Float32, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (o softmax) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	return kernel.Softmax(env.On, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), kernel.LanesOf(in[0].Shape, at), o.logarithm)
}

// arg finds the position of the largest or smallest element along an axis.
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
	if err := needType(in, 0, tensor.Float32, tensor.Int64); err != nil {
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
	lanes := kernel.LanesOf(in[0].Shape, at)
	if in[0].Type == tensor.Float32 {
		return kernel.ArgBest(env.On, tensor.Data[int64](out[0]), tensor.Data[float32](in[0]), lanes, o.last, better[float32](o.largest))
	}
	return kernel.ArgBest(env.On, tensor.Data[int64](out[0]), tensor.Data[int64](in[0]), lanes, o.last, better[int64](o.largest))
}

func better[T kernel.Number](largest bool) func(a, b T) bool {
	if largest {
		return func(a, b T) bool { return a > b }
	}
	return func(a, b T) bool { return a < b }
}
