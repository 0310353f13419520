package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// slicing takes every step-th element between start and end along some axes. Before
// operator set 10 these are attributes, and all steps are 1; then operands: data,
// starts, ends, axes (optional), steps (optional).
type slicing struct{ starts, ends, axes, steps list }

func makeSlice(a *Attributes, opset int64) (Operator, error) {
	old := opset < 10
	o := slicing{
		starts: listFrom(a, "starts", old, 1), ends: listFrom(a, "ends", old, 2),
		axes: listFrom(a, "axes", old, 3), steps: list{operand: 4},
	}
	atMost(a, map[bool]int{true: 1, false: 5}[old])
	return o, nil
}

// cut is one dimension's share: n elements from start on, step apart.
type cut struct{ start, step, n int64 }

func (o slicing) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	cuts, known, err := o.cuts(in)
	if err != nil {
		return nil, err
	}
	if !known || !in[0].Ranked {
		return []Info{sameRank(in[0])}, nil
	}
	shape := slices.Clone(in[0].Shape)
	for d, c := range cuts {
		shape[d] = c.n
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// cuts works out the share of every dimension; n is -1 where it is open.
func (o slicing) cuts(in []*Info) (cuts []cut, known bool, err error) {
	bounds, known, err := o.bounds(in)
	if err != nil || !known || !in[0].Ranked {
		return nil, false, err
	}
	shape := in[0].Shape
	cuts = make([]cut, len(shape))
	for d, size := range shape {
		cuts[d] = cut{0, 1, size}
	}
	if _, err := axesSet(bounds.axes, len(shape)); err != nil {
		return nil, false, o.axes.wrong(err)
	}
	for i, a := range bounds.axes {
		d, _ := axis(a, len(shape))
		cuts[d] = newCut(bounds.starts[i], bounds.ends[i], bounds.steps[i], shape[d])
	}
	return cuts, true, nil
}

// sliceBounds is what the model asks for: lists of the same length.
type sliceBounds struct{ starts, ends, axes, steps []int64 }

// bounds reads the lists; what the model leaves out gets its default.
func (o slicing) bounds(in []*Info) (b sliceBounds, known bool, err error) {
	known = true
	for _, l := range []struct {
		list
		into      *[]int64
		needed    bool
		otherwise func(i int64) int64
	}{
		{o.starts, &b.starts, true, nil},
		{o.ends, &b.ends, true, nil},
		{o.axes, &b.axes, false, func(i int64) int64 { return i }},
		{o.steps, &b.steps, false, func(int64) int64 { return 1 }},
	} {
		values, given, ok, err := l.get(in)
		switch {
		case err != nil:
			return b, false, err
		case !given && l.needed:
			return b, false, l.wrong(errors.New("is required"))
		case !given:
			values = make([]int64, len(b.starts))
			for i := range values {
				values[i] = l.otherwise(int64(i))
			}
		}
		*l.into = values
		known = known && ok
	}
	if !known {
		return b, false, nil
	}
	return b, true, o.check(b)
}

func (o slicing) check(b sliceBounds) error {
	n := len(b.starts)
	switch {
	case len(b.ends) != n:
		return o.ends.wrong(fmt.Errorf("has %d ends for %d starts", len(b.ends), n))
	case len(b.axes) != n:
		return o.axes.wrong(fmt.Errorf("has %d entries for %d starts", len(b.axes), n))
	case len(b.steps) != n:
		return o.steps.wrong(fmt.Errorf("has %d entries for %d starts", len(b.steps), n))
	case slices.Contains(b.steps, 0):
		return o.steps.wrong(errors.New("holds a step of 0"))
	}
	return nil
}

// newCut clamps start and end as numpy does (ONNX, Slice).
func newCut(start, end, step, size int64) cut {
	if size == -1 {
		return cut{0, step, -1}
	}
	if start < 0 {
		start += size
	}
	if end < 0 && end >= -size {
		end += size
	} else if end < -size {
		end = -1
	}
	if step > 0 {
		start, end = min(max(start, 0), size), min(max(end, 0), size)
		if end <= start {
			return cut{0, step, 0}
		}
		return cut{start, step, (end-start-1)/step + 1}
	}
	start, end = min(max(start, 0), size-1), min(max(end, -1), size-1)
	if start <= end {
		return cut{0, step, 0}
	}
	return cut{start, step, (start-end-1)/-max(step, -math.MaxInt64) + 1}
}

func (o slicing) Run(env *Env, in, out []*tensor.Tensor) error {
	cuts, _, err := o.cuts(infosOf(in))
	if err != nil {
		return err
	}
	from := kernel.Dense(in[0].Shape)
	for d, c := range cuts {
		from.Offset += int(c.start) * from.Strides[d]
		if c.n > 1 { // a step past the end is never taken, and could overflow
			from.Strides[d] *= int(c.step)
		}
	}
	return move(env, out[0], 0, in[0], from, out[0].Shape)
}
