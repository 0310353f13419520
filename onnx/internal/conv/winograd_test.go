package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// minimalGeometry is one that Winograd's form computes.
func minimalGeometry(rng *rand.Rand) Geometry {
	g := Geometry{
		Batch: 1 + rng.IntN(2), Channels: 1 + rng.IntN(40), Filters: 1 + rng.IntN(70), Groups: 1,
		Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilation: []int{1, 1},
	}
	for range 2 {
		in, begin := 1+rng.IntN(24), rng.IntN(4)-1
		out := max(1, OutDim(in, 3, 1, 1, begin, rng.IntN(4), false))
		g.In, g.Begin, g.Out = append(g.In, in), append(g.Begin, begin), append(g.Out, out)
	}
	return g
}

// runMinimal is runMinimalAs without a change.
func (tr *trial) runMinimal(t *testing.T, on *kernel.On, place func([]float32) []float32) []float32 {
	t.Helper()
	return tr.runMinimalAs(t, on, place, func(*winograd) {})
}

// runMinimalAs computes the trial in Winograd's form, with arrays in memory that place
// chooses, after change.
func (tr *trial) runMinimalAs(t *testing.T, on *kernel.On, place func([]float32) []float32, change func(*winograd)) []float32 {
	t.Helper()
	g := &tr.g
	p := formed(t, on.Level, *g, true)
	change(p.how.(*winograd))
	packed := make([]float32, p.PackedLen())
	if err := p.Pack(best(), packed, tr.weights, tr.bias); err != nil {
		t.Fatal(err)
	}
	src := lay(t, on, Blocked, tr.src, g.Batch, g.Channels, pixels(g.In))
	residual := lay(t, on, Blocked, tr.residual, g.Batch, g.Filters, pixels(g.Out))
	if residual != nil {
		residual = place(residual)
	}
	dst := place(make([]float32, laidLen(on, Blocked, g.Batch, g.Filters, pixels(g.Out))))
	scratch := place(random(rand.New(rand.NewPCG(8, 8)), p.Scratch()))
	if err := p.Run(on, place(packed), dst, place(src), residual, tr.act, scratch); err != nil {
		t.Fatal(err)
	}
	return unlay(t, on, Blocked, dst, g.Batch, g.Filters, pixels(g.Out))
}

func anywhere(v []float32) []float32 { return v }

func TestWinogradAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(50, 51))
	for range 30 {
		tr := newTrial(rng, minimalGeometry(rng))
		want, allowed := tr.want()
		for _, level := range levels() {
			on := &kernel.On{Level: level}
			one := tr.runMinimal(t, on, anywhere)
			compare(t, fmt.Sprintf("%v, %+v", level, tr.g), one, want, allowed)
			on.Threads = 3
			if !slices.Equal(tr.runMinimal(t, on, anywhere), one) {
				t.Errorf("%v, 3 threads: another result for %+v", level, tr.g)
			}
		}
	}
}

// TestWinogradInBands: tiles are computed in several bands, which end inside of rows,
// and channels in several chunks.
func TestWinogradInBands(t *testing.T) {
	tr := newTrial(rand.New(rand.NewPCG(52, 53)), square(40, 40, 1, 21, 3, 1))
	want, allowed := tr.want()
	for _, level := range levels() {
		got := tr.runMinimalAs(t, &kernel.On{Level: level, Threads: 2}, anywhere, func(m *winograd) { m.band, m.chunk = 10, 1 })
		compare(t, level.String(), got, want, allowed)
	}
}

// TestTilesOfABand: a band is as large as its cache, however large the image.
func TestTilesOfABand(t *testing.T) {
	for _, size := range []int{14, 56, 1000, 1 << 20} {
		m := formed(t, kernel.Portable, square(64, 64, 1, size, 3, 1), true).how.(*winograd)
		if n := m.band * tileSpots * 128; n > tileFloats || size == 14 && m.band != 16 {
			t.Errorf("%d pixels a side: bands of %d tiles", size, m.band)
		}
	}
}

// TestWinogradError: the mean error is 2.4 times that of the direct form, 2.1e-6, or,
// with sums in float64, 2.2e-6. With the points 0, +-1 and +-2 it would be half as large
// again.
func TestWinogradError(t *testing.T) {
	tr := newTrial(rand.New(rand.NewPCG(54, 55)), square(128, 24, 1, 12, 3, 1))
	tr.act, tr.residual, tr.bias = Activation{}, nil, nil
	for i := range tr.src {
		tr.src[i] = max(0, tr.src[i])
	}
	want, _ := tr.want()
	for _, level := range levels() {
		allowed := 6e-6
		if level == kernel.Portable {
			allowed = 2.7e-6
		}
		sum := 0.0
		for i, got := range tr.runMinimal(t, &kernel.On{Level: level}, anywhere) {
			sum += math.Abs(float64(got) - want[i])
		}
		if mean := sum / float64(len(want)); mean > allowed {
			t.Errorf("%v: mean error %g, %g allowed", level, mean, allowed)
		}
	}
}

// TestWinogradKeepsToItsPixels: what is not finite reaches those outputs that see it,
// and no others of the tile.
func TestWinogradKeepsToItsPixels(t *testing.T) {
	g := square(20, 37, 1, 13, 3, 1)
	rng := rand.New(rand.NewPCG(56, 57))
	for name, spoil := range map[string]func(tr *trial){
		"infinite input":   func(tr *trial) { tr.src[40] = float32(math.Inf(1)) },
		"NaN":              func(tr *trial) { tr.src[40] = float32(math.NaN()) },
		"infinite weight":  func(tr *trial) { tr.weights[40] = float32(math.Inf(1)) },
		"large weights":    func(tr *trial) { copy(tr.weights[36:45], slices.Repeat([]float32{3e38}, 9)) },
		"infinite in both": func(tr *trial) { tr.weights[40], tr.src[40] = float32(math.Inf(1)), float32(math.Inf(1)) },
	} {
		tr := newTrial(rng, g)
		tr.act = Activation{}
		for i := range tr.src {
			tr.src[i] = max(0.1, tr.src[i])
		}
		spoil(tr)
		want, allowed := tr.want()
		for _, level := range levels() {
			for i, got := range tr.runMinimal(t, &kernel.On{Level: level}, anywhere) {
				x := float64(got)
				same := math.Abs(x-want[i]) <= allowed[i] || math.IsNaN(x) && math.IsNaN(want[i])
				if !same && !math.IsInf(float64(float32(want[i])), 0) || math.IsInf(float64(float32(want[i])), 0) != math.IsInf(x, 0) {
					t.Fatalf("%v, %s: element %d is %v, want %v", level, name, i, got, want[i])
				}
			}
		}
	}
}

func TestWinogradNothingBeyondSlices(t *testing.T) {
	rng := rand.New(rand.NewPCG(58, 59))
	for range 20 {
		tr := newTrial(rng, minimalGeometry(rng))
		for _, level := range levels() {
			on := &kernel.On{Level: level}
			want := tr.runMinimal(t, on, anywhere)
			if got := tr.runMinimal(t, on, func(v []float32) []float32 { return fenced(t, v) }); !slices.Equal(got, want) {
				t.Errorf("%v: another result for %+v", level, tr.g)
			}
		}
	}
}

// TestWinogradOfOtherSizes: weights that were packed for one size serve another, for
// which the rule would have chosen otherwise.
func TestWinogradOfOtherSizes(t *testing.T) {
	rng := rand.New(rand.NewPCG(60, 61))
	small, large := square(24, 24, 1, 5, 3, 1), square(24, 24, 1, 30, 3, 1)
	for _, level := range levels() {
		for _, order := range [][2]Geometry{{small, large}, {large, small}} {
			tr := newTrial(rng, order[1])
			c, err := New(&kernel.On{Level: level}, order[0], Blocked, Blocked, tr.weights, tr.bias)
			if err != nil {
				t.Fatal(err)
			}
			g := &tr.g
			if c, err = c.For(1, g.In, g.Begin, g.Out); err != nil {
				t.Fatal(err)
			}
			on := &kernel.On{Level: level}
			dst := make([]float32, BlockedLen(level, 1, g.Filters, pixels(g.Out)))
			src := lay(t, on, Blocked, tr.src, 1, g.Channels, pixels(g.In))
			residual := lay(t, on, Blocked, tr.residual, 1, g.Filters, pixels(g.Out))
			if err := c.Run(on, dst, src, residual, tr.act, make([]float32, c.Scratch())); err != nil {
				t.Fatal(err)
			}
			want, allowed := tr.want()
			compare(t, level.String(), unlay(t, on, Blocked, dst, 1, g.Filters, pixels(g.Out)), want, allowed)
		}
	}
}

func TestWorthwhile(t *testing.T) {
	flat := square(64, 64, 1, 200, 3, 1)
	flat.In[0], flat.Out[0] = 1, 1
	wide := square(64, 64, 1, 30, 3, 1)
	wide.Dilation, wide.Begin = []int{2, 2}, []int{2, 2}
	for _, c := range []struct {
		what string
		g    Geometry
		want bool
	}{
		{"many pixels", square(64, 64, 1, 56, 3, 1), true},
		{"just enough for its weights", square(256, 256, 1, 16, 3, 1), true},
		{"too few for its weights", square(256, 256, 1, 14, 3, 1), false},
		{"few pixels", square(64, 64, 1, 8, 3, 1), false},
		{"few channels", square(3, 64, 1, 56, 3, 1), false},
		{"few filters", square(64, 3, 1, 56, 3, 1), false},
		{"tiles mostly empty", flat, false},
		{"stride", square(64, 64, 1, 56, 3, 2), false},
		{"one tap", square(64, 64, 1, 56, 1, 1), false},
		{"groups", square(64, 64, 2, 56, 3, 1), false},
		{"dilation", wide, false},
	} {
		for _, level := range levels() {
			p, err := NewPlan(level, c.g, Blocked, Blocked)
			if err != nil {
				t.Fatal(err)
			}
			if _, got := p.how.(*winograd); got != c.want {
				t.Errorf("%v, %s: Winograd's form %v, want %v", level, c.what, got, c.want)
			}
		}
	}
}
