package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func shapeOperators() map[string]Spec {
	return map[string]Spec{
		"Identity":  {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: always(identity{})},
		"Reshape":   {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeReshape, Since: 5},
		"Flatten":   {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: func(a *Attributes, _ int64) (Operator, error) { return flatten{axis: a.int("axis", 1)}, nil }},
		"Squeeze":   {MinIn: 1, MaxIn: 2, MaxOut: 1, Make: makeSqueeze},
		"Unsqueeze": {MinIn: 1, MaxIn: 2, MaxOut: 1, Make: makeUnsqueeze},
		"Shape":     {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeShape},
		"Size":      {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: always(sizeOf{})},
		"BitCast":   {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeBitCast, Since: 26},
	}
}

// sameElements is the part that all operators share whose result is operand 0
// under another shape.
type sameElements struct{}

func (sameElements) View()                                   {}
func (sameElements) Run(_ *Env, _, _ []*tensor.Tensor) error { return nil }

// identity takes lists too.
type identity struct{ sameElements }

func (identity) Infer(in []*Info) ([]Info, error) {
	if in[0] == nil {
		return nil, BadInput(0, "is required")
	}
	return []Info{*in[0]}, nil
}

// reshape takes the new shape from operand 1: -1 once for "what is left", and 0
// for "as it was" unless allowzero.
type reshape struct {
	sameElements
	allowZero bool
}

func makeReshape(a *Attributes, opset int64) (Operator, error) {
	o := reshape{}
	if opset >= 14 {
		o.allowZero = a.flag("allowzero", false)
	}
	return o, nil
}

func (o reshape) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	want, ok := in[1].ints()
	if !ok {
		if in[1].Complete() && in[1].Shape[0] < math.MaxInt8 {
			return []Info{ranked(in[0].Type, openShape(int(in[1].Shape[0]))...)}, nil
		}
		return []Info{unranked(in[0].Type)}, nil
	}
	shape, err := o.resolve(want, in[0])
	if err != nil {
		return nil, &OperandError{1, err}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// resolve replaces 0 and -1 in the wanted shape as far as the operand is known.
func (o reshape) resolve(want []int64, from *Info) ([]int64, error) {
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
			if !from.Ranked {
				shape[i], open = -1, true
				continue
			}
			if i >= len(from.Shape) {
				return nil, fmt.Errorf("asks for dimension %d of %s", i, *from)
			}
			shape[i] = from.Shape[i]
			open = open || shape[i] == -1
		}
	}
	if open || !from.Complete() {
		return shape, nil
	}
	return fillRest(shape, rest, from.Shape)
}

// fillRest sets dimension rest (-1: none) so that the element counts agree.
func fillRest(shape []int64, rest int, from []int64) ([]int64, error) {
	have, err := tensor.Count(from)
	if err != nil {
		return nil, err
	}
	if rest >= 0 {
		shape[rest] = 1
		others, err := tensor.Count(shape)
		if err != nil {
			return nil, err
		}
		if others == 0 || have%others != 0 {
			return nil, fmt.Errorf("cannot fit %d elements of shape %v: the other dimensions have %d", have, from, others)
		}
		shape[rest] = have / others
	}
	got, err := tensor.Count(shape)
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

func (o flatten) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{ranked(in[0].Type, -1, -1)}, nil
	}
	shape := in[0].Shape
	if o.axis < -int64(len(shape)) || o.axis > int64(len(shape)) {
		return nil, BadInput(0, "axis %d is outside of rank %d", o.axis, len(shape))
	}
	at := o.axis
	if at < 0 {
		at += int64(len(shape))
	}
	rows, err := countOpen(shape[:at])
	if err != nil {
		return nil, &OperandError{0, err}
	}
	columns, err := countOpen(shape[at:])
	if err != nil {
		return nil, &OperandError{0, err}
	}
	return []Info{ranked(in[0].Type, rows, columns)}, nil
}

// countOpen multiplies dimensions; -1 if one is open.
func countOpen(shape []int64) (int64, error) {
	if slices.Contains(shape, -1) {
		return -1, nil
	}
	return tensor.Count(shape)
}

// shapeOf gives the dimensions of its operand from start to end.
type shapeOf struct{ start, end int64 }

func makeShape(a *Attributes, opset int64) (Operator, error) {
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

func (o shapeOf) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{ranked(tensor.Int64, -1)}, nil
	}
	dims := o.slice(in[0].Shape)
	out := ranked(tensor.Int64, int64(len(dims)))
	if !slices.Contains(dims, -1) {
		out.Value = tensor.List(slices.Clone(dims)...)
	}
	return []Info{out}, nil
}

func (o shapeOf) Run(_ *Env, in, out []*tensor.Tensor) error {
	copy(tensor.Data[int64](out[0]), o.slice(in[0].Shape))
	return nil
}

// sizeOf gives the number of elements of its operand, a scalar.
type sizeOf struct{}

func (sizeOf) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	out := ranked(tensor.Int64)
	if in[0].Complete() {
		n, err := tensor.Count(in[0].Shape)
		if err != nil {
			return nil, &OperandError{0, err}
		}
		out.Value = tensor.Scalar(n)
	}
	return []Info{out}, nil
}

func (sizeOf) Run(_ *Env, in, out []*tensor.Tensor) error {
	tensor.Data[int64](out[0])[0] = int64(in[0].Len())
	return nil
}
