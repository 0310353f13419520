package qgemm

import (
	"context"
	"errors"
	"slices"
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

// TestProductsStopInTheMiddle: what is left of a product is not computed.
func TestProductsStopInTheMiddle(t *testing.T) {
	const n = 200
	ones := slices.Repeat([]uint8{1}, n*n)
	for _, level := range kernel.Levels() {
		on := &kernel.On{Level: level}
		l, r, memory := packed(t, on, Dense(ones, n), Dense(ones, n), n, n, n, nil, nil)
		sums := make([]int32, n*n)
		on.Context = &brief{t.Context(), 3}
		if err := Mul(on, l, r, &Sums{sums, n}, memory); !errors.Is(err, context.Canceled) || sums[n*n-1] != 0 {
			t.Errorf("%s: %v, the last sum is %d", level, err, sums[n*n-1])
		}
	}
}

// TestWindowsThatAreTheImage are those that move nothing, and no others.
func TestWindowsThatAreTheImage(t *testing.T) {
	good := Window{Channels: 1, In: []int{4}, Kernel: []int{1}, Strides: []int{1}, Dilation: []int{1}, Begin: []int{0}, Out: []int{4}}
	if !good.same() {
		t.Error("the image itself is another")
	}
	for name, change := range map[string]func(w *Window){
		"kernel": func(w *Window) { w.Kernel = []int{2} }, "strides": func(w *Window) { w.Strides = []int{2} },
		"begin": func(w *Window) { w.Begin = []int{1} }, "out": func(w *Window) { w.Out = []int{3} },
	} {
		w := good
		if change(&w); w.same() {
			t.Errorf("another %s is the same", name)
		}
	}
}
