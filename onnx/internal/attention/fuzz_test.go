package attention

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzRun compares every level with float64, and for numbers that are none with portable
// Go: what is a number in one must be one in all.
func FuzzRun(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(0), uint8(0))
	f.Add(uint64(2), uint8(13), uint8(40), uint8(3))
	f.Add(uint64(3), uint8(27), uint8(90), uint8(250))
	f.Fuzz(func(t *testing.T, seed uint64, kind, mask, special uint8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := problems(rng)[[]string{"fused", "apart", "grouped", "causal", "decoding"}[kind%5]]
		p.Scale, p.Guarded = float32(1+kind/5%4)/4, mask&128 != 0
		p.Mask = masks(rng, p)[[]string{"none", "keys", "queries", "both", "batch", "all", "dark"}[mask%7]]
		spoiled := spoil(rng, special, p.Q.Data, p.K.Data, p.V.Data)
		threads := 1 + int(seed%3)
		run(t, p, kernel.Portable, 1)
		want := slices.Clone(p.Out.Data)
		for _, level := range kernel.Levels() {
			run(t, p, level, threads)
			if !spoiled && !p.Guarded {
				check(t, level.String(), p)
			}
			for i, w := range want {
				if got := p.Out.Data[i]; !alike(got, w, 1e-4) {
					t.Fatalf("%v, %+v: element %d is %g, in portable Go %g", level, *p, i, got, w)
				}
			}
		}
	})
}

// spoil puts numbers into the lists that are none, or hardly any.
func spoil(rng *rand.Rand, special uint8, lists ...[]float32) bool {
	if special%4 == 0 {
		return false
	}
	bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0x1p-149, -0x1p-127, 0}[special/4%6]
	for range special % 4 {
		if list := lists[rng.IntN(len(lists))]; len(list) > 0 {
			list[rng.IntN(len(list))] = bad
		}
	}
	return true
}

// alike lets infinities be NaN elsewhere: sums run over in another order.
func alike(a, b float32, most float64) bool {
	x, y := float64(a), float64(b)
	if math.IsNaN(x) || math.IsNaN(y) || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return (math.IsNaN(x) || math.IsInf(x, 0)) == (math.IsNaN(y) || math.IsInf(y, 0))
	}
	return math.Abs(x-y) <= most*(1+math.Abs(y))
}
