package fuse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// layer is an attention over what products make of x: 3 heads of 8 in 24 columns.
func layer(t *testing.T) *sketch {
	s := newSketch(t).input("x", []int64{-1, -1, 20}, 2, 4, 20).input("z", []int64{-1, -1, 20}, 2, 4, 20)
	for _, name := range []string{"wq", "wk", "wv"} {
		s.weight(name, 20, 24)
	}
	for _, name := range []string{"cq", "ck", "cv"} {
		s.weight(name, 24)
	}
	s.weight("narrow", 20, 8).weight("one", 8).weight("slim", 20, 15).weight("row", 1, 1, 24)
	s.constant("i0", tensor.Scalar[int64](0)).constant("i1", tensor.Scalar[int64](1))
	for name, list := range map[string][]int64{"to": {0, 0, 3, 8}, "flat": {0, 0, -1}, "single": {0, 0, 1, 8}, "slender": {0, 0, 3, 5}, "openS": {0, -1, 3, 8}, "openH": {0, 0, -1, 8},
		"openD": {0, 0, 3, -1}, "across": {2, -1, 2, 8}, "i0v": {0}, "n2": {2}, "n3": {3}, "n8": {8}, "nOpen": {-1}} {
		s.constant(name, tensor.List(list...))
	}
	return s
}

// projectedLines are the nodes of that, which tests change.
func projectedLines() []string {
	return []string{
		"pq = MatMul(x, wq)", "bq = Add(pq, cq)", "q = Reshape(bq, to)", "qt = Transpose(q) perm=[0,2,1,3]",
		"pk = MatMul(x, wk)", "bk = Add(ck, pk)", "k = Reshape(bk, to)", "kt = Transpose(k) perm=[0,2,3,1]",
		"pv = MatMul(x, wv)", "bv = Add(pv, cv)", "v = Reshape(bv, to)", "vt = Transpose(v) perm=[0,2,1,3]",
		"m = MatMul(qt, kt)", "s = Mul(m, 0.35)", "a = Softmax(s) axis=-1", "o = MatMul(a, vt)", "u = Transpose(o) perm=[0,2,1,3]", "y = Reshape(u, flat)",
	}
}

// changed replaces the lines that make the given values. What nothing makes yet goes
// before the first line that reads it.
func changed(lines []string, with ...string) []string {
	lines = slices.Clone(lines)
	var more []string
	for _, w := range with {
		i := slices.IndexFunc(lines, func(l string) bool { return made(l) == made(w) })
		if i < 0 {
			more = append(more, w)
			continue
		}
		lines[i] = w
	}
	for _, w := range slices.Backward(more) {
		i := slices.IndexFunc(lines, func(l string) bool {
			_, args, _ := strings.Cut(strings.NewReplacer("(", ", ", ")", ", ").Replace(l), ", ")
			return slices.ContainsFunc(strings.Split(made(w), ","), func(name string) bool { return slices.Contains(strings.Split(args, ", "), name) })
		})
		lines = slices.Insert(lines, i, w)
	}
	return lines
}

// made is the names of what a line makes.
func made(line string) string {
	name, _, _ := strings.Cut(line, " = ")
	return name
}

// attends checks how many products are joined and how many are left, and that the
// results are those of the single steps.
func (s *sketch) attends(joined, single int, outs ...string) {
	s.t.Helper()
	if len(outs) == 0 {
		outs = []string{"y"}
	}
	left := strings.Fields(s.fuses(outs...))
	count := func(name string) (n int) {
		for _, l := range left {
			if l == name {
				n++
			}
		}
		return n
	}
	if count("Attention") != 1 || count("Projections") != joined || count("MatMul")+count("Gemm") != single {
		s.t.Errorf("expected %d joined products and %d others; left: %v", joined, single, left)
	}
	s.sameOnThreads(outs...)
}

// sameOnThreads checks that the bits are the same for every number of threads.
func (s *sketch) sameOnThreads(outs ...string) {
	s.t.Helper()
	for _, level := range kernel.Levels() {
		s.threads = 1
		one, _ := s.run(level, All, outs...)
		for _, s.threads = range []int{2, 5} {
			many, _ := s.run(level, All, outs...)
			for i := range one {
				if !slices.Equal(tensor.Words[uint32](many[i]), tensor.Words[uint32](one[i])) {
					s.t.Fatalf("%s: output %d is another one with %d threads", level, i, s.threads)
				}
			}
		}
	}
}

func TestProjections(t *testing.T) {
	for name, with := range map[string][]string{
		"all":             nil,
		"no bias of keys": {"bk = Identity(pk)"},
		"no biases":       {"bq = Identity(pq)", "bk = Identity(pk)", "bv = Identity(pv)"},
		"shared weights":  {"pv = MatMul(x, wk)"},
		"shared biases":   {"bv = Add(pv, ck)", "bk = Add(pk, ck)"},
		"one head":        {"pk = MatMul(x, narrow)", "bk = Add(pk, one)", "k = Reshape(bk, single)", "pv = MatMul(x, narrow)", "bv = Identity(pv)", "v = Reshape(bv, single)"},
		"narrow values":   {"pv = MatMul(x, slim)", "bv = Identity(pv)", "v = Reshape(bv, slender)"},
		"scaled queries":  {"f = Mul(qt, 0.5)", "m = MatMul(f, kt)"},
		"open sequence":   {"q = Reshape(bq, openS)"},
		"open heads":      {"q = Reshape(bq, openH)", "k = Reshape(bk, openD)"},
		"turned twice":    {"k1 = Transpose(k) perm=[0,2,1,3]", "kt = Transpose(k1) perm=[0,1,3,2]"},
		"other order":     {"pq = MatMul(x, wv)", "pk = MatMul(x, wq)", "pv = MatMul(x, wk)"},
		"computed shape": {"sx = Shape(x)", "b1 = Gather(sx, i0)", "s1 = Gather(sx, i1)", "b2 = Unsqueeze(b1, i0v)", "s2 = Unsqueeze(s1, i0v)", "dyn = Concat(b2, s2, n3, n8) axis=0",
			"q = Reshape(bq, dyn)", "k = Reshape(bk, dyn)", "v = Reshape(bv, dyn)"},
		"computed shape, open heads": {"sx = Shape(x)", "lead = Slice(sx, i0v, n2, i0v)", "dyn = Concat(lead, nOpen, n8) axis=0", "q = Reshape(bq, dyn)", "v = Reshape(bv, dyn)"},
	} {
		t.Run(name, func(t *testing.T) { layer(t).do(changed(projectedLines(), with...)...).attends(1, 0) })
	}
}

// TestNearlyProjections: what keeps one of the products, or all of them, as they are.
func TestNearlyProjections(t *testing.T) {
	for name, c := range map[string]struct {
		joined, single int
		with           []string
	}{
		"queries of others":    {1, 1, []string{"pq = MatMul(z, wq)"}},
		"keys of others":       {1, 1, []string{"pk = MatMul(z, wk)"}},
		"values of others":     {1, 1, []string{"pv = MatMul(z, wv)"}},
		"none alike":           {0, 3, []string{"pk = MatMul(z, wk)", "zz = Abs(z)", "pq = MatMul(zz, wq)"}},
		"activation":           {1, 1, []string{"bq = Relu(pq)"}},
		"matrix added":         {1, 2, []string{"wide = MatMul(z, wq)", "bq = Add(pq, wide)"}},
		"bias of no list":      {1, 1, []string{"bk = Add(pk, row)"}},
		"bias that is given":   {1, 1, []string{"bk = Add(pk, some)"}},
		"weights that are":     {1, 1, []string{"wx = Mul(wk, factor)", "pk = MatMul(x, wx)"}},
		"shape that is":        {1, 1, []string{"gi = Cast(given) to=7", "k = Reshape(bk, gi)"}},
		"dimension that is":    {1, 1, []string{"di = Cast(dim) to=7", "gi = Concat(i0v, i0v, n3, di) axis=0", "k = Reshape(bk, gi)"}},
		"both open":            {1, 1, []string{"gi = Concat(i0v, i0v, nOpen) axis=0", "gj = Cast(dim) to=7", "gk = Concat(gi, gj) axis=0", "k = Reshape(bk, gk)"}},
		"read by another step": {1, 1, []string{"e = Abs(bk)", "es = ReduceSum(e) keepdims=0", "y = Reshape(w, flat)", "w = Mul(u, es)"}},
		"heads by another":     {1, 1, []string{"es = ReduceSum(v) keepdims=0", "y = Reshape(w, flat)", "w = Mul(u, es)"}},
		"across the rows":      {0, 3, []string{"q = Reshape(bq, across)", "k = Reshape(bk, across)", "v = Reshape(bv, across)", "y = Identity(u)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := layer(t).input("some", []int64{24}, 24).input("factor", []int64{1}, 1).input("given", []int64{4}, 4).input("dim", []int64{1}, 1)
			copy(tensor.Data[float32](s.feeds[4]), []float32{2, 4, 3, 8})
			copy(tensor.Data[float32](s.feeds[5]), []float32{8})
			s.do(changed(projectedLines(), c.with...)...).attends(c.joined, c.single)
		})
	}
	t.Run("given out", func(t *testing.T) { layer(t).do(projectedLines()...).attends(1, 1, "y", "bk") })
	t.Run("heads given out", func(t *testing.T) { layer(t).do(projectedLines()...).attends(1, 1, "v", "y") })
}

// TestProjectionsOfMatrices: Gemm's product, weights that are given transposed.
func TestProjectionsOfMatrices(t *testing.T) {
	lines := func(with ...string) []string {
		return changed(projectedLines(), append([]string{"x2 = Reshape(x, rows)", "pq = Gemm(x2, tq, cq) transB=1", "bq = Identity(pq)", "pk = Gemm(x2, wk)", "pv = Gemm(x2, tv, cv) transB=1", "bv = Identity(pv)",
			"q = Reshape(bq, deep)", "k = Reshape(bk, deep)", "v = Reshape(bv, deep)"}, with...)...)
	}
	s := func() *sketch {
		return layer(t).weight("tq", 24, 20).weight("tv", 24, 20).constant("rows", tensor.List[int64](-1, 20)).constant("deep", tensor.List[int64](2, -1, 3, 8))
	}
	s().do(lines()...).attends(1, 0)
	s().do(lines("pk = Gemm(x2, wk, ck) alpha=1.0 beta=1.0", "bk = Identity(pk)")...).attends(1, 0)
	s().do(lines("pk = Gemm(x2, wk, ck) alpha=0.5", "bk = Identity(pk)")...).attends(1, 1)
	s().do(lines("pk = Gemm(x2, wk, ck) beta=0.5", "bk = Identity(pk)")...).attends(1, 1)
	s().do(lines("x3 = Transpose(x2)", "pk = Gemm(x3, wk, ck) transA=1", "bk = Identity(pk)")...).attends(1, 0)
}

// TestProjectionsOnlyAskedForShape: exporters ask what they have just cut for its shape.
func TestProjectionsOnlyAskedForShape(t *testing.T) {
	layer(t).do(changed(projectedLines(), "qs = Shape(qt)", "vs = Shape(bv)", "ks = Size(k)", "n = Add(qs, ks)", "nf = Cast(n) to=1", "vf = Cast(vs) to=1", "ns = ReduceSum(nf) keepdims=0",
		"nv = ReduceSum(vf) keepdims=0", "nn = Add(ns, nv)", "w = Mul(u, nn)", "y = Reshape(w, flat)")...).attends(1, 0)
}

// TestHeadsThatCrossRows: what the model says of the last dimensions is not all of it. If
// the others cut the rows too, heads are copied before they are read.
func TestHeadsThatCrossRows(t *testing.T) {
	with := []string{"zs = Shape(z)", "lead = Slice(zs, i0v, n2, i0v)", "dyn = Concat(lead, nOpen, n8) axis=0", "q = Reshape(bq, dyn)", "k = Reshape(bk, dyn)", "v = Reshape(bv, dyn)", "y = Identity(u)"}
	for _, shape := range [][]int64{{2, 4, 20}, {4, 2, 20}, {1, 8, 20}, {2, 6, 20}, {1, 1, 20}, {8, 3, 20}} {
		s := layer(t)
		s.feeds[1] = s.random(shape...)
		s.do(changed(projectedLines(), with...)...).attends(1, 0)
	}
	split := changed(splitLines(), append(with, "q = Reshape(pq, dyn)", "k = Reshape(pk, dyn)", "v = Reshape(pv, dyn)")...)
	for _, shape := range [][]int64{{2, 4, 20}, {2, 6, 20}, {8, 3, 20}} {
		s := layer(t).weight("w", 20, 72).constant("thirds", tensor.List[int64](24, 24, 24))
		s.feeds[1] = s.random(shape...)
		s.doSplit(split...).attends(0, 1)
	}
}

// splitLines are an attention whose queries, keys and values one product makes.
func splitLines() []string {
	return append([]string{"p = MatMul(x, w)", "pq,pk,pv = Split(p, thirds) axis=-1", "q = Reshape(pq, to)", "qt = Transpose(q) perm=[0,2,1,3]",
		"k = Reshape(pk, to)", "kt = Transpose(k) perm=[0,2,3,1]", "v = Reshape(pv, to)", "vt = Transpose(v) perm=[0,2,1,3]"}, projectedLines()[12:]...)
}

// doSplit is do for nodes of several results.
func (s *sketch) doSplit(lines ...string) *sketch {
	s.do(lines...)
	for i := range s.g.Nodes {
		n := &s.g.Nodes[i]
		n.Outputs = strings.Split(n.Outputs[0], ",")
	}
	return s
}

func TestSplitProjections(t *testing.T) {
	s := func() *sketch {
		return layer(t).weight("w", 20, 72).constant("thirds", tensor.List[int64](24, 24, 24)).weight("w2", 20, 63).constant("uneven", tensor.List[int64](24, 24, 15)).
			constant("slender", tensor.List[int64](0, 0, 3, 5)).constant("fours", tensor.List[int64](1, 1, 2))
	}
	for name, c := range map[string]struct {
		gone bool // the Split; one that is asked for a shape alone stays, but never runs
		with []string
	}{
		"all":                     {true, nil},
		"biased":                  {true, []string{"pb = Add(p, all)", "pq,pk,pv = Split(pb, thirds) axis=2"}},
		"uneven":                  {true, []string{"p = MatMul(x, w2)", "pq,pk,pv = Split(p, uneven) axis=-1", "v = Reshape(pv, slender)"}},
		"other order":             {true, []string{"pv,pq,pk = Split(p, thirds) axis=-1"}},
		"through another Reshape": {true, []string{"x2 = Reshape(x, rows)", "p2 = Gemm(x2, w, all)", "p = Reshape(p2, back)"}},
		"asked for its shape":     {false, []string{"ks = Shape(pk)", "kf = Cast(ks) to=1", "kn = ReduceSum(kf) keepdims=0", "um = Mul(u, kn)", "y = Reshape(um, flat)"}},
		"read by another":         {false, []string{"kn = ReduceSum(pk) keepdims=0", "um = Mul(u, kn)", "y = Reshape(um, flat)"}},
		"heads read by another":   {false, []string{"kn = ReduceSum(k) keepdims=0", "um = Mul(u, kn)", "y = Reshape(um, flat)"}},
		"activation":              {false, []string{"pr = Relu(pk)", "k = Reshape(pr, to)"}},
		"lengths that are given":  {false, []string{"gi = Cast(given) to=7", "pq,pk,pv = Split(p, gi) axis=-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s().weight("all", 72).constant("rows", tensor.List[int64](-1, 20)).constant("back", tensor.List[int64](2, -1, 72)).input("given", []int64{3}, 3)
			copy(tensor.Data[float32](s.feeds[2]), []float32{24, 24, 24})
			lines := changed(splitLines(), c.with...)
			if len(c.with) > 0 && strings.HasPrefix(c.with[len(c.with)-1], "pv,pq,pk") || len(c.with) > 1 && strings.HasPrefix(c.with[1], "pq,pk,pv") {
				lines = slices.DeleteFunc(lines, func(l string) bool { return l == splitLines()[1] })
			}
			s.doSplit(lines...)
			if left := s.fuses(); strings.Contains(left, "Split") == c.gone {
				t.Errorf("left: %s", left)
			}
			s.sameOnThreads("y")
		})
	}
}

// TestRandomProjections changes the pattern at random, in what it computes and in the
// order of its nodes: it means the same, fused or not.
func TestRandomProjections(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		s := layer(t).weight("w", 20, 72).constant("thirds", tensor.List[int64](24, 24, 24)).input("given", []int64{4}, 4)
		s.rng = rng
		copy(tensor.Data[float32](s.feeds[2]), []float32{2, 4, 3, 8})
		s.feeds[0], s.feeds[1] = s.random(1+rng.Int64N(3), 1+rng.Int64N(5), 20), s.random(2, 4, 20)
		base := projectedLines()
		if rng.IntN(4) == 0 {
			base = splitLines()
		}
		outs := []string{"y"}
		var with []string
		for _, part := range []string{"q", "k", "v"} {
			pick := func(options ...string) {
				with = append(with, strings.ReplaceAll(options[rng.IntN(len(options))], "#", part))
			}
			if len(base) == len(projectedLines()) {
				pick("p# = MatMul(x, w#)", "p# = MatMul(x, w#)", "p# = MatMul(x, w#)", "p# = MatMul(x, wk)", "p# = MatMul(z, w#)")
				pick("b# = Add(p#, c#)", "b# = Add(p#, c#)", "b# = Add(cv, p#)", "b# = Identity(p#)", "b# = Relu(p#)", "b# = Mul(p#, c#)")
				pick("# = Reshape(b#, to)", "# = Reshape(b#, to)", "# = Reshape(b#, openH)", "# = Reshape(b#, openD)", "# = Reshape(b#, openS)")
				if rng.IntN(8) == 0 {
					outs = append(outs, []string{part, "b" + part, "p" + part}[rng.IntN(3)])
				}
			} else if rng.IntN(8) == 0 {
				outs = append(outs, []string{part, "p" + part}[rng.IntN(2)])
			}
		}
		if rng.IntN(6) == 0 {
			with = append(with, "kn = ReduceSum(k) keepdims=0", "um = Mul(u, kn)", "y = Reshape(um, flat)")
		}
		lines := changed(base, with...)
		if !alikeInputs(lines) { // one operand of other batches may not go with the others
			s.feeds[0] = s.random(2, 4, 20)
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s.t, s.threads = t, 1+rng.IntN(3)
			s.doSplit(shuffled(rng, lines)...).fuses(outs...)
		})
	}
}

// alikeInputs says whether all is made of one input.
func alikeInputs(lines []string) bool {
	return !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "(z,") })
}

// shuffled puts lines into another order in which each comes after what it reads.
func shuffled(rng *rand.Rand, lines []string) []string {
	left, have := slices.Clone(lines), map[string]bool{}
	makes := map[string]bool{}
	for _, l := range lines {
		for _, name := range strings.Split(made(l), ",") {
			makes[name] = true
		}
	}
	var out []string
	for len(left) > 0 {
		i := rng.IntN(len(left))
		_, args, _ := strings.Cut(left[i], "(")
		args, _, _ = strings.Cut(args, ")")
		if slices.ContainsFunc(strings.Split(args, ", "), func(name string) bool { return makes[name] && !have[name] }) {
			continue
		}
		for _, name := range strings.Split(made(left[i]), ",") {
			have[name] = true
		}
		out, left = append(out, left[i]), slices.Delete(left, i, i+1)
	}
	return out
}

// integerLines are the products as quantizers write them, of one quantized x.
func integerLines(with ...string) []string {
	lines := slices.DeleteFunc(projectedLines(), func(l string) bool { return made(l) == "s" }) // the name is that of a scale
	all := []string{"i,sx,zx = DynamicQuantizeLinear(x)", "scaled = Mul(m, 0.35)", "a = Softmax(scaled) axis=-1"}
	for _, p := range []string{"q", "k", "v"} {
		for _, l := range []string{"i# = MatMulInteger(i, w#8, zx, z#8)", "f# = Cast(i#) to=1", "s# = Mul(sx, s#8)", "p# = Mul(f#, s#)"} {
			all = append(all, strings.ReplaceAll(l, "#", p))
		}
	}
	return changed(changed(lines, all...), with...)
}

func TestIntegerProjections(t *testing.T) {
	for name, c := range map[string]struct {
		joined, single int // products of integers
		with           []string
	}{
		"all":             {1, 0, nil},
		"columns":         {1, 0, []string{"sk = Mul(sx, many)", "ik = MatMulInteger(i, wk8, zx, zmany)"}},
		"no bias":         {1, 0, []string{"bv = Identity(pv)"}},
		"no zero point":   {1, 0, []string{"iq = MatMulInteger(i, wq8, zx)"}},
		"of others":       {1, 1, []string{"j,sz,zz = DynamicQuantizeLinear(z)", "iq = MatMulInteger(j, wq8, zz, zq8)", "sq = Mul(sz, sq8)"}},
		"other scale":     {1, 1, []string{"half = Mul(sx, 0.5)", "sq = Mul(half, sq8)"}},
		"other zero":      {1, 1, []string{"iq = MatMulInteger(i, wq8, zq0, zq8)"}},
		"float keys":      {1, 0, []string{"pk = MatMul(x, wk)"}},
		"bias not known":  {1, 1, []string{"bk = Add(pk, some)"}},
		"scale not known": {1, 1, []string{"sk = Mul(sx, some)"}},
		"read by others":  {1, 1, []string{"ek = ReduceSum(bk) keepdims=0", "um = Mul(u, ek)", "y = Reshape(um, flat)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := layer(t).input("some", []int64{24}, 24).constant("zq0", tensor.Scalar(uint8(3))).weight("many", 24).constant("zmany", filled[int8](2, 24))
			for _, p := range []string{"q", "k", "v"} {
				w := filled[int8](0, 20, 24)
				for i := range tensor.Data[int8](w) {
					tensor.Data[int8](w)[i] = int8(s.rng.IntN(256))
				}
				s.constant("w"+p+"8", w).constant("z"+p+"8", tensor.Scalar(int8(-2))).constant("s"+p+"8", tensor.Scalar(float32(0.01)))
			}
			s.doSplit(integerLines(c.with...)...)
			left := strings.Fields(s.fuses())
			count := map[string]int{}
			for _, l := range left {
				count[l]++
			}
			if count["Attention"] != 1 || count["Projections"] != c.joined || count["MatMulIntegerToFloat"] != c.single {
				t.Errorf("left: %v", left)
			}
			s.sameOnThreads("y")
		})
	}
}

// TestColumnsOfProjections: what a step gives that nobody asks for more than its shape.
func TestColumnsOfProjections(t *testing.T) {
	whole := tensor.Of([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 2, 5) // rows of 2, then of 3
	for first, c := range map[int64]struct {
		count int64
		want  []float32
	}{0: {2, []float32{1, 2, 3, 4}}, 2: {3, []float32{5, 6, 7, 8, 9, 10}}} {
		out := tensor.Of(make([]float32, 2*c.count), 2, c.count)
		if err := (taken{first, c.count, 5}).Run(&op.Env{On: &kernel.On{}}, []*tensor.Tensor{whole}, []*tensor.Tensor{out}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tensor.Data[float32](out), c.want) {
			t.Errorf("columns from %d on are %v, want %v", first, tensor.Data[float32](out), c.want)
		}
	}
}
