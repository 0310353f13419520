package fuse

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ones is a constant of one number whose rank shows in what it is combined with.
func ones(v float32, rank int) *tensor.Tensor {
	shape := make([]int64, rank)
	for i := range shape {
		shape[i] = 1
	}
	return tensor.Of([]float32{v}, shape...)
}

// TestNumbersOfHigherRank: a number in more dimensions than its partner adds dimensions.
func TestNumbersOfHigherRank(t *testing.T) {
	deep := func(t *testing.T, v float32) *sketch { return vector(t).constant("c", ones(v, 4)) }
	for name, c := range map[string]struct {
		number float32
		lines  []string
	}{
		"gelu half":   {0.5, []string{"d = Div(x, 1.4142135)", "e = Erf(d)", "a = Add(e, 1)", "m = Mul(x, a)", "y = Mul(m, c)"}},
		"gelu root":   {math.Sqrt2, []string{"d = Div(x, c)", "e = Erf(d)", "a = Add(e, 1)", "m = Mul(x, a)", "y = Mul(m, 0.5)"}},
		"gelu tanh":   {1, []string{"p = Pow(x, 3.0)", "q = Mul(p, 0.044715)", "s = Add(x, q)", "o = Mul(s, 0.7978846)", "h = Tanh(o)", "a = Add(h, c)", "m = Mul(x, 0.5)", "y = Mul(m, a)"}},
		"hard swish":  {3, []string{"a = Add(x, c)", "b = Clip(a, 0, 6)", "m = Mul(x, b)", "y = Div(m, 6)"}},
		"hard swish6": {6, []string{"a = Add(x, 3)", "b = Clip(a, 0, 6)", "m = Mul(x, b)", "y = Div(m, c)"}},
	} {
		t.Run(name, func(t *testing.T) { deep(t, c.number).do(c.lines...).fuses() })
	}
	t.Run("epsilon", func(t *testing.T) {
		deep(t, 1e-5).weight("s", 24).weight("b", 24).do("m = ReduceMean(x) axes=[-1]", "d = Sub(x, m)", "p = Pow(d, 2)", "v = ReduceMean(p) axes=[-1]",
			"e = Add(v, c)", "r = Sqrt(e)", "n = Div(d, r)", "g = Mul(n, s)", "y = Add(g, b)").fuses()
	})
}

// TestBiasWidensColumn: what is added to a product of one column makes more of them.
func TestBiasWidensColumn(t *testing.T) {
	vector(t).weight("w", 24, 1).weight("b", 8).do("m = MatMul(x, w)", "y = Add(m, b)").fuses()
}

// TestMaskedScoresKeepTheirScale: a factor of a mask is none of the scores.
func TestMaskedScoresKeepTheirScale(t *testing.T) {
	for _, add := range []string{"z = Add(n, s)", "z = Add(s, n)"} {
		stacks(t).input("k", []int64{-1, -1, 3, 8}, 2, 5, 3, 8).input("m", []int64{-1, 1, 1, -1}, 2, 1, 1, 5).
			do("u = Transpose(k) perm=[0,2,3,1]", "p = MatMul(q, u)", "s = Mul(p, 0.25)", "n = Mul(m, 7)", add, "a = Softmax(z)", "y = MatMul(a, v)").fuses()
	}
}

// TestAttentionsThatRepeat: stacks of one batch, one head, or a mask of more batches.
func TestAttentionsThatRepeat(t *testing.T) {
	lines := []string{"u = Transpose(k) perm=[0,2,3,1]", "p = MatMul(q, u)", "s = Mul(p, 0.25)", "z = Add(s, m)", "a = Softmax(z)", "y = MatMul(a, v)"}
	t.Run("one head of keys", func(t *testing.T) {
		newSketch(t).input("q", []int64{2, 3, 4, 8}, 2, 3, 4, 8).input("v", []int64{2, 1, 5, 8}, 2, 1, 5, 8).
			input("k", []int64{2, 5, 1, 8}, 2, 5, 1, 8).input("m", []int64{1, 5}, 1, 5).do(lines...).fuses()
	})
	t.Run("mask of two batches", func(t *testing.T) {
		newSketch(t).input("q", []int64{1, 3, 4, 8}, 1, 3, 4, 8).input("v", []int64{1, 3, 5, 8}, 1, 3, 5, 8).
			input("k", []int64{1, 5, 3, 8}, 1, 5, 3, 8).input("m", []int64{2, 1, 1, 5}, 2, 1, 1, 5).do(lines...).fuses()
	})
	t.Run("open batches", func(t *testing.T) {
		newSketch(t).input("q", []int64{-1, 3, 4, 8}, 2, 3, 4, 8).input("v", []int64{1, 3, 5, 8}, 1, 3, 5, 8).
			input("k", []int64{1, 5, 3, 8}, 1, 5, 3, 8).input("m", []int64{1, 5}, 1, 5).do(lines...).fuses()
	})
	t.Run("open mask", func(t *testing.T) {
		newSketch(t).input("q", []int64{-1, 3, 4, 8}, 1, 3, 4, 8).input("v", []int64{-1, 3, 5, 8}, 1, 3, 5, 8).
			input("k", []int64{-1, 5, 3, 8}, 1, 5, 3, 8).input("m", []int64{-1, 1, 1, 5}, 2, 1, 1, 5).do(lines...).fuses()
	})
}

func stacks(t *testing.T) *sketch {
	return newSketch(t).input("q", []int64{-1, 3, -1, 8}, 2, 3, 4, 8).input("v", []int64{-1, 3, -1, 8}, 2, 3, 5, 8)
}

// TestEmptyLanes: channels that fill up a block may hold anything; weights of zero do
// not make that harmless.
func TestEmptyLanes(t *testing.T) {
	for name, lines := range map[string][]string{
		"0 / 0":   {"a = Conv(x, w)", "b = Mul(a, 0.5)", "g = Sigmoid(a)", "e = Div(a, a)", "y = Conv(e, v)"},
		"1 / 0":   {"a = Conv(x, w)", "e = Div(1, a)", "y = Conv(e, v)"},
		"e^large": {"a = Conv(x, w)", "f = Sub(a, -2000)", "g = Add(a, a)", "h = Sub(f, 2000)", "e = Div(g, h)", "y = Conv(e, v)"},
		"group":   {"a = Conv(x, w)", "e = Div(1, a)", "y = Conv(e, d) group=20"},
		"pool":    {"a = Conv(x, w)", "e = Div(1, a)", "p = GlobalAveragePool(e)", "y = Conv(p, v)"},
		"many":    {"a = Conv(x, w)", "e = Div(1, a)", "y = Conv(e, o)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSketch(t).input("x", []int64{-1, 3, -1, -1}, 2, 3, 6, 7).weight("w", 20, 3, 1, 1).weight("v", 20, 20, 1, 1).weight("o", 40, 20, 3, 3).weight("d", 20, 1, 3, 3)
			got, _ := s.do(lines...).run(best(), All, "y")
			for i, v := range tensor.Data[float32](got[0]) {
				if v != v {
					t.Fatalf("element %d is %v", i, v)
				}
			}
		})
	}
}

func best() kernel.Level { return kernel.Best() }

// TestOtherTypes: what is not float32 stays right, fused or not.
func TestOtherTypes(t *testing.T) {
	for _, lines := range [][]string{
		{"m = MatMul(d, v)", "a = Add(m, b)", "r = Relu(a)", "y = Cast(r) to=1"},
		{"m = MatMul(d, v)", "a = Add(m, d)", "y = Cast(a) to=1"},
		{"g = Sigmoid(d)", "m = Mul(d, g)", "y = Cast(m) to=1"},
		{"e = Erf(d)", "a = Add(e, e)", "m = Mul(d, a)", "y = Cast(m) to=1"},
	} {
		vector(t).weight("w", 24, 24).weight("c", 24).do("d = Cast(x) to=11", "v = Cast(w) to=11", "b = Cast(c) to=11").do(lines...).fuses()
	}
}

// TestShapesOfWhatIsGone: a Shape reads a value that a rewrite takes away.
func TestShapesOfWhatIsGone(t *testing.T) {
	vector(t).weight("w", 24, 7).weight("b", 7).
		do("m = MatMul(x, w)", "s = Shape(m)", "a = Add(m, b)", "r = Relu(a)", "q = Shape(a)", "n = Add(s, q)", "f = Cast(n) to=1", "g = ReduceSum(f) keepdims=0", "y = Mul(r, g)").fuses()
	stacks(t).input("k", []int64{-1, -1, 3, 8}, 2, 5, 3, 8).
		do("u = Transpose(k) perm=[0,2,3,1]", "p = MatMul(q, u)", "n = Shape(p)", "s = Mul(p, 0.25)", "a = Softmax(s)", "h = Shape(a)", "o = MatMul(a, v)",
			"f = Cast(n) to=1", "i = Cast(h) to=1", "j = Add(f, i)", "e = ReduceMean(j) keepdims=0", "y = Mul(o, e)").fuses()
}

// TestBoundsTheWrongWayRound: the upper one wins.
func TestBoundsTheWrongWayRound(t *testing.T) {
	vector(t).weight("w", 24, 24).do("m = MatMul(x, w)", "y = Clip(m, 3, 1)").fuses()
	vector(t).do("y = Clip(x, 3, 1)").fuses()
	newSketch(t).input("x", []int64{-1, 3, -1, -1}, 2, 3, 6, 7).weight("w", 20, 3, 3, 3).do("c = Conv(x, w)", "y = Clip(c, 3, 1)").fuses()
	newSketch(t).input("x", []int64{-1, 3, -1, -1}, 2, 3, 6, 7).weight("w", 20, 3, 3, 3).do("c = Conv(x, w)", "y = Clip(c, nan, 1)").constant("nan", tensor.Scalar(float32(math.NaN()))).fuses()
}

// TestNaNsThroughActivations: what is not a number stays none.
func TestNaNsThroughActivations(t *testing.T) {
	for _, act := range []string{"Relu(c)", "Clip(c, -1, 1)", "LeakyRelu(c)", "Sigmoid(c)", "Tanh(c)", "HardSwish(c)", "HardSigmoid(c)"} {
		s := newSketch(t).input("x", []int64{-1, 3, -1, -1}, 2, 3, 6, 7).weight("w", 20, 3, 3, 3).do("c = Conv(x, w)", "y = "+act)
		tensor.Data[float32](s.feeds[0])[20] = float32(math.NaN())
		tensor.Data[float32](s.feeds[0])[150] = float32(math.Inf(1))
		s.fuses()
		s = vector(t).weight("w", 24, 24).do("c = MatMul(x, w)", "y = "+act)
		tensor.Data[float32](s.feeds[0])[20] = float32(math.NaN())
		tensor.Data[float32](s.feeds[0])[50] = float32(math.Inf(-1))
		s.fuses()
	}
}

// TestMinMaxNaN: Max, Min and reductions keep what is not a number, at every place.
func TestMinMaxNaN(t *testing.T) {
	for _, line := range []string{"Max(x, z)", "Max(z, x)", "Min(x, z)", "Max(x, 0.1)", "Min(0.1, x)", "Relu(x)", "Clip(x, -1, 1)", "Abs(x)", "Sign(x)",
		"ReduceMax(x) axes=[1]", "ReduceMin(x) axes=[0]", "ReduceMax(x) axes=[0]", "Softmax(x)", "Softmax(x) axis=0", "LogSoftmax(x)", "Gelu(x)", "Elu(x)", "Softplus(x)", "Exp(x)", "Tanh(x)", "Erf(x)", "HardSwish(x)"} {
		for at := range 120 {
			s := vector(t).input("z", []int64{-1, 24}, 5, 24)
			s.opset = 17
			if line == "Gelu(x)" {
				s.opset = 20
			}
			s.do("y = " + line)
			tensor.Data[float32](s.feeds[0])[at] = float32(math.NaN())
			for _, level := range kernel.Levels() {
				got, _ := s.run(level, All, "y")
				nan := false
				for _, v := range tensor.Data[float32](got[0]) {
					nan = nan || v != v
				}
				if !nan {
					t.Fatalf("%s at %s: not a number at %d, but the result is all numbers", line, level, at)
				}
			}
		}
	}
}
