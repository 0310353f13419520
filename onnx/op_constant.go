package onnx

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func constantOperators() map[string]operatorSpec {
	return map[string]operatorSpec{
		"Constant":        {0, 0, 1, makeConstant},
		"ConstantOfShape": {1, 1, 1, makeFill},
		"Cast":            {1, 1, 1, makeCast},
	}
}

// constant is a tensor in an attribute.
type constant struct{ tensor *Tensor }

// makeConstant takes the one attribute that holds the value.
func makeConstant(a *attributes, _ int64) (operator, error) {
	var all []*Tensor
	if at, ok := a.take("value", attrTensor); ok {
		all = append(all, at.t)
	}
	if at, ok := a.take("value_float", attrFloat); ok {
		all = append(all, &Tensor{Type: Float32, F32: []float32{at.f}})
	}
	if at, ok := a.take("value_floats", attrFloats); ok {
		all = append(all, &Tensor{Type: Float32, Shape: []int64{int64(len(at.floats))}, F32: at.floats})
	}
	if at, ok := a.take("value_int", attrInt); ok {
		all = append(all, &Tensor{Type: Int64, I64: []int64{at.i}})
	}
	if at, ok := a.take("value_ints", attrInts); ok {
		all = append(all, &Tensor{Type: Int64, Shape: []int64{int64(len(at.ints))}, I64: at.ints})
	}
	if at, ok := a.take("value_string", attrString); ok {
		all = append(all, &Tensor{Type: String, Str: []string{at.s}})
	}
	if at, ok := a.take("value_strings", attrStrings); ok {
		all = append(all, &Tensor{Type: String, Shape: []int64{int64(len(at.strings))}, Str: at.strings})
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("has %d values, expected 1", len(all))
	}
	return constant{all[0]}, nil
}

func (o constant) infer([]*info) ([]info, error) { return []info{known(o.tensor)}, nil }

func (o constant) run(ctx context.Context, _, out []*Tensor) error {
	return expand(ctx, out[0], o.tensor)
}

// fill makes a tensor of the shape in operand 0, every element the same.
type fill struct{ tensor *Tensor }

func makeFill(a *attributes, _ int64) (operator, error) {
	at, ok := a.take("value", attrTensor)
	if !ok {
		return fill{&Tensor{Type: Float32, Shape: []int64{1}, F32: []float32{0}}}, nil
	}
	if at.t.Len() != 1 {
		return nil, fmt.Errorf("attribute \"value\" has %d elements, expected 1", at.t.Len())
	}
	return fill{at.t}, nil
}

func (o fill) infer(in []*info) ([]info, error) {
	if err := needVector(in, 0); err != nil {
		return nil, err
	}
	want, ok := in[0].ints()
	if !ok {
		return []info{unranked(o.tensor.Type)}, nil
	}
	for _, d := range want {
		if d < 0 {
			return nil, badInput(0, "asks for dimension %d", d)
		}
	}
	return []info{ranked(o.tensor.Type, want...)}, nil
}

func (o fill) run(ctx context.Context, _, out []*Tensor) error {
	scalar := *o.tensor
	scalar.Shape = nil
	return expand(ctx, out[0], &scalar)
}

// cast converts between float32, int64 and bool.
type cast struct{ to DataType }

func makeCast(a *attributes, opset int64) (operator, error) {
	if !a.has("to") {
		return nil, errors.New("attribute \"to\" is required")
	}
	to := dataType(a.int("to", 0))
	if opset >= 19 {
		a.flag("saturate", true) // of float8 only
	}
	if opset >= 24 && a.has("round_mode") {
		a.take("round_mode", attrString) // of float8e8m0 only
	}
	if to != Float32 && to != Int64 && to != Bool {
		return nil, fmt.Errorf("to %s is not supported; this engine casts to float32, int64 and bool", to)
	}
	return cast{to}, nil
}

func (o cast) infer(in []*info) ([]info, error) {
	if err := needType(in, 0, Float32, Int64, Bool); err != nil {
		return nil, err
	}
	return []info{{typ: o.to, ranked: in[0].ranked, shape: in[0].shape}}, nil
}

func (o cast) run(ctx context.Context, in, out []*Tensor) error {
	from, to := in[0], out[0]
	switch {
	case from.Type == to.Type:
		return move(ctx, to, 0, from, kernel.Dense(from.Shape), from.Shape)
	case to.Type == Float32 && from.Type == Int64:
		return apply(ctx, to.F32, from.I64, func(x int64) float32 { return float32(x) })
	case to.Type == Float32:
		return apply(ctx, to.F32, from.Bool, func(x bool) float32 { return float32(oneIf(x)) })
	case to.Type == Int64 && from.Type == Float32:
		return apply(ctx, to.I64, from.F32, truncate)
	case to.Type == Int64:
		return apply(ctx, to.I64, from.Bool, oneIf)
	case from.Type == Float32:
		return apply(ctx, to.Bool, from.F32, func(x float32) bool { return x != 0 })
	}
	return apply(ctx, to.Bool, from.I64, func(x int64) bool { return x != 0 })
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
