package onnx

import (
	"context"
	"fmt"
	"math"
	"slices"
)

func shapeOperators() map[string]operatorSpec {
	return map[string]operatorSpec{
		"Identity":  {1, 1, 1, func(*attributes, int64) (operator, error) { return identity{}, nil }},
		"Reshape":   {2, 2, 1, makeReshape},
		"Flatten":   {1, 1, 1, func(a *attributes, _ int64) (operator, error) { return flatten{axis: a.int("axis", 1)}, nil }},
		"Squeeze":   {1, 2, 1, func(*attributes, int64) (operator, error) { return squeeze{}, nil }},
		"Unsqueeze": {2, 2, 1, func(*attributes, int64) (operator, error) { return unsqueeze{}, nil }},
		"Shape":     {1, 1, 1, makeShape},
	}
}

// sameElements is the part that all operators share whose result is operand 0
// under another shape.
type sameElements struct{}

func (sameElements) view()                                       {}
func (sameElements) run(_ context.Context, _, _ []*Tensor) error { return nil }

type identity struct{ sameElements }

func (identity) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	return []info{*in[0]}, nil
}

// reshape takes the new shape from operand 1: -1 once for "what is left", and 0
// for "as it was" unless allowzero.
type reshape struct {
	sameElements
	allowZero bool
}

func makeReshape(a *attributes, opset int64) (operator, error) {
	o := reshape{}
	if opset >= 14 {
		o.allowZero = a.flag("allowzero", false)
	}
	return o, nil
}

func (o reshape) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	want, ok := in[1].ints()
	if !ok {
		if in[1].complete() && in[1].shape[0] < math.MaxInt8 {
			return []info{ranked(in[0].typ, openShape(int(in[1].shape[0]))...)}, nil
		}
		return []info{unranked(in[0].typ)}, nil
	}
	shape, err := o.resolve(want, in[0])
	if err != nil {
		return nil, &operandError{1, err}
	}
	return []info{ranked(in[0].typ, shape...)}, nil
}

// resolve replaces 0 and -1 in the wanted shape as far as the operand is known.
func (o reshape) resolve(want []int64, from *info) ([]int64, error) {
	shape := slices.Clone(want)
	rest, open := -1, false
	for i, d := range want {
		switch {
		case d < -1:
			return nil, fmt.Errorf("asks for dimension %d", d)
		case d == -1 && rest >= 0:
			return nil, fmt.Errorf("asks for -1 twice in %v", want)
		case d == -1:
			rest = i
		case d == 0 && !o.allowZero:
			if !from.ranked {
				shape[i], open = -1, true
				continue
			}
			if i >= len(from.shape) {
				return nil, fmt.Errorf("asks for dimension %d of %s", i, *from)
			}
			shape[i] = from.shape[i]
			open = open || shape[i] == -1
		}
	}
	if open || !from.complete() {
		return shape, nil
	}
	return fillRest(shape, rest, from.shape)
}

// fillRest sets dimension rest (-1: none) so that the element counts agree.
func fillRest(shape []int64, rest int, from []int64) ([]int64, error) {
	have, err := countElements(from)
	if err != nil {
		return nil, err
	}
	if rest >= 0 {
		shape[rest] = 1
		others, err := countElements(shape)
		if err != nil {
			return nil, err
		}
		if others == 0 || have%others != 0 {
			return nil, fmt.Errorf("cannot fit %d elements of shape %v: the other dimensions have %d", have, from, others)
		}
		shape[rest] = have / others
	}
	got, err := countElements(shape)
	if err != nil {
		return nil, err
	}
	if got != have {
		return nil, fmt.Errorf("shape %v has %d elements, operand of shape %v has %d", shape, got, from, have)
	}
	return shape, nil
}

// flatten makes a matrix: the dimensions before axis, and those from it on.
type flatten struct {
	sameElements
	axis int64
}

func (o flatten) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if !in[0].ranked {
		return []info{ranked(in[0].typ, -1, -1)}, nil
	}
	shape := in[0].shape
	if o.axis < -int64(len(shape)) || o.axis > int64(len(shape)) {
		return nil, badInput(0, "axis %d is outside of rank %d", o.axis, len(shape))
	}
	at := o.axis
	if at < 0 {
		at += int64(len(shape))
	}
	rows, err := countOpen(shape[:at])
	if err != nil {
		return nil, &operandError{0, err}
	}
	columns, err := countOpen(shape[at:])
	if err != nil {
		return nil, &operandError{0, err}
	}
	return []info{ranked(in[0].typ, rows, columns)}, nil
}

// countOpen multiplies dimensions; -1 if one is open.
func countOpen(shape []int64) (int64, error) {
	if slices.Contains(shape, -1) {
		return -1, nil
	}
	return countElements(shape)
}

// squeeze drops dimensions of size one: those named by operand 1, or all.
type squeeze struct{ sameElements }

func (squeeze) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	var axes []int64
	named := len(in) > 1 && in[1] != nil
	if named {
		if err := needVector(in, 1); err != nil {
			return nil, err
		}
		var ok bool
		if axes, ok = in[1].ints(); !ok {
			return []info{unranked(in[0].typ)}, nil
		}
	}
	if !in[0].ranked || !named && !in[0].complete() {
		return []info{unranked(in[0].typ)}, nil
	}
	set, err := axesSet(axes, len(in[0].shape))
	if err != nil {
		return nil, &operandError{1, err}
	}
	shape := []int64{}
	for i, d := range in[0].shape {
		switch {
		case named && !set[i], !named && d != 1:
			shape = append(shape, d)
		case d != 1 && d != -1:
			return nil, badInput(0, "dimension %d of shape %v is not 1", i, in[0].shape)
		}
	}
	return []info{ranked(in[0].typ, shape...)}, nil
}

// unsqueeze adds dimensions of size one where operand 1 says.
type unsqueeze struct{ sameElements }

func (unsqueeze) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	axes, ok := in[1].ints()
	if !ok || !in[0].ranked {
		return []info{unranked(in[0].typ)}, nil
	}
	if len(axes) > math.MaxInt8 {
		return nil, badInput(1, "names %d axes", len(axes))
	}
	set, err := axesSet(axes, len(in[0].shape)+len(axes))
	if err != nil {
		return nil, &operandError{1, err}
	}
	shape, rest := make([]int64, 0, len(set)), in[0].shape
	for _, added := range set {
		if added {
			shape = append(shape, 1)
			continue
		}
		shape = append(shape, rest[0])
		rest = rest[1:]
	}
	return []info{ranked(in[0].typ, shape...)}, nil
}

// shapeOf gives the dimensions of its operand from start to end.
type shapeOf struct{ start, end int64 }

func makeShape(a *attributes, opset int64) (operator, error) {
	o := shapeOf{0, math.MaxInt64}
	if opset >= 15 {
		o = shapeOf{a.int("start", 0), a.int("end", math.MaxInt64)}
	}
	return o, nil
}

// slice picks the dimensions: out-of-range bounds are clamped (ONNX, Shape).
func (o shapeOf) slice(shape []int64) []int64 {
	n := int64(len(shape))
	clamp := func(v int64) int64 {
		if v < 0 {
			v += n
		}
		return min(max(v, 0), n)
	}
	start, end := clamp(o.start), clamp(o.end)
	return shape[start:max(start, end)]
}

func (o shapeOf) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if !in[0].ranked {
		return []info{ranked(Int64, -1)}, nil
	}
	dims := o.slice(in[0].shape)
	out := ranked(Int64, int64(len(dims)))
	if !slices.Contains(dims, -1) {
		out.value = &Tensor{Type: Int64, Shape: []int64{int64(len(dims))}, I64: slices.Clone(dims)}
	}
	return []info{out}, nil
}

func (o shapeOf) run(_ context.Context, in, out []*Tensor) error {
	copy(out[0].I64, o.slice(in[0].Shape))
	return nil
}
