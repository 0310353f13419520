package gemm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// TestMulBeside: the columns of each matrix are what Mul makes of it alone, to the bit,
// wherever its panels end and however many threads share them.
func TestMulBeside(t *testing.T) {
	for _, level := range kernel.Levels() {
		for _, c := range []struct {
			m, k    int
			columns []int
		}{
			{7, 24, []int{32, 32, 32}}, {1, 300, []int{5, 64, 33}}, {13, 257, []int{31}}, {64, 512, []int{96, 32}}, {5, 0, []int{3, 4}},
			{3, 8, []int{0, 7, 0, 1}}, {0, 8, []int{7, 1}}, {130, 64, []int{100, 40, 20}}, {300, 96, []int{384, 384, 384}},
		} {
			t.Run(fmt.Sprintf("%s/%dx%d to %v", level, c.m, c.k, c.columns), func(t *testing.T) { besideIsMul(t, level, c.m, c.k, c.columns) })
		}
	}
	if err := MulBeside(&kernel.On{}, nil, 0, 3, View{}, nil, &Epilogue{}); err != nil {
		t.Error(err)
	}
}

func besideIsMul(t *testing.T, level kernel.Level, m, k int, columns []int) {
	rng := newRand(3)
	n := 0
	for _, c := range columns {
		n += c
	}
	ldc := n + 3
	a, bias, old := Dense(random(rng, m*k), k), random(rng, n), random(rng, m*ldc+1)
	want := slices.Clone(old)
	var bs []*Packed
	first := 0
	for _, c := range columns {
		b := Pack(level, Dense(random(rng, k*c), c), k, c)
		bs = append(bs, b)
		e := &Epilogue{Bias: bias[first:], Clip: true, Lo: -1, Hi: 1, C: old[min(first, len(old)):], CRow: ldc, Beta: 0.5}
		if err := Mul(&kernel.On{Level: level}, want[min(first, len(want)):], ldc, m, a, b, e); err != nil {
			t.Fatal(err)
		}
		first += c
	}
	for _, threads := range []int{1, 2, 5} {
		got := slices.Clone(old)
		e := &Epilogue{Bias: bias, Clip: true, Lo: -1, Hi: 1, C: old, CRow: ldc, Beta: 0.5}
		if err := MulBeside(&kernel.On{Level: level, Threads: threads}, got, ldc, m, a, bs, e); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%d threads: row %d, column %d is %v, by itself %v", threads, i/ldc, i%ldc, got[i], want[i])
			}
		}
	}
}
