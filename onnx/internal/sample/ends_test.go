package sample

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// brief is a context that ends when it was asked so often.
type brief struct {
	context.Context
	left int
}

func (b *brief) Err() error {
	if b.left--; b.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestLoopsStopInTheMiddle: what is left of a long loop is not done.
func TestLoopsStopInTheMiddle(t *testing.T) {
	const n = 100
	ones := make([]float32, 2*n)
	for i := range ones {
		ones[i] = 1
	}
	on := func() *kernel.On { return &kernel.On{Context: &brief{t.Context(), 3}} }
	taps := Axis{In: n, Out: n, Scale: 1}.Taps(0, n, Linear(), false, 0)
	dst := make([]float32, 2*n)
	if err := Apply(on(), taps, dst, ones, Block{1, n, n, 2}, 0); !errors.Is(err, context.Canceled) || dst[2*n-1] != 0 {
		t.Errorf("taps: %v, the last is %v", err, dst[2*n-1])
	}
	grid := make([]float32, n)
	if err := Run(on(), Grid{Mode: "nearest", Padding: "border"}, dst[:n], ones, grid, 1, 1, n, []int{n}); !errors.Is(err, context.Canceled) || dst[n-1] != 0 {
		t.Errorf("grid: %v, the last is %v", err, dst[n-1])
	}
	clear(dst)
	Pool(on(), Regions{Channels: 1, Height: 2, Width: 2, Rows: 8, Columns: 8, Scale: 1}, dst, ones, [4]float64{0, 0, 2, 2})
	if dst[63] != 0 {
		t.Errorf("regions: the last is %v", dst[63])
	}
	asked := on()
	r := Regions{Channels: 1, Height: 8, Width: 8, Rows: 1, Columns: 1, Scale: 1, Ratio: 64}
	down, _ := r.side(0, 8, 1, 8)
	if sum := cell(asked, r, ones[:64], &down, &down, 0, 0); sum > 0.5 {
		t.Errorf("one cell: %v of all samples", sum)
	}
}

// TestRegionsThatAreNotThere on one side only.
func TestRegionsThatAreNotThere(t *testing.T) {
	r := Regions{Channels: 1, Height: 2, Width: 2, Rows: 2, Columns: 2, Scale: 1, Ratio: 2}
	out := make([]float32, 4)
	for _, corners := range [][4]float64{{math.NaN(), 0, 2, 2}, {0, math.NaN(), 2, 2}} {
		if Pool(&kernel.On{}, r, out, out, corners) {
			t.Errorf("a region at %v was pooled", corners)
		}
	}
	r.Ratio = 0
	if Pool(&kernel.On{}, r, out, out, [4]float64{0, 0, 2, 1e9}) {
		t.Error("a region that is too long was pooled")
	}
}
