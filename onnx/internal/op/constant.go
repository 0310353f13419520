package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func constantOperators() map[string]Spec {
	return map[string]Spec{
		"Constant":        {MaxOut: 1, Make: makeConstant},
		"ConstantOfShape": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeFill},
	}
}

// constant is a tensor in an attribute.
type constant struct{ tensor *tensor.Tensor }

// makeConstant takes the one attribute that holds the value.
func makeConstant(a *Attributes, _ int64) (Operator, error) {
	var all []*tensor.Tensor
	if at, ok := a.take("value", graph.Tensor); ok {
		all = append(all, at.T)
	}
	if at, ok := a.take("value_float", graph.Float); ok {
		all = append(all, tensor.Scalar(at.F))
	}
	if at, ok := a.take("value_floats", graph.Floats); ok {
		all = append(all, tensor.List(at.Floats...))
	}
	if at, ok := a.take("value_int", graph.Int); ok {
		all = append(all, tensor.Scalar(at.I))
	}
	if at, ok := a.take("value_ints", graph.Ints); ok {
		all = append(all, tensor.List(at.Ints...))
	}
	if at, ok := a.take("value_string", graph.String); ok {
		all = append(all, tensor.Scalar(at.S))
	}
	if at, ok := a.take("value_strings", graph.Strings); ok {
		all = append(all, tensor.List(at.Strings...))
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("has %d values, expected 1", len(all))
	}
	return constant{all[0]}, nil
}

func (o constant) Infer([]*Info) ([]Info, error) { return []Info{Known(o.tensor)}, nil }

func (o constant) Run(env *Env, _, out []*tensor.Tensor) error {
	return expand(env, out[0], o.tensor)
}

// fill makes a tensor of the shape in operand 0, every element the same.
type fill struct{ tensor *tensor.Tensor }

func makeFill(a *Attributes, _ int64) (Operator, error) {
	at, ok := a.take("value", graph.Tensor)
	if !ok {
		return fill{tensor.List[float32](0)}, nil
	}
	if at.T.Len() != 1 {
		return nil, fmt.Errorf(`attribute "value" has %d elements, expected 1`, at.T.Len())
	}
	return fill{at.T}, nil
}

func (o fill) Infer(in []*Info) ([]Info, error) {
	if err := needVector(in, 0); err != nil {
		return nil, err
	}
	want, ok := in[0].ints()
	if !ok {
		return []Info{unranked(o.tensor.Type)}, nil
	}
	for _, d := range want {
		if d < 0 {
			return nil, BadInput(0, "asks for dimension %d", d)
		}
	}
	return []Info{ranked(o.tensor.Type, want...)}, nil
}

func (o fill) Run(env *Env, _, out []*tensor.Tensor) error {
	scalar := *o.tensor
	scalar.Shape = nil
	return expand(env, out[0], &scalar)
}
