package sample

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func TestApply(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		b := Block{Outer: 1 + rng.IntN(3), In: 1 + rng.IntN(6), Out: 1 + rng.IntN(9), Inner: 1 + rng.IntN(4)}
		first := rng.IntN(b.Out)
		taps := &Taps{Width: 1 + rng.IntN(4), Fill: 7}
		for range b.Out - first {
			taps.Outside = append(taps.Outside, rng.IntN(5) == 0)
			for range taps.Width {
				taps.From, taps.Weight = append(taps.From, rng.IntN(b.In)), append(taps.Weight, rng.Float64())
			}
		}
		src := make([]float64, b.Outer*b.In*b.Inner)
		for i := range src {
			src[i] = rng.Float64()
		}
		got, want := make([]float64, b.Outer*b.Out*b.Inner), make([]float64, b.Outer*b.Out*b.Inner)
		for i := range want {
			o, j, c := i/(b.Out*b.Inner), i/b.Inner%b.Out-first, i%b.Inner
			switch {
			case j < 0:
			case taps.Outside[j]:
				want[i] = 7
			default:
				for k := j * taps.Width; k < (j+1)*taps.Width; k++ {
					want[i] += src[(o*b.In+taps.From[k])*b.Inner+c] * taps.Weight[k]
				}
			}
		}
		if err := Apply(&kernel.On{Threads: 1 + rng.IntN(2)}, taps, got, src, b, first); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
			t.Fatalf("%+v from %d on: got %v, want %v", b, first, got, want)
		}
	}
}

// TestWeights: weights add up to one, and at an element they are that element alone.
func TestWeights(t *testing.T) {
	for name, w := range map[string]Weights{
		"linear": Linear(), "cubic": Cubic(-0.75), "wide linear": Wide(0.3, 1, Triangle), "wide cubic": Wide(0.7, 2, Bump(-0.5)),
		"not wide": Wide(3, 1, Triangle),
	} {
		weights := make([]float64, w.Width)
		for _, ratio := range []float64{0, 0.25, 0.5, 0.99} {
			w.Of(ratio, weights)
			sum := 0.0
			for _, x := range weights {
				sum += x
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("%s at %v: %v add up to %v", name, ratio, weights, sum)
			}
		}
		w.Of(0, weights)
		if middle := weights[w.Width/2-1]; name[:3] != "wid" && middle != 1 {
			t.Errorf("%s at an element: %v", name, weights)
		}
	}
}

func TestAxisEnds(t *testing.T) {
	a := Axis{In: 4, Out: 8, Scale: 2, Coordinate: "align_corners"}
	if a.At(0) != 0 || a.At(7) != 3 {
		t.Errorf("corners at %v and %v", a.At(0), a.At(7))
	}
	for _, mode := range []string{"align_corners", "tf_crop_and_resize", "pytorch_half_pixel"} {
		one := Axis{In: 5, Out: 1, Scale: 0.2, Coordinate: mode, High: 1}
		if x := one.At(0); math.IsNaN(x) || math.IsInf(x, 0) {
			t.Errorf("%s of one element is at %v", mode, x)
		}
	}
}

func TestReflect(t *testing.T) {
	for x, want := range map[float64]float64{-0.75: -0.25, -1.5: 0.5, 2.75: 2.25, 6: 0, 1: 1} {
		if got := reflect(x, -0.5, 2.5); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v is at %v, want %v", x, got, want)
		}
	}
	if got := reflect(9, 0, 0); got != 0 {
		t.Errorf("in one element: %v", got)
	}
}

func TestLoopsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	on := &kernel.On{Context: ctx}
	taps := Axis{In: 2, Out: 2, Scale: 1}.Taps(0, 2, Linear(), false, 0)
	two := make([]float32, 4)
	for i, err := range []error{
		Apply(on, taps, two, two, Block{1, 2, 2, 1}, 0),
		Apply(on, taps, two, two, Block{1, 2, 2, 2}, 0),
		Run(on, Grid{Mode: "linear", Padding: "zeros"}, two, two, two, 1, 1, 2, []int{2, 1}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("loop %d: %v", i, err)
		}
	}
}

func TestPoolRefusesTooManySamples(t *testing.T) {
	r := Regions{Channels: 1, Height: 2, Width: 2, Rows: 2, Columns: 2, Scale: 1}
	image, out := []float32{1, 1, 1, 1}, make([]float32, 4)
	if !Pool(&kernel.On{}, r, out, image, [4]float64{0, 0, 2, 2}) || out[0] != 1 {
		t.Errorf("a region of ones is %v", out)
	}
	for _, far := range []float64{1e9, math.NaN(), math.Inf(1)} {
		if Pool(&kernel.On{}, r, out, image, [4]float64{0, 0, far, 2}) {
			t.Errorf("a region as far as %v was pooled", far)
		}
	}
}
