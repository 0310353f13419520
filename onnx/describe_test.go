package onnx

import (
	"reflect"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestDescribe(t *testing.T) {
	m, err := Parse(pb.Model(
		pb.Node("", "Add", []string{"x", "w"}, []string{"a"}),
		pb.Node("", "Constant", nil, []string{"c"}, pb.AttrTensor("value", pb.Ints("", []int64{3}, 1, 2, 3))),
		pb.Node("", "Add", []string{"a", "w"}, []string{"b"}),
		pb.Node("", "Nonesuch", []string{"b", "c"}, []string{"y"}),
		pb.Initializer(pb.Floats("w", []int64{2}, 1, 2)),
		pb.Input("x", 1, "batch", 2), pb.Input("w", 1, 2), pb.OpenOutput("y", 1),
	), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	want := Description{
		Opset:     17,
		Inputs:    []ValueInfo{{Name: "x", Type: tensor.Float32, Shape: []int64{-1, 2}, Symbols: []string{"batch", ""}}},
		Outputs:   []ValueInfo{{Name: "y", Type: tensor.Float32}},
		Operators: []OperatorUse{{"Add", 2, true}, {"Constant", 1, true}, {"Nonesuch", 1, false}},
		Tensors:   2, Parameters: 5, Bytes: 2*4 + 3*8,
	}
	if got := m.Describe(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestDescribeBodies: what is inside of a node counts as well.
func TestDescribeBodies(t *testing.T) {
	body := func(op string) []byte {
		return pb.AttrGraph(map[string]string{"Relu": "then_branch", "Abs": "else_branch"}[op],
			pb.Node("", op, []string{"x"}, []string{"b" + op}), pb.Initializer(pb.Floats("w"+op, []int64{2}, 1, 2)), pb.OpenOutput("b"+op, 1))
	}
	m, err := Parse(pb.Model(
		pb.Node("", "If", []string{"c"}, []string{"y"}, body("Relu"), body("Abs")),
		pb.Input("x", 1, 2), pb.Input("c", 9), pb.OpenOutput("y", 1),
	), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	d := m.Describe()
	if len(d.Operators) != 3 || d.Operators[0].Name != "Abs" || d.Operators[2].Name != "Relu" || d.Parameters != 4 {
		t.Errorf("got %+v", d)
	}
}

func TestDescribeAfterwards(t *testing.T) {
	m, err := Parse(pb.Model(pb.Node("", "Relu", []string{"x"}, []string{"y"}), pb.Input("x", 1, 2), pb.Output("y", 1, 2)), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSession(m); err != nil {
		t.Fatal(err)
	}
	if got := m.Describe(); !reflect.DeepEqual(got, Description{}) {
		t.Errorf("got %+v of a model that a session took over", got)
	}
}
