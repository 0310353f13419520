package conv

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// TestGeometryRefuses: each is wrong in one thing, and the sizes of arrays are small.
func TestGeometryRefuses(t *testing.T) {
	for name, spoil := range map[string]func(g *Geometry){
		"channels in groups":      func(g *Geometry) { g.Groups, g.Filters = 2, 6; g.Channels = 5 },
		"filters in groups":       func(g *Geometry) { g.Groups, g.Channels = 2, 6; g.Filters = 5 },
		"negative channels":       func(g *Geometry) { g.Channels = -1 },
		"negative filters":        func(g *Geometry) { g.Filters = -1 },
		"negative batch":          func(g *Geometry) { g.Batch = -1 },
		"negative input":          func(g *Geometry) { g.In[0] = -1 },
		"negative output":         func(g *Geometry) { g.Out[1] = -1 },
		"cut by too much":         func(g *Geometry) { g.Begin[0] = -math.MaxInt32 - 1 },
		"far outputs":             func(g *Geometry) { g.Out[0], g.Strides[0] = 1<<20, 1<<20 },
		"far stride":              func(g *Geometry) { g.Out[0], g.Strides[0] = 0, 1<<32 },
		"far taps":                func(g *Geometry) { g.Kernel[0], g.Dilation[0] = 1<<16, 1<<16 },
		"taps beyond counting":    func(g *Geometry) { g.Kernel[0], g.Dilation[0] = 1<<40, 1<<40 },
		"large input":             func(g *Geometry) { g.Batch, g.In[0] = 0, 1<<32 },
		"output beyond counting":  func(g *Geometry) { g.Batch, g.Out[0] = 0, 1<<58 },
		"weights beyond counting": func(g *Geometry) { g.Channels, g.Filters = 1<<31, 1<<31 },
	} {
		g := square(6, 6, 1, 28, 3, 1)
		spoil(&g)
		if _, err := NewPlan(kernel.Best(), g, Blocked, Blocked); err == nil {
			t.Errorf("%s: planned", name)
		}
		if _, err := New(best(), g, Blocked, Blocked, nil, nil); err == nil {
			t.Errorf("%s: made", name)
		}
		if _, err := NewTransposed(kernel.Best(), g, Blocked, Blocked); err == nil {
			t.Errorf("%s: made transposed", name)
		}
	}
}

func TestPoolsRefuse(t *testing.T) {
	for name, spoil := range map[string]func(g *Geometry){
		"rank":            func(g *Geometry) { g.Strides = g.Strides[:1] },
		"padding":         func(g *Geometry) { g.Begin[0] = -1 },
		"kernel":          func(g *Geometry) { g.Kernel[1] = 0 },
		"far taps":        func(g *Geometry) { g.Kernel[1], g.Dilation[1] = 1<<16, 1<<16 },
		"negative output": func(g *Geometry) { g.Out[1] = -1 },
	} {
		g := square(6, 6, 1, 9, 3, 1)
		spoil(&g)
		if _, err := MaxPool(kernel.Best(), g, Planar); err == nil {
			t.Errorf("%s: the maximum is planned", name)
		}
		if _, err := AveragePool(kernel.Best(), g, Planar, false, nil); err == nil {
			t.Errorf("%s: the mean is planned", name)
		}
	}
	if _, err := AveragePool(kernel.Best(), square(6, 6, 1, 9, 3, 1), Planar, true, []int{1}); err == nil {
		t.Error("one padding for two dimensions accepted")
	}
}

// TestTransposedRefuses: strides would make more convolutions than make sense.
func TestTransposedRefuses(t *testing.T) {
	g := square(4, 4, 1, 5, 3, 1)
	g.Strides = []int{maxPhases / 2, 4}
	if _, err := NewTransposed(kernel.Best(), g, Planar, Planar); err == nil {
		t.Error("strides accepted")
	}
	p, err := NewTransposed(kernel.Best(), square(4, 4, 1, 5, 3, 1), Planar, Planar)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.For(1, []int{5}, []int{5, 5}); err == nil {
		t.Error("input of one dimension accepted")
	}
	refusesLengths(t, "transposed", p.Pack, p.PackedLen(), 4*4*9, 4)
}

func TestPackRefuses(t *testing.T) {
	g := square(4, 4, 1, 5, 3, 1)
	c, err := New(best(), g, Planar, Planar, make([]float32, 4*4*9), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.For(1, []int{-1, 5}, g.Begin, g.Out); err == nil {
		t.Error("negative input accepted")
	}
	refusesLengths(t, "plan", c.plan.Pack, c.plan.PackedLen(), 4*4*9, 4)
}

// refusesLengths packs arrays of which one is too short or too long.
func refusesLengths(t *testing.T, name string, pack func(on *kernel.On, packed, weights, bias []float32) error, packed, weights, bias int) {
	t.Helper()
	for _, by := range [][3]int{{}, {-1, 0, 0}, {1, 0, 0}, {0, -1, 0}, {0, 1, 0}, {0, 0, -1}, {0, 0, 1}} {
		err := pack(best(), make([]float32, packed+by[0]), make([]float32, weights+by[1]), make([]float32, bias+by[2]))
		if (err != nil) != (by != [3]int{}) {
			t.Errorf("%s: packed, weights and bias longer by %v: %v", name, by, err)
		}
	}
}

// ending is a context that ends when it has been asked a number of times.
type ending struct{ asked, after int }

func (*ending) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*ending) Done() <-chan struct{}       { return nil }
func (*ending) Value(any) any               { return nil }
func (e *ending) Err() error {
	if e.asked++; e.asked > e.after {
		return context.Canceled
	}
	return nil
}

// TestLoopsEnd: whenever a context ends, no loop goes on and asks it again and again.
func TestLoopsEnd(t *testing.T) {
	const most = 6 // on the way out of loops
	inf := float32(math.Inf(1))
	for name, run := range map[string]func(on *kernel.On) error{
		"direct":     convolves(t, square(3, 70, 1, 30, 3, 1), 1, 1),
		"depth":      convolves(t, square(64, 64, 64, 30, 3, 1), 1, 1),
		"chunks":     convolves(t, square(512, 64, 1, 9, 3, 2), 1, 1),
		"general":    convolves(t, square(4, 4, 1, 30, 3, 1), inf, 1),
		"minimal":    convolves(t, square(64, 64, 1, 40, 3, 1), 1, 1),
		"not finite": convolves(t, square(64, 64, 1, 40, 3, 1), 1, inf),
		"maximum":    pools(t, false),
		"norm":       pools(t, true),
	} {
		whole := &ending{after: math.MaxInt}
		if err := run(&kernel.On{Context: whole, Level: kernel.Best()}); err != nil {
			t.Fatal(err)
		}
		for after := 0; after < whole.asked; after += 1 + whole.asked/60 {
			e := &ending{after: after}
			if err := run(&kernel.On{Context: e, Level: kernel.Best()}); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: ended after %d of %d: %v", name, after, whole.asked, err)
			}
			if e.asked > after+most {
				t.Errorf("%s: ended after %d of %d, and asked %d times more", name, after, whole.asked, e.asked-after)
				break
			}
		}
	}
}

// TestPackingEnds: whatever lays out the weights of one layer asks for the context, and
// ends with it.
func TestPackingEnds(t *testing.T) {
	weights := func(g Geometry, first float32) []float32 {
		w := make([]float32, g.Filters*g.Channels/g.Groups*pixels(g.Kernel))
		w[0] = first
		return w
	}
	made := func(g Geometry, first float32) func(on *kernel.On) error {
		return func(on *kernel.On) error {
			c, err := New(on, g, Blocked, Blocked, weights(g, first), nil)
			if (c == nil) != (err != nil) {
				t.Errorf("%v and %v", c, err)
			}
			return err
		}
	}
	for name, c := range map[string]struct {
		pack func(on *kernel.On) error
		asks int
	}{
		"direct":  {made(square(3, 640, 1, 30, 3, 1), 1), 20},
		"general": {made(square(64, 64, 1, 30, 3, 1), float32(math.Inf(1))), 64},
		"minimal": {made(square(64, 64, 1, 40, 3, 1), 1), 64},
		"transposed": {func(on *kernel.On) error {
			g := square(64, 64, 1, 9, 3, 1)
			p, err := NewTransposed(on.Level, g, Planar, Planar)
			if err != nil {
				t.Fatal(err)
			}
			return p.Pack(on, make([]float32, p.PackedLen()), weights(g, 1), nil)
		}, 64},
	} {
		whole := &ending{after: math.MaxInt}
		if err := c.pack(&kernel.On{Context: whole, Level: kernel.Best()}); err != nil || whole.asked < c.asks {
			t.Errorf("%s: asked %d times, expected %d at least: %v", name, whole.asked, c.asks, err)
		}
		for after := 0; after < whole.asked; after += 1 + whole.asked/60 {
			e := &ending{after: after}
			if err := c.pack(&kernel.On{Context: e, Level: kernel.Best()}); !errors.Is(err, context.Canceled) || e.asked > after+1 {
				t.Errorf("%s: ended after %d of %d, asked %d times: %v", name, after, whole.asked, e.asked, err)
			}
		}
	}
}

// convolves makes a convolution with the same number for the first weight and another
// one in the middle of the input.
func convolves(t *testing.T, g Geometry, weight, pixel float32) func(on *kernel.On) error {
	weights := make([]float32, g.Filters*g.Channels/g.Groups*pixels(g.Kernel))
	weights[0] = weight
	c, err := New(best(), g, Blocked, Blocked, weights, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := make([]float32, BlockedLen(kernel.Best(), 1, g.Channels, pixels(g.In)))
	src[len(src)/2] = pixel
	dst, scratch := make([]float32, BlockedLen(kernel.Best(), 1, g.Filters, pixels(g.Out))), make([]float32, c.Scratch())
	return func(on *kernel.On) error { return c.Run(on, dst, src, nil, Activation{}, scratch) }
}

func pools(t *testing.T, norm bool) func(on *kernel.On) error {
	g := square(2, 2, 1, 40, 3, 1)
	p, err := MaxPool(kernel.Best(), g, Planar)
	if err != nil {
		t.Fatal(err)
	}
	src, dst := make([]float32, 2*pixels(g.In)), make([]float32, 2*pixels(g.Out))
	return func(on *kernel.On) error {
		if norm {
			return LpPool(on, p, dst, src, 2)
		}
		return p.Run(on, dst, src)
	}
}
