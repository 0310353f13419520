package gemm

import (
	"context"
	"errors"
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

// TestProductsStopInTheMiddle: a context that has ended leaves results as they were, and
// one that ends along k leaves them unfinished.
func TestProductsStopInTheMiddle(t *testing.T) {
	const k = 1 << 16
	ones := make([]float32, 2*k)
	for i := range ones {
		ones[i] = 1
	}
	a, b := Dense(ones, k), Dense(ones, 1)
	for _, level := range kernel.Levels() {
		packed := Pack(level, b, k, 1)
		for _, asks := range []int{0, 1, 2} {
			on := &kernel.On{Context: &brief{t.Context(), asks}, Level: level}
			dst, both := make([]float32, 2), make([]float32, 2)
			err := Mul(on, dst, 1, 2, a, packed, &Epilogue{})
			if !errors.Is(err, context.Canceled) || dst[1] == k || asks == 0 && dst[1] != 0 {
				t.Errorf("%s, %d asks: %v, %v", level, asks, dst, err)
			}
			on.Context = &brief{t.Context(), asks}
			err = MulBoth(on, both, 1, 2, k, 1, a, b, Batch{}, &Epilogue{}, make([]float32, ScratchLen(1, k, 1)))
			if !errors.Is(err, context.Canceled) || both[1] == k || asks == 0 && both[1] != 0 {
				t.Errorf("%s, both, %d asks: %v, %v", level, asks, both, err)
			}
		}
	}
}
