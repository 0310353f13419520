package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// settling prepares itself for the shape of its operand, of which it makes a copy. It does
// not run otherwise.
type settling struct {
	settled []int64
	times   *int
}

func (settling) Infer(in []*op.Info) ([]op.Info, error) {
	return []op.Info{{Type: in[0].Type, Ranked: true, Shape: slices.Clone(in[0].Shape)}}, nil
}

func (o settling) Settle(_ kernel.Level, in []*op.Info) op.Operator {
	*o.times++
	o.settled = slices.Clone(in[0].Shape)
	return o
}

func (o settling) Run(_ *op.Env, in, out []*tensor.Tensor) error {
	if !slices.Equal(o.settled, in[0].Shape) {
		return fmt.Errorf("prepared for %v, and run with %v", o.settled, in[0].Shape)
	}
	copy(tensor.Data[float32](out[0]), tensor.Data[float32](in[0]))
	return nil
}

// TestSettled: an operator that can prepare itself for the shapes of a run is asked to,
// once for all runs with these shapes, and each binding has its own.
func TestSettled(t *testing.T) {
	times, o := 0, testOptions()
	o.Table = map[string]op.Spec{"Copy": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: func(*op.Attributes, int64) (op.Operator, error) { return settling{times: &times}, nil }}}
	p := mustCompile(t, &graph.Graph{Nodes: []graph.Node{node("Copy", []string{"x"}, "y")}, Inputs: []graph.Decl{input("x", -1, 3)}, Outputs: []graph.Decl{output("y")}}, o)
	for i, rows := range []int64{2, 5, 2, 5} {
		x := tensor.Of(slices.Repeat([]float32{1}, int(3*rows)), rows, 3)
		out, err := p.Run(t.Context(), 1, []*tensor.Tensor{x}, &counted{})
		if err != nil || !slices.Equal(tensor.Data[float32](out[0]), tensor.Data[float32](x)) {
			t.Errorf("%d rows: %v", rows, err)
		}
		if want := min(i+1, 2); times != want {
			t.Errorf("run %d: prepared %d times, expected %d", i, times, want)
		}
	}
	if s := p.Steps[0].Op.(settling).settled; s != nil {
		t.Errorf("the program's own operator is prepared for %v", s)
	}
}
