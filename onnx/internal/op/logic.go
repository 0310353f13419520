package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// compare is an operator on two operands of one type that broadcast together and
// gives bools. A nil function means that the operator does not take that type.
type compare struct {
	f32  kernel.Zip2[float32, bool]
	i64  kernel.Zip2[int64, bool]
	str  kernel.Zip2[string, bool]
	bool kernel.Zip2[bool, bool]
}

func logicOperators() map[string]Spec {
	two := func(op Operator) Spec {
		return Spec{MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return op, nil }}
	}
	return map[string]Spec{
		"Equal": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeEqual},
		"Less": two(compare{
			f32: kernel.Each(func(a, b float32) bool { return a < b }),
			i64: kernel.Each(func(a, b int64) bool { return a < b })}),
		"LessOrEqual": two(compare{
			f32: kernel.Each(func(a, b float32) bool { return a <= b }),
			i64: kernel.Each(func(a, b int64) bool { return a <= b })}),
		"Greater": two(compare{
			f32: kernel.Each(func(a, b float32) bool { return a > b }),
			i64: kernel.Each(func(a, b int64) bool { return a > b })}),
		"GreaterOrEqual": two(compare{
			f32: kernel.Each(func(a, b float32) bool { return a >= b }),
			i64: kernel.Each(func(a, b int64) bool { return a >= b })}),
		"And": two(compare{bool: kernel.Each(func(a, b bool) bool { return a && b })}),
		"Or":  two(compare{bool: kernel.Each(func(a, b bool) bool { return a || b })}),
		"Xor": two(compare{bool: kernel.Each(func(a, b bool) bool { return a != b })}),
		"Not": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return not{}, nil }},
	}
}

// makeEqual leaves strings out before opset 19, which added them.
func makeEqual(_ *Attributes, opset int64) (Operator, error) {
	o := compare{
		f32:  kernel.Each(func(a, b float32) bool { return a == b }),
		i64:  kernel.Each(func(a, b int64) bool { return a == b }),
		bool: kernel.Each(func(a, b bool) bool { return a == b }),
	}
	if opset >= 19 {
		o.str = kernel.Each(func(a, b string) bool { return a == b })
	}
	return o, nil
}

func (o compare) types() []tensor.DataType {
	var t []tensor.DataType
	if o.f32 != nil {
		t = append(t, tensor.Float32)
	}
	if o.i64 != nil {
		t = append(t, tensor.Int64)
	}
	if o.bool != nil {
		t = append(t, tensor.Bool)
	}
	if o.str != nil {
		t = append(t, tensor.String)
	}
	return t
}

func (o compare) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, o.types()...); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []Info{{Type: tensor.Bool, Ranked: isRanked, Shape: shape}}, err
}

func (o compare) Run(env *Env, in, out []*tensor.Tensor) error {
	a, b, dst, shape := in[0], in[1], tensor.Data[bool](out[0]), out[0].Shape
	switch a.Type {
	case tensor.Float32:
		return zip(env, shape, dst, a.Shape, tensor.Data[float32](a), b.Shape, tensor.Data[float32](b), o.f32)
	case tensor.Int64:
		return zip(env, shape, dst, a.Shape, tensor.Data[int64](a), b.Shape, tensor.Data[int64](b), o.i64)
	case tensor.String:
		return zip(env, shape, dst, a.Shape, tensor.Data[string](a), b.Shape, tensor.Data[string](b), o.str)
	default:
		return zip(env, shape, dst, a.Shape, tensor.Data[bool](a), b.Shape, tensor.Data[bool](b), o.bool)
	}
}

type not struct{}

func (not) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Bool); err != nil {
		return nil, err
	}
	return []Info{{Type: tensor.Bool, Ranked: in[0].Ranked, Shape: in[0].Shape}}, nil
}

func (not) Run(env *Env, in, out []*tensor.Tensor) error {
	return apply(env, tensor.Data[bool](out[0]), tensor.Data[bool](in[0]), func(x bool) bool { return !x })
}
