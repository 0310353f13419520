package onnx

import (
	"context"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// compare is an operator on two operands of one type that broadcast together and
// gives bools. A nil function means that the operator does not take that type.
type compare struct {
	f32  kernel.Zip2[float32, bool]
	i64  kernel.Zip2[int64, bool]
	str  kernel.Zip2[string, bool]
	bool kernel.Zip2[bool, bool]
}

func logicOperators() map[string]operatorSpec {
	two := func(op operator) operatorSpec {
		return operatorSpec{2, 2, 1, func(*attributes, int64) (operator, error) { return op, nil }}
	}
	return map[string]operatorSpec{
		"Equal": {2, 2, 1, makeEqual},
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
		"And":   two(compare{bool: kernel.Each(func(a, b bool) bool { return a && b })}),
		"Or":    two(compare{bool: kernel.Each(func(a, b bool) bool { return a || b })}),
		"Xor":   two(compare{bool: kernel.Each(func(a, b bool) bool { return a != b })}),
		"Not":   {1, 1, 1, func(*attributes, int64) (operator, error) { return not{}, nil }},
		"Where": {3, 3, 1, func(*attributes, int64) (operator, error) { return where{}, nil }},
	}
}

// makeEqual leaves strings out before opset 19, which added them.
func makeEqual(_ *attributes, opset int64) (operator, error) {
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

func (o compare) types() []DataType {
	var t []DataType
	if o.f32 != nil {
		t = append(t, Float32)
	}
	if o.i64 != nil {
		t = append(t, Int64)
	}
	if o.bool != nil {
		t = append(t, Bool)
	}
	if o.str != nil {
		t = append(t, String)
	}
	return t
}

func (o compare) infer(in []*info) ([]info, error) {
	if err := needSame(in, o.types()...); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []info{{typ: Bool, ranked: isRanked, shape: shape}}, err
}

func (o compare) run(ctx context.Context, in, out []*Tensor) error {
	a, b, dst, shape := in[0], in[1], out[0].Bool, out[0].Shape
	switch a.Type {
	case Float32:
		return zip(ctx, shape, dst, a.Shape, a.F32, b.Shape, b.F32, o.f32)
	case Int64:
		return zip(ctx, shape, dst, a.Shape, a.I64, b.Shape, b.I64, o.i64)
	case String:
		return zip(ctx, shape, dst, a.Shape, a.Str, b.Shape, b.Str, o.str)
	default:
		return zip(ctx, shape, dst, a.Shape, a.Bool, b.Shape, b.Bool, o.bool)
	}
}

type not struct{}

func (not) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, Bool); err != nil {
		return nil, err
	}
	return []info{{typ: Bool, ranked: in[0].ranked, shape: in[0].shape}}, nil
}

func (not) run(ctx context.Context, in, out []*Tensor) error {
	return apply(ctx, out[0].Bool, in[0].Bool, func(x bool) bool { return !x })
}

// where takes elements of operand 1 where operand 0 is true, else of operand 2.
type where struct{}

func (where) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, Bool); err != nil {
		return nil, err
	}
	if err := needType(in, 1, anyType()...); err != nil {
		return nil, err
	}
	if err := needType(in, 2, in[1].typ); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []info{{typ: in[1].typ, ranked: isRanked, shape: shape}}, err
}

func (where) run(ctx context.Context, in, out []*Tensor) error {
	shape := out[0].Shape
	operands := []kernel.Operand{kernel.Dense(shape)}
	for _, t := range in {
		operands = append(operands, kernel.Broadcast(t.Shape, shape))
	}
	var pick kernel.Run
	switch out[0].Type {
	case Float32:
		pick = picker(out[0].F32, in[0].Bool, in[1].F32, in[2].F32)
	case Int64:
		pick = picker(out[0].I64, in[0].Bool, in[1].I64, in[2].I64)
	case String:
		pick = picker(out[0].Str, in[0].Bool, in[1].Str, in[2].Str)
	default:
		pick = picker(out[0].Bool, in[0].Bool, in[1].Bool, in[2].Bool)
	}
	return kernel.Walk(ctx, shape, operands, pick)
}

func picker[T any](dst []T, choose []bool, a, b []T) kernel.Run {
	return func(n int, at, step []int) error {
		for i := range n {
			if choose[at[1]+i*step[1]] {
				dst[at[0]+i] = a[at[2]+i*step[2]]
			} else {
				dst[at[0]+i] = b[at[3]+i*step[3]]
			}
		}
		return nil
	}
}
