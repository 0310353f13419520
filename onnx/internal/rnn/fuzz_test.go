package rnn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzCell compares every level with the equations in float64, and where an input is no
// number with portable Go: the same states must be numbers.
func FuzzCell(f *testing.F) {
	f.Add(uint64(1), uint8(0))
	f.Add(uint64(2), uint8(1))
	f.Add(uint64(3), uint8(6))
	f.Add(uint64(4), uint8(11))
	f.Fuzz(func(t *testing.T, seed uint64, special uint8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		o, s := layer(rng)
		h, c := random(rng, s.Batch*o.Hidden), random(rng, s.Batch*o.Hidden)
		if special%4 > 0 {
			bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0x1p-149, -0x1p-127, 1e30}[special/4%6]
			list := [][]float32{s.X, h, c}[special%4-1]
			list[rng.IntN(len(list))] = bad
		}
		want := states(t, kernel.Portable, o, s, h, c)
		for _, level := range kernel.Levels() {
			if err := compare(level, o, s, h, c); err != nil && special%4 == 0 {
				t.Fatalf("%v: %v", level, err)
			}
			for i, got := range states(t, level, o, s, h, c) {
				if (got != got) != (want[i] != want[i]) || math.Abs(float64(got-want[i])) > 1e-4*(1+math.Abs(float64(want[i]))) {
					t.Fatalf("%v, %+v: element %d is %g, in portable Go %g", level, o.Config, i, got, want[i])
				}
			}
		}
	})
}

// states is all that a cell gives.
func states(t *testing.T, level kernel.Level, o *oracle, s *Sequences, h, c []float32) []float32 {
	t.Helper()
	h, c = slices.Clone(h), slices.Clone(c)
	s.Y = make([]float32, s.Steps*s.Batch*o.Hidden)
	if err := New(level, o.Config, o.Weights, nil).Run(&kernel.On{Level: level, Threads: 2}, s, h, c, make([]float32, o.ScratchLen(s.Steps, s.Batch))); err != nil {
		t.Fatal(err)
	}
	if o.Kind != LSTM {
		c = nil
	}
	return slices.Concat(s.Y, h, c)
}
