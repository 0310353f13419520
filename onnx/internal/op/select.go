package op

import (
	"errors"
	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// selectOperators choose elements by what they hold.
func selectOperators() map[string]Spec {
	return map[string]Spec{
		"NonZero":           {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: always(nonZero{}), Since: 9},
		"Compress":          {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeCompress, Since: 9},
		"OneHot":            {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeOneHot, Since: 9},
		"TopK":              {MinIn: 1, MaxIn: 2, MaxOut: 2, Make: makeTopK},
		"Unique":            {MinIn: 1, MaxIn: 1, MaxOut: 4, Make: makeUnique, Since: 11},
		"NonMaxSuppression": {MinIn: 2, MaxIn: 5, MaxOut: 1, Make: makeSuppress, Since: 10},
	}
}

// nonZero gives the indices of all elements that are not zero, a column for each.
type nonZero struct{ maker }

func (nonZero) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, append(numberTypes(), tensor.Bool, tensor.String)...); err != nil {
		return nil, err
	}
	out := []int64{-1, -1}
	if in[0].Ranked {
		out[0] = int64(len(in[0].Shape))
	}
	return []Info{ranked(tensor.Int64, out...)}, nil
}

func (nonZero) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	set := settler(in[0])
	count := 0
	if err := eachSet(env, set, in[0].Len(), func(int) { count++ }); err != nil {
		return nil, err
	}
	rank := len(in[0].Shape)
	out, err := env.New(tensor.Int64, []int64{int64(rank), int64(count)})
	if err != nil || count == 0 {
		return []*tensor.Tensor{out}, err
	}
	data, column := tensor.Data[int64](out), 0
	err = eachSet(env, set, in[0].Len(), func(i int) {
		for d := rank - 1; d >= 0; d-- {
			size := int(in[0].Shape[d])
			data[d*count+column] = int64(i % size)
			i /= size
		}
		column++
	})
	return []*tensor.Tensor{out}, err
}

// settler returns what marks a block of elements, from at on, that are not zero.
func settler(t *tensor.Tensor) func(set []bool, at int) {
	if t.Type == tensor.String {
		return func(set []bool, at int) {
			for i, s := range tensor.Data[string](t)[at : at+len(set)] {
				set[i] = s != ""
			}
		}
	}
	if t.Type == tensor.Bool {
		return func(set []bool, at int) { copy(set, tensor.Data[bool](t)[at:]) }
	}
	get, values := reader[float64](t), make([]float64, block)
	return func(set []bool, at int) {
		get(values[:len(set)], at, 1)
		for i := range set {
			set[i] = values[i] != 0
		}
	}
}

// eachSet calls do with the number of each of n elements that is set.
func eachSet(env *Env, set func([]bool, int), n int, do func(i int)) error {
	marks := make([]bool, block)
	for at := 0; at < n; at += block {
		if at%(64*block) == 0 {
			if err := env.On.Err(); err != nil {
				return err
			}
		}
		some := marks[:min(block, n-at)]
		set(some, at)
		for i, is := range some {
			if is {
				do(at + i)
			}
		}
	}
	return nil
}

// compress keeps the slices along an axis whose condition is true; without an axis,
// elements.
type compress struct {
	maker
	axis int64
	flat bool
}

func makeCompress(a *Attributes, _ int64) (Operator, error) {
	return compress{flat: !a.has("axis"), axis: a.int("axis", 0)}, nil
}

func (o compress) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needType(in, 1, tensor.Bool); err != nil {
		return nil, err
	}
	if err := needRank(in, 1, 1, "a list"); err != nil {
		return nil, err
	}
	switch {
	case o.flat:
		return []Info{ranked(in[0].Type, -1)}, nil
	case !in[0].Ranked:
		return []Info{unranked(in[0].Type)}, nil
	}
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	shape := append([]int64{}, in[0].Shape...)
	shape[at] = -1
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (o compress) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, at := []int64{int64(in[0].Len())}, 0
	if !o.flat {
		var err error
		if at, err = axis(o.axis, len(in[0].Shape)); err != nil {
			return nil, err
		}
		shape = append([]int64{}, in[0].Shape...)
	}
	condition := tensor.Data[bool](in[1])
	count := int64(0)
	for i, is := range condition {
		if is && int64(i) >= shape[at] {
			return nil, BadInput(1, "entry %d is outside of dimension %d", i, shape[at])
		}
		if is {
			count++
		}
	}
	kept, err := newList(env, count)
	if err != nil {
		return nil, err
	}
	next := 0
	for i, is := range condition {
		if is {
			kept[next] = int64(i)
			next++
		}
	}
	out, err := takeAlong(env, in[0], shape, at, kept)
	return []*tensor.Tensor{out}, err
}

// takeAlong makes a tensor of the slices of t, seen in the given shape, that indices
// name along a dimension.
func takeAlong(env *Env, t *tensor.Tensor, shape []int64, at int, indices []int64) (*tensor.Tensor, error) {
	l := kernel.LanesOf(shape, at)
	shape = append([]int64{}, shape...)
	shape[at] = int64(len(indices))
	out, err := env.New(t.Type, shape)
	if err != nil || out.Len() == 0 {
		return out, err
	}
	return out, moverOf(t.Type).take(env, out, t, l.Inner, func(first int, to []int) error {
		for k := range to {
			o, i := (first+k)/len(indices), (first+k)%len(indices)
			to[k] = (o*l.N + int(indices[i])) * l.Inner
		}
		return nil
	})
}

// oneHot makes a new dimension in which one of depth elements is "on", that which the
// index in operand 0 says, and all others are "off". Operand 2 is off and on.
type oneHot struct{ axis int64 }

func makeOneHot(a *Attributes, _ int64) (Operator, error) { return oneHot{a.int("axis", -1)}, nil }

func (o oneHot) Infer(in []*Info) ([]Info, error) {
	if err := errors.Join(needType(in, 0, numberTypes()...), needType(in, 1, numberTypes()...), needTensor(in, 2)); err != nil {
		return nil, err
	}
	if err := needOne(in, 1); err != nil {
		return nil, err
	}
	if err := needRank(in, 2, 1, "off and on"); err != nil {
		return nil, err
	}
	if in[2].Ranked {
		if err := sameShape(in[2].Shape, []int64{2}); err != nil {
			return nil, &OperandError{2, err}
		}
	}
	if !in[0].Ranked {
		return []Info{unranked(in[2].Type)}, nil
	}
	rank := len(in[0].Shape)
	at, err := axis(o.axis, rank+1)
	if err != nil {
		return nil, &OperandError{0, err}
	}
	depth := int64(-1)
	if in[1].Value != nil {
		if depth = integersOf(in[1].Value)[0]; depth < 1 {
			return nil, BadInput(1, "asks for a depth of %d", depth)
		}
	}
	shape := append(append(append([]int64{}, in[0].Shape[:at]...), depth), in[0].Shape[at:]...)
	return []Info{ranked(in[2].Type, shape...)}, nil
}

func (o oneHot) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(out[0].Shape))
	if err != nil {
		return err
	}
	depth := int(out[0].Shape[at])
	inner := int(countStack(out[0].Shape[at+1:]))
	hot, err := newList(env, int64(in[0].Len()))
	if err != nil {
		return err
	}
	reader[int64](in[0])(hot, 0, 1)
	return moverOf(out[0].Type).take(env, out[0], in[2], 1, func(first int, to []int) error {
		for k := range to {
			lane, i := (first+k)/inner, (first+k)%inner
			index := hot[lane/depth*inner+i]
			if index < 0 {
				index += int64(depth)
			}
			to[k] = 0
			if index == int64(lane%depth) {
				to[k] = 1
			}
		}
		return nil
	})
}
