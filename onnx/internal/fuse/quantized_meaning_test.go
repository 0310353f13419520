package fuse

import (
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func filled[T tensor.Elem](v T, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	data := make([]T, n)
	for i := range data {
		data[i] = v
	}
	return tensor.Of(data, shape...)
}

// TestLongSumsOfIntegers: a product of floats that is one of integers inside does not
// wrap around where int32 does.
func TestLongSumsOfIntegers(t *testing.T) {
	const k = 40_000
	s := newSketch(t).constant("a", filled[uint8](255, 1, 2)).input("x", []int64{1, k}, 1, k).
		constant("b", filled[uint8](255, k, 1)).constant("z", tensor.Scalar(uint8(0))).
		constant("one", tensor.Scalar(float32(1))).constant("large", tensor.Scalar(float32(20_000_000)))
	s.do("f = Mul(x, 0)", "g = Add(f, 255)", "q = QuantizeLinear(g, one, z)", "d = DequantizeLinear(q, one, z)", "e = DequantizeLinear(b, one, z)", "m = MatMul(d, e)")
	t.Run("to bytes", func(t *testing.T) {
		c := *s
		c.t = t
		c.do("r = QuantizeLinear(m, large, z)", "y = DequantizeLinear(r, one, z)").fuses()
	})
	t.Run("to float", func(t *testing.T) {
		c := *s
		c.t = t
		c.do("y = Mul(m, 0.000001)").fuses()
	})
}

// TestLongFilters: so does a convolution.
func TestLongFilters(t *testing.T) {
	const k = 200
	s := newSketch(t).input("x", []int64{1, 1, k, k}, 1, 1, k, k).constant("w", filled[uint8](255, 1, 1, k, k)).constant("z", tensor.Scalar(uint8(0))).
		constant("one", tensor.Scalar(float32(1))).constant("large", tensor.Scalar(float32(20_000_000)))
	s.do("f = Mul(x, 0)", "g = Add(f, 255)", "q = QuantizeLinear(g, one, z)", "d = DequantizeLinear(q, one, z)", "e = DequantizeLinear(w, one, z)", "m = Conv(d, e)",
		"r = QuantizeLinear(m, large, z)", "y = DequantizeLinear(r, large, z)").stays("fused:QLinearConv")
}

// TestNoZeroPoints: they stand for 0.
func TestNoZeroPoints(t *testing.T) {
	for _, last := range [][]string{{"r = QuantizeLinear(m, half, z)", "y = DequantizeLinear(r, half, z)"}, {"y = Relu(m)"}} {
		s := vector(t).constant("b", filled[uint8](3, 24, 5)).constant("z", tensor.Scalar(uint8(0))).constant("half", tensor.Scalar(float32(0.5)))
		s.do("p = Add(x, 2)", "q = QuantizeLinear(p, half)", "d = DequantizeLinear(q, half)", "e = DequantizeLinear(b, half)", "m = MatMul(d, e)").do(last...).fuses()
	}
}

// TestRowsOfZeroPoints: MatMulInteger takes one for each row of the left matrix.
func TestRowsOfZeroPoints(t *testing.T) {
	s := newSketch(t).input("x", []int64{-1, 5, 24}, 1, 5, 24).constant("b", filled[uint8](3, 24, 7)).constant("zs", tensor.Of([]uint8{1, 2, 3, 4, 5}, 5)).
		constant("zb", filled[uint8](1, 7)).constant("sb", filled[float32](0.25, 7)).constant("z", tensor.Scalar(uint8(4))).constant("half", tensor.Scalar(float32(0.5)))
	s.do("p = Add(x, 2)", "q = QuantizeLinear(p, half, z)", "i = Reshape(q, to)", "m = MatMulInteger(i, b, zs, zb)", "f = Cast(m) to=1", "sc = Mul(half, sb)", "y = Mul(f, sc)").
		constant("to", tensor.Of([]int64{5, 24}, 2)).fuses()
}
