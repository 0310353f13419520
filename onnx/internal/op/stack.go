package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// listItem is what an item of a list costs beside its elements.
const listItem = 8

// stackedInfo is what is known of any number of values stacked along a new axis.
func stackedInfo(v Info, at int) Info {
	if !v.Ranked {
		return unranked(v.Type)
	}
	return ranked(v.Type, slices.Insert(slices.Clone(v.Shape), at, -1)...)
}

// stack joins tensors of one type and shape along a new axis, from the last to the
// first if reversed.
func stack(env *Env, list []*tensor.Tensor, at int, reversed bool) (*tensor.Tensor, error) {
	first := list[0]
	if !first.Type.Element() {
		return nil, fmt.Errorf("a %s cannot be stacked", first.Type)
	}
	for i, t := range list {
		if t.Type != first.Type || !slices.Equal(t.Shape, first.Shape) {
			return nil, fmt.Errorf("turn %d gives %s%v, those before %s%v", i, t.Type, t.Shape, first.Type, first.Shape)
		}
	}
	out, err := env.New(first.Type, slices.Insert(slices.Clone(first.Shape), at, int64(len(list))))
	if err != nil || out.Len() == 0 {
		return out, err
	}
	strides := kernel.Strides(out.Shape)
	to := kernel.Operand{Strides: slices.Delete(slices.Clone(strides), at, at+1)}
	for i, t := range list {
		place := i
		if reversed {
			place = len(list) - 1 - i
		}
		to.Offset = place * strides[at]
		if err := copyTo(env, out, to, t, kernel.Dense(t.Shape), t.Shape); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// noneOf is a stack of no values, by what is known of them.
func noneOf(env *Env, v Info, at int) (*tensor.Tensor, error) {
	shape := make([]int64, max(len(v.Shape), 1))
	for i, d := range v.Shape {
		shape[i] = max(d, 0)
	}
	shape[min(at, len(shape)-1)] = 0
	return env.New(v.Type, shape)
}

// sliceAt copies what is at one place of an axis.
func sliceAt(env *Env, t *tensor.Tensor, at int, index int64) (*tensor.Tensor, error) {
	shape := slices.Delete(slices.Clone(t.Shape), at, at+1)
	out, err := env.New(t.Type, shape)
	if err != nil || out.Len() == 0 {
		return out, err
	}
	strides := kernel.Strides(t.Shape)
	from := kernel.Operand{Offset: int(index) * strides[at], Strides: slices.Delete(slices.Clone(strides), at, at+1)}
	return out, move(env, out, 0, t, from, shape)
}
