package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// naive computes a convolution in float64 as ONNX defines it, Planar. scale holds
// the sums of absolute products, by which errors are judged.
func naive(g *Geometry, src, weights, bias []float32) (dst, scale []float64) {
	per, filters := g.Channels/g.Groups, g.Filters/g.Groups
	in, out, taps := pixels(g.In), pixels(g.Out), pixels(g.Kernel)
	dst = make([]float64, g.Batch*g.Filters*out)
	scale = make([]float64, len(dst))
	for n := range g.Batch {
		for f := range g.Filters {
			for o := range out {
				at := (n*g.Filters+f)*out + o
				if bias != nil {
					dst[at] = float64(bias[f])
				}
				for t := range taps {
					pixel, ok := under(g, o, t)
					if !ok {
						continue
					}
					for c := range per {
						x := float64(src[(n*g.Channels+f/filters*per+c)*in+pixel])
						p := x * float64(weights[(f*per+c)*taps+t])
						dst[at] += p
						scale[at] += math.Abs(p)
					}
				}
			}
		}
	}
	return dst, scale
}

// under is the input pixel that tap t of output pixel o sees.
func under(g *Geometry, o, t int) (int, bool) {
	at, step := 0, 1
	for d := len(g.In) - 1; d >= 0; d-- {
		i := o%g.Out[d]*g.Strides[d] + t%g.Kernel[d]*g.Dilation[d] - g.Begin[d]
		if i < 0 || i >= g.In[d] {
			return 0, false
		}
		at += i * step
		step *= g.In[d]
		o, t = o/g.Out[d], t/g.Kernel[d]
	}
	return at, true
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = rng.Float32()*2 - 1
	}
	return v
}

// randomGeometry is small, and has every property now and then.
func randomGeometry(rng *rand.Rand, maxRank int) Geometry {
	g := Geometry{Batch: 1 + rng.IntN(2), Groups: 1}
	channels, filters := 1+rng.IntN(40), 1+rng.IntN(70)
	switch rng.IntN(6) {
	case 0: // depthwise
		g.Groups = channels
		channels, filters = 1, 1
	case 1: // groups of anything
		g.Groups = 1 + rng.IntN(4)
		channels, filters = 1+rng.IntN(6), 1+rng.IntN(20)
	case 2: // groups of whole blocks
		g.Groups, channels, filters = 2, 16, 32
	case 3:
		channels = 1 + rng.IntN(4)
	}
	pick := func(odds, n int) int {
		if rng.IntN(odds) > 0 {
			return 0
		}
		return rng.IntN(n)
	}
	for range 1 + rng.IntN(maxRank) {
		g.In = append(g.In, 1+rng.IntN(12)+pick(4, 30))
		g.Kernel = append(g.Kernel, 1+pick(2, 4))
		g.Strides = append(g.Strides, 1+pick(3, 3))
		g.Dilation = append(g.Dilation, 1+pick(4, 3))
		g.Begin = append(g.Begin, pick(2, 5))
		d := len(g.In) - 1
		if rng.IntN(8) == 0 && g.In[d] > 3 {
			g.Begin[d] = -rng.IntN(3)
		}
		out := OutDim(g.In[d], g.Kernel[d], g.Strides[d], g.Dilation[d], g.Begin[d], pick(2, 5), false)
		if out == 0 {
			g.Kernel[d], out = 1, OutDim(g.In[d], 1, g.Strides[d], 1, g.Begin[d], 0, false)
		}
		g.Out = append(g.Out, out)
	}
	for channels*filters*g.Groups*pixels(g.Out)*pixels(g.Kernel) > 1<<17 && channels*filters > 1 {
		channels, filters = (channels+1)/2, (filters+1)/2
	}
	g.Channels, g.Filters = channels*g.Groups, filters*g.Groups
	return g
}

// levels are those that have kernels of their own.
func levels() []kernel.Level {
	all := kernel.Levels()
	return all[:min(len(all), int(kernel.AVX512)+1)]
}

// trial is a convolution with its arguments, Planar.
type trial struct {
	g                            Geometry
	src, weights, bias, residual []float32
	act                          Activation
}

func newTrial(rng *rand.Rand, g Geometry) *trial {
	t := &trial{g: g}
	t.src = random(rng, g.Batch*g.Channels*pixels(g.In))
	t.weights = random(rng, g.Filters*(g.Channels/g.Groups)*pixels(g.Kernel))
	if rng.IntN(3) > 0 {
		t.bias = random(rng, g.Filters)
	}
	if rng.IntN(3) == 0 {
		t.residual = random(rng, g.Batch*g.Filters*pixels(g.Out))
	}
	acts := []Activation{{}, Relu(), Clip(-0.5, 1), LeakyRelu(0.1), Each(func(x []float32) {
		for i := range x {
			x[i] = x[i]*x[i] + 1
		}
	})}
	t.act = acts[rng.IntN(len(acts))]
	return t
}

// want is the result in float64 and the size of error that is allowed.
func (t *trial) want() (dst, allowed []float64) {
	dst, allowed = naive(&t.g, t.src, t.weights, t.bias)
	for i := range dst {
		if t.residual != nil {
			dst[i] += float64(t.residual[i])
		}
		allowed[i] = 1e-5 * (allowed[i] + math.Abs(dst[i]) + 1)
		if t.act.kind == actEach {
			allowed[i] *= 1 + 2*math.Abs(dst[i])
			dst[i] = dst[i]*dst[i] + 1
			continue
		}
		dst[i] = float64(t.act.at(float32(dst[i])))
	}
	return dst, allowed
}

// lay brings a Planar array into a layout.
func lay(t *testing.T, on *kernel.On, l Layout, src []float32, batch, channels, pixels int) []float32 {
	t.Helper()
	if l == Planar || src == nil {
		return src
	}
	dst := make([]float32, BlockedLen(on.Level, batch, channels, pixels))
	if err := ToBlocked(on, dst, src, batch, channels, pixels); err != nil {
		t.Fatal(err)
	}
	b := Block(on.Level)
	for i := range dst { // unused lanes must not matter
		row := i / b / max(1, pixels) % blocksOf(channels, b)
		if row*b+i%b >= channels {
			dst[i] = float32(math.NaN())
		}
	}
	return dst
}

// unlay brings it back.
func unlay(t *testing.T, on *kernel.On, l Layout, src []float32, batch, channels, pixels int) []float32 {
	t.Helper()
	if l == Planar {
		return src
	}
	dst := make([]float32, batch*channels*pixels)
	if err := FromBlocked(on, dst, src, batch, channels, pixels); err != nil {
		t.Fatal(err)
	}
	return dst
}

func laidLen(on *kernel.On, l Layout, batch, channels, pixels int) int {
	if l == Planar {
		return batch * channels * pixels
	}
	return BlockedLen(on.Level, batch, channels, pixels)
}

// run computes the trial on a level, in layouts, and returns the Planar result.
func (tr *trial) run(t *testing.T, on *kernel.On, in, out Layout) []float32 {
	t.Helper()
	return tr.runIn(t, on, in, out, func(v []float32) []float32 { return v })
}

// runIn is run with arrays in memory that place chooses.
func (tr *trial) runIn(t *testing.T, on *kernel.On, in, out Layout, place func([]float32) []float32) []float32 {
	t.Helper()
	g := &tr.g
	c, err := New(on, *g, in, out, tr.weights, tr.bias)
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.src)%2 == 0 { // plans of other sizes read the same weights
		if c, err = tr.resized(on.Level, in, out); err != nil {
			t.Fatal(err)
		}
	}
	src := lay(t, on, in, tr.src, g.Batch, g.Channels, pixels(g.In))
	residual := lay(t, on, out, tr.residual, g.Batch, g.Filters, pixels(g.Out))
	dst := random(rand.New(rand.NewPCG(9, 9)), laidLen(on, out, g.Batch, g.Filters, pixels(g.Out)))
	scratch := random(rand.New(rand.NewPCG(8, 8)), c.Scratch())
	c.packed, dst = place(c.packed), place(dst)
	if residual != nil {
		residual = place(residual)
	}
	if err := c.Run(on, dst, place(src), residual, tr.act, place(scratch)); err != nil {
		t.Fatal(err)
	}
	return unlay(t, on, out, dst, g.Batch, g.Filters, pixels(g.Out))
}

// resized packs the weights for one size and plans for another.
func (tr *trial) resized(level kernel.Level, in, out Layout) (*Conv, error) {
	g := tr.g
	g.In, g.Out, g.Begin = slices.Clone(g.In), slices.Clone(g.Out), slices.Clone(g.Begin)
	for d := range g.In {
		g.In[d], g.Out[d], g.Begin[d] = 100, 5, 0
	}
	c, err := New(&kernel.On{Level: level}, g, in, out, tr.weights, tr.bias)
	if err != nil {
		return nil, err
	}
	plan, err := c.plan.For(tr.g.Batch, tr.g.In, tr.g.Begin, tr.g.Out)
	return &Conv{plan, c.packed}, err
}

func compare(t *testing.T, what string, got []float32, want, allowed []float64) {
	t.Helper()
	for i := range want {
		if diff := math.Abs(float64(got[i]) - want[i]); !(diff <= allowed[i]) {
			t.Fatalf("%s: element %d is %v, want %v (off by %g, %g allowed)", what, i, got[i], want[i], diff, allowed[i])
		}
	}
}

func (tr *trial) check(t *testing.T, threads int) {
	t.Helper()
	want, allowed := tr.want()
	for _, level := range levels() {
		for _, in := range []Layout{Planar, Blocked} {
			for _, out := range []Layout{Planar, Blocked} {
				on := &kernel.On{Level: level, Threads: threads}
				what := fmt.Sprintf("%v, layouts %d %d, %+v", level, in, out, tr.g)
				compare(t, what, tr.run(t, on, in, out), want, allowed)
			}
		}
	}
}
