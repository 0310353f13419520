package conv

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func TestConvAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	small, large := 24, 6
	if race.Enabled {
		small, large = 6, 2
	}
	for range small {
		newTrial(rng, randomGeometry(rng, 2)).check(t, 1)
	}
	for range large {
		newTrial(rng, randomGeometry(rng, 4)).check(t, 2)
	}
	newTrial(rng, square(17, 17, 1, 25, 3, 1)).check(t, 1) // of a size for Winograd's form, in every layout
}

// TestThreadsDoNotMatter: every element is the same sum however the work is shared.
func TestThreadsDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	geometries := []Geometry{square(40, 36, 1, 17, 3, 1), square(64, 64, 64, 20, 3, 2), square(3, 20, 1, 30, 5, 2), line1d(48, 32, 1, 300, 3, 2)}
	for _, g := range geometries {
		tr := newTrial(rng, g)
		for _, level := range levels() {
			for _, out := range []Layout{Planar, Blocked} {
				one := tr.run(t, &kernel.On{Level: level}, Blocked, out)
				for _, threads := range []int{2, 5} {
					if got := tr.run(t, &kernel.On{Level: level, Threads: threads}, Blocked, out); !slices.Equal(got, one) {
						t.Errorf("%v, %d threads: another result for %+v", level, threads, g)
					}
				}
			}
		}
	}
}

func TestConvEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, g := range []Geometry{square(40, 70, 1, 30, 3, 1), line1d(48, 32, 1, 700, 3, 2)} {
		c, err := New(best(), g, Blocked, Blocked, make([]float32, g.Filters*g.Channels*pixels(g.Kernel)), nil)
		if err != nil {
			t.Fatal(err)
		}
		on := &kernel.On{Context: ctx, Level: kernel.Best()}
		src := make([]float32, BlockedLen(on.Level, 1, g.Channels, pixels(g.In)))
		dst := make([]float32, BlockedLen(on.Level, 1, g.Filters, pixels(g.Out)))
		if err := c.Run(on, dst, src, nil, Activation{}, make([]float32, c.Scratch())); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
}

// TestPaddingIsLeftOut: zero times an infinite weight would be NaN, and zero times
// an infinite input too if padding were not zero.
func TestPaddingIsLeftOut(t *testing.T) {
	inf := float32(math.Inf(1))
	g := square(20, 20, 1, 5, 3, 1)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, infinite := range []string{"weights", "input"} {
		tr := newTrial(rng, g)
		tr.act, tr.residual = Activation{}, nil
		for i := range tr.src {
			tr.src[i] = max(0.1, tr.src[i])
		}
		for i := range tr.weights {
			tr.weights[i] = max(0.1, tr.weights[i])
		}
		if infinite == "weights" {
			tr.weights[0] = inf
		} else {
			tr.src[7] = inf
		}
		for _, level := range levels() {
			want, _ := naive(&g, tr.src, tr.weights, tr.bias)
			for i, got := range tr.run(t, &kernel.On{Level: level}, Planar, Blocked) {
				if math.IsInf(want[i], 1) != math.IsInf(float64(got), 1) || math.IsNaN(float64(got)) {
					t.Fatalf("%v, infinite %s: element %d is %v, want %v", level, infinite, i, got, want[i])
				}
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := func() Geometry { return square(4, 4, 1, 5, 3, 1) }
	for name, spoil := range map[string]func(g *Geometry){
		"groups":           func(g *Geometry) { g.Groups = 3 },
		"no groups":        func(g *Geometry) { g.Groups = 0 },
		"rank":             func(g *Geometry) { g.Kernel = g.Kernel[:1] },
		"kernel":           func(g *Geometry) { g.Kernel[1] = 0 },
		"stride":           func(g *Geometry) { g.Strides[0] = -1 },
		"dilation":         func(g *Geometry) { g.Dilation[0] = math.MaxInt },
		"padding":          func(g *Geometry) { g.Begin[0] = math.MaxInt },
		"output":           func(g *Geometry) { g.Out[0] = math.MaxInt },
		"input":            func(g *Geometry) { g.In[0] = math.MaxInt / 2 },
		"input, 2 of them": func(g *Geometry) { g.In = []int{math.MaxInt32, math.MaxInt32} },
		"channels":         func(g *Geometry) { g.Channels = math.MaxInt },
		"batch":            func(g *Geometry) { g.Batch = math.MaxInt },
		"no dimension":     func(g *Geometry) { *g = Geometry{Groups: 1} },
	} {
		g := good()
		spoil(&g)
		if _, err := NewPlan(kernel.Best(), g, Planar, Planar); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(best(), good(), Planar, Planar, make([]float32, 5), nil); err == nil {
		t.Error("5 weights accepted")
	}
}

// TestFarTaps: a geometry that is mostly padding is not worth copying, and its
// copy must not be counted wrongly.
func TestFarTaps(t *testing.T) {
	g := Geometry{
		Batch: 1, Channels: 1, Filters: 1, Groups: 1, In: []int{3, 3}, Kernel: []int{2, 2}, Strides: []int{1, 1},
		Dilation: []int{1 << 29, 1 << 29}, Begin: []int{1 << 29, 1 << 29}, Out: []int{3, 3},
	}
	newTrial(rand.New(rand.NewPCG(7, 8)), g).check(t, 1)
}

func TestEmpty(t *testing.T) {
	for _, spoil := range []func(g *Geometry){
		func(g *Geometry) { g.Batch = 0 },
		func(g *Geometry) { g.Channels = 0 },
		func(g *Geometry) { g.Filters = 0 },
		func(g *Geometry) { g.In[0] = 0 },
		func(g *Geometry) { g.In[0], g.Out[0] = 0, 0 },
	} {
		g := square(4, 4, 1, 5, 3, 1)
		spoil(&g)
		newTrial(rand.New(rand.NewPCG(9, 9)), g).check(t, 1)
	}
}

func TestReorderRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 11))
	for range 50 {
		n, c, p := rng.IntN(3), rng.IntN(40), rng.IntN(600)
		src := random(rng, n*c*p)
		for _, level := range levels() {
			on := &kernel.On{Level: level, Threads: 2}
			if got := unlay(t, on, Blocked, lay(t, on, Blocked, src, n, c, p), n, c, p); !slices.Equal(got, src) {
				t.Fatalf("%v: %d x %d x %d is not itself", level, n, c, p)
			}
		}
	}
}

// best is the highest level, on one thread.
func best() *kernel.On { return &kernel.On{Level: kernel.Best()} }
