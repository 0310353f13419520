package rnn

import (
	"context"
	"errors"
	"math/rand/v2"
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

// TestRunEndsAtEveryAsk: whenever the context ends, the result is an error.
func TestRunEndsAtEveryAsk(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	seen := map[Kind]bool{}
	for len(seen) < 3 {
		o, s := layer(rng)
		if s.Steps < 2 {
			continue
		}
		seen[o.Kind] = true
		n := s.Batch * o.Hidden
		run := func(asks int) (int, error) {
			c := &brief{t.Context(), asks}
			on := &kernel.On{Context: c}
			err := New(on.Level, o.Config, o.Weights, nil).Run(on, s, make([]float32, n), make([]float32, n), make([]float32, o.ScratchLen(s.Steps, s.Batch)))
			return asks - c.left, err
		}
		all, err := run(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		for asks := range all {
			if _, err := run(asks); !errors.Is(err, context.Canceled) {
				t.Errorf("kind %d, after %d of %d asks: %v", o.Kind, asks, all, err)
			}
		}
		s.Steps = 0
		if _, err := run(0); !errors.Is(err, context.Canceled) {
			t.Errorf("kind %d, no steps: %v", o.Kind, err)
		}
	}
}
