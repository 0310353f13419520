package op

import (
	"fmt"
	"math"
)

// squeeze drops dimensions of size one: those that the axes name, or all.
type squeeze struct {
	sameElements
	axes list
}

// The axes of Squeeze and Unsqueeze are an operand since operator set 13.
func makeSqueeze(a *Attributes, opset int64) (Operator, error) {
	o := squeeze{axes: listFrom(a, "axes", opset < 13, 1)}
	o.axes.scalar = true
	return o, nil
}

func (o squeeze) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	axes, named, known, err := o.axes.get(in)
	if err != nil {
		return nil, err
	}
	if !known || !in[0].Ranked || !named && !in[0].Complete() {
		return []Info{unranked(in[0].Type)}, nil
	}
	set, err := axesSet(axes, len(in[0].Shape))
	if err != nil {
		return nil, o.axes.wrong(err)
	}
	shape := []int64{}
	for i, d := range in[0].Shape {
		switch {
		case named && !set[i], !named && d != 1:
			shape = append(shape, d)
		case d != 1 && d != -1:
			return nil, BadInput(0, "dimension %d of shape %v is not 1", i, in[0].Shape)
		}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// unsqueeze adds dimensions of size one where the axes of the result say.
type unsqueeze struct {
	sameElements
	axes list
}

func makeUnsqueeze(a *Attributes, opset int64) (Operator, error) {
	if opset < 13 {
		a.need("axes")
	}
	o := unsqueeze{axes: listFrom(a, "axes", opset < 13, 1)}
	o.axes.scalar = true
	return o, nil
}

func (o unsqueeze) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	axes, given, known, err := o.axes.get(in)
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, BadInput(1, "is required")
	}
	if !known || !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	if len(axes) > math.MaxInt8 {
		return nil, o.axes.wrong(fmt.Errorf("names %d axes", len(axes)))
	}
	set, err := axesSet(axes, len(in[0].Shape)+len(axes))
	if err != nil {
		return nil, o.axes.wrong(err)
	}
	shape, rest := make([]int64, 0, len(set)), in[0].Shape
	for _, added := range set {
		if added {
			shape = append(shape, 1)
			continue
		}
		shape = append(shape, rest[0])
		rest = rest[1:]
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}
