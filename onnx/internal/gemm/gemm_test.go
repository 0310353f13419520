package gemm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = rng.Float32()*2 - 1
	}
	return v
}

// views are ways to lay out a rows x cols matrix.
func views(rng *rand.Rand, rows, cols int) map[string]View {
	gap := 1 + rng.IntN(3)
	return map[string]View{
		"dense":    {random(rng, rows*cols), cols, 1},
		"turned":   {random(rng, rows*cols), 1, rows},
		"apart":    {random(rng, rows*(cols+gap)), cols + gap, 1},
		"spread":   {random(rng, rows*cols*3+1), cols * 3, 3},
		"repeated": {random(rng, cols), 0, 1},
	}
}

func (v View) at(r, c int) float64 { return float64(v.Data[r*v.Row+c*v.Col]) }

// expected is an element of the result, in float64, and how far a result in
// float32 may be from it.
func expected(a, b View, e *Epilogue, k, r, c int, old []float32) (want, slack float64) {
	sum, size := 0.0, 0.0
	for p := range k {
		x := a.at(r, p) * b.at(p, c)
		sum += x
		size += math.Abs(x)
	}
	if e.Alpha != 0 {
		sum *= float64(e.Alpha)
		size *= math.Abs(float64(e.Alpha))
	}
	plus := func(x float64) { sum += x; size += math.Abs(x) }
	if e.Bias != nil {
		plus(float64(e.Bias[c]))
	}
	if e.RowBias != nil {
		plus(float64(e.RowBias[r]))
	}
	if e.Beta != 0 {
		plus(float64(e.Beta) * float64(old[r*e.CRow+c]))
	}
	if e.Clip {
		sum = float64(clipped(float32(sum), e.Lo, e.Hi))
	}
	if e.Row != nil {
		sum = 2*sum + 1
		size = 2*size + 1
	}
	return sum, size * float64(k+6) * 0x1p-24
}

// double is a row function that a test can tell from others.
func double(_ kernel.Level, row []float32) {
	for i := range row {
		row[i] = 2*row[i] + 1
	}
}

// epilogues are variants for m rows and n columns; dst is for those that add it.
func epilogues(rng *rand.Rand, m, n, ldc int, dst []float32) map[string]*Epilogue {
	other := random(rng, m*(n+2))
	return map[string]*Epilogue{
		"plain":      {},
		"alpha":      {Alpha: -0.5},
		"bias":       {Bias: random(rng, n)},
		"rows":       {RowBias: random(rng, m)},
		"residual":   {Beta: 1, C: other, CRow: n + 2},
		"accumulate": {Beta: 0.25, C: dst, CRow: ldc},
		"grow":       {Beta: 1, C: dst, CRow: ldc, RowBias: random(rng, m)},
		"relu":       {Clip: true, Lo: 0, Hi: float32(math.Inf(1))},
		"row":        {Row: double},
		"all": {Alpha: 1.5, Bias: random(rng, n), RowBias: random(rng, m), Beta: -2, C: other, CRow: n + 2,
			Clip: true, Lo: -0.5, Hi: 0.75, Row: double},
	}
}

// guarded is a matrix of m x n in rows ldc apart, in the middle of a slice.
type guarded struct {
	all, dst []float32
	m, n, ld int
}

const guard = 40

func newGuarded(rng *rand.Rand, m, n, ld int) guarded {
	all := random(rng, guard+m*ld+guard)
	return guarded{all, all[guard : guard+m*ld], m, n, ld}
}

// intact compares what is not the matrix with before.
func (g guarded) intact(t *testing.T, before []float32) {
	t.Helper()
	for i, x := range g.all {
		r, c := (i-guard)/g.ld, (i-guard)%g.ld
		inside := i >= guard && r < g.m && c < g.n
		if !inside && x != before[i] {
			t.Errorf("element %d of a %dx%d matrix, outside of it, is written", i-guard, g.m, g.n)
			return
		}
	}
}

func checkAll(t *testing.T, name string, g guarded, k int, a, b View, e *Epilogue, old []float32) {
	t.Helper()
	for r := range g.m {
		for c := range g.n {
			want, slack := expected(a, b, e, k, r, c, old)
			if got := float64(g.dst[r*g.ld+c]); !(math.Abs(got-want) <= slack+1e-30) {
				t.Fatalf("%s %dx%dx%d at %d,%d: got %v, want %v within %v", name, g.m, k, g.n, r, c, got, want, slack)
			}
		}
	}
}

// cases calls do with products of many shapes, layouts and epilogues.
func cases(t *testing.T, count int, do func(rng *rand.Rand, name string, g guarded, k int, a, b View, e *Epilogue)) {
	for seed := range count {
		rng := newRand(uint64(seed))
		m, k, n := rng.IntN(30), rng.IntN(70), rng.IntN(80)
		switch {
		case seed%7 == 0:
			m, k, n = m/3, depth+rng.IntN(2*depth), n/3
		case seed%7 == 1:
			k, m = 0, m+1
		case seed%7 == 2:
			m = 1
		}
		av, bv := views(rng, m, k), views(rng, k, n)
		kinds := slices.Sorted(maps.Keys(bv))
		for _, an := range kinds {
			bn := kinds[rng.IntN(len(kinds))]
			g := newGuarded(rng, m, n, max(1, n+rng.IntN(4)))
			all := epilogues(rng, m, n, g.ld, g.dst)
			names := slices.Sorted(maps.Keys(all))
			en := names[rng.IntN(len(names))]
			do(rng, fmt.Sprintf("%d: %s x %s, %s", seed, an, bn, en), g, k, av[an], bv[bn], all[en])
		}
		if t.Failed() {
			return
		}
	}
}

func TestMul(t *testing.T) {
	for _, level := range kernel.Levels() {
		t.Run(level.String(), func(t *testing.T) {
			cases(t, 100, func(rng *rand.Rand, name string, g guarded, k int, a, b View, e *Epilogue) {
				before, old := slices.Clone(g.all), slices.Clone(e.C)
				on := kernel.On{Level: level, Threads: rng.IntN(4)}
				if err := Mul(&on, g.dst, g.ld, g.m, a, Pack(level, b, k, g.n), e); err != nil {
					t.Fatal(err)
				}
				checkAll(t, name, g, k, a, b, e, old)
				g.intact(t, before)
			})
		})
	}
}

func TestMulBoth(t *testing.T) {
	for _, level := range kernel.Levels() {
		t.Run(level.String(), func(t *testing.T) {
			cases(t, 100, func(rng *rand.Rand, name string, g guarded, k int, a, b View, e *Epilogue) {
				before, old := slices.Clone(g.all), slices.Clone(e.C)
				on := kernel.On{Level: level, Threads: rng.IntN(4)}
				scratch := make([]float32, ScratchLen(on.Threads, k, g.n))
				if err := MulBoth(&on, g.dst, g.ld, g.m, k, g.n, a, b, Batch{}, e, scratch); err != nil {
					t.Fatal(err)
				}
				checkAll(t, name, g, k, a, b, e, old)
				g.intact(t, before)
			})
		})
	}
}

// TestBatch: a batch gives what its products give one by one.
func TestBatch(t *testing.T) {
	for _, level := range kernel.Levels() {
		for seed := range 40 {
			rng := newRand(uint64(seed))
			count, m, k, n := 1+rng.IntN(5), 1+rng.IntN(90), rng.IntN(60), 1+rng.IntN(600)
			a, b, c := random(rng, count*m*k), random(rng, 2*k*n), random(rng, count*m*n)
			bView := View{b, n, 1}
			if seed%2 == 0 {
				bView = View{b, 1, k}
			}
			at := func(i int) (int, int, int) { return i * m * k, i % 2 * k * n, (count - 1 - i) * m * n }
			e := Epilogue{Beta: 1, C: c, CRow: n, Bias: random(rng, n)}
			got, want := make([]float32, count*m*n), make([]float32, count*m*n)
			on := kernel.On{Level: level, Threads: 1 + rng.IntN(3)}
			scratch := make([]float32, ScratchLen(on.Threads, k, n))
			if err := MulBoth(&on, got, n, m, k, n, View{a, k, 1}, bView, Batch{count, at}, &e, scratch); err != nil {
				t.Fatal(err)
			}
			for i := range count {
				atA, atB, atDst := at(i)
				one := e
				one.C = c[atDst:]
				one.CRow = n
				packed := Pack(level, View{b[atB:], bView.Row, bView.Col}, k, n)
				if err := Mul(&on, want[atDst:], n, m, View{a[atA:], k, 1}, packed, &one); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, %d of %dx%dx%d: differs", level, count, m, k, n)
			}
		}
	}
}

// TestRowsAndThreadsDoNotMatter: the result is the same bit for bit.
func TestRowsAndThreadsDoNotMatter(t *testing.T) {
	rng := newRand(3)
	m, k, n := 130, 700, 300
	a, b := View{random(rng, m*k), k, 1}, View{random(rng, k*n), n, 1}
	for _, level := range kernel.Levels() {
		packed := Pack(level, b, k, n)
		product := func(threads, from, to int) []float32 {
			dst := make([]float32, (to-from)*n)
			on := kernel.On{Level: level, Threads: threads}
			if err := Mul(&on, dst, n, to-from, View{a.Data[from*k:], k, 1}, packed, &Epilogue{}); err != nil {
				t.Fatal(err)
			}
			return dst
		}
		whole := product(1, 0, m)
		for _, threads := range []int{2, 3, 8} {
			if !slices.Equal(product(threads, 0, m), whole) {
				t.Errorf("%v: %d threads give another result", level, threads)
			}
		}
		for _, r := range [][2]int{{0, 1}, {5, 6}, {17, 20}, {3, 16}, {100, 130}} {
			if !slices.Equal(product(1, r[0], r[1]), whole[r[0]*n:r[1]*n]) {
				t.Errorf("%v: rows %d to %d by themselves give another result", level, r[0], r[1])
			}
		}
	}
}

// TestFewRows: one or two rows by a transposed matrix, which need no packing, are
// the same as by a packed one.
func TestFewRows(t *testing.T) {
	for _, level := range kernel.Levels() {
		for seed := range 60 {
			rng := newRand(uint64(seed))
			m, k, n := 1+rng.IntN(3), 8*(1+rng.IntN(12)), 1+rng.IntN(400)
			a, b := View{random(rng, m*k), k, 1}, View{random(rng, k*n), 1, k}
			if seed%3 == 0 {
				a = View{a.Data, 1, m}
			}
			e := Epilogue{}
			if seed%2 == 0 {
				e.Row = double
			}
			got, want := random(rng, m*n), random(rng, m*n)
			on := kernel.On{Level: level}
			if err := MulBoth(&on, got, n, m, k, n, a, b, Batch{}, &e, make([]float32, ScratchLen(1, k, n))); err != nil {
				t.Fatal(err)
			}
			if err := Mul(&on, want, n, m, a, Pack(level, b, k, n), &e); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v %dx%dx%d: differs", level, m, k, n)
			}
		}
	}
}

// TestCancellation of terms is exact where the terms are.
func TestCancellation(t *testing.T) {
	const k = 1000
	a, b := make([]float32, k), make([]float32, k)
	for i := range k {
		a[i], b[i] = 1, 1<<20
		if i%2 == 1 {
			b[i] = -1 << 20
		}
	}
	for _, level := range kernel.Levels() {
		dst := []float32{7}
		if err := Mul(&kernel.On{Level: level}, dst, 1, 1, View{a, k, 1}, Pack(level, View{b, 1, 1}, k, 1), &Epilogue{}); err != nil || dst[0] != 0 {
			t.Errorf("%v: %v, %v", level, dst[0], err)
		}
	}
}

// TestNotFinite: NaN and infinities reach what they take part in and nothing else.
func TestNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	m, k, n := 14, 9, 37
	for _, level := range kernel.Levels() {
		for _, bad := range []float32{inf, -inf, nan} {
			a, b := make([]float32, m*k), make([]float32, k*n)
			for i := range a {
				a[i] = 1
			}
			for i := range b {
				b[i] = 1
			}
			a[3*k+2], b[4*n+33] = bad, bad
			for _, e := range []*Epilogue{{}, {Clip: true, Lo: -5, Hi: 5}} {
				dst := make([]float32, m*n)
				if err := Mul(&kernel.On{Level: level}, dst, n, m, View{a, k, 1}, Pack(level, View{b, n, 1}, k, n), e); err != nil {
					t.Fatal(err)
				}
				for i, got := range dst {
					want := float32(k)
					if i/n == 3 || i%n == 33 {
						want = bad
					}
					if e.Clip {
						want = clipped(want, e.Lo, e.Hi)
					}
					if got != want && !(got != got && want != want) {
						t.Fatalf("%v: %v at %d,%d is %v, want %v", level, bad, i/n, i%n, got, want)
					}
				}
			}
		}
	}
}

func TestEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, threads := range []int{1, 2} {
		on := kernel.On{Context: ctx, Threads: threads}
		dst, a := make([]float32, 64), Dense(make([]float32, 64), 8)
		for i, err := range []error{
			Mul(&on, dst, 8, 8, a, Pack(on.Level, a, 8, 8), &Epilogue{}),
			MulBoth(&on, dst, 8, 8, 8, 8, a, a.Turned(), Batch{}, &Epilogue{}, make([]float32, ScratchLen(threads, 8, 8))),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%d threads, %d: %v", threads, i, err)
			}
		}
	}
}

func TestShortSlicesStop(t *testing.T) {
	enough := make([]float32, 100)
	for name, call := range map[string]func(on *kernel.On) error{
		"a": func(on *kernel.On) error {
			return Mul(on, enough, 10, 10, Dense(enough[:99], 10), Pack(on.Level, Dense(enough, 10), 10, 10), &Epilogue{})
		},
		"b": func(on *kernel.On) error { Pack(on.Level, Dense(enough[:99], 10), 10, 10); return nil },
		"dst": func(on *kernel.On) error {
			return Mul(on, enough[:99], 10, 10, Dense(enough, 10), Pack(on.Level, Dense(enough, 10), 10, 10), &Epilogue{})
		},
		"bias": func(on *kernel.On) error {
			return Mul(on, enough, 10, 10, Dense(enough, 10), Pack(on.Level, Dense(enough, 10), 10, 10), &Epilogue{Bias: enough[:9]})
		},
		"rows": func(on *kernel.On) error {
			return Mul(on, enough, 10, 10, Dense(enough, 10), Pack(on.Level, Dense(enough, 10), 10, 10), &Epilogue{RowBias: enough[:9]})
		},
		"c": func(on *kernel.On) error {
			return Mul(on, enough, 10, 10, Dense(enough, 10), Pack(on.Level, Dense(enough, 10), 10, 10), &Epilogue{Beta: 1, C: enough[:99], CRow: 10})
		},
	} {
		for _, level := range kernel.Levels() {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%v: a short %s is not noticed", level, name)
					}
				}()
				_ = call(&kernel.On{Level: level})
			}()
		}
	}
}

// TestNoMemory: one thread takes nothing from the heap.
func TestNoMemory(t *testing.T) {
	rng := newRand(5)
	m, k, n := 20, 30, 40
	a, b := Dense(random(rng, m*k), k), Dense(random(rng, k*n), n)
	dst, scratch := make([]float32, m*n), make([]float32, ScratchLen(1, k, n))
	for _, level := range kernel.Levels() {
		on, packed, e := kernel.On{Level: level}, Pack(level, b, k, n), Epilogue{Row: double}
		turned := View{b.Data, 1, k}
		batch := Batch{1, func(int) (int, int, int) { return 0, 0, 0 }}
		if got := testing.AllocsPerRun(10, func() {
			_ = Mul(&on, dst, n, m, a, packed, &e)
			_ = MulBoth(&on, dst, n, m, k, n, a, turned, batch, &e, scratch)
		}); got != 0 {
			t.Errorf("%v: %v allocations", level, got)
		}
	}
}
