package op

import (
	"fmt"
	"maps"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func quantizeOperators() map[string]Spec {
	all := map[string]Spec{
		"QuantizeLinear":        {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeQuantize, Since: 10},
		"DequantizeLinear":      {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeDequantize, Since: 10},
		"DynamicQuantizeLinear": {MinIn: 1, MaxIn: 1, MaxOut: 3, Make: always(dynamicQuantize{}), Since: 11},
	}
	maps.Copy(all, integerProductOperators())
	maps.Copy(all, integerConvOperators())
	maps.Copy(all, contribOperators())
	return all
}

// quantize divides by a scale, rounds to even, shifts by a zero point and narrows.
type quantize struct {
	scaling
	saturate  bool
	precision tensor.DataType // of the division; 0: the scale's type
}

// dequantize takes the zero point away and multiplies by the scale.
type dequantize struct{ scaling }

// scaling is what both directions have: along which axis and how far a scale goes
// (block 0: one for each index of the axis), and the type of the result, if it is
// given.
type scaling struct {
	axis, block int64
	to          tensor.DataType
}

func makeQuantize(a *Attributes, _ int64) (Operator, error) {
	o := quantize{scaling: scalingOf(a), saturate: a.flag("saturate", true), precision: elementType(a, "precision")}
	if o.precision != 0 && !slices.Contains(shortFloats(), o.precision) {
		return nil, fmt.Errorf(`attribute "precision" is %s, expected a floating type`, o.precision)
	}
	return o, nil
}

func makeDequantize(a *Attributes, _ int64) (Operator, error) { return dequantize{scalingOf(a)}, nil }

func scalingOf(a *Attributes) scaling {
	l := scaling{a.int("axis", 1), a.int("block_size", 0), elementType(a, "output_dtype")}
	if l.block < 0 {
		a.fail(fmt.Errorf(`attribute "block_size" is %d, expected 0 or more`, l.block))
	}
	return l
}

// elementType reads an element type; 0: none.
func elementType(a *Attributes, name string) tensor.DataType {
	v := a.int(name, 0)
	t := tensor.TypeNumbered(v)
	if v != 0 && !t.Element() {
		a.fail(fmt.Errorf("attribute %s is %d, which is no element type", Quote(name), v))
	}
	return t
}

// scaleTypes are the types that scales have.
func scaleTypes() []tensor.DataType {
	return append(shortFloats(), tensor.Float8E8M0)
}

// quantizedTypes are the types that numbers are quantized to.
func quantizedTypes() []tensor.DataType {
	return []tensor.DataType{
		tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Uint4, tensor.Int4, tensor.Uint2, tensor.Int2,
		tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ, tensor.Float4E2M1,
	}
}

func (o quantize) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, append(shortFloats(), tensor.Int32)...); err != nil {
		return nil, err
	}
	to := o.to
	zero := operand(in, 2)
	switch {
	case zero != nil && to != 0 && to != zero.Type:
		return nil, BadInput(2, `is %s, attribute "output_dtype" says %s`, zero.Type, to)
	case zero != nil:
		to = zero.Type
		if err := needType(in, 2, quantizedTypes()...); err != nil {
			return nil, err
		}
	case to == 0:
		to = tensor.Uint8
	case !slices.Contains(quantizedTypes(), to):
		return nil, fmt.Errorf("the result would be %s, expected %s", to, oneOf(quantizedTypes()))
	}
	return o.infer(in, to)
}

func (o dequantize) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, append(quantizedTypes(), tensor.Int32)...); err != nil {
		return nil, err
	}
	if err := needType(in, 1, scaleTypes()...); err != nil {
		return nil, err
	}
	if present(in, 2) {
		if err := needTypeOf(in, 2, 0); err != nil {
			return nil, err
		}
	}
	to := o.to
	if to == 0 {
		to = in[1].Type
	}
	if !slices.Contains(shortFloats(), to) {
		return nil, fmt.Errorf("the result would be %s, expected a floating type", to)
	}
	return o.infer(in, to)
}

// infer checks the shapes of scale and zero point.
func (o scaling) infer(in []*Info, to tensor.DataType) ([]Info, error) {
	if err := needType(in, 1, scaleTypes()...); err != nil {
		return nil, err
	}
	x, scale, zero := in[0], in[1], operand(in, 2)
	if x.Ranked && scale.Ranked {
		if err := o.fits(x.Shape, scale.Shape); err != nil {
			return nil, &OperandError{1, err}
		}
	}
	if zero != nil && zero.Ranked && scale.Ranked && !scalesAgree(zero.Shape, scale.Shape) {
		return nil, BadInput(2, "has shape %v, the scale has %v", zero.Shape, scale.Shape)
	}
	return []Info{like(x, to)}, nil
}

// scalesAgree compares shapes as far as they are known. A scalar and a vector of one
// element are the same.
func scalesAgree(a, b []int64) bool {
	if len(a)+len(b) == 1 {
		_, ok := sameDim(append(a, b...)[0], 1)
		return ok
	}
	return agreeing(a, b)
}

// fits holds the shape of the scale against the operand's: a scalar, one number for
// each index of the axis, or one for each block along the axis.
func (o scaling) fits(x, scale []int64) error {
	if len(scale) == 0 || len(scale) == 1 && (scale[0] == 1 || scale[0] == -1) { // which may turn out to be one number
		return nil
	}
	at, err := axis(o.axis, len(x))
	if err != nil {
		return fmt.Errorf(`attribute "axis": %w`, err)
	}
	want := []int64{x[at]}
	if o.block > 0 {
		want = append([]int64(nil), x...)
		if x[at] > 0 {
			want[at] = (x[at]-1)/o.block + 1
		}
	}
	if !scalesAgree(scale, want) {
		return fmt.Errorf("has shape %v, expected %v", scale, want)
	}
	return nil
}
