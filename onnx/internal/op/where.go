package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// where takes elements of operand 1 where operand 0 is true, else of operand 2.
type where struct{}

func (where) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Bool); err != nil {
		return nil, err
	}
	if err := needTensor(in, 1); err != nil {
		return nil, err
	}
	if err := needType(in, 2, in[1].Type); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []Info{{Type: in[1].Type, Ranked: isRanked, Shape: shape}}, err
}

func (where) Run(env *Env, in, out []*tensor.Tensor) error {
	shape := out[0].Shape
	operands := []kernel.Operand{kernel.Dense(shape)}
	for _, t := range in {
		operands = append(operands, kernel.Broadcast(t.Shape, shape))
	}
	return kernel.Walk(env.On, shape, operands, moverOf(out[0].Type).pick(out[0], in[0], in[1], in[2]))
}
