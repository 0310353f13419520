package main

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestDeviation(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		name      string
		got, want []float32
		within    bool
	}{
		{"equal", []float32{1, -2, 0}, []float32{1, -2, 0}, true},
		{"all zero", []float32{0, 0}, []float32{0, 0}, true},
		{"just within", []float32{100, 0.0099}, []float32{100, 0}, true},
		{"just outside", []float32{100, 0.0101}, []float32{100, 0}, false},
		{"the largest element has twice the room", []float32{100.019, 0}, []float32{100, 0}, true},
		{"but not more", []float32{100.021, 0}, []float32{100, 0}, false},
		{"not a number", []float32{100, nan}, []float32{100, 0}, false},
		{"only expected to be one", []float32{100, 0}, []float32{100, nan}, false},
	} {
		if got := deviation(tt.got, tt.want); (got <= 1) != tt.within {
			t.Errorf("%s: %g of the tolerance, expected within: %v", tt.name, got, tt.within)
		}
	}
}

func TestCompareRefusesAnotherKind(t *testing.T) {
	want := tensor.Of([]float32{1, 2}, 2)
	for name, got := range map[string]*tensor.Tensor{
		"none":          nil,
		"another type":  tensor.Of([]int64{1, 2}, 2),
		"another shape": tensor.Of([]float32{1, 2}, 1, 2),
	} {
		if _, err := compare(got, want); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRatioIsOfTheRounds(t *testing.T) {
	// The machine was three times slower in the last round, for both.
	got := ratio([2][]float64{{10, 11, 30}, {20, 22, 60}})
	if got != 2 {
		t.Errorf("ratio %g, expected 2", got)
	}
}
