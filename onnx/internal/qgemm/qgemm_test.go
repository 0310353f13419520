package qgemm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func random[T Byte](rng *rand.Rand, n int) []T {
	v := make([]T, n)
	for i := range v {
		switch rng.IntN(8) {
		case 0:
			v[i] = 0
			v[i]-- // all bits: the largest, or -1
		case 1:
			v[i] = T(rng.IntN(2) * 0x80 & 0xff)
		default:
			v[i] = T(rng.IntN(256))
		}
	}
	return v
}

// views are ways to lay out a rows x cols matrix.
func views[T Byte](rng *rand.Rand, rows, cols int) []View[T] {
	gap := 1 + rng.IntN(3)
	return []View[T]{
		Dense(random[T](rng, rows*cols), cols),
		Dense(random[T](rng, rows*cols), rows).Turned(),
		{random[T](rng, rows*(cols+gap)), cols + gap, 1},
		{random[T](rng, 2*rows*cols), 2 * cols, 2},
	}
}

// zeros are no zero point, one, or one for each line.
func zeros[T Byte](rng *rand.Rand, lines int) [][]T {
	return [][]T{nil, random[T](rng, 1), random[T](rng, lines)}
}

func line[T any](v []T, i int) T {
	var none T
	switch len(v) {
	case 0:
		return none
	case 1:
		return v[0]
	}
	return v[i]
}

// naive is the definition.
func naive[A, B Byte](a View[A], b View[B], m, k, n int, za []A, zb []B) []int32 {
	c := make([]int32, m*n)
	for i := range m {
		for j := range n {
			for p := range k {
				x := int32(a.Data[i*a.Row+p*a.Col]) - int32(line(za, i))
				y := int32(b.Data[p*b.Row+j*b.Col]) - int32(line(zb, j))
				c[i*n+j] += x * y
			}
		}
	}
	return c
}

// packed packs both operands, into memory that holds anything before.
func packed[A, B Byte](t testing.TB, on *kernel.On, a View[A], b View[B], m, k, n int, za []A, zb []B) (*Left, *Right, *Memory) {
	t.Helper()
	memory := LeftSize(m, k).Plus(RightSize(k, n)).Plus(MulSize(on.Workers())).Make()
	for i := range memory.Bytes {
		memory.Bytes[i] = 0xaa
	}
	for i := range memory.Words {
		memory.Words[i] = 0x55555555
	}
	l, err := PackLeft(on, a, m, k, za, memory)
	if err != nil {
		t.Fatal(err)
	}
	r, err := PackRight(on, b, k, n, zb, memory)
	if err != nil {
		t.Fatal(err)
	}
	return l, r, memory
}

func checkSums[A, B Byte](t *testing.T, a View[A], b View[B], m, k, n int, za []A, zb []B) {
	t.Helper()
	want := naive(a, b, m, k, n, za, zb)
	for _, level := range kernel.Levels() {
		for _, threads := range []int{1, 3} {
			on := &kernel.On{Level: level, Threads: threads}
			l, r, memory := packed(t, on, a, b, m, k, n, za, zb)
			got := make([]int32, m*n)
			if err := Mul(on, l, r, &Sums{got, n}, memory); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s, %d threads, %dx%dx%d of %T x %T, zero points %d and %d: wrong", level, threads, m, k, n, a.Data, b.Data, len(za), len(zb))
			}
		}
	}
}

func checkTypes[A, B Byte](t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 25 {
		m, k, n := 1+rng.IntN(30), rng.IntN(90), 1+rng.IntN(70)
		for _, a := range views[A](rng, m, k) {
			b := views[B](rng, k, n)[rng.IntN(4)]
			za, zb := zeros[A](rng, m)[rng.IntN(3)], zeros[B](rng, n)[rng.IntN(3)]
			checkSums(t, a, b, m, k, n, za, zb)
		}
	}
}

func TestSumsAreExact(t *testing.T) {
	checkTypes[uint8, int8](t, 1)
	checkTypes[uint8, uint8](t, 2)
	checkTypes[int8, int8](t, 3)
	checkTypes[int8, uint8](t, 4)
}

// TestLargestNumbers: products of bytes at the ends of their range must not saturate.
func TestLargestNumbers(t *testing.T) {
	const k = 64
	for _, y := range []int8{-128, 127} {
		a, b := slices.Repeat([]uint8{255}, 3*k), slices.Repeat([]int8{y}, k*20)
		checkSums(t, Dense(a, k), Dense(b, 20), 3, k, 20, []uint8{0}, []int8{0})
		checkSums(t, Dense(a, k), Dense(b, 20), 3, k, 20, []uint8{255}, []int8{-128})
	}
}

// TestParts: more rows and columns than a part has, and a k of several stretches.
func TestParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, s := range [][3]int{{2*tall + 5, 7, 2*wide + 3}, {3, 1<<16 + 1<<13 + 5, 18}} {
		a, b := random[uint8](rng, s[0]*s[1]), random[int8](rng, s[1]*s[2])
		checkSums(t, Dense(a, s[1]), Dense(b, s[2]), s[0], s[1], s[2], []uint8{7}, []int8{-3})
	}
}

// TestEpilogues: every level gives the bits of the plain formula.
func TestEpilogues(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	for range 20 {
		m, k, n := 1+rng.IntN(9), 1+rng.IntN(40), 1+rng.IntN(70)
		a, b := Dense(random[uint8](rng, m*k), k), Dense(random[int8](rng, k*n), n)
		sums := naive(a, b, m, k, n, nil, nil)
		for _, byRow := range []bool{false, true} {
			lines := n
			if byRow {
				lines = m
			}
			for _, count := range []int{0, 1, lines} {
				scale, bias, whole := make([]float32, count), make([]float32, count), make([]int32, count)
				for i := range scale {
					scale[i], bias[i], whole[i] = rng.Float32()*0.01, rng.Float32()-0.5, rng.Int32N(2000)-1000
				}
				e := epilogue{m, k, n, byRow, scale, bias, whole}
				e.float(t, a, b, sums)
				quantized[uint8](t, e, a, b, sums, uint8(rng.IntN(256)))
				quantized[int8](t, e, a, b, sums, int8(rng.IntN(256)-128))
			}
		}
	}
}

type epilogue struct {
	m, k, n     int
	byRow       bool
	scale, bias []float32
	whole       []int32
}

func (e epilogue) line(i int) int {
	if e.byRow {
		return i / e.n
	}
	return i % e.n
}

func (e epilogue) scaleAt(i int) float32 {
	if len(e.scale) == 0 {
		return 1
	}
	return line(e.scale, e.line(i))
}

func (e epilogue) float(t *testing.T, a View[uint8], b View[int8], sums []int32) {
	t.Helper()
	for _, level := range kernel.Levels() {
		on := &kernel.On{Level: level}
		l, r, memory := packed(t, on, a, b, e.m, e.k, e.n, nil, nil)
		got := make([]float32, e.m*e.n)
		out := &Scaled{got, e.n, PerLine[float32]{e.scale, e.byRow}, PerLine[float32]{e.bias, e.byRow}}
		if err := Mul(on, l, r, out, memory); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			want := float32(float32(sums[i])*e.scaleAt(i)) + line(e.bias, e.line(i))
			if math.Float32bits(got[i]) != math.Float32bits(want) {
				t.Fatalf("%s: %d: got %v, want %v", level, i, got[i], want)
			}
		}
	}
}

func quantized[T Byte](t *testing.T, e epilogue, a View[uint8], b View[int8], sums []int32, zero T) {
	t.Helper()
	low, high := 0.0, 255.0
	if ^T(0) < 0 {
		low, high = -128, 127
	}
	for _, level := range kernel.Levels() {
		on := &kernel.On{Level: level}
		l, r, memory := packed(t, on, a, b, e.m, e.k, e.n, nil, nil)
		got := make([]T, e.m*e.n)
		out := &Requantized[T]{got, e.n, PerLine[float32]{e.scale, e.byRow}, PerLine[int32]{e.whole, e.byRow}, zero}
		if err := Mul(on, l, r, out, memory); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			x := float32(float32(sums[i]+line(e.whole, e.line(i))) * e.scaleAt(i))
			want := T(int(min(max(math.RoundToEven(float64(x))+float64(zero), low), high)))
			if got[i] != want {
				t.Fatalf("%s: %d: got %v, want %v", level, i, got[i], want)
			}
		}
	}
}

// TestRequantizeTheUnusual: ties go to even, NaN to the least number, infinities to
// the ends. The row is long enough for vectors and a rest.
func TestRequantizeTheUnusual(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	sums := slices.Repeat([]int32{1, 3, 5, -1, -3, 1, 1, -1, math.MaxInt32, math.MinInt32, 0}, 3)
	scale := slices.Repeat([]float32{0.5, 0.5, 0.5, 0.5, 0.5, nan, inf, inf, 1, 1, inf}, 3)
	want := slices.Repeat([]int8{5, 7, 7, 5, 3, -128, 127, -128, 127, -128, -128}, 3)
	for _, level := range kernel.Levels() {
		got := make([]int8, len(sums))
		s := &Requantized[int8]{Dst: got, Row: len(sums), Scale: PerLine[float32]{Values: scale}, Zero: 5}
		s.store(level, 0, 0, sums)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", level, got, want)
		}
	}
}

func TestMulEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	on := &kernel.On{Level: kernel.Best()}
	a, b := Dense(make([]uint8, 100*100), 100), Dense(make([]int8, 100*100), 100)
	l, r, memory := packed(t, on, a, b, 100, 100, 100, nil, nil)
	cancel()
	on.Context = ctx
	if err := Mul(on, l, r, &Sums{make([]int32, 100*100), 100}, memory); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := PackLeft(on, a, 100, 100, nil, LeftSize(100, 100).Make()); !errors.Is(err, context.Canceled) {
		t.Errorf("PackLeft: got %v", err)
	}
}

func TestNothingToMultiply(t *testing.T) {
	on := &kernel.On{}
	for _, s := range [][3]int{{0, 3, 3}, {3, 3, 0}, {0, 0, 0}} {
		l, r, memory := packed(t, on, Dense(make([]uint8, s[0]*s[1]), s[1]), Dense(make([]int8, s[1]*s[2]), s[2]), s[0], s[1], s[2], nil, nil)
		if err := Mul(on, l, r, &Sums{nil, s[2]}, memory); err != nil {
			t.Error(err)
		}
	}
}

func FuzzMul(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint8(9), uint8(17))
	f.Add(uint64(2), uint8(13), uint8(64), uint8(33))
	f.Fuzz(func(t *testing.T, seed uint64, m, k, n uint8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		rows, depth, columns := int(m)%40+1, int(k), int(n)%80+1
		a, b := views[int8](rng, rows, depth)[seed%4], views[uint8](rng, depth, columns)[seed/4%4]
		checkSums(t, a, b, rows, depth, columns, zeros[int8](rng, rows)[seed%3], zeros[uint8](rng, columns)[seed/3%3])
	})
}

func BenchmarkMul(b *testing.B) {
	for _, s := range [][3]int{{128, 384, 384}, {128, 384, 1536}, {128, 1536, 384}, {1, 768, 768}} {
		for _, level := range kernel.Levels() {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s[0], s[1], s[2], level), func(b *testing.B) {
				on := &kernel.On{Level: level}
				x, y := Dense(make([]uint8, s[0]*s[1]), s[1]), Dense(make([]int8, s[1]*s[2]), s[2])
				r, _ := PackRight(on, y, s[1], s[2], nil, RightSize(s[1], s[2]).Make())
				memory := LeftSize(s[0], s[1]).Plus(MulSize(1)).Make()
				dst := make([]int32, s[0]*s[2])
				for b.Loop() {
					free := *memory
					l, _ := PackLeft(on, x, s[0], s[1], []uint8{3}, &free)
					if err := Mul(on, l, r, &Sums{dst, s[2]}, &free); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(s[0]*s[1]*s[2])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
