package fuse

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// left runs the graph both ways with the best kernels: the results agree. It says which
// operators are left.
func (s *sketch) left(outs ...string) []string {
	s.t.Helper()
	if len(outs) == 0 {
		outs = []string{"y"}
	}
	want, _ := s.run(kernel.Best(), nil, outs...)
	got, names := s.run(kernel.Best(), All, outs...)
	for i := range want {
		s.near(got[i], want[i], kernel.Best())
	}
	return names
}

// stays is left for a pattern that must not fire.
func (s *sketch) stays(unwanted string, outs ...string) {
	s.t.Helper()
	if left := s.left(outs...); slices.Contains(left, unwanted) {
		s.t.Errorf("left: %v", left)
	}
}

// unranked adds an input of which only the type is known.
func (s *sketch) unranked(name string, shape ...int64) *sketch {
	s.g.Inputs = append(s.g.Inputs, graph.Decl{Name: name, Type: tensor.Float32})
	s.feeds = append(s.feeds, s.random(shape...))
	return s
}

func TestNearlyAttention(t *testing.T) {
	start := []string{"qt = Transpose(q) perm=[0,2,1,3]", "vt = Transpose(v) perm=[0,2,1,3]", "kt = Transpose(k) perm=[0,2,3,1]", "m = MatMul(qt, kt)"}
	soft, end := "f = Softmax(m) axis=-1", "y = MatMul(w, vt)"
	for name, c := range map[string]struct {
		opset int64
		lines []string
		outs  []string
	}{
		"other test":        {17, []string{soft, "n = IsInf(f)", "w = Where(n, 0, f)", end}, nil},
		"number is given":   {17, []string{soft, "n = IsNaN(f)", "w = Where(n, given, f)", end}, nil},
		"test of others":    {17, []string{soft, "n = IsNaN(other)", "w = Where(n, 0, f)", "z = Relu(f)", end}, []string{"y", "z"}},
		"seen beside guard": {17, []string{soft, "n = IsNaN(f)", "w = Where(n, 0, f)", "z = Relu(f)", end}, []string{"y", "z"}},
		"scale of 5 ranks":  {17, []string{"d = Mul(m, deep)", "w = Softmax(d) axis=-1", end}, nil},
		"old Softmax":       {11, []string{"w = Softmax(m)", end}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSketch(t).constant("deep", ones(0.5, 5)).input("given", []int64{1}, 1).input("other", []int64{-1, 3, 7, 7}, 2, 3, 7, 7)
			tensor.Data[float32](s.feeds[1])[5] = float32(math.NaN())
			for _, in := range []string{"q", "k", "v"} {
				s.input(in, []int64{-1, -1, 3, 8}, 2, 7, 3, 8)
			}
			s.opset = c.opset
			s.do(slices.Concat(start, c.lines)...).stays("fused:Attention", c.outs...)
		})
	}
}

// TestNearlyFunctions: what lacks a step that a pattern has, or has others in its place.
func TestNearlyFunctions(t *testing.T) {
	for _, c := range []struct {
		unwanted string
		lines    []string
	}{
		{"fused:Gelu", []string{"e = Erf(x)", "a = Add(e, 1)", "m = Mul(x, a)", "y = Mul(m, 0.5)"}},
		{"fused:Gelu", []string{"d = Div(x, 1.4142135)", "e = Erf(d)", "a = Add(e, 1)", "m = Mul(x, a)", "y = Mul(m, halves)"}},
		{"fused:GeluTanh", []string{"h = Tanh(x)", "a = Add(h, 1)", "m = Mul(x, 0.5)", "y = Mul(m, a)"}},
		{"fused:GeluTanh", []string{"o = Mul(x, 0.7978846)", "h = Tanh(o)", "a = Add(h, 1)", "m = Mul(x, 0.5)", "y = Mul(m, a)"}},
		{"fused:HardSwish", []string{"c = Clip(x, 0, 6)", "m = Mul(x, c)", "y = Div(m, 6)"}},
		{"fused:HardSwish", []string{"d = Cast(x) to=11", "a = Add(d, d3)", "c = Clip(a, d0, d6)", "m = Mul(d, c)", "e = Div(m, d6)", "y = Cast(e) to=1"}},
		{"fused:MatMul", []string{"m = MatMul(x, w)", "y = Clip(m, given, 1)"}},
		{"fused:LayerNorm", changed(normLines(), "n = Div(x, r)")},
		{"fused:LayerNorm", changed(normLines(), "r = Sqrt(v)")},
		{"fused:LayerNorm", changed(normLines(), "e = Add(p, 0.00001)")},
		{"fused:LayerNorm", changed(normLines(), "d = Sub(x, z)")},
	} {
		s := vector(t).input("z", []int64{-1, 24}, 5, 24).input("given", []int64{}).weight("w", 24, 24).weight("g", 24).weight("b", 24)
		halves := slices.Repeat([]float32{0.25}, 24)
		halves[0] = 0.5
		s.constant("halves", tensor.List(halves...)).constant("d0", tensor.Scalar(0.0)).constant("d3", tensor.Scalar(3.0)).constant("d6", tensor.Scalar(6.0))
		s.do(c.lines...).stays(c.unwanted)
	}
}

// TestNearlyFolded: what is no number for each channel of a convolution, though it looks
// like one: there are as many columns and images as channels.
func TestNearlyFolded(t *testing.T) {
	for _, line := range []string{"y = Mul(a, deep)", "y = Add(a, columns)", "y = Mul(a, batches)", "y = BatchNormalization(a, given, c, c, ones)", "y = BatchNormalization(a, c, c, given, ones)"} {
		s := newSketch(t).input("x", []int64{9, 3, 9, 9}, 9, 3, 9, 9).input("given", []int64{9}, 9).weight("w", 9, 3, 1, 1).weight("c", 9).weight("columns", 9).weight("batches", 9, 1, 1, 1)
		s.constant("deep", ones(0.5, 5)).constant("ones", filled[float32](1, 9))
		if left := s.do("a = Conv(x, w)", line).left(); !slices.ContainsFunc(left, func(l string) bool { return strings.Contains(line, l+"(") }) {
			t.Errorf("%s: %v", line, left)
		}
	}
}

// TestNearlyInBlocks: what stands beside images in blocks is none, and has the order that
// the specification has.
func TestNearlyInBlocks(t *testing.T) {
	if kernel.Best() < kernel.AVX512 {
		t.Skip("blocks of another length")
	}
	s := func() *sketch {
		return newSketch(t).input("x", []int64{1, 20, 20, 7}, 1, 20, 20, 7).weight("w", 20, 20, 1, 1).weight("v", 16, 20, 1, 1).weight("none", 1, 0, 20, 7).
			input("flat", []int64{1, 20, 7}, 1, 20, 7).input("even", []int64{1, 16, 20, 7}, 1, 16, 20, 7).input("thin", []int64{1, 1, 20, 7}, 1, 1, 20, 7).input("other", []int64{1, 20, 20, 7}, 1, 20, 20, 7).input("wide", []int64{-1, -1, 20, 7}, 1, 20, 20, 7).
			input("some", []int64{20, 20, 1, 1}, 20, 20, 1, 1).input("two", []int64{2, 20, 20, 7}, 2, 20, 20, 7)
	}
	for _, c := range []struct{ left, lines string }{
		{"Add", "y = Add(x, other)"},
		{"Concat", "y = Concat(x, other) axis=1"},
		{"Concat", "y = Concat(even, x) axis=1"},
		{"MaxPool", "y = MaxPool(x) kernel_shape=[2,2]"},
		{"Conv", "y = Conv(wide, w)"},
		{"Conv", "y = Conv(x, some)"},
		{"ToBlocked Conv FromBlocked Add", "a = Conv(x, w); r = Relu(a); y = Add(r, flat)"},
		{"ToBlocked Conv FromBlocked Add", "a = Conv(x, w); r = Relu(a); y = Add(r, thin)"},
		{"ToBlocked Conv FromBlocked Add", "a = Conv(x, w); r = Relu(a); y = Add(two, r)"},
		{"ToBlocked Conv FromBlocked Max", "a = Conv(x, w); y = Max(a, other, x)"},
		{"ToBlocked Conv FromBlocked Concat", "a = Conv(x, v); y = Concat(a, none) axis=1"},
		{"ToBlocked Conv FromBlocked MaxPool Cast Add", "a = Conv(x, w); p,i = MaxPool(a) kernel_shape=[2,2]; f = Cast(i) to=1; y = Add(p, f)"},
		{"ToBlocked Conv FromBlocked LpPool", "a = Conv(x, w); y = LpPool(a) kernel_shape=[2,2]"},
	} {
		s := s()
		s.opset = 19
		if left := strings.ReplaceAll(strings.Join(s.doSplit(strings.Split(c.lines, "; ")...).left(), " "), "fused:", ""); left != c.left {
			t.Errorf("%s\nleft: %s\nwant: %s", c.lines, left, c.left)
		}
	}
}

// TestRewritesFail: what cannot be made is an error of the whole.
func TestRewritesFail(t *testing.T) {
	for _, c := range []struct{ without, lines string }{
		{"Gelu", "d = Div(x, 1.4142135); e = Erf(d); a = Add(e, 1); m = Mul(x, a); y = Mul(m, 0.5)"},
		{"Gelu", "p = Pow(x, 3.0); c = Mul(p, 0.044715); s = Add(x, c); o = Mul(s, 0.7978846); h = Tanh(o); a = Add(h, 1); m = Mul(x, 0.5); y = Mul(m, a)"},
		{"HardSwish", "a = Add(x, 3); c = Clip(a, 0, 6); m = Mul(x, c); y = Div(m, 6)"},
		{"HardSwish", "g = HardSigmoid(x) alpha=0.16666667 beta=0.5; y = Mul(g, x)"},
		{"LayerNormalization", strings.Join(normLines(), "; ")},
		{"QLinearMatMul", strings.Join(integerMatMul(), "; ")},
		{"QLinearConv", strings.Join(integerConvLines(), "; ")},
		{"", "y = Relu(x)"}, // ends with the context
	} {
		s := vector(t)
		if c.without == "QLinearConv" {
			s = integerImage(t)
		}
		s.weight("g", 24).weight("b", 24).constant("b8", filled[uint8](3, 24, 5)).constant("z", tensor.Scalar(uint8(0))).constant("half", tensor.Scalar(float32(0.5))).do(strings.Split(c.lines, "; ")...)
		table := maps.Clone(op.Table())
		for key := range table {
			if key == c.without {
				delete(table, key)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		rewrite := func(p *plan.Program) error {
			if c.without == "" {
				cancel()
			}
			err = All(p)
			return err
		}
		s.g.Outputs = []graph.Decl{{Name: "y"}}
		o := plan.Options{Limits: plan.Limits{Rank: 8, Elements: 1 << 22, Bytes: 1 << 28, Steps: 1}, Table: table, Level: kernel.Best(), Rewrite: rewrite}
		_, whole := plan.Compile(ctx, &s.g, o)
		if err == nil || !errors.Is(whole, err) || c.without == "" && !errors.Is(err, context.Canceled) {
			t.Errorf("without %q: rewrites say %v, and the whole %v", c.without, err, whole)
		}
		cancel()
	}
}
