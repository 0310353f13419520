package conv

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzConv compares every level with float64, for geometries that the fuzzer makes of
// bytes.
func FuzzConv(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(20), uint8(9), uint8(9), uint8(3), uint8(1), uint8(1), uint8(1))
	f.Add(uint64(2), uint8(40), uint8(33), uint8(1), uint8(30), uint8(2), uint8(2), uint8(2), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, channels, filters, height, width, size, stride, dilation, pad uint8) {
		g := Geometry{
			Batch: 1, Channels: int(channels % 40), Filters: int(filters % 70), Groups: 1,
			In: []int{int(height % 20), int(width % 40)}, Kernel: []int{1 + int(size%4), 1 + int(size/4%4)},
			Strides: []int{1 + int(stride%3), 1 + int(stride/3%3)}, Dilation: []int{1 + int(dilation%3), 1 + int(dilation/3%3)},
			Begin: []int{int(pad % 5), int(pad / 5 % 5)}, Out: []int{0, 0},
		}
		for d := range g.Out {
			g.Out[d] = OutDim(g.In[d], g.Kernel[d], g.Strides[d], g.Dilation[d], g.Begin[d], int(pad/25), false)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		tr := newTrial(rng, g)
		want, allowed := tr.want()
		for _, level := range levels() {
			on := &kernel.On{Level: level, Threads: 1 + int(seed%3)}
			compare(t, level.String(), tr.run(t, on, Layout(seed%2), Layout(seed/2%2)), want, allowed)
		}
	})
}

// FuzzGeometry compares convolutions of every kind, depthwise and in groups among them,
// in every layout, with float64.
func FuzzGeometry(f *testing.F) {
	f.Add(uint64(1), uint8(1))
	f.Add(uint64(2), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, threads uint8) {
		rng := rand.New(rand.NewPCG(seed, 60))
		newTrial(rng, randomGeometry(rng, 3)).check(t, 1+int(threads%3))
	})
}

// FuzzPool does so with poolings.
func FuzzPool(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(2))
	f.Fuzz(func(t *testing.T, seed uint64) { tryPool(t, rand.New(rand.NewPCG(seed, 61))) })
}

// FuzzTransposed does so with transposed convolutions.
func FuzzTransposed(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(2))
	f.Fuzz(func(t *testing.T, seed uint64) { tryTransposed(t, rand.New(rand.NewPCG(seed, 62))) })
}

// FuzzSpecials puts a number that is none, or hardly any, into the input: what sees it
// is no number either, and nothing else is, whatever lies beside it in memory.
func FuzzSpecials(f *testing.F) {
	f.Add(uint64(1), uint8(0))
	f.Add(uint64(2), uint8(1))
	f.Add(uint64(3), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, special uint8) {
		rng := rand.New(rand.NewPCG(seed, 63))
		tr := newTrial(rng, randomGeometry(rng, 3))
		if len(tr.src) == 0 {
			return
		}
		tr.src[rng.IntN(len(tr.src))] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0x1p-149, -0x1p-127}[special%5]
		sees, _ := naive(&tr.g, tr.src, tr.weights, nil)
		for _, level := range levels() {
			for _, in := range []Layout{Planar, Blocked} {
				got := tr.run(t, &kernel.On{Level: level, Threads: 1 + int(seed%2)}, in, in)
				for i, x := range got {
					if v := float64(x); !odd(sees[i]) && odd(v) {
						t.Fatalf("%v, layout %d, %+v: element %d is %g and sees numbers only", level, in, tr.g, i, x)
					}
				}
			}
		}
	})
}

func odd(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
