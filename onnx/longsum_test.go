package onnx

import (
	"errors"
	"math"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ones are bytes of the largest number: n of them as a row, and as a column.
func ones(n int) (row, column *tensor.Tensor) {
	data := make([]uint8, n)
	for i := range data {
		data[i] = math.MaxUint8
	}
	return tensor.Of(data, 1, int64(n)), tensor.Of(data, int64(n), 1)
}

// TestLongSumsOfFloatsDoNotWrap: a product of float32 that is computed in 8 bits refuses
// what only float32 holds; the length of the sum may show in the run alone.
func TestLongSumsOfFloatsDoNotWrap(t *testing.T) {
	model := func(behind ...[]byte) []byte {
		return pb.Model(append([][]byte{
			pb.Input("a", 2, 1, "k"), pb.Input("b", 2, "k", 1), constantFloat("s", 1), pb.Initializer(pb.Head("zero", 2), pb.Msg(9, []byte{0})),
			pb.Node("", "DequantizeLinear", of("a", "s", "zero"), of("fa")), pb.Node("", "DequantizeLinear", of("b", "s", "zero"), of("fb")),
			pb.Node("", "MatMul", of("fa", "fb"), of("p"))}, behind...)...)
	}
	for name, data := range map[string][]byte{
		"stays float32":   model(pb.Node("", "Neg", of("p"), of("y")), pb.OpenOutput("y", 1)),
		"quantized again": model(pb.Node("", "QuantizeLinear", of("p", "s", "zero"), of("y")), pb.OpenOutput("y", 2)),
	} {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, data)
			for n, ok := range map[int]bool{33025: true, 33026: false} {
				a, b := ones(n)
				_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": a, "b": b})
				var at *NodeError
				if (err == nil) != ok || !ok && !errors.As(err, &at) {
					t.Errorf("sums of %d: %v", n, err)
				}
			}
		})
	}
}

// TestSumsOfIntegersWrap: MatMulInteger may overflow in 32 bits, as onnxruntime's does
// (Operators.md: "if and only if in 32 bits").
func TestSumsOfIntegersWrap(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 2, 1, "k"), pb.Input("b", 2, "k", 1), pb.Node("", "MatMulInteger", of("a", "b"), of("y")), pb.OpenOutput("y", 6)))
	const n = 40000
	a, b := ones(n)
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": a, "b": b})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(n) * 255 * 255
	if got, want := tensor.Data[int32](out["y"])[0], int32(sum); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func constantFloat(name string, v float32) []byte {
	return pb.Initializer(pb.Floats(name, nil, v))
}
