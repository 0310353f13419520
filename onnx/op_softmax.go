package onnx

import (
	"context"
	"errors"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func softmaxOperators() map[string]operatorSpec {
	return map[string]operatorSpec{
		"Softmax":    {1, 1, 1, makeSoftmax(false)},
		"LogSoftmax": {1, 1, 1, makeSoftmax(true)},
		"ArgMax":     {1, 1, 1, makeArg(true)},
		"ArgMin":     {1, 1, 1, makeArg(false)},
	}
}

// softmax normalises along one axis (from operator set 13 on; before, it
// flattened the tensor first).
type softmax struct {
	axis      int64
	logarithm bool
}

func makeSoftmax(logarithm bool) func(*attributes, int64) (operator, error) {
	return func(a *attributes, _ int64) (operator, error) {
		return softmax{a.int("axis", -1), logarithm}, nil
	}
}

func (o softmax) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, Float32); err != nil {
		return nil, err
	}
	if in[0].ranked {
		if _, err := axis(o.axis, len(in[0].shape)); err != nil {
			return nil, &operandError{0, err}
		}
	}
	return []info{{typ: Float32, ranked: in[0].ranked, shape: in[0].shape}}, nil
}

func (o softmax) run(ctx context.Context, in, out []*Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	return kernel.Softmax(ctx, out[0].F32, in[0].F32, kernel.LanesOf(in[0].Shape, at), o.logarithm)
}

// arg finds the position of the largest or smallest element along an axis.
type arg struct {
	axis          int64
	keep          bool
	last, largest bool
}

func makeArg(largest bool) func(*attributes, int64) (operator, error) {
	return func(a *attributes, _ int64) (operator, error) {
		return arg{a.int("axis", 0), a.flag("keepdims", true), a.flag("select_last_index", false), largest}, nil
	}
}

func (o arg) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, Float32, Int64); err != nil {
		return nil, err
	}
	if !in[0].ranked {
		return []info{unranked(Int64)}, nil
	}
	shape := slices.Clone(in[0].shape)
	at, err := axis(o.axis, len(shape))
	if err != nil {
		return nil, &operandError{0, err}
	}
	if shape[at] == 0 {
		return nil, &operandError{0, errors.New("has no element along the axis")}
	}
	if o.keep {
		shape[at] = 1
	} else {
		shape = slices.Delete(shape, at, at+1)
	}
	return []info{ranked(Int64, shape...)}, nil
}

func (o arg) run(ctx context.Context, in, out []*Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	lanes := kernel.LanesOf(in[0].Shape, at)
	if in[0].Type == Float32 {
		return kernel.ArgBest(ctx, out[0].I64, in[0].F32, lanes, o.last, better[float32](o.largest))
	}
	return kernel.ArgBest(ctx, out[0].I64, in[0].I64, lanes, o.last, better[int64](o.largest))
}

func better[T kernel.Number](largest bool) func(a, b T) bool {
	if largest {
		return func(a, b T) bool { return a > b }
	}
	return func(a, b T) bool { return a < b }
}
