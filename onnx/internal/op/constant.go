package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func constantOperators() map[string]Spec {
	return map[string]Spec{
		"Constant":        {MinIn: 0, MaxIn: 0, MaxOut: 1, Make: makeConstant},
		"ConstantOfShape": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeFill},
		"Cast":            {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeCast},
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
		return nil, fmt.Errorf("attribute \"value\" has %d elements, expected 1", at.T.Len())
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

// cast converts between float32, int64 and bool.
type cast struct{ to tensor.DataType }

func makeCast(a *Attributes, opset int64) (Operator, error) {
	if !a.has("to") {
		return nil, errors.New("attribute \"to\" is required")
	}
	to := tensor.TypeNumbered(a.int("to", 0))
	if opset >= 19 {
		a.flag("saturate", true) // of float8 only
	}
	if opset >= 24 && a.has("round_mode") {
		a.take("round_mode", graph.String) // of float8e8m0 only
	}
	if to != tensor.Float32 && to != tensor.Int64 && to != tensor.Bool {
		return nil, fmt.Errorf("to %s is not supported; this engine casts to float32, int64 and bool", to)
	}
	return cast{to}, nil
}

func (o cast) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32, tensor.Int64, tensor.Bool); err != nil {
		return nil, err
	}
	return []Info{{Type: o.to, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (o cast) Run(env *Env, in, out []*tensor.Tensor) error {
	from, to := in[0], out[0]
	switch {
	case from.Type == to.Type:
		return move(env, to, 0, from, kernel.Dense(from.Shape), from.Shape)
	case to.Type == tensor.Float32 && from.Type == tensor.Int64:
		return apply(env, tensor.Data[float32](to), tensor.Data[int64](from), func(x int64) float32 { return float32(x) })
	case to.Type == tensor.Float32:
		return apply(env, tensor.Data[float32](to), tensor.Data[bool](from), func(x bool) float32 { return float32(oneIf(x)) })
	case to.Type == tensor.Int64 && from.Type == tensor.Float32:
		return apply(env, tensor.Data[int64](to), tensor.Data[float32](from), truncate)
	case to.Type == tensor.Int64:
		return apply(env, tensor.Data[int64](to), tensor.Data[bool](from), oneIf)
	case from.Type == tensor.Float32:
		return apply(env, tensor.Data[bool](to), tensor.Data[float32](from), func(x float32) bool { return x != 0 })
	}
	return apply(env, tensor.Data[bool](to), tensor.Data[int64](from), func(x int64) bool { return x != 0 })
}

func oneIf(x bool) int64 {
	if x {
		return 1
	}
	return 0
}

// truncate rounds toward zero. What does not fit (NaN too) becomes the smallest
// int64, which is what x86 hardware gives; Go leaves it to the machine.
func truncate(x float32) int64 {
	if x >= -(1<<63) && x < 1<<63 {
		return int64(x)
	}
	return math.MinInt64
}
