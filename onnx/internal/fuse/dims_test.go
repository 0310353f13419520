package fuse

import (
	"math"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// matrixKeys is an attention whose keys are turned as a stack of matrices. Batch and
// heads are 3, rows and columns 8: other orders of them are shapes that can be, too.
func matrixKeys(t *testing.T, open bool) *sketch {
	s, declared := newSketch(t), []int64{3, 8, 3, 8}
	if open {
		declared = []int64{-1, -1, -1, -1}
	}
	for _, name := range []string{"q", "k", "v"} {
		s.input(name, declared, 3, 8, 3, 8)
	}
	for name, list := range map[string][]int64{"open": {-1}, "i0": {0}, "i1": {1}, "i2": {2}, "i3": {3}, "m1": {-1}, "m2": {-2}, "least": {math.MinInt64}, "most": {math.MaxInt64}, "both": {0, 1}, "heads": {1, 0},
		"n3": {3}, "n8": {8}, "n9": {9}, "a388": {-1, 8, 8}, "a983": {9, 8, -1}, "n988": {9, 8, 8}, "two1": {2}, "nine": {2, 2, 2, 2, 2, 2, 2, 2, 2}, "b3388": {3, 3, 8, 8}} {
		s.constant(name, tensor.List(list...))
	}
	return s.constant("zero", tensor.Scalar[int64](0)).input("fa", []int64{3}, 3).input("fb", []int64{4}, 4)
}

func matrixKeysLines() []string {
	return []string{"qt = Transpose(q) perm=[0,2,1,3]", "vt = Transpose(v) perm=[0,2,1,3]", "k1 = Transpose(k) perm=[0,2,1,3]", "ks = Shape(k1)",
		"dr = Slice(ks, m2, m1)", "dc = Slice(ks, m1, most)", "dbh = Slice(ks, least, m2)", "sa = Concat(open, dr, dc) axis=0", "k2 = Reshape(k1, sa)", "k3 = Transpose(k2) perm=[0,2,1]",
		"sb = Concat(dbh, dc, dr) axis=0", "kt = Reshape(k3, sb)", "m = MatMul(qt, kt)", "a = Softmax(m) axis=-1", "o = MatMul(a, vt)", "y = Transpose(o) perm=[0,2,1,3]"}
}

func TestKeysTurnedAsMatrices(t *testing.T) {
	for name, c := range map[string]struct {
		fires bool
		with  []string
	}{
		"as exported":            {true, nil},
		"scaled":                 {true, []string{"kf = Mul(kt, 0.4)", "qf = Mul(qt, 0.4)", "m = MatMul(qf, kf)"}},
		"shape before the turn":  {true, []string{"ks = Shape(k)", "dr = Gather(ks, i1)", "dc = Gather(ks, i3)", "dbh = Concat(db, dh) axis=0", "db = Slice(ks, i0, i1, i0, n1)", "dh = Gather(ks, m2)"}},
		"parts of the shape":     {true, []string{"dr = Shape(k1) start=2 end=3", "dc = Shape(k1) start=-1", "dbh = Shape(k1) end=2"}},
		"one by one":             {true, []string{"gr = Gather(ks, two)", "dr = Unsqueeze(gr, i0)", "sc = Slice(ks, i3, most)", "gc = Squeeze(sc, i0)", "dc = Unsqueeze(gc, i0)"}},
		"open batch":             {true, []string{"dh = Gather(ks, i1)", "sb = Concat(open, dh, dc, dr) axis=0"}},
		"number of matrices":     {true, []string{"sa = Concat(n9, dr, dc) axis=0"}},
		"other order of heads":   {false, []string{"dbh = Gather(ks, heads)"}},
		"not turned after all":   {false, []string{"sb = Concat(dbh, dr, dc) axis=0"}},
		"other matrices":         {false, []string{"sa = Concat(open, dc, dr) axis=0"}},
		"matrices across":        {false, []string{"sa = Concat(dr, n9, dc) axis=0", "k3 = Transpose(k2) perm=[1,2,0]"}},
		"other turn":             {false, []string{"k3 = Transpose(k2) perm=[0,1,2]"}},
		"matrices turned":        {false, []string{"k3 = Transpose(k2) perm=[2,0,1]"}},
		"shape of others":        {false, []string{"ks = Shape(qt)"}},
		"numbers of others":      {false, []string{"qs = Shape(v)", "dr = Gather(qs, i1)"}},
		"given at last":          {false, []string{"sa = Cast(fa) to=7"}},
		"given at last, heads":   {false, []string{"sb = Cast(fb) to=7"}},
		"reckoned":               {false, []string{"dd = Add(dr, dc)", "dr2 = Sub(dd, dc)", "sa = Concat(open, dr2, dc) axis=0"}},
		"open rows":              {false, []string{"sa = Concat(n9, open, dc) axis=0"}},
		"from the back":          {false, []string{"dbh = Slice(ks, i1, least, i0, m1)"}},
		"every second row":       {false, []string{"dr = Slice(ks, i2, i3, i0, two1)"}},
		"empty, not known":       {false, []string{"ei = Cast(fe) to=7", "sa = Concat(ei, open, dr, dc) axis=0"}},
		"empty, of no rank":      {false, []string{"es = Shape(fu)", "sa = Concat(es, open, dr, dc) axis=0"}},
		"start that is given":    {false, []string{"gi = Cast(f1) to=7", "es = Slice(ks, gi, i0)", "sa = Concat(es, open, dr, dc) axis=0"}},
		"end that is given":      {false, []string{"gi = Cast(f0) to=7", "es = Slice(ks, i0, gi)", "sa = Concat(es, open, dr, dc) axis=0"}},
		"index that is given":    {false, []string{"gi = Cast(f1) to=7", "dr = Gather(ks, gi)"}},
		"index of 32 bits":       {false, []string{"dr = Gather(ks, i32)"}},
		"bounds of 32 bits":      {false, []string{"dr = Slice(ks, i32, j32)"}},
		"long index":             {false, []string{"lr = Gather(ks, nine)", "dr = Slice(lr, i0, i1)"}},
		"long list":              {false, []string{"dc1 = Gather(ks, i2)", "lr = Concat(dc1, nine) axis=0", "dr = Slice(lr, i0, i1)"}},
		"through a matrix":       {false, []string{"gm = Unsqueeze(ks, i0)", "gr = Gather(gm, i2) axis=1", "dr = Squeeze(gr, i0)"}},
		"matrices from a matrix": {false, []string{"sl = Concat(open, dr, dc) axis=0", "sm = Unsqueeze(sl, i0)", "sa = Squeeze(sm, i0)"}},
		"heads from a matrix":    {false, []string{"sl = Concat(dbh, dc, dr) axis=0", "sm = Unsqueeze(sl, i0)", "sb = Squeeze(sm, i0)"}},
		"more than a turn":       {false, []string{"k2r = Reshape(k1, sa)", "k2 = Relu(k2r)"}},
		"matrices already":       {false, []string{"km = Reshape(k1, a388)", "k2 = Reshape(km, n988)", "sb = Identity(b3388)"}},
		"numbers that are known": {false, []string{"sa = Concat(open, n8, n8) axis=0"}},
	} {
		for _, open := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				s := matrixKeys(t, open).constant("two", tensor.Scalar[int64](2)).constant("n1", tensor.List[int64](1)).constant("i32", tensor.List[int32](2)).constant("j32", tensor.List[int32](3)).
					input("fe", []int64{-1}, 0).unranked("fu").input("f0", []int64{1}, 1).input("f1", []int64{1}, 1)
				tensor.Data[float32](s.feeds[7])[0], tensor.Data[float32](s.feeds[8])[0] = 0, 2
				copy(tensor.Data[float32](s.feeds[3]), []float32{9, 8, 8})
				copy(tensor.Data[float32](s.feeds[4]), []float32{3, 3, 8, 8})
				left := s.do(changed(matrixKeysLines(), c.with...)...).fuses()
				// Of known sizes, other numbers may be the right ones: then the results say so.
				if found := strings.Contains(left, "Attention"); found != c.fires && (open || c.fires) {
					t.Errorf("open %t: left %s", open, left)
				}
			})
		}
	}
}

// TestOldSlices: their bounds are attributes.
func TestOldSlices(t *testing.T) {
	s := matrixKeys(t, true)
	s.opset = 9
	s.do(changed(matrixKeysLines(), "dr = Slice(ks) starts=[2] ends=[3]", "dc = Slice(ks) starts=[3] ends=[4]", "dbh = Slice(ks) starts=[0] ends=[2]")...).stays("fused:Attention")
}

// TestNoSuchDimension: what fails in a run is no fault of a rewrite.
func TestNoSuchDimension(t *testing.T) {
	for _, index := range []int64{-9, 4} {
		s := matrixKeys(t, true).constant("far", tensor.List(index)).do(changed(matrixKeysLines(), "dr = Gather(ks, far)")...)
		s.g.Outputs = []graph.Decl{{Name: "y"}}
		o := plan.Options{Limits: plan.Limits{Rank: 8, Elements: 1 << 22, Bytes: 1 << 28, Steps: 1}, Table: op.Table(), Level: kernel.Best(), Rewrite: All}
		p, err := plan.Compile(t.Context(), &s.g, o)
		if err != nil {
			continue
		}
		if _, err := p.Run(t.Context(), 1, s.feeds, nil); err == nil {
			t.Errorf("dimension %d of 4 is there", index)
		}
	}
}

// TestTracingEnds: shapes of shapes, put together again and again.
func TestTracingEnds(t *testing.T) {
	s := matrixKeys(t, true)
	lines := []string{"l0 = Slice(ks, i0, i0)"}
	for i := range 40 {
		now, next := "l"+string(rune('0'+i)), "l"+string(rune('1'+i))
		lines = append(lines, next+" = Concat("+now+", "+now+", "+now+", "+now+") axis=0")
	}
	lines = append(lines, "sa = Concat(l"+string(rune('0'+40))+", open, dr, dc) axis=0")
	if left := s.do(changed(matrixKeysLines(), lines...)...).fuses(); strings.Contains(left, "Attention") {
		t.Errorf("left: %s", left)
	}
}
