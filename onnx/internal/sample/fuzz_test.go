package sample

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzGrid reads images at any places, of float32 and of float64: nothing outside is
// read, what is a number in one is one in the other, and threads do not matter.
func FuzzGrid(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(0), uint8(2))
	f.Add(uint64(2), uint8(5), uint8(3), uint8(1))
	f.Add(uint64(3), uint8(17), uint8(9), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, kind, special, rank uint8) {
		rng := rand.New(rand.NewPCG(seed, 5))
		g := Grid{Mode: []string{"nearest", "linear", "cubic"}[kind%3], Padding: []string{"zeros", "border", "reflection"}[kind/3%3], Corners: kind&64 != 0}
		batch, channels, places, size := 1+rng.IntN(2), 1+rng.IntN(3), rng.IntN(40), make([]int, 1+rank%3)
		image := 1
		for d := range size {
			size[d] = 1 + rng.IntN(7)
			image *= size[d]
		}
		src, grid := make([]float64, batch*channels*image), make([]float64, batch*places*len(size))
		for i := range src {
			src[i] = float64(float32(rng.NormFloat64()))
		}
		for i := range grid {
			grid[i] = float64(float32(rng.Float64()*3 - 1.5))
		}
		if len(grid) > 0 && special > 0 {
			grid[rng.IntN(len(grid))] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0x1p100, -0x1p100, 0x1p-149, 1, -1, 0x1p31, -0x1p62}[special%10]
		}
		wide := make([]float64, batch*channels*places)
		if err := Run(&kernel.On{}, g, wide, src, grid, batch, channels, places, size); err != nil {
			t.Fatal(err)
		}
		for threads := 1; threads < 3; threads++ {
			out := make([]float32, len(wide))
			if err := Run(&kernel.On{Threads: threads}, g, out, narrowed(src), narrowed(grid), batch, channels, places, size); err != nil {
				t.Fatal(err)
			}
			for i, got := range out {
				if w := wide[i]; (got != got) != (w != w) || math.Abs(float64(got)-w) > 1e-4*(1+math.Abs(w)) {
					t.Fatalf("%+v of %v: element %d is %g, in float64 %g", g, size, i, got, w)
				}
			}
		}
	})
}

func narrowed(list []float64) []float32 {
	out := make([]float32, len(list))
	for i, x := range list {
		out[i] = float32(x)
	}
	return out
}

// FuzzAxis makes the taps of any axis: each reads inside, and weights add up to one.
func FuzzAxis(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(6), 2.0)
	f.Add(uint64(7), uint8(1), uint8(9), 0.3)
	f.Fuzz(func(t *testing.T, seed uint64, in, out uint8, scale float64) {
		n, m := 1+int(in%20), 1+int(out%40)
		a := fuzzedAxis(seed, n, m, scale)
		for name, w := range map[string]Weights{"linear": Linear(), "cubic": Cubic(-0.75)} {
			taps := a.Taps(0, m, w, seed&8 != 0, 7)
			for i, from := range taps.From {
				if from < 0 || from >= n {
					t.Fatalf("%s, %+v: tap %d reads element %d of %d", name, a, i, from, n)
				}
			}
		}
		rounding := []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}[seed/16%4]
		nearest := make([]int64, m)
		a.Nearest(nearest, rounding)
		for i, from := range nearest {
			if from < -1 || from >= int64(n) {
				t.Fatalf("%s, %+v: element %d is %d of %d", rounding, a, i, from, n)
			}
		}
	})
}

func fuzzedAxis(seed uint64, in, out int, scale float64) Axis {
	modes := []string{"half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn", "pytorch_half_pixel", "half_pixel_symmetric"}
	rng := rand.New(rand.NewPCG(seed, 9))
	return Axis{In: in, Out: out, Scale: scale, Coordinate: modes[seed%7], Low: rng.NormFloat64(), High: rng.NormFloat64()}
}
