package main

import (
	"math"
	"slices"
	"strings"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestCompare(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	f := func(v ...float32) *tensor.Tensor { return tensor.List(v...) }
	for name, c := range map[string]struct {
		got, want *tensor.Tensor
		err       string
	}{
		"equal":           {f(1, nan, inf), f(1, nan, inf), ""},
		"close":           {f(1.0009), f(1), ""},
		"not close":       {f(1.0011), f(1), "element 0 is"},
		"small":           {f(2e-7), f(0), "element 0 is"},
		"nan":             {f(1, nan), f(1, 1), "element 1 is NaN, expected 1"},
		"not nan":         {f(1), f(nan), "expected NaN"},
		"infinite":        {f(math.MaxFloat32), f(inf), "expected +Inf"},
		"other infinite":  {f(-inf), f(inf), "is -Inf"},
		"type":            {tensor.List[float64](1), f(1), "is float64, expected float32"},
		"shape":           {tensor.Of([]float32{1}, 1, 1), f(1), "has shape [1 1], expected [1]"},
		"invalid":         {tensor.Of([]float32{1}, 2), f(1, 2), "not a valid tensor"},
		"missing":         {nil, f(1), "is not there"},
		"integers":        {tensor.List[int64](100000), tensor.List[int64](100001), "element 0 is 100000"},
		"bools":           {tensor.List(true), tensor.List(false), "element 0"},
		"strings":         {tensor.List("a"), tensor.List("b"), "element 0 is a, expected b"},
		"halves":          {tensor.List[tensor.F16](0x3c00), tensor.List[tensor.F16](0x3c01), ""},
		"bfloats":         {tensor.List[tensor.BF16](0x3f80), tensor.List[tensor.BF16](0x3f82), ""},
		"distant bfloats": {tensor.List[tensor.BF16](0x3f80), tensor.List[tensor.BF16](0x3f84), "element 0 is 1,"},
		"lists":           {tensor.SequenceOf(tensor.Float32, f(1)), tensor.SequenceOf(tensor.Float32, f(2)), "item 0: element 0"},
		"longer list":     {tensor.SequenceOf(tensor.Float32, f(1)), tensor.SequenceOf(tensor.Float32), "has 1 items, expected 0"},
	} {
		err := compare(c.got, c.want)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, expected %q", name, err, c.err)
		}
	}
}

func TestLook(t *testing.T) {
	list := pb.Msg(11, pb.Str(1, "l"), pb.Msg(2, pb.Msg(9, pb.Msg(1, pb.Msg(4, pb.Msg(1, pb.Msg(1, pb.Int(1, 7))))))))
	body := pb.AttrGraph("then_branch", pb.Node("", "Neg", []string{"x"}, []string{"y"}))
	g, err := look(pb.ModelAt(18, pb.Input("x", 1, 2), pb.Input("w", 1), list, pb.Initializer(pb.Floats("w", nil, 1)),
		pb.Node("", "If", []string{"c"}, []string{"y"}, body), pb.Output("y", 1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	if g.opset != 18 || !slices.Equal(g.ops, []string{"If", "Neg"}) || g.String() != "If, Neg; operator set 18" {
		t.Errorf("%v", g)
	}
	if fed := g.fed(2); len(fed) != 2 || fed[1].name != "l" || !slices.Equal(fed[1].types, []tensor.DataType{tensor.Optional, tensor.Sequence, tensor.Int64}) {
		t.Errorf("%v", fed)
	}
	if fed := g.fed(3); len(fed) != 3 {
		t.Errorf("with weights: %v", fed)
	}
	for _, data := range [][]byte{{0xff}, pb.Msg(7, []byte{8}), pb.Msg(7, pb.Msg(1, []byte{9})), pb.Msg(8, []byte{1})} {
		if _, err := look(data); err == nil {
			t.Errorf("%x is taken", data)
		}
	}
}

// TestEmptyListsHaveATypeToo: the file of an empty list does not say what it holds.
func TestEmptyListsHaveATypeToo(t *testing.T) {
	v, err := readValue(nil, []tensor.DataType{tensor.Optional, tensor.Sequence, tensor.Int32})
	if err != nil || v.Type != tensor.Optional || v.ItemType != tensor.Sequence || v.Inner != tensor.Int32 || v.Len() != 0 {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := readValue(nil, []tensor.DataType{0}); err == nil {
		t.Error("a map is taken")
	}
}

func TestBFloat16InUint16(t *testing.T) {
	file := append(pb.Head("x", int64(tensor.Uint16), 1), pb.Msg(9, []byte{0x80, 0x3f})...)
	v, err := readValue(file, []tensor.DataType{tensor.BFloat16})
	if err != nil || v.Check() != nil || v.Type != tensor.BFloat16 || tensor.Data[tensor.BF16](v)[0] != 0x3f80 {
		t.Errorf("%v, %v", v, err)
	}
}

func TestReasonsAreShort(t *testing.T) {
	c := testCase{err: errTimeout}
	if c.reason() != errTimeout.Error() {
		t.Error(c.reason())
	}
	if got := cell("a|b<c"); got != `a\|b&lt;c` {
		t.Error(got)
	}
	if got := operators([]string{"A", "B", "C", "D", "E"}); got != "A, B, C, D and 1 more" {
		t.Error(got)
	}
}
