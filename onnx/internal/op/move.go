package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func moveOperators() map[string]Spec {
	return map[string]Spec{
		"Transpose": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeTranspose},
		"Concat":    {MinIn: 1, MaxIn: Variadic, MaxOut: 1, Make: makeConcat},
		"Slice":     {MinIn: 3, MaxIn: 5, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return slicing{}, nil }},
		"Gather":    {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(a *Attributes, _ int64) (Operator, error) { return gather{a.int("axis", 0)}, nil }},
		"Expand":    {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return expanding{}, nil }},
	}
}

// transpose permutes dimensions; without a permutation it reverses them.
type transpose struct {
	perm  []int64
	given bool
}

func makeTranspose(a *Attributes, _ int64) (Operator, error) {
	perm, given := a.ints("perm")
	return transpose{perm, given}, nil
}

// order returns the operand's dimension for each dimension of the result.
func (o transpose) order(rank int) ([]int64, error) {
	if !o.given {
		perm := make([]int64, rank)
		for i := range perm {
			perm[i] = int64(rank - 1 - i)
		}
		return perm, nil
	}
	if len(o.perm) != rank {
		return nil, fmt.Errorf("attribute \"perm\" has %d entries, the operand has rank %d", len(o.perm), rank)
	}
	for _, p := range o.perm {
		if p < 0 {
			return nil, fmt.Errorf("attribute \"perm\" holds %d", p)
		}
	}
	if _, err := axesSet(o.perm, rank); err != nil {
		return nil, fmt.Errorf("attribute \"perm\": %w", err)
	}
	return o.perm, nil
}

func (o transpose) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	perm, err := o.order(len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	shape := make([]int64, len(perm))
	for i, p := range perm {
		shape[i] = in[0].Shape[p]
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (o transpose) Run(env *Env, in, out []*tensor.Tensor) error {
	perm, err := o.order(len(in[0].Shape))
	if err != nil {
		return err
	}
	own := kernel.Strides(in[0].Shape)
	from := kernel.Operand{Strides: make([]int, len(perm))}
	for i, p := range perm {
		from.Strides[i] = own[p]
	}
	return move(env, out[0], 0, in[0], from, out[0].Shape)
}

// concat joins operands along an axis.
type concat struct{ axis int64 }

func makeConcat(a *Attributes, _ int64) (Operator, error) {
	if !a.has("axis") {
		return nil, fmt.Errorf("attribute \"axis\" is required")
	}
	return concat{a.int("axis", 0)}, nil
}

func (o concat) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, anyType()...); err != nil {
		return nil, err
	}
	var shape []int64
	at, open := 0, false
	for i, v := range in {
		if !v.Ranked {
			open = true
			continue
		}
		if shape == nil {
			var err error
			if at, err = axis(o.axis, len(v.Shape)); err != nil {
				return nil, &OperandError{i, err}
			}
			shape = slices.Clone(v.Shape)
			continue
		}
		if err := o.join(shape, v.Shape, at); err != nil {
			return nil, &OperandError{i, err}
		}
	}
	if shape == nil {
		return []Info{unranked(in[0].Type)}, nil
	}
	if open {
		shape[at] = -1
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// join adds shape next to shape along dimension at.
func (o concat) join(shape, next []int64, at int) error {
	if len(shape) != len(next) {
		return fmt.Errorf("has shape %v, those before have rank %d", next, len(shape))
	}
	for d := range shape {
		if d != at {
			var ok bool
			if shape[d], ok = sameDim(shape[d], next[d]); !ok {
				return fmt.Errorf("has shape %v, which does not fit along axis %d", next, at)
			}
			continue
		}
		if shape[d] == -1 || next[d] == -1 {
			shape[d] = -1
			continue
		}
		if shape[d] > math.MaxInt64-next[d] {
			return fmt.Errorf("makes dimension %d overflow", d)
		}
		shape[d] += next[d]
	}
	return nil
}

func (o concat) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(out[0].Shape))
	if err != nil {
		return err
	}
	strides := kernel.Strides(out[0].Shape)
	offset := 0
	for _, t := range in {
		to := kernel.Operand{Offset: offset, Strides: strides}
		if err := copyTo(env, out[0], to, t, kernel.Dense(t.Shape), t.Shape); err != nil {
			return err
		}
		offset += strides[at] * int(t.Shape[at])
	}
	return nil
}

// slicing takes every step-th element between start and end along some axes.
// Operands: data, starts, ends, axes (optional), steps (optional).
type slicing struct{}

// cut is one dimension's share: n elements from start on, step apart.
type cut struct{ start, step, n int64 }

func (o slicing) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	allKnown := true
	for i := 1; i < len(in); i++ {
		if in[i] == nil && i > 2 {
			continue
		}
		if err := needVector(in, i); err != nil {
			return nil, err
		}
		_, ok := in[i].ints()
		allKnown = allKnown && ok
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	if !allKnown {
		return []Info{ranked(in[0].Type, openShape(len(in[0].Shape))...)}, nil
	}
	cuts, err := o.cuts(in)
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(in[0].Shape)
	for d, c := range cuts {
		shape[d] = c.n
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// cuts works out the share of every dimension; n is -1 where it is open.
func (o slicing) cuts(in []*Info) ([]cut, error) {
	shape := in[0].Shape
	cuts := make([]cut, len(shape))
	for d, size := range shape {
		cuts[d] = cut{0, 1, size}
	}
	starts, _ := in[1].ints()
	ends, _ := in[2].ints()
	if len(ends) != len(starts) {
		return nil, BadInput(2, "has %d ends for %d starts", len(ends), len(starts))
	}
	axes := make([]int64, len(starts))
	for i := range axes {
		axes[i] = int64(i)
	}
	steps := slices.Repeat([]int64{1}, len(starts))
	for i, list := range []*[]int64{&axes, &steps} {
		if len(in) <= i+3 || in[i+3] == nil {
			continue
		}
		v, _ := in[i+3].ints()
		if len(v) != len(starts) {
			return nil, BadInput(i+3, "has %d entries for %d starts", len(v), len(starts))
		}
		*list = v
	}
	if _, err := axesSet(axes, len(shape)); err != nil {
		return nil, &OperandError{3, err}
	}
	for i, a := range axes {
		d, _ := axis(a, len(shape))
		if steps[i] == 0 {
			return nil, BadInput(4, "holds a step of 0")
		}
		cuts[d] = newCut(starts[i], ends[i], steps[i], shape[d])
	}
	return cuts, nil
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
	infos := make([]*Info, len(in))
	for i, t := range in {
		if t != nil {
			v := Known(t)
			infos[i] = &v
		}
	}
	cuts, err := o.cuts(infos)
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

// gather picks slices of operand 0 along an axis by the indices in operand 1.
type gather struct{ axis int64 }

func (o gather) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if err := needType(in, 1, tensor.Int64); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	if v, ok := in[1].ints(); ok && in[0].Shape[at] != -1 {
		if err := within(v, in[0].Shape[at]); err != nil {
			return nil, err
		}
	}
	if !in[1].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	return []Info{ranked(in[0].Type, slices.Concat(in[0].Shape[:at], in[1].Shape, in[0].Shape[at+1:])...)}, nil
}

func (o gather) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	size := in[0].Shape[at]
	if err := within(tensor.Data[int64](in[1]), size); err != nil {
		return err
	}
	lanes := kernel.LanesOf(in[0].Shape, at)
	inner := int64(lanes.Inner)
	shape := []int64{int64(lanes.Outer), inner}
	to := kernel.Operand{Strides: []int{len(tensor.Data[int64](in[1])) * lanes.Inner, 1}}
	from := kernel.Operand{Strides: []int{lanes.N * lanes.Inner, 1}}
	for i, index := range tensor.Data[int64](in[1]) {
		if index < 0 {
			index += size
		}
		to.Offset, from.Offset = i*lanes.Inner, int(index)*lanes.Inner
		if err := copyTo(env, out[0], to, in[0], from, shape); err != nil {
			return err
		}
	}
	return nil
}

// within refuses indices (operand 1) that are outside of a dimension.
func within(indices []int64, size int64) error {
	for _, i := range indices {
		if i < -size || i >= size {
			return BadInput(1, "index %d is outside of dimension %d", i, size)
		}
	}
	return nil
}

// expanding repeats operand 0 to the shape in operand 1, both ways broadcast.
type expanding struct{}

func (expanding) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	want, ok := in[1].ints()
	if !ok || !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	for _, d := range want {
		if d < 0 {
			return nil, BadInput(1, "asks for dimension %d", d)
		}
	}
	shape, err := broadcastShapes(in[0].Shape, want)
	if err != nil {
		return nil, &OperandError{1, err}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (expanding) Run(env *Env, in, out []*tensor.Tensor) error { return expand(env, out[0], in[0]) }
