package kernel

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive visits every index of shape in row-major order, one element at a time.
func naive(shape []int64, operands []Operand, do func(at []int)) {
	index := make([]int64, len(shape))
	total := int64(1)
	for _, d := range shape {
		total *= d
	}
	for n := range total {
		for d, rest := len(shape)-1, n; d >= 0; d-- {
			index[d] = rest % shape[d]
			rest /= shape[d]
		}
		at := make([]int, len(operands))
		for k, o := range operands {
			at[k] = o.Offset
			for d := range shape {
				at[k] += int(index[d]) * o.Strides[d]
			}
		}
		do(at)
	}
}

func walked(t *testing.T, shape []int64, operands []Operand) [][]int {
	t.Helper()
	var got [][]int
	err := Walk(&On{Context: t.Context()}, shape, operands, func(n int, at, step []int) error {
		if n <= 0 || n > chunk {
			t.Errorf("run of %d elements", n)
		}
		for i := range n {
			pos := slices.Clone(at)
			for k := range pos {
				pos[k] += i * step[k]
			}
			got = append(got, pos)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func checkWalk(t *testing.T, shape []int64, operands []Operand) {
	t.Helper()
	var want [][]int
	naive(shape, operands, func(at []int) { want = append(want, at) })
	if got := walked(t, shape, operands); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("shape %v, operands %v: %d visits differ from %d", shape, operands, len(got), len(want))
	}
}

func TestWalkVisitsEveryIndexInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		shape := make([]int64, rng.IntN(5))
		for d := range shape {
			shape[d] = rng.Int64N(4)
		}
		repeated := slices.Clone(shape)
		for d := range repeated {
			if rng.IntN(2) == 0 {
				repeated[d] = 1
			}
		}
		turned := Operand{Offset: 5, Strides: Strides(shape)}
		slices.Reverse(turned.Strides)
		backwards := Operand{Offset: 9, Strides: make([]int, len(shape))}
		for d := range shape {
			backwards.Strides[d] = rng.IntN(9) - 4
		}
		short := repeated[rng.IntN(len(repeated)+1):]
		checkWalk(t, shape, []Operand{Dense(shape), Broadcast(repeated, shape), Broadcast(short, shape), turned, backwards})
	}
}

func TestWalkCutsLongRuns(t *testing.T) {
	for _, shape := range [][]int64{{3*chunk + 7}, {2, chunk + 1}, {chunk, 2}} {
		checkWalk(t, shape, []Operand{Dense(shape), Broadcast([]int64{1}, shape)})
	}
}

func TestWalkJoinsDimensions(t *testing.T) {
	runs := 0
	shape := []int64{4, 5, 6}
	err := Walk(&On{Context: t.Context()}, shape, []Operand{Dense(shape), Broadcast(nil, shape)}, func(int, []int, []int) error { runs++; return nil })
	if err != nil || runs != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

func TestLoopsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	on := &On{Context: ctx}
	cancel()
	big := int64(4 * chunk)
	calls := 0
	count := func(int, []int, []int) error { calls++; return nil }
	flat := Walk(on, []int64{big}, []Operand{Dense([]int64{big})}, count)
	rows := Walk(on, []int64{big, 2}, []Operand{{Strides: []int{1, int(big)}}}, count)
	data := make([]float32, big)
	m := Matrix{Data: data, Row: 256, Col: 1}
	product := MatMul(on, make([]float32, 256*256), 256, 256, 256, 1, m, m)
	lanes := LanesOf([]int64{big / 4, 4}, 1)
	normal := Softmax(on, make([]float32, big), data, lanes, false)
	best := ArgBest(on, make([]int64, big/4), data, lanes, false, func(a, b float32) bool { return a > b })
	for i, err := range []error{flat, rows, product, normal, best} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("loop %d: %v", i, err)
		}
	}
	if calls > chunk {
		t.Errorf("%d calls after the end", calls)
	}
}

func TestWalkReturnsTheCallbacksError(t *testing.T) {
	stop := errors.New("stop")
	for _, n := range []int64{1, 2 * chunk} {
		calls := 0
		err := Walk(&On{Context: t.Context()}, []int64{n}, []Operand{Dense([]int64{n})}, func(int, []int, []int) error { calls++; return stop })
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%d calls, %v", calls, err)
		}
	}
}

func TestMatMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		m, k, n := rng.IntN(9), rng.IntN(70), rng.IntN(9)
		a, b := random(rng, m*k), random(rng, k*n)
		views := map[string][2]Matrix{
			"plain":  {{a, k, 1}, {b, n, 1}},
			"turned": {{a, 1, m}, {b, 1, k}},
		}
		for name, v := range views {
			dst := random(rng, m*n)
			want := slices.Clone(dst)
			if err := MatMul(&On{Context: t.Context()}, dst, m, k, n, 0.5, v[0], v[1]); err != nil {
				t.Fatal(err)
			}
			for i := range m {
				for j := range n {
					sum := float64(want[i*n+j])
					for p := range k {
						sum += 0.5 * float64(v[0].Data[i*v[0].Row+p*v[0].Col]) * float64(v[1].Data[p*v[1].Row+j*v[1].Col])
					}
					if math.Abs(sum-float64(dst[i*n+j])) > 1e-4 {
						t.Fatalf("%s %dx%dx%d at %d,%d: got %v, want %v", name, m, k, n, i, j, dst[i*n+j], sum)
					}
				}
			}
		}
	}
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = rng.Float32()*2 - 1
	}
	return v
}

func TestLanesWithoutElements(t *testing.T) {
	huge := Lanes{Outer: 1 << 60, N: 0, Inner: 1 << 60}
	if err := Softmax(&On{Context: t.Context()}, nil, nil, huge, false); err != nil {
		t.Error(err)
	}
}

func BenchmarkMatMul(b *testing.B) {
	const n = 256
	m := Matrix{Data: random(rand.New(rand.NewPCG(5, 6)), n*n), Row: n, Col: 1}
	dst := make([]float32, n*n)
	for b.Loop() {
		if err := MatMul(&On{Context: b.Context()}, dst, n, n, n, 1, m, m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
}
