package onnx

import (
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestOutputsAreTheCallersOwn: a caller that writes to what a run returned must not
// reach what the next run returns, whoever made the output: the plan, a branch that
// gives its own constant, or a constant around the branch.
func TestOutputsAreTheCallersOwn(t *testing.T) {
	weight := pb.Initializer(pb.Floats("w", []int64{1}, 7))
	branch := func(name string) []byte {
		return pb.AttrGraph(name, weight, pb.OpenOutput("w", 1))
	}
	outer := func(name string) []byte { return pb.AttrGraph(name, pb.OpenOutput("c", 1)) }
	models := map[string][]byte{
		"known when shapes are": pb.Model(pb.Input("x", 1, "n"), pb.Node("", "Shape", of("x"), of("y")), pb.OpenOutput("y", 7)),
		"constant of a branch": pb.Model(pb.Input("x", 1, "n"), pb.Input("b", 9), pb.Node("", "If", of("b"), of("y"), branch("then_branch"), branch("else_branch")),
			pb.OpenOutput("y", 1)),
		"constant around it": pb.Model(pb.Input("x", 1, "n"), pb.Input("b", 9), pb.Initializer(pb.Floats("c", []int64{1}, 7)),
			pb.Node("", "If", of("b"), of("y"), outer("then_branch"), outer("else_branch")), pb.OpenOutput("y", 1)),
	}
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, model)
			for turn := range 2 {
				feed := map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, 7), 7)}
				if len(s.Inputs()) > 1 {
					feed["b"] = tensor.Scalar(true)
				}
				out, err := s.Run(t.Context(), feed)
				if err != nil {
					t.Fatal(err)
				}
				y := out["y"]
				if f := tensor.Data[float32](y); len(f) == 1 {
					if f[0] != 7 {
						t.Errorf("turn %d: %v", turn, f)
					}
					f[0] = 66
				}
				if n := tensor.Data[int64](y); len(n) == 1 {
					if n[0] != 7 {
						t.Errorf("turn %d: %v", turn, n)
					}
					n[0] = 66
				}
				if y.Shape[0] != 1 {
					t.Errorf("turn %d: shape %v", turn, y.Shape)
				}
				y.Shape[0] = 5
			}
		})
	}
}
