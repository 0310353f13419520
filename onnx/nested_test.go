package onnx

import (
	"errors"
	"fmt"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// nested is a Loop inside a Loop, depth of them, each of which needs several turns until
// what is known of its values settles, and 1000 nodes in the innermost.
func nested(depth int) []byte {
	const around = 5
	p := func(s string, i int) string { return fmt.Sprint(s, depth, "_", i) }
	body := join(pb.Input(p("n", 0), 7), pb.Input(p("c", 0), 9), pb.Node("", "Identity", of(p("c", 0)), of(p("d", 0))), pb.OpenOutput(p("d", 0), 9))
	for i := range around {
		body = join(body, open(p("v", i), 1))
	}
	last := p("v", 0)
	if depth > 1 {
		body = join(body, nested(depth-1))
		last = fmt.Sprint("r", depth-1, "_0")
	} else {
		for i := range 1000 {
			body = join(body, pb.Node("", "Neg", of(last), of(p("z", i))))
			last = p("z", i)
		}
	}
	body = join(body, pb.Node("", "Concat", of(p("v", 0), last), of(p("w", 0)), pb.AttrInt("axis", 0)))
	for i := 1; i < around; i++ {
		body = join(body, pb.Node("", "Identity", of(p("v", i-1)), of(p("w", i))))
	}
	for i := range around {
		body = join(body, pb.OpenOutput(p("w", i), 1))
	}
	in, out := of("trips", "", "x", "x", "x", "x", "x"), []string{}
	for i := range around {
		out = append(out, p("r", i))
	}
	return pb.Node("", "Loop", in, out, pb.AttrGraph("body", body))
}

// TestLoopsInsideLoops: what is known of the innermost is worked out anew for each turn
// of each loop around it, so models with too much inside are refused.
func TestLoopsInsideLoops(t *testing.T) {
	for depth := 1; depth <= 7; depth++ {
		model := pb.Model(pb.Input("x", 1, 1), constant("trips", 1), nested(depth), pb.OpenOutput(fmt.Sprintf("r%d_0", depth), 1))
		s, err := load(model, DefaultLimits())
		if depth > 3 {
			if !errors.Is(err, ErrLimit) {
				t.Errorf("%d loops: %v", depth, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1)}); err != nil {
			t.Errorf("%d loops: %v", depth, err)
		}
	}
}
