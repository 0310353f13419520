package gemm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// TestMulSeveral: each product is what Mul makes of its matrix, to the bit, however many
// threads share them.
func TestMulSeveral(t *testing.T) {
	for _, level := range kernel.Levels() {
		for _, c := range []struct {
			m, k    int
			columns []int
		}{
			{7, 24, []int{32, 32, 32}}, {1, 300, []int{5, 64, 33}}, {13, 257, []int{31}}, {64, 512, []int{96, 32}}, {5, 0, []int{3, 4}},
			{3, 8, []int{0, 7, 0, 1}}, {0, 8, []int{7, 1}}, {130, 64, []int{100, 40, 20}}, {300, 96, []int{384, 384, 384}},
		} {
			t.Run(fmt.Sprintf("%s/%dx%d to %v", level, c.m, c.k, c.columns), func(t *testing.T) { severalAreMul(t, level, c.m, c.k, c.columns) })
		}
	}
	if err := MulSeveral(&kernel.On{}, nil, 3, View{}, nil, nil); err != nil {
		t.Error(err)
	}
}

func severalAreMul(t *testing.T, level kernel.Level, m, k int, columns []int) {
	rng := newRand(3)
	n := 0
	for _, c := range columns {
		n += c
	}
	a := Dense(random(rng, m*k), k)
	for _, bias := range [][]float32{nil, random(rng, n)} {
		want := make([]float32, m*n)
		var bs []*Packed
		first := 0
		for _, c := range columns {
			b := Pack(level, Dense(random(rng, k*c), c), k, c)
			bs = append(bs, b)
			e := &Epilogue{}
			if bias != nil {
				e.Bias = bias[first : first+c]
			}
			if err := Mul(&kernel.On{Level: level}, want[first*m:], c, m, a, b, e); err != nil {
				t.Fatal(err)
			}
			first += c
		}
		for _, threads := range []int{1, 2, 5} {
			got := random(rng, m*n)
			if err := MulSeveral(&kernel.On{Level: level, Threads: threads}, got, m, a, bs, bias); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d threads: got %v, want %v", threads, got, want)
			}
		}
	}
}
