package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// naivePool computes a pooling as ONNX defines it, in float64.
func naivePool(g *Geometry, src []float32, mean, padded bool, end []int) []float64 {
	in, out, taps := pixels(g.In), pixels(g.Out), pixels(g.Kernel)
	dst := make([]float64, g.Batch*g.Channels*out)
	for i := range dst {
		plane, o := i/out, i%out
		sum, top, n := 0.0, math.Inf(-1), 0
		for t := range taps {
			pixel, ok := under(g, o, t)
			if ok {
				x := float64(src[plane*in+pixel])
				sum, top = sum+x, max(top, x)
			}
			if ok || padded && inPadding(g, o, t, end) {
				n++
			}
		}
		switch {
		case !mean:
			dst[i] = top
		case n > 0:
			dst[i] = sum / float64(n)
		}
	}
	return dst
}

func inPadding(g *Geometry, o, t int, end []int) bool {
	for d := len(g.In) - 1; d >= 0; d-- {
		i := o%g.Out[d]*g.Strides[d] + t%g.Kernel[d]*g.Dilation[d] - g.Begin[d]
		if i >= g.In[d]+end[d] {
			return false
		}
		o, t = o/g.Out[d], t/g.Kernel[d]
	}
	return true
}

func TestPoolAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(20, 21))
	for range 60 {
		tryPool(t, rng)
	}
}

// tryPool compares a pooling of a random kind with what ONNX defines.
func tryPool(t *testing.T, rng *rand.Rand) {
	t.Helper()
	g := randomGeometry(rng, 3)
	end := make([]int, len(g.In))
	for d := range end {
		end[d] = rng.IntN(4)
		g.Begin[d] = max(0, g.Begin[d])
		g.Out[d] = OutDim(g.In[d], g.Kernel[d], g.Strides[d], g.Dilation[d], g.Begin[d], end[d], rng.IntN(2) == 0)
		if g.Out[d] == 0 {
			g.Out[d], g.Kernel[d] = 1, 1
		}
	}
	src := random(rng, g.Batch*g.Channels*pixels(g.In))
	mean, padded := rng.IntN(2) == 0, rng.IntN(2) == 0
	want := naivePool(&g, src, mean, padded, end)
	allowed := make([]float64, len(want))
	for i := range allowed {
		allowed[i] = 1e-5
		if math.IsInf(want[i], -1) {
			want[i], allowed[i] = -1e30, math.Inf(1)
		}
	}
	for _, level := range levels() {
		for _, layout := range []Layout{Planar, Blocked} {
			got := runPool(t, &kernel.On{Level: level, Threads: 2}, g, layout, src, mean, padded, end)
			compare(t, fmt.Sprintf("%v, layout %d, mean %v %v, end %v, %+v", level, layout, mean, padded, end, g), got, want, allowed)
		}
	}
}

func runPool(t *testing.T, on *kernel.On, g Geometry, layout Layout, src []float32, mean, padded bool, end []int) []float32 {
	t.Helper()
	p, err := MaxPool(on.Level, g, layout)
	if mean {
		p, err = AveragePool(on.Level, g, layout, padded, end)
	}
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, laidLen(on, layout, g.Batch, g.Channels, pixels(g.Out)))
	if err := p.Run(on, dst, lay(t, on, layout, src, g.Batch, g.Channels, pixels(g.In))); err != nil {
		t.Fatal(err)
	}
	return unlay(t, on, layout, dst, g.Batch, g.Channels, pixels(g.Out))
}

// TestPoolOfNaN: a maximum is that of the numbers, on every level.
func TestPoolOfNaN(t *testing.T) {
	g := square(16, 16, 1, 6, 3, 1)
	src := random(rand.New(rand.NewPCG(1, 1)), 16*36)
	for i := 0; i < len(src); i += 3 {
		src[i] = float32(math.NaN())
	}
	want := runPool(t, &kernel.On{}, g, Planar, src, false, false, nil)
	for _, level := range levels() {
		for i, got := range runPool(t, &kernel.On{Level: level}, g, Blocked, src, false, false, nil) {
			if got != want[i] {
				t.Fatalf("%v: element %d is %v, want %v", level, i, got, want[i])
			}
		}
	}
}
