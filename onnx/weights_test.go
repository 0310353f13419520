package onnx

import (
	"slices"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestWeightsThatOthersReadStay: products lay out their weights where they are, but
// not if somebody else sees them too, under whatever name.
func TestWeightsThatOthersReadStay(t *testing.T) {
	const rows, columns = 3, 70 // more than one panel on every level, and a rest
	w := make([]float32, rows*columns)
	for i := range w {
		w[i] = float32(i)
	}
	weights := pb.Initializer(pb.Floats("w", []int64{rows, columns}, w...))
	product := pb.Node("", "MatMul", []string{"x", "w"}, []string{"y"})
	branch := func(name string) []byte {
		return pb.AttrGraph(name, pb.Node("", "Identity", []string{"w"}, []string{name}), pb.OpenOutput(name, 1))
	}
	for name, other := range map[string][]byte{
		"as an output":            pb.Node("", "Identity", []string{"w"}, []string{"z"}),
		"under another shape":     pb.Node("", "Flatten", []string{"w"}, []string{"z"}, pb.AttrInt("axis", 1)),
		"by arithmetic":           pb.Node("", "Neg", []string{"w"}, []string{"z"}),
		"in a graph inside":       pb.Node("", "If", []string{"c"}, []string{"z"}, branch("then_branch"), branch("else_branch")),
		"through another product": slices.Concat(pb.Node("", "Identity", []string{"w"}, []string{"v"}), pb.Node("", "MatMul", []string{"i", "v"}, []string{"z"})),
	} {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, pb.Model(product, other, weights, pb.Input("x", 1, 1, rows), pb.Input("c", 9), pb.Input("i", 1, rows, rows), pb.OpenOutput("y", 1), pb.OpenOutput("z", 1)))
			out, err := s.Run(t.Context(), map[string]*tensor.Tensor{
				"x": tensor.Of([]float32{0, 1, 0}, 1, rows), "c": tensor.Scalar(true),
				"i": tensor.Of([]float32{1, 0, 0, 0, 1, 0, 0, 0, 1}, rows, rows),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := tensor.Data[float32](out["y"]); !slices.Equal(got, w[columns:2*columns]) {
				t.Errorf("the product is %v", got)
			}
			want := slices.Clone(w)
			if name == "by arithmetic" {
				for i := range want {
					want[i] = -want[i]
				}
			}
			if got := tensor.Data[float32](out["z"]); !slices.Equal(got, want) {
				t.Errorf("the weights are %v", got)
			}
		})
	}
}
