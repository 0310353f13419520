package onnx

import (
	"context"
	"errors"
	"fmt"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// countdown is a context that ends when it was asked so many times. It is for one
// goroutine.
type countdown struct {
	context.Context
	asked, until int
}

func (c *countdown) Err() error {
	if c.asked++; c.asked > c.until {
		return context.Canceled
	}
	return nil
}

// TestMakingASessionEnds: whatever takes long asks for the context, and its error is
// what comes back.
func TestMakingASessionEnds(t *testing.T) {
	chain := func(op string, in string, n int) []byte {
		var nodes []byte
		for i := range n {
			out := fmt.Sprint("c", i)
			nodes = join(nodes, pb.Node("", op, of(in), of(out)))
			in = out
		}
		return join(nodes, pb.OpenOutput(in, 1))
	}
	for name, c := range map[string]struct {
		model []byte
		asks  int
	}{
		"many nodes":    {pb.Model(x(), chain("Neg", "x", 1000)), 1000},
		"folding":       {pb.Model(pb.Initializer(pb.Floats("w", []int64{3, 1 << 18}, make([]float32, 3<<18)...)), pb.Node("", "Transpose", of("w"), of("v")), pb.OpenOutput("v", 1)), 4},
		"one layer":     {pb.Model(pb.Input("x", 1, 1, 16, 9, 9), pb.Initializer(pb.Floats("w", []int64{1024, 16, 3, 3}, make([]float32, 1024*16*9)...)), pb.Node("", "Conv", of("x", "w"), of("y")), pb.OpenOutput("y", 1)), 30},
		"graphs inside": {pb.Model(pb.Input("x", 1, 1), constant("trips", 1), nested(2), pb.OpenOutput("r2_0", 1)), 5000},
	} {
		t.Run(name, func(t *testing.T) {
			making := func(until int) (int, error) {
				m, err := Parse(c.model, DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				ctx := &countdown{t.Context(), 0, until}
				s, err := NewSessionContext(ctx, m)
				if err != nil && s != nil {
					t.Error("an error and a session")
				}
				if err != nil {
					if _, again := NewSession(m); again == nil {
						t.Error("the model makes a session still")
					}
				}
				return ctx.asked, err
			}
			all, err := making(1 << 30)
			if err != nil || all < c.asks {
				t.Errorf("asked %d times, expected %d at least: %v", all, c.asks, err)
			}
			for _, until := range []int{0, 1, all / 2, all - 1} {
				if asked, err := making(until); !errors.Is(err, context.Canceled) || asked > until+1 {
					t.Errorf("ended at %d of %d, asked %d times: %v", until, all, asked, err)
				}
			}
		})
	}
}
