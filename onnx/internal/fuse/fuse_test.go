package fuse

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// sketch builds a graph, a line a node: "y = Op(a, b) attr=1". Lower-case names are
// values; a number is a constant.
type sketch struct {
	t     *testing.T
	g     graph.Graph
	rng   *rand.Rand
	opset int64
	feeds []*tensor.Tensor

	threads int
}

func newSketch(t *testing.T) *sketch {
	return &sketch{t: t, rng: rand.New(rand.NewPCG(1, 2)), opset: 17}
}

// input adds a float32 input whose declared shape may be open, and a tensor for it.
func (s *sketch) input(name string, declared []int64, shape ...int64) *sketch {
	s.g.Inputs = append(s.g.Inputs, graph.Decl{Name: name, Type: tensor.Float32, Ranked: true, Shape: declared})
	s.feeds = append(s.feeds, s.random(shape...))
	return s
}

func (s *sketch) random(shape ...int64) *tensor.Tensor {
	t, err := tensor.New(tensor.Float32, shape)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range tensor.Data[float32](t) {
		tensor.Data[float32](t)[i] = s.rng.Float32()*2 - 1
	}
	return t
}

// weight adds a known random value.
func (s *sketch) weight(name string, shape ...int64) *sketch {
	return s.constant(name, s.random(shape...))
}

func (s *sketch) constant(name string, t *tensor.Tensor) *sketch {
	s.g.Stored = append(s.g.Stored, graph.Stored{Name: name, Tensor: t})
	return s
}

// do adds nodes.
func (s *sketch) do(lines ...string) *sketch {
	for _, line := range lines {
		out, rest, _ := strings.Cut(line, " = ")
		name, rest, _ := strings.Cut(rest, "(")
		args, attrs, _ := strings.Cut(rest, ")")
		n := graph.Node{Index: len(s.g.Nodes), Op: name, Opset: s.opset, Outputs: []string{out}}
		for _, a := range strings.Split(args, ", ") {
			n.Inputs = append(n.Inputs, s.operand(a))
		}
		for _, a := range strings.Fields(attrs) {
			n.Attrs = append(n.Attrs, s.attribute(a))
		}
		s.g.Nodes = append(s.g.Nodes, n)
	}
	return s
}

// operand makes a constant of a number.
func (s *sketch) operand(a string) string {
	var v float32
	if _, err := fmt.Sscan(a, &v); err != nil || a == "nan" {
		return a
	}
	if !slices.ContainsFunc(s.g.Stored, func(w graph.Stored) bool { return w.Name == a }) {
		s.constant(a, tensor.Scalar(v))
	}
	return a
}

// attribute reads name=1, name=0.5 or name=[1,2].
func (s *sketch) attribute(a string) graph.Attribute {
	name, v, _ := strings.Cut(a, "=")
	var list []int64
	if strings.HasPrefix(v, "[") {
		for _, x := range strings.Split(strings.Trim(v, "[]"), ",") {
			var i int64
			if _, err := fmt.Sscan(x, &i); err != nil {
				s.t.Fatal(err)
			}
			list = append(list, i)
		}
		return graph.Attribute{Name: name, Kind: graph.Ints, Ints: list}
	}
	if strings.Contains(v, ".") {
		var f float32
		if _, err := fmt.Sscan(v, &f); err != nil {
			s.t.Fatal(err)
		}
		return float(name, f)
	}
	var i int64
	if _, err := fmt.Sscan(v, &i); err != nil {
		return text(name, v)
	}
	return integer(name, i)
}

// run computes what "out" names, with or without rewrites, and lists the operators.
func (s *sketch) run(level kernel.Level, rewrite func(*plan.Program) error, outs ...string) ([]*tensor.Tensor, []string) {
	s.t.Helper()
	g := s.g
	g.Stored = slices.Clone(g.Stored)
	for i := range g.Stored { // a program takes its weights over
		g.Stored[i].Tensor = g.Stored[i].Tensor.Clone()
	}
	g.Outputs = nil
	for _, name := range outs {
		g.Outputs = append(g.Outputs, graph.Decl{Name: name})
	}
	o := plan.Options{Limits: plan.Limits{Rank: 8, Elements: 1 << 22, Bytes: 1 << 28, Steps: 1}, Table: op.Table(), Level: level, Rewrite: rewrite, Poison: 0xff}
	p, err := plan.Compile(s.t.Context(), &g, o)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, st := range p.Steps {
		names = append(names, op.Name(st.Node))
	}
	got, err := p.Run(s.t.Context(), max(1, s.threads), s.feeds, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return got, names
}

// fuses runs the graph both ways, at every level, and says which operators are left.
func (s *sketch) fuses(outs ...string) string {
	s.t.Helper()
	if len(outs) == 0 {
		outs = []string{"y"}
	}
	left := ""
	for _, level := range kernel.Levels() {
		want, _ := s.run(level, nil, outs...)
		got, names := s.run(level, All, outs...)
		for i := range want {
			s.near(got[i], want[i], level)
		}
		left = strings.Join(names, " ")
	}
	return strings.ReplaceAll(left, "fused:", "")
}

func (s *sketch) near(got, want *tensor.Tensor, level kernel.Level) {
	s.t.Helper()
	if !slices.Equal(got.Shape, want.Shape) {
		s.t.Fatalf("%s: shape %v, expected %v", level, got.Shape, want.Shape)
	}
	g, w := tensor.Data[float32](got), tensor.Data[float32](want)
	for i := range w {
		a, b := float64(g[i]), float64(w[i])
		if same := math.IsNaN(a) && math.IsNaN(b) || a == b; !same && !(math.Abs(a-b) <= 2e-5*(1+math.Abs(b))) {
			s.t.Fatalf("%s: element %d is %v, expected %v", level, i, a, b)
		}
	}
}

// expect checks what is left of a graph.
func (s *sketch) expect(want string, outs ...string) {
	s.t.Helper()
	if got := s.fuses(outs...); got != want {
		s.t.Errorf("left: %s\nwant: %s", got, want)
	}
}

func vector(t *testing.T) *sketch { return newSketch(t).input("x", []int64{-1, 24}, 5, 24) }

func TestIdentityAndCasts(t *testing.T) {
	vector(t).do("a = Identity(x)", "b = Identity(a)", "c = Cast(b) to=1", "y = Relu(c)").expect("Relu")
	vector(t).do("a = Cast(x) to=7", "b = Cast(a) to=1", "y = Relu(b)").expect("Cast Cast Relu")
	vector(t).do("y = Identity(x)").expect("Identity") // the caller's own
}

func TestGelu(t *testing.T) {
	for name, lines := range map[string][]string{
		"half last":   {"d = Div(x, 1.4142135)", "e = Erf(d)", "a = Add(e, 1)", "m = Mul(x, a)", "y = Mul(m, 0.5)"},
		"half first":  {"d = Mul(0.70710677, x)", "e = Erf(d)", "a = Add(1, e)", "m = Mul(x, 0.5)", "y = Mul(m, a)"},
		"half inside": {"d = Div(x, 1.4142135)", "e = Erf(d)", "a = Add(e, 1)", "m = Mul(0.5, a)", "y = Mul(x, m)"},
		"other order": {"d = Div(x, 1.4142135)", "e = Erf(d)", "a = Add(1, e)", "m = Mul(a, x)", "y = Mul(0.5, m)"},
	} {
		t.Run(name, func(t *testing.T) { vector(t).do(lines...).expect("Gelu") })
	}
	vector(t).do("p = Pow(x, 3.0)", "c = Mul(p, 0.044715)", "s = Add(x, c)", "o = Mul(s, 0.7978846)", "h = Tanh(o)", "a = Add(h, 1)", "m = Mul(x, 0.5)", "y = Mul(m, a)").
		expect("GeluTanh")
}

// TestNearlyGelu: each line differs from the pattern in one thing.
func TestNearlyGelu(t *testing.T) {
	good := []string{"d = Div(x, 1.4142135)", "e = Erf(d)", "a = Add(e, 1)", "m = Mul(x, a)", "y = Mul(m, 0.5)"}
	for name, c := range map[string]struct {
		line int
		with string
	}{
		"scale":   {0, "d = Div(x, 1.5)"},
		"turned":  {0, "d = Div(1.4142135, x)"},
		"other x": {3, "m = Mul(z, a)"},
		"one":     {2, "a = Add(e, 2)"},
		"half":    {4, "y = Mul(m, 0.25)"},
		"tanh":    {1, "e = Tanh(d)"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := slices.Clone(good)
			lines[c.line] = c.with
			s := vector(t).input("z", []int64{-1, 24}, 5, 24).do(lines...)
			if left := s.fuses(); strings.Contains(left, "Gelu") {
				t.Errorf("left: %s", left)
			}
		})
	}
	inside := vector(t).do(good...)
	if left := inside.fuses("y", "e"); strings.Contains(left, "Gelu") {
		t.Errorf("somebody reads the inside: %s", left)
	}
	cubic := []string{"p = Pow(x, 3.0)", "c = Mul(p, 0.044715)", "s = Add(x, c)", "o = Mul(s, 0.7978846)", "h = Tanh(o)", "a = Add(h, 1)", "m = Mul(x, 0.5)", "y = Mul(m, a)"}
	for i, with := range map[int]string{0: "p = Pow(x, 2.0)", 1: "c = Mul(p, 0.05)", 2: "s = Add(z, c)", 3: "o = Mul(s, 0.8)", 4: "h = Erf(o)", 5: "a = Add(h, 3)", 6: "m = Mul(x, 0.25)", 7: "y = Add(m, a)"} {
		lines := slices.Clone(cubic)
		lines[i] = with
		if left := vector(t).input("z", []int64{-1, 24}, 5, 24).do(lines...).fuses(); strings.Contains(left, "Gelu") {
			t.Errorf("%s: %s", with, left)
		}
	}
}

func TestGates(t *testing.T) {
	vector(t).do("g = Sigmoid(x)", "y = Mul(x, g)").expect("SiLU")
	vector(t).do("g = HardSigmoid(x) alpha=0.16666667 beta=0.5", "y = Mul(g, x)").expect("HardSwish")
	vector(t).do("a = Add(x, 3)", "c = Clip(a, 0, 6)", "m = Mul(x, c)", "y = Div(m, 6)").expect("HardSwish")
	vector(t).do("a = Add(x, 3)", "c = Clip(a, 0, 6)", "m = Div(c, 6)", "y = Mul(m, x)").expect("HardSwish")
	vector(t).do("a = Add(x, 3)", "c = Clip(a, 0, 6)", "m = Mul(x, c)", "y = Mul(m, 0.16666667)").expect("HardSwish")
	for _, lines := range [][]string{
		{"g = Sigmoid(z)", "y = Mul(x, g)"},
		{"g = HardSigmoid(x) alpha=0.2 beta=0.5", "y = Mul(x, g)"},
		{"g = HardSigmoid(x) alpha=0.16666667 beta=0.4", "y = Mul(x, g)"},
		{"g = HardSigmoid(x)", "y = Mul(x, g)"},
		{"a = Add(x, 3)", "c = Clip(a, 0, 5)", "m = Mul(x, c)", "y = Div(m, 6)"},
		{"a = Add(x, 3)", "c = Clip(a, 1, 6)", "m = Mul(x, c)", "y = Div(m, 6)"},
		{"a = Add(x, 2)", "c = Clip(a, 0, 6)", "m = Mul(x, c)", "y = Div(m, 6)"},
		{"a = Add(z, 3)", "c = Clip(a, 0, 6)", "m = Mul(x, c)", "y = Div(m, 6)"},
		{"a = Add(x, 3)", "c = Clip(a, 0, 6)", "m = Mul(x, c)", "y = Div(m, 5)"},
		{"a = Add(x, 3)", "c = Clip(a, 0, 6)", "m = Mul(x, c)", "y = Mul(m, 0.2)"},
	} {
		if left := vector(t).input("z", []int64{-1, 24}, 5, 24).do(lines...).fuses(); strings.Contains(left, "SiLU") || strings.Contains(left, "HardSwish") {
			t.Errorf("%v: %s", lines, left)
		}
	}
}

func TestGuards(t *testing.T) {
	s := func() *sketch {
		s := vector(t).constant("wide", tensor.Of([]float32{0}, 1, 1, 1)).input("z", []int64{-1, 24}, 5, 24)
		tensor.Data[float32](s.feeds[0])[7] = float32(math.NaN())
		return s
	}
	s().do("n = IsNaN(x)", "y = Where(n, 0, x)").expect("Guard")
	for _, lines := range [][]string{
		{"n = IsNaN(z)", "y = Where(n, 0, x)"}, {"n = IsNaN(x)", "y = Where(n, x, 0)"}, {"n = IsNaN(x)", "y = Where(n, wide, x)"},
		{"n = IsInf(x)", "y = Where(n, 0, x)"}, {"n = IsNaN(x)", "y = Where(n, z, x)"},
	} {
		if left := s().do(lines...).fuses(); strings.Contains(left, "Guard") {
			t.Errorf("%v: %s", lines, left)
		}
	}
	if left := s().do("n = IsNaN(x)", "w = Where(n, 0, x)", "y = Add(w, x)", "c = Cast(n) to=1").fuses("y", "c"); strings.Contains(left, "Guard") {
		t.Errorf("somebody reads the test: %s", left)
	}
}

func normLines() []string {
	return []string{"m = ReduceMean(x) axes=[-1]", "d = Sub(x, m)", "p = Pow(d, 2.0)", "v = ReduceMean(p) axes=[-1]", "e = Add(v, 0.00001)", "r = Sqrt(e)", "n = Div(d, r)", "s = Mul(n, g)", "y = Add(s, b)"}
}

func TestLayerNorm(t *testing.T) {
	vector(t).weight("g", 24).weight("b", 24).do(normLines()...).expect("LayerNorm")
	squared := normLines()
	squared[2] = "p = Mul(d, d)"
	vector(t).weight("g", 24).weight("b", 24).do(squared...).expect("LayerNorm")
}

func TestNearlyLayerNorm(t *testing.T) {
	for i, with := range map[int]string{
		0: "m = ReduceMean(x) axes=[0]", 1: "d = Sub(z, m)", 2: "p = Pow(d, 3.0)", 3: "v = ReduceMean(p) axes=[0]", 4: "e = Add(v, z)",
		5: "r = Abs(e)", 6: "n = Mul(d, r)", 7: "s = Mul(n, z)", 8: "y = Add(s, z)",
	} {
		lines := normLines()
		lines[i] = with
		s := vector(t).input("z", []int64{-1, 24}, 5, 24).weight("g", 24).weight("b", 24).do(lines...)
		if left := s.fuses(); strings.Contains(left, "LayerNorm") {
			t.Errorf("%s: %s", with, left)
		}
	}
	lost := normLines()
	lost[0] = "m = ReduceMean(x) axes=[-1] keepdims=0"
	s := newSketch(t).input("x", []int64{24, 24}, 24, 24).weight("g", 24).weight("b", 24).do(lost...)
	if left := s.fuses(); strings.Contains(left, "LayerNorm") {
		t.Errorf("without keepdims: %s", left)
	}
	if left := vector(t).weight("g", 24).weight("b", 24).do(normLines()...).fuses("y", "n"); strings.Contains(left, "LayerNorm") {
		t.Errorf("somebody reads the inside: %s", left)
	}
}

func TestProducts(t *testing.T) {
	s := func() *sketch {
		return vector(t).input("z", []int64{-1, 16}, 5, 16).weight("w", 24, 16).weight("b", 16)
	}
	s().do("m = MatMul(x, w)", "y = Add(m, b)").expect("MatMul")
	s().do("m = MatMul(x, w)", "a = Add(b, m)", "c = Add(a, z)", "y = Relu(c)").expect("MatMul")
	s().do("m = Gemm(x, w, b)", "a = Add(z, m)", "y = Tanh(a)").expect("MatMul")
	s().do("m = MatMul(x, w)", "y = LeakyRelu(m) alpha=0.3").expect("MatMul")
	s().do("m = MatMul(x, w)", "y = Clip(m, -0.1, 0.2)").expect("MatMul")
	s().do("m = MatMul(x, w)", "r = Reshape(m, flat)", "y = Tanh(r)").constant("flat", tensor.List[int64](-1)).expect("MatMul Reshape")
	s().do("m = MatMul(x, w)", "r = Relu(m)", "y = Add(r, b)").expect("MatMul Add")
	s().do("m = MatMul(x, w)", "y = Add(m, b)").expect("MatMul Add", "y", "m")
	s().do("m = MatMul(x, w)", "a = Add(m, z)", "y = Relu(a)").expect("MatMul Relu", "y", "a")
}

func TestTransposedOperands(t *testing.T) {
	s := func() *sketch {
		return newSketch(t).input("x", []int64{-1, 3, 8}, 2, 3, 8).input("z", []int64{-1, 3, 5}, 2, 3, 5).input("m", []int64{7, 8}, 7, 8).weight("w", 3, 4)
	}
	s().do("a = Transpose(x) perm=[0,2,1]", "y = MatMul(a, z)").expect("MatMul")
	s().do("a = Transpose(z) perm=[0,2,1]", "b = Transpose(m)", "c = MatMul(x, b)", "y = MatMul(a, c)").expect("MatMul MatMul")
	s().do("a = Transpose(x) perm=[0,2,1]", "p = MatMul(a, w)", "y = Relu(p)").expect("MatMul")
	s().do("a = Transpose(m)", "b = Transpose(m)", "c = Gemm(a, b) transA=1", "y = Relu(c)").fuses()
	for _, lines := range [][]string{
		{"a = Transpose(x) perm=[2,0,1]", "b = Transpose(z) perm=[1,0,2]", "y = MatMul(b, a)"},
		{"a = Transpose(x) perm=[1,0,2]", "b = Transpose(x) perm=[1,2,0]", "y = MatMul(a, b)"},
	} {
		if left := newSketch(t).input("x", []int64{3, 3, 3}, 3, 3, 3).input("z", []int64{3, 3, 3}, 3, 3, 3).do(lines...).fuses(); !strings.Contains(left, "Transpose Transpose") {
			t.Errorf("%v: %s", lines, left)
		}
	}
	if left := s().do("a = Transpose(x) perm=[0,2,1]", "y = MatMul(a, z)").fuses("y", "a"); !strings.Contains(left, "Transpose") {
		t.Errorf("somebody reads it: %s", left)
	}
}

// TestAdditionsThatRepeat: shapes that look alike may turn out to differ.
func TestAdditionsThatRepeat(t *testing.T) {
	wide := newSketch(t).input("x", []int64{-1, -1, 8}, 1, 3, 8).input("z", []int64{-1, -1, 4}, 2, 3, 4).weight("w", 8, 4).weight("b", 4)
	wide.do("m = MatMul(x, w)", "a = Add(m, b)", "c = Add(a, z)", "y = Tanh(c)").expect("MatMul")
	narrow := newSketch(t).input("x", []int64{-1, -1, 8}, 2, 3, 8).input("z", []int64{-1, -1, 4}, 1, 3, 4).weight("w", 8, 4)
	narrow.do("m = MatMul(x, w)", "c = Add(z, m)", "y = Relu(c)").expect("MatMul")
}

func TestAttention(t *testing.T) {
	const b, seq, heads, dim = 2, 7, 3, 8
	s := func() *sketch {
		s := newSketch(t)
		for _, name := range []string{"q", "k", "v"} {
			s.input(name, []int64{-1, -1, heads, dim}, b, seq, heads, dim)
		}
		return s.input("mask", []int64{-1, 1, 1, -1}, b, 1, 1, seq)
	}
	out := []string{"p = MatMul(w, vt)", "y = Transpose(p) perm=[0,2,1,3]"}
	turned := []string{"qt = Transpose(q) perm=[0,2,1,3]", "vt = Transpose(v) perm=[0,2,1,3]", "kt = Transpose(k) perm=[0,2,3,1]"}
	do := func(inner ...string) []string { return slices.Concat(turned, inner, out) }
	s().do(do("m = MatMul(qt, kt)", "d = Div(m, 2.828427)", "a = Add(d, mask)", "w = Softmax(a) axis=-1")...).expect("Attention")
	s().do(do("m = MatMul(qt, kt)", "d = Mul(m, 0.35355338)", "w = Softmax(d) axis=3")...).expect("Attention")
	s().do(do("u = Mul(qt, 0.5)", "i = Mul(kt, 0.5)", "m = MatMul(u, i)", "a = Add(mask, m)", "w = Softmax(a) axis=-1")...).expect("Attention")
	s().do(do("m = MatMul(qt, kt)", "a = Add(m, mask)", "f = Softmax(a) axis=-1", "n = IsNaN(f)", "w = Where(n, 0, f)")...).expect("Attention")
	twice := []string{"k1 = Transpose(k) perm=[0,2,1,3]", "kt = Transpose(k1) perm=[0,1,3,2]"}
	s().do(slices.Concat(turned[:2], twice, []string{"m = MatMul(qt, kt)", "w = Softmax(m) axis=-1", "y = MatMul(w, vt)"})...).expect("Attention")
	for name, lines := range map[string][]string{
		"axis":        do("m = MatMul(qt, kt)", "w = Softmax(m) axis=2"),
		"seen inside": do("m = MatMul(qt, kt)", "w = Softmax(m) axis=-1", "z = Relu(w)"),
		"guard":       do("m = MatMul(qt, kt)", "f = Softmax(m) axis=-1", "n = IsNaN(f)", "w = Where(n, 1, f)"),
		"guard of":    do("m = MatMul(qt, kt)", "f = Softmax(m) axis=-1", "n = IsNaN(m)", "w = Where(n, 0, f)"),
	} {
		outs := []string{"y"}
		if name == "seen inside" {
			outs = append(outs, "z")
		}
		if left := s().do(lines...).fuses(outs...); strings.Contains(left, "Attention") {
			t.Errorf("%s: %s", name, left)
		}
	}
}

// TestAttentionOfNothing: a query that may see no key.
func TestAttentionOfNothing(t *testing.T) {
	s := newSketch(t)
	for _, name := range []string{"q", "k", "v"} {
		s.input(name, []int64{1, 4, 2, 8}, 1, 4, 2, 8)
	}
	never := slices.Repeat([]float32{float32(math.Inf(-1))}, 4)
	s.constant("mask", tensor.Of(never, 1, 1, 1, 4))
	base := []string{"qt = Transpose(q) perm=[0,2,1,3]", "vt = Transpose(v) perm=[0,2,1,3]", "kt = Transpose(k) perm=[0,2,3,1]", "m = MatMul(qt, kt)", "a = Add(m, mask)"}
	plain := *s
	plain.do(slices.Concat(base, []string{"w = Softmax(a) axis=-1", "y = MatMul(w, vt)"})...)
	plain.expect("Attention")
	s.do(slices.Concat(base, []string{"f = Softmax(a) axis=-1", "n = IsNaN(f)", "w = Where(n, 0, f)", "y = MatMul(w, vt)"})...)
	s.expect("Attention")
}

func image(t *testing.T, channels int64) *sketch {
	return newSketch(t).input("x", []int64{-1, channels, 9, 9}, 2, channels, 9, 9)
}

func TestConvolutions(t *testing.T) {
	s := func() *sketch {
		return image(t, 20).weight("w", 36, 20, 3, 3).weight("b", 36).weight("v", 20, 36, 1, 1).weight("c", 20).weight("mean", 36).
			constant("var", tensor.List(slices.Repeat([]float32{0.7}, 36)...)).weight("each", 1, 36, 1, 1).weight("chan", 36, 1, 1)
	}
	s().do("a = Conv(x, w) pads=[1,1,1,1]", "n = BatchNormalization(a, b, mean, mean, var) epsilon=0.001", "y = Relu(n)").expect("ToBlocked Conv FromBlocked")
	s().do("a = Conv(x, w, b) pads=[1,1,1,1]", "f = Mul(a, each)", "g = Add(chan, f)", "h = Mul(2, g)", "y = Clip(h, 0, 1)").expect("ToBlocked Conv FromBlocked")
	s().do("a = Conv(x, w, b) pads=[1,1,1,1]", "r = Relu(a)", "d = Conv(r, v, c)", "e = Add(x, d)", "y = Relu(e)").expect("ToBlocked Conv Conv FromBlocked")
	s().do("a = Conv(x, w, b) pads=[1,1,1,1]", "g = Sigmoid(a)", "m = Mul(a, g)", "d = Conv(m, v, c)", "y = HardSwish(d)").expect("ToBlocked Conv Conv FromBlocked")
	s().do("a = Conv(x, w, b) pads=[1,1,1,1]", "p = GlobalAveragePool(a)", "d = Sigmoid(p)", "e = Mul(a, d)", "y = Conv(e, v, c)").
		expect("ToBlocked Conv GlobalAveragePool Sigmoid Mul Conv FromBlocked")
	s().do("a = Conv(x, w, b) pads=[1,1,1,1]", "p = MaxPool(a) kernel_shape=[2,2] strides=[2,2]", "q = AveragePool(a) kernel_shape=[2,2] strides=[2,2]", "y = Add(p, q)").
		expect("ToBlocked Conv MaxPool AveragePool Add FromBlocked")
	s().do("a = Conv(x, w) pads=[1,1,1,1]", "r = Reshape(a, flat)", "y = Relu(r)").constant("flat", tensor.List[int64](2, -1)).expect("ToBlocked Conv FromBlocked Reshape Relu")
	s().do("a = Conv(x, w)", "f = Mul(a, each)", "y = Relu(f)").fuses("y", "a")
	s().do("a = Conv(x, w)", "r = Relu(a)", "f = Mul(r, each)", "y = Add(f, chan)").fuses()
	s().weight("row", 7).do("a = Conv(x, w)", "y = Mul(a, row)").fuses() // 7 columns, not 36 channels
	s().weight("row", 1, 1, 1, 7).do("a = Conv(x, w)", "y = Add(a, row)").fuses()
}

// TestConcatInBlocks: channels lie side by side only if all but the last fill blocks.
func TestConcatInBlocks(t *testing.T) {
	for _, first := range []int64{16, 32, 20, 3} {
		for _, axis := range []string{"1", "-3", "2"} {
			s := image(t, 16).weight("w", first, 16, 1, 1).weight("v", first, 16, 1, 1)
			s.do("a = Conv(x, w)", "b = Conv(x, v)", "c = Concat(a, b) axis="+axis, "y = Relu(c)")
			left := s.fuses()
			if blocks := !strings.Contains(left, "FromBlocked Concat") && !strings.Contains(left, "FromBlocked FromBlocked Concat"); blocks != (axis != "2" && first%16 == 0) && kernel.Best() >= kernel.AVX512 {
				t.Errorf("%d channels, axis %s: %s", first, axis, left)
			}
		}
	}
}

// TestResidualsThatRepeat: an image added to a convolution may have another batch.
func TestResidualsThatRepeat(t *testing.T) {
	for _, batch := range []int64{1, 2} {
		s := newSketch(t).input("x", []int64{-1, 16, 5, 5}, 3-batch, 16, 5, 5).input("z", []int64{-1, 16, 5, 5}, batch, 16, 5, 5).weight("w", 16, 16, 1, 1)
		s.do("a = Conv(x, w)", "d = Add(z, a)", "y = Relu(d)").expect("ToBlocked ToBlocked Conv FromBlocked")
	}
}

// TestSmallImagesStayPlain: a layer with few channels on both sides gains nothing.
func TestSmallImagesStayPlain(t *testing.T) {
	image(t, 3).weight("w", 2, 3, 3, 3).do("a = Conv(x, w)", "y = Relu(a)").expect("Conv")
	image(t, 3).weight("w", 2, 3, 3, 3).do("w2 = Add(w, x0)", "y = Conv(x, w2)").input("x0", []int64{1}, 1).expect("Add Conv")
}
