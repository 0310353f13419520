package op

import (
	"github.com/blindbox/blindbox/onnx/tensor"
)

// centerCropPad cuts or fills dimensions at both ends to the sizes in operand 1.
type centerCropPad struct {
	axes  []int64
	named bool
}

func makeCenterCropPad(a *Attributes, _ int64) (Operator, error) {
	axes, named := a.ints("axes")
	return centerCropPad{axes, named}, nil
}

func (o centerCropPad) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needIndices(in, 1); err != nil {
		return nil, err
	}
	if _, ok := in[1].indices(); !ok || !in[0].Ranked {
		return []Info{sameRank(in[0])}, nil
	}
	shape, _, err := o.target(in)
	if err != nil {
		return nil, err
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// target is the shape of the result and its margins around the operand.
func (o centerCropPad) target(in []*Info) ([]int64, margins, error) {
	want, _ := in[1].indices()
	shape := append([]int64{}, in[0].Shape...)
	m := margins{make([]int64, len(shape)), make([]int64, len(shape))}
	axes := o.axes
	if !o.named {
		axes = counting(len(shape))
	}
	if _, err := axesSet(axes, len(shape)); err != nil {
		return nil, m, attributeError("axes", err)
	}
	if len(want) != len(axes) {
		return nil, m, BadInput(1, "has %d entries for %d dimensions", len(want), len(axes))
	}
	for i, a := range axes {
		d, _ := axis(a, len(shape))
		if want[i] < 0 {
			return nil, m, BadInput(1, "asks for dimension %d", want[i])
		}
		more := want[i] - shape[d]
		m.before[d] = more / 2 // toward zero, as the specification cuts and fills
		m.after[d] = more - m.before[d]
		shape[d] = want[i]
	}
	return shape, m, nil
}

func (o centerCropPad) Run(env *Env, in, out []*tensor.Tensor) error {
	_, m, err := o.target(infosOf(in))
	if err != nil {
		return err
	}
	value, err := tensor.New(in[0].Type, nil)
	if err != nil {
		return err
	}
	return m.surround(env, out[0], in[0], value)
}
