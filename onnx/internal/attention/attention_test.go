package attention

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = rng.Float32()*2 - 1
	}
	return v
}

func (s Strided) element(b, h, r, c int) float64 {
	return float64(s.Data[b*s.Batch+h*s.Head+r*s.Row+c*s.Col])
}

// naive computes the output of one query in float64.
func naive(p *Problem, b, h, i int) []float64 {
	group := max(1, p.Group)
	weights := make([]float64, p.visible(i))
	top := math.Inf(-1)
	for j := range weights {
		for d := range p.Dim {
			weights[j] += p.Q.element(b, h, i, d) * p.K.element(b, h/group, j, d)
		}
		weights[j] *= float64(p.Scale)
		if p.Mask.Data != nil {
			weights[j] += p.Mask.element(b, h, i, j)
		}
		top = math.Max(top, weights[j])
	}
	sum := 0.0
	for j := range weights {
		weights[j] = math.Exp(weights[j] - top)
		sum += weights[j]
	}
	out := make([]float64, p.Values)
	for j := range weights {
		for c := range out {
			out[c] += weights[j] / sum * p.V.element(b, h/group, j, c)
		}
	}
	return out
}

func check(t *testing.T, name string, p *Problem) {
	t.Helper()
	for b := range p.Batches {
		for h := range p.Heads {
			for i := range p.Queries {
				for c, want := range naive(p, b, h, i) {
					got := p.Out.element(b, h, i, c)
					if !(math.Abs(got-want) < 1e-5) && !(math.IsNaN(got) && math.IsNaN(want)) {
						t.Fatalf("%s: batch %d, head %d, query %d, value %d: got %v, want %v", name, b, h, i, c, got, want)
					}
				}
			}
		}
	}
}

// fused lays out n parts of [batches, rows, heads, width] side by side in rows,
// as one projection to queries, keys and values writes them.
func fused(rng *rand.Rand, n, batches, rows, heads, width int) []Strided {
	row := n * heads * width
	data := random(rng, batches*rows*row)
	parts := make([]Strided, n)
	for i := range parts {
		parts[i] = Strided{data[min(len(data), i*heads*width):], rows * row, width, row, 1}
	}
	return parts
}

// apart is an array [batches, heads, rows, width], or with the last two turned.
func apart(rng *rand.Rand, batches, heads, rows, width int, turned bool) Strided {
	s := Strided{random(rng, batches*heads*rows*width), heads * rows * width, rows * width, width, 1}
	if turned {
		s.Row, s.Col = 1, rows
	}
	return s
}

// masks are ways to hide keys; a part of the elements is -Inf.
func masks(rng *rand.Rand, p *Problem) map[string]Strided {
	full := random(rng, p.Batches*p.Heads*p.Queries*p.Keys)
	for i := range full {
		if rng.IntN(3) == 0 {
			full[i] = float32(math.Inf(-1))
		}
	}
	dark := make([]float32, p.Keys)
	for i := range dark {
		dark[i] = float32(math.Inf(-1))
	}
	one := p.Queries * p.Keys
	return map[string]Strided{
		"none":    {},
		"keys":    {Data: full[:p.Keys], Col: 1},
		"queries": {Data: full[:p.Queries], Row: 1},
		"both":    {Data: full[:one], Row: p.Keys, Col: 1},
		"batch":   {Data: full[:p.Batches*p.Keys], Batch: p.Keys, Col: 1},
		"all":     {Data: full, Batch: p.Heads * one, Head: one, Row: p.Keys, Col: 1},
		"dark":    {Data: dark, Col: 1},
	}
}

func problems(rng *rand.Rand) map[string]*Problem {
	b, h, dim, values := 1+rng.IntN(3), 1+rng.IntN(4), 1+rng.IntN(40), 1+rng.IntN(40)
	queries, keys := 1+rng.IntN(60), 1+rng.IntN(70)
	qkv := fused(rng, 3, b, queries, h, dim)
	return map[string]*Problem{
		"fused": {Batches: b, Heads: h, Queries: queries, Keys: queries, Dim: dim, Values: dim,
			Q: qkv[0], K: qkv[1], V: qkv[2]},
		"apart": {Batches: b, Heads: h, Queries: queries, Keys: keys, Dim: dim, Values: values,
			Q: apart(rng, b, h, queries, dim, false), K: apart(rng, b, h, keys, dim, true), V: apart(rng, b, h, keys, values, true)},
		"grouped": {Batches: b, Heads: 2 * h, Queries: queries, Keys: keys, Dim: dim, Values: values, Group: 2,
			Q: apart(rng, b, 2*h, queries, dim, true), K: apart(rng, b, h, keys, dim, false), V: apart(rng, b, h, keys, values, false)},
		"causal": {Batches: b, Heads: h, Queries: queries, Keys: queries, Dim: dim, Values: dim, Causal: true,
			Q: qkv[0], K: qkv[1], V: qkv[2]},
		"decoding": {Batches: b, Heads: h, Queries: 1, Keys: keys, Dim: dim, Values: values, Causal: true, Past: keys - 1,
			Q: apart(rng, b, h, 1, dim, false), K: apart(rng, b, h, keys, dim, false), V: apart(rng, b, h, keys, values, false)},
	}
}

// result gives p an output whose rows are those of all heads side by side.
func result(p *Problem) Strided {
	row := p.Heads * p.Values
	return Strided{make([]float32, p.Batches*p.Queries*row), p.Queries * row, p.Values, row, 1}
}

func run(t *testing.T, p *Problem, level kernel.Level, threads int) {
	t.Helper()
	p.Out = result(p)
	on := kernel.On{Level: level, Threads: threads}
	if err := p.Run(&on, make([]float32, p.ScratchLen(threads))); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	for _, level := range kernel.Levels() {
		for seed := range 4 {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			for name, p := range problems(rng) {
				p.Scale = 1 / float32(math.Sqrt(float64(p.Dim)))
				for hidden, mask := range masks(rng, p) {
					p.Mask = mask
					run(t, p, level, 1+rng.IntN(3))
					check(t, level.String()+", "+name+", mask "+hidden, p)
				}
			}
		}
	}
}

// TestManyBlocks: a head whose queries are more than one block.
func TestManyBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	const queries, keys = 40, 3000
	for _, causal := range []bool{false, true} {
		p := &Problem{Batches: 1, Heads: 1, Queries: queries, Keys: keys, Dim: 8, Values: 8, Scale: 1, Causal: causal, Past: keys - queries,
			Q: apart(rng, 1, 1, queries, 8, false), K: apart(rng, 1, 1, keys, 8, false), V: apart(rng, 1, 1, keys, 8, false)}
		if p.block() >= queries {
			t.Fatal("one block")
		}
		for _, level := range kernel.Levels() {
			run(t, p, level, 2)
			check(t, level.String(), p)
		}
	}
}

func TestThreadsDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	qkv := fused(rng, 3, 2, 90, 5, 16)
	p := &Problem{Batches: 2, Heads: 5, Queries: 90, Keys: 90, Dim: 16, Values: 16, Scale: 0.25, Q: qkv[0], K: qkv[1], V: qkv[2]}
	for _, level := range kernel.Levels() {
		run(t, p, level, 1)
		want := slices.Clone(p.Out.Data)
		for threads := 2; threads < 5; threads++ {
			if run(t, p, level, threads); !slices.Equal(p.Out.Data, want) {
				t.Errorf("%v: %d threads give another result", level, threads)
			}
		}
	}
}

// TestNothingToSee: without keys, and with a causal view that begins later.
func TestNothingToSee(t *testing.T) {
	p := &Problem{Batches: 1, Heads: 1, Queries: 2, Keys: 2, Dim: 1, Values: 1, Scale: 1, Causal: true, Past: -1,
		Q: Strided{Data: []float32{1, 1}, Row: 1, Col: 1}, K: Strided{Data: []float32{1, 1}, Row: 1, Col: 1}, V: Strided{Data: []float32{3, 5}, Row: 1, Col: 1}}
	for _, level := range kernel.Levels() {
		run(t, p, level, 1)
		if got := p.Out.Data; got[0] != 0 || got[1] != 3 {
			t.Errorf("%v: %v", level, got)
		}
	}
	p.Keys, p.K.Data, p.V.Data = 0, nil, nil
	if run(t, p, kernel.Portable, 1); p.Out.Data[0] != 0 || p.Out.Data[1] != 0 {
		t.Errorf("no keys: %v", p.Out.Data)
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, threads := range []int{1, 2} {
		p := problems(rand.New(rand.NewPCG(1, 1)))["fused"]
		p.Out = result(p)
		on := kernel.On{Context: ctx, Threads: threads}
		if err := p.Run(&on, make([]float32, p.ScratchLen(threads))); !errors.Is(err, context.Canceled) {
			t.Errorf("%d threads: %v", threads, err)
		}
	}
}

func TestNoMemory(t *testing.T) {
	p := problems(rand.New(rand.NewPCG(1, 1)))["fused"]
	p.Out = result(p)
	for _, level := range kernel.Levels() {
		on, scratch := kernel.On{Level: level}, make([]float32, p.ScratchLen(1))
		if got := testing.AllocsPerRun(5, func() { _ = p.Run(&on, scratch) }); got != 0 {
			t.Errorf("%v: %v allocations", level, got)
		}
	}
}

// BenchmarkRun has the heads of MiniLM, BERT-base and GPT-2 with 128 tokens.
func BenchmarkRun(b *testing.B) {
	for name, s := range map[string][2]int{"MiniLM": {12, 32}, "BERT": {12, 64}} {
		for _, level := range kernel.Levels() {
			b.Run(name+"/"+level.String(), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				qkv := fused(rng, 3, 1, 128, s[0], s[1])
				p := &Problem{Batches: 1, Heads: s[0], Queries: 128, Keys: 128, Dim: s[1], Values: s[1], Scale: 0.125, Q: qkv[0], K: qkv[1], V: qkv[2]}
				p.Out = result(p)
				on, scratch := kernel.On{Level: level}, make([]float32, p.ScratchLen(1))
				for b.Loop() {
					if err := p.Run(&on, scratch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(4*128*128*float64(s[0]*s[1])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
			})
		}
	}
}
