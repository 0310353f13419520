package fuse

import (
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// integerMatMul is a product of dequantized values that is quantized again.
func integerMatMul(with ...string) []string {
	return changed([]string{"p = Add(x, 2)", "q = QuantizeLinear(p, half, z)", "d = DequantizeLinear(q, half, z)", "e = DequantizeLinear(b8, half, z)", "m = MatMul(d, e)",
		"r = QuantizeLinear(m, half, z)", "y = DequantizeLinear(r, half, z)"}, with...)
}

// TestNearlyIntegerProducts: operands that are no bytes with the scales that the kernels take.
func TestNearlyIntegerProducts(t *testing.T) {
	for name, c := range map[string]struct {
		fires bool
		with  []string
	}{
		"as exported":     {true, nil},
		"stays float":     {true, []string{"y = Relu(m)"}},
		"float left":      {false, []string{"m = MatMul(x, e)"}},
		"float right":     {false, []string{"m = MatMul(d, w)"}},
		"left of columns": {false, []string{"d = DequantizeLinear(q, halves, zeros) axis=1"}},
		"integers left":   {false, []string{"i = Cast(q) to=6", "d = DequantizeLinear(i, half)"}},
		"rows right":      {false, []string{"e = DequantizeLinear(b8, halves, zeros) axis=0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := vector(t).constant("b8", filled[uint8](3, 24, 5)).constant("z", tensor.Scalar(uint8(1))).constant("half", tensor.Scalar(float32(0.5))).weight("w", 24, 5)
			s.constant("halves", filled[float32](0.5, 24)).constant("zeros", filled[uint8](1, 24))
			left := s.do(integerMatMul(c.with...)...).left()
			if fires := !slices.Contains(left, "MatMul"); fires != c.fires {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// integerImage has what a convolution of integers needs. Scales are powers of 2: sums are
// exact in float32 too.
func integerImage(t *testing.T) *sketch {
	s := newSketch(t).input("x", []int64{-1, 4, 5, 5}, 2, 4, 5, 5).input("scale", []int64{}).input("given", []int64{8}, 8).input("zero", []int64{})
	tensor.Data[float32](s.feeds[1])[0], tensor.Data[float32](s.feeds[3])[0] = 0.25, 0
	for i := range tensor.Data[float32](s.feeds[2]) {
		tensor.Data[float32](s.feeds[2])[i] = float32(i - 3)
	}
	w, bias, off := filled[int8](0, 8, 4, 3, 3), make([]float32, 8), make([]float32, 8)
	for i := range tensor.Data[int8](w) {
		tensor.Data[int8](w)[i] = int8(s.rng.IntN(256))
	}
	for i := range bias {
		bias[i], off[i] = float32(i)/8, float32(i)/8+0.05
	}
	return s.constant("w8", w).constant("z0", tensor.Scalar(int8(0))).constant("zx", tensor.Scalar(uint8(100))).constant("quarter", tensor.Scalar(float32(0.25))).constant("eighth", tensor.Scalar(float32(0.125))).
		constant("sx", tensor.Scalar(float32(0.5))).constant("sy", tensor.Scalar(float32(2))).constant("bias", tensor.List(bias...)).constant("off", tensor.List(off...)).constant("huge", filled[float32](1e9, 8)).
		constant("each", tensor.Of([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 8)).constant("blocks", filled[float32](0.25, 4, 4, 3, 3)).constant("zs", filled[int8](0, 8))
}

func integerConvLines(with ...string) []string {
	return changed([]string{"p = Mul(x, 20)", "q = QuantizeLinear(p, sx, zx)", "d = DequantizeLinear(q, sx, zx)", "e = DequantizeLinear(w8, quarter, z0)", "m = Conv(d, e, bias)",
		"r = QuantizeLinear(m, sy, zx)", "y = DequantizeLinear(r, sy, zx)"}, with...)
}

// TestIntegerConvolutions: a bias belongs to the sums if its scale is theirs.
func TestIntegerConvolutions(t *testing.T) {
	for name, c := range map[string]struct {
		fires bool
		with  []string
	}{
		"as exported":         {true, nil},
		"no bias":             {true, []string{"m = Conv(d, e)"}},
		"bias of integers":    {true, []string{"bi = Cast(given) to=6", "bf = DequantizeLinear(bi, eighth)", "m = Conv(d, e, bf)"}},
		"scale of filters":    {true, []string{"e = DequantizeLinear(w8, each, zs) axis=0", "m = Conv(d, e)"}},
		"float image":         {false, []string{"m = Conv(x, e, bias)"}},
		"float filters":       {false, []string{"e = Mul(fw, quarter)", "fw = Cast(w8) to=1"}},
		"bias between sums":   {false, []string{"m = Conv(d, e, off)"}},
		"bias too large":      {false, []string{"m = Conv(d, e, huge)"}},
		"bias is given":       {false, []string{"m = Conv(d, e, given)"}},
		"scale is given":      {false, []string{"q = QuantizeLinear(p, scale, zx)", "d = DequantizeLinear(q, scale, zx)"}},
		"scale of w given":    {false, []string{"e = DequantizeLinear(w8, scale, z0)"}},
		"bias of bytes":       {false, []string{"bi = Cast(given) to=3", "bf = DequantizeLinear(bi, eighth)", "m = Conv(d, e, bf)"}},
		"bias of its own":     {false, []string{"bi = Cast(given) to=6", "bf = DequantizeLinear(bi, quarter)", "m = Conv(d, e, bf)"}},
		"bias, scale given":   {false, []string{"bi = Cast(given) to=6", "bf = DequantizeLinear(bi, scale)", "m = Conv(d, e, bf)"}},
		"bias with zero":      {false, []string{"bi = Cast(given) to=6", "zi = Cast(zero) to=6", "bf = DequantizeLinear(bi, eighth, zi)", "m = Conv(d, e, bf)"}},
		"scales of blocks":    {false, []string{"e = DequantizeLinear(w8, blocks) axis=0 block_size=2", "m = Conv(d, e)"}},
		"scale of w is given": {false, []string{"e = DequantizeLinear(w8, scale, z0)", "bi = Cast(given) to=6", "bf = DequantizeLinear(bi, eighth)", "m = Conv(d, e, bf)"}},
		"scales of channels":  {false, []string{"e = DequantizeLinear(w8, fours, zfours) axis=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := integerImage(t).constant("fours", filled[float32](0.25, 4)).constant("zfours", filled[int8](0, 4))
			s.opset = 21
			left := s.do(integerConvLines(c.with...)...).left()
			if fires := slices.Contains(left, "fused:QLinearConv"); fires != c.fires {
				t.Errorf("left: %v", left)
			}
		})
	}
}
