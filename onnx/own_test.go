package onnx

import (
	"bytes"
	"slices"
	"strings"
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

// TestNothingOfAnotherRunIsLeft: results that follow from empty operands are written too.
func TestNothingOfAnotherRunIsLeft(t *testing.T) {
	model := pb.Model(pb.Input("x", 1, "a", "b"), pb.Input("s", 1, "b"),
		pb.Node("", "LayerNormalization", of("x", "s"), of("y", "mean", "inverse"), pb.AttrInt("axis", 1)),
		pb.OpenOutput("y", 1), pb.OpenOutput("mean", 1), pb.OpenOutput("inverse", 1))
	var first map[string]*tensor.Tensor
	for _, garbage := range []byte{0xff, 0x41} {
		m, err := Parse(model, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSession(m, func(o *options) { o.plan.Poison = garbage })
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{}, 3, 0), "s": tensor.Of([]float32{}, 0)})
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range first {
			if !bytes.Equal(tensor.LittleEndian(v), tensor.LittleEndian(out[name])) {
				t.Errorf("%s is %v and %v", name, tensor.Data[float32](v), tensor.Data[float32](out[name]))
			}
		}
		first = out
	}
}

// TestSumGrowsLate: only the last operand makes the result larger than the others.
func TestSumGrowsLate(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 1, "n"), pb.Input("b", 1, "n"), pb.Input("c", 1, "m"), pb.Node("", "Sum", of("a", "b", "c"), of("y")), pb.OpenOutput("y", 1)))
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": vec(1), "b": vec(2), "c": vec(10, 20, 30)})
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Data[float32](out["y"]); !slices.Equal(got, []float32{13, 23, 33}) {
		t.Errorf("%v", got)
	}
}

// TestOpenDimensionsAreHeldToTheOthers: what only the run shows must fit what was
// planned without it.
func TestOpenDimensionsAreHeldToTheOthers(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1, 3), pb.Input("z", 1, 4), pb.Input("end", 7, 1), pb.Initializer(pb.Ints("begin", []int64{1}, 0)),
		pb.Node("", "Slice", of("z", "begin", "end"), of("part")), pb.Node("", "Add", of("x", "part"), of("y")), pb.OpenOutput("y", 1)))
	for end, fits := range map[int64]bool{0: false, 1: true, 2: false, 3: true, 4: false} {
		out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1, 2, 3), "z": vec(1, 2, 3, 4), "end": tensor.List(end)})
		if (err == nil) != fits {
			t.Errorf("%d elements of the second operand: %v, %v", end, out, err)
		}
		if err != nil && strings.Contains(err.Error(), "internal") {
			t.Error(err)
		}
	}
}

// TestScalarsAreHeldToTheirRank: a scalar's shape is known, and so what fits it.
func TestScalarsAreHeldToTheirRank(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1), pb.Input("n", 7, "k"), pb.Node("", "Tile", of("x", "n"), of("y")), pb.OpenOutput("y", 1)))
	_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Scalar[float32](1), "n": tensor.List[int64](2)})
	wantError(t, err, "has 1 entries, the operand has rank 0")
	_, err = load(pb.Model(pb.Input("x", 1, 1, 1, 4), pb.Initializer(pb.Floats("w", nil, 1)), pb.Node("", "ConvTranspose", of("x", "w"), of("y")), y()), DefaultLimits())
	wantError(t, err, "expected 3 dimensions")
}

// TestWeightsAreCheckedBeforeTheyArePacked: while the rank of one operand is open, the
// others are packed all the same.
func TestWeightsAreCheckedBeforeTheyArePacked(t *testing.T) {
	_, err := load(pb.Model(open("a", 2), pb.Initializer(pb.Head("b", 2, 2, 3), pb.Msg(9, make([]byte, 6))), pb.Initializer(pb.Head("za", 2), pb.Msg(9, []byte{0})),
		pb.Initializer(pb.Head("zb", 2, 2), pb.Msg(9, []byte{0, 1})), pb.Node("", "MatMulInteger", of("a", "b", "za", "zb"), of("y")), pb.OpenOutput("y", 6)), DefaultLimits())
	wantError(t, err, "expected one number or 3")
}
