package qgemm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func unusual(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		switch rng.IntN(12) {
		case 0:
			v[i] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1e30, float32(math.Copysign(0, -1))}[rng.IntN(5)]
		case 1:
			v[i] = float32(rng.IntN(40)) + 0.5
		default:
			v[i] = rng.Float32()*300 - 150
		}
	}
	return v
}

func checkLinear[T Byte](t *testing.T) {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 4))
	for n := range 70 {
		src := unusual(rng, n)
		scale := []float32{1, 0.5, 0, rng.Float32(), float32(math.NaN())}[n%5]
		zero := random[T](rng, 1)[0]
		want, back := make([]T, n), make([]float32, n)
		Quantize(kernel.Portable, want, src, scale, zero)
		Dequantize(kernel.Portable, back, want, 0.3, zero)
		low, high := Extremes(kernel.Portable, src, 0, 1)
		for _, level := range kernel.Levels() {
			got, gotBack := make([]T, n), make([]float32, n)
			Quantize(level, got, src, scale, zero)
			Dequantize(level, gotBack, want, 0.3, zero)
			if !slices.Equal(got, want) || !slices.Equal(gotBack, back) {
				t.Fatalf("%s, %d numbers by %v: differs from portable", level, n, scale)
			}
			if l, h := Extremes(level, src, 0, 1); l != low || h != high {
				t.Fatalf("%s, %d numbers: extremes %v and %v, want %v and %v", level, n, l, h, low, high)
			}
		}
	}
}

func TestLinear(t *testing.T) {
	checkLinear[uint8](t)
	checkLinear[int8](t)
	got := make([]int8, 6)
	Quantize(kernel.Portable, got, []float32{0.5, 1.5, -0.5, 1000, float32(math.NaN()), -3}, 1, 1)
	if want := []int8{1, 3, 1, 127, -128, -2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if low, high := Extremes(kernel.Portable, []float32{3, -2, float32(math.NaN())}, 0, 0); low != -2 || high != 3 {
		t.Errorf("extremes %v and %v", low, high)
	}
}
