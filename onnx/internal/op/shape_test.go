package op

import (
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestShapesOfTheSameElements(t *testing.T) {
	in := counted[int64](2, 1, 3)
	list := tensor.List[int64]
	all := tensor.Data[int64](in)
	for name, c := range map[string]struct {
		op    string
		opset int64
		at    attrs
		axes  *tensor.Tensor
		want  []int64
	}{
		"reshape":           {"Reshape", 13, nil, list(0, -1), []int64{2, 3}},
		"reshape, zeros":    {"Reshape", 14, attrs{"allowzero": 1}, list(3, 2), []int64{3, 2}},
		"flatten":           {"Flatten", 13, attrs{"axis": -1}, nil, []int64{2, 3}},
		"squeeze":           {"Squeeze", 13, nil, list(-2), []int64{2, 3}},
		"squeeze all":       {"Squeeze", 13, nil, nil, []int64{2, 3}},
		"squeeze, before":   {"Squeeze", 11, attrs{"axes": []int64{1}}, nil, []int64{2, 3}},
		"unsqueeze":         {"Unsqueeze", 13, nil, list(0, -1), []int64{1, 2, 1, 3, 1}},
		"unsqueeze, before": {"Unsqueeze", 11, attrs{"axes": []int64{0, 4}}, nil, []int64{1, 2, 1, 3, 1}},
		"identity":          {"Identity", 13, nil, nil, []int64{2, 1, 3}},
	} {
		operands := []*tensor.Tensor{in}
		if c.axes != nil {
			operands = append(operands, c.axes)
		}
		t.Run(name, func(t *testing.T) {
			sameTensor(t, mustCompute(t, c.op, c.opset, c.at, operands...), c.want, all)
		})
	}
	refused(t, "has 2 inputs, expected at most 1", "Squeeze", 11, nil, 1, in, list(1))
	refused(t, `attribute "axes" is required`, "Unsqueeze", 11, nil, 1, in)
	refused(t, "input 1: is required", "Unsqueeze", 13, nil, 1, in)
	refused(t, `attribute "axes": axis 9`, "Unsqueeze", 11, attrs{"axes": []int64{9}}, 1, in)
	refused(t, "names 128 axes", "Unsqueeze", 13, nil, 1, in, counted[int64](128))
	refused(t, "dimension 0 of shape [2 1 3] is not 1", "Squeeze", 13, nil, 1, in, list(0))
	refused(t, "asks for -1 twice", "Reshape", 13, nil, 1, in, list(-1, -1))
	refused(t, "asks for dimension -2", "Reshape", 13, nil, 1, in, list(-2, 3))
	refused(t, "cannot fit", "Reshape", 14, attrs{"allowzero": 1}, 1, in, list(0, -1))
	refused(t, "more elements than an int64", "Reshape", 13, nil, 1, in, list(1<<40, 1<<40, -1))
	refused(t, "exists since operator set 5", "Reshape", 4, nil, 1, in, list(6))
}

func TestShapeAndSize(t *testing.T) {
	in := counted[int64](2, 1, 3)
	sameTensor(t, mustCompute(t, "Shape", 13, nil, in), []int64{3}, []int64{2, 1, 3})
	sameTensor(t, mustCompute(t, "Shape", 15, attrs{"start": -2, "end": 9}, in), []int64{2}, []int64{1, 3})
	sameTensor(t, mustCompute(t, "Size", 13, nil, in), nil, []int64{6})
	sameTensor(t, mustCompute(t, "Size", 13, nil, tensor.Scalar("a")), nil, []int64{1})
}

func TestIdentityOfLists(t *testing.T) {
	refused(t, "input 0: is required", "Identity", 16, nil, 1, nil)
	refused(t, "input 0: is sequence, expected a tensor", "Shape", 16, nil, 1, tensor.SequenceOf(tensor.Int64))
	in := tensor.SequenceOf(tensor.Int64, counted[int64](2))
	got := mustCompute(t, "Identity", 16, nil, in)
	if got.Type != tensor.Sequence || got.ItemType != tensor.Int64 || len(got.Items) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestBitCast(t *testing.T) {
	one := tensor.List(float32(1))
	sameTensor(t, mustCompute(t, "BitCast", 26, attrs{"to": int(tensor.Int32)}, one), []int64{1}, []int32{0x3f800000})
	sameTensor(t, mustCompute(t, "BitCast", 26, attrs{"to": int(tensor.Bool)}, tensor.List[uint8](0, 1, 2)), []int64{3}, []bool{false, true, true})
	sameTensor(t, mustCompute(t, "BitCast", 26, attrs{"to": int(tensor.Uint4)}, tensor.List[tensor.I4](-1, 7)), []int64{2}, []tensor.U4{15, 7})
	sameTensor(t, mustCompute(t, "BitCast", 26, attrs{"to": int(tensor.Int2)}, tensor.List[tensor.U2](3, 1)), []int64{2}, []tensor.I2{-1, 1})
	refused(t, "do not have the size of int64", "BitCast", 26, attrs{"to": int(tensor.Int64)}, 1, one)
	refused(t, "do not have the size of uint4", "BitCast", 26, attrs{"to": int(tensor.Uint4)}, 1, tensor.List[uint8](1))
	refused(t, "do not have the size of complex128", "BitCast", 26, attrs{"to": int(tensor.Complex128)}, 1, tensor.List("a"))
	refused(t, `"to" is string, expected`, "BitCast", 26, attrs{"to": int(tensor.String)}, 1, one)
	refused(t, `"to" is required`, "BitCast", 26, nil, 1, one)
}
