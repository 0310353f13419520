package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// naiveTransposed adds the kernel, times each input, to the output.
func naiveTransposed(g *Geometry, src, weights, bias []float32) (dst, scale []float64) {
	filters, per := g.Filters/g.Groups, g.Channels/g.Groups
	in, out, taps := pixels(g.In), pixels(g.Out), pixels(g.Kernel)
	dst, scale = make([]float64, g.Batch*g.Filters*out), make([]float64, g.Batch*g.Filters*out)
	for i := range dst {
		if bias != nil {
			dst[i] = float64(bias[i/out%g.Filters])
		}
	}
	for i, x := range src {
		c, n := i/in%g.Channels, i/in/g.Channels
		for tap := range taps {
			pixel, ok := onto(g, i%in, tap)
			if !ok {
				continue
			}
			for f := range filters {
				at := (n*g.Filters+c/per*filters+f)*out + pixel
				p := float64(x) * float64(weights[(c*filters+f)*taps+tap])
				dst[at] += p
				scale[at] += math.Abs(p)
			}
		}
	}
	return dst, scale
}

// onto is the output pixel that tap t of input pixel i adds to.
func onto(g *Geometry, i, t int) (int, bool) {
	at, step := 0, 1
	for d := len(g.In) - 1; d >= 0; d-- {
		o := i%g.In[d]*g.Strides[d] + t%g.Kernel[d]*g.Dilation[d] - g.Begin[d]
		if o < 0 || o >= g.Out[d] {
			return 0, false
		}
		at += o * step
		step *= g.Out[d]
		i, t = i/g.In[d], t/g.Kernel[d]
	}
	return at, true
}

func TestTransposedAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(30, 31))
	for range 60 {
		tryTransposed(t, rng)
	}
}

// tryTransposed compares one with its definition.
func tryTransposed(t *testing.T, rng *rand.Rand) {
	t.Helper()
	g := randomGeometry(rng, 3)
	for d := range g.Out {
		g.In[d] = min(g.In[d], 9)
		span := (g.In[d]-1)*g.Strides[d] + (g.Kernel[d]-1)*g.Dilation[d] + 1
		g.Out[d] = max(1, span-g.Begin[d]-rng.IntN(3)+rng.IntN(3))
	}
	src := random(rng, g.Batch*g.Channels*pixels(g.In))
	weights := random(rng, g.Channels*g.Filters/g.Groups*pixels(g.Kernel))
	bias := random(rng, g.Filters)
	want, allowed := naiveTransposed(&g, src, weights, bias)
	for i := range allowed {
		allowed[i] = 1e-5 * (1 + allowed[i])
		want[i] = max(want[i], 0)
	}
	for _, level := range levels() {
		for _, l := range []Layout{Planar, Blocked} {
			on := &kernel.On{Level: level, Threads: 2}
			got := runTransposed(t, on, g, l, src, weights, bias)
			compare(t, fmt.Sprintf("%v, layout %d, %+v", level, l, g), got, want, allowed)
		}
	}
}

func runTransposed(t *testing.T, on *kernel.On, g Geometry, l Layout, src, weights, bias []float32) []float32 {
	t.Helper()
	other := g
	other.In, other.Out = slices.Repeat([]int{7}, len(g.In)), slices.Repeat([]int{1}, len(g.Out))
	p, err := NewTransposed(on.Level, other, l, l)
	if err != nil {
		t.Fatal(err)
	}
	packed := make([]float32, p.PackedLen())
	if err := p.Pack(on, packed, weights, bias); err != nil {
		t.Fatal(err)
	}
	if p, err = p.For(g.Batch, g.In, g.Out); err != nil {
		t.Fatal(err)
	}
	dst := random(rand.New(rand.NewPCG(9, 9)), laidLen(on, l, g.Batch, g.Filters, pixels(g.Out)))
	in := lay(t, on, l, src, g.Batch, g.Channels, pixels(g.In))
	if err := p.Run(on, packed, dst, in, Relu(), make([]float32, p.Scratch())); err != nil {
		t.Fatal(err)
	}
	return unlay(t, on, l, dst, g.Batch, g.Filters, pixels(g.Out))
}
