package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// FuzzCopy moves arrays with their dimensions in any order, some of them repeated and
// some backwards, on any number of threads, and compares with one element at a time.
func FuzzCopy(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint8(1))
	f.Add(uint64(2), uint8(40), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, most, threads uint8) {
		rng := rand.New(rand.NewPCG(seed, 15))
		shape, from, n := turnedShape(rng, 1+int64(most%24))
		room := 1
		for _, d := range shape {
			room *= int(d)
		}
		if room > 1<<18 {
			return
		}
		checkCopy(t, &On{Threads: 1 + int(threads%3)}, shape, Dense(shape), room, from, n)
	})
}

// FuzzMatMul compares products of any strides with float64; the context of a run is the
// only thing that can fail.
func FuzzMatMul(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(4), uint8(5))
	f.Add(uint64(2), uint8(0), uint8(7), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, rows, depth, columns uint8) {
		rng := rand.New(rand.NewPCG(seed, 16))
		m, k, n := int(rows%20), int(depth%40), int(columns%20)
		a := Matrix{Data: floats(rng, m*k), Row: k, Col: 1}
		b := Matrix{Data: floats(rng, k*n), Row: n, Col: 1}
		if seed%2 == 0 {
			a.Row, a.Col = 1, m
		}
		if seed/2%2 == 0 {
			b.Row, b.Col = 1, k
		}
		dst := make([]float32, m*n)
		if err := MatMul(&On{Threads: 1 + int(seed%3)}, dst, m, k, n, 0.5, a, b); err != nil {
			t.Fatal(err)
		}
		for i, got := range dst {
			want := 0.0
			for p := range k {
				want += float64(a.Data[i/n*a.Row+p*a.Col]) * float64(b.Data[p*b.Row+i%n*b.Col]) / 2
			}
			if d := float64(got) - want; !(d < 1e-4 && d > -1e-4) {
				t.Fatal(fmt.Sprintf("%dx%dx%d: element %d is", m, k, n, i), got, "expected", want)
			}
		}
	})
}

func floats(rng *rand.Rand, n int) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = rng.Float32()*2 - 1
	}
	return list
}
