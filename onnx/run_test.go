package onnx

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func vec(v ...float32) *tensor.Tensor {
	return tensor.Of(v, int64(len(v)))
}

func TestRunRefusesWrongInputs(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 1, "n", 2), pb.Input("b", 1, "n"), pb.Node("", "Relu", []string{"a"}, []string{"y"}), y()))
	good := tensor.Of([]float32{1, 2}, 1, 2)
	for name, c := range map[string]struct {
		a    *tensor.Tensor
		want string
	}{
		"nil":               {nil, "no tensor"},
		"zero value":        {&tensor.Tensor{}, "undefined is not an element type"},
		"too few elements":  {tensor.Of([]float32{1}, 1, 2), "needs 2 float32 elements, got 1"},
		"too many elements": {tensor.Of([]float32{1, 2, 3}, 1, 2), "needs 2 float32 elements, got 3"},
		"negative dim":      {tensor.Of([]float32{1, 2}, -1, -2), "is negative"},
		"overflow":          {tensor.Of([]float32(nil), 1<<32, 1<<32), "more elements than an int64"},
		"type":              {tensor.Of([]int64{1, 2}, 1, 2), "is int64, expected float32"},
		"rank":              {vec(1, 2), "has shape [2], expected [-1 2]"},
		"dim":               {tensor.Of([]float32{1, 2, 3}, 1, 3), "has shape [1 3], expected [-1 2]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": c.a, "b": vec(1)})
			wantError(t, err, `input "a": `)
			wantError(t, err, c.want)
			var in *InputError
			if !errors.As(err, &in) || in.Name != "a" {
				t.Errorf("%v is not an InputError", err)
			}
		})
	}
	_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": good})
	wantError(t, err, `input "b": is missing`)
	_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"a": good, "b": vec(1), "c": vec(1)})
	wantError(t, err, `input "c": the model has no such input`)
	_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"a": good, "b": vec(1, 2)})
	wantError(t, err, `input "b": has shape [2], but dimension "n" is 1 in another input`)
}

// TestWrongListsAreRefused by what they hold.
func TestWrongListsAreRefused(t *testing.T) {
	s := mustLoad(t, pb.Model(sequence(11, "s", 1), pb.Node("", "SequenceLength", []string{"s"}, []string{"y"}), pb.OpenOutput("y", 7)))
	for want, in := range map[string]*tensor.Tensor{
		"is a sequence of int64, expected one of float32": tensor.SequenceOf(tensor.Int64, tensor.Of([]int64{1}, 1)),
		"is float32, expected sequence":                   vec(1),
	} {
		_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"s": in})
		wantError(t, err, want)
	}
	for _, good := range []*tensor.Tensor{tensor.SequenceOf(tensor.Float32, vec(1)), tensor.SequenceOf(0)} {
		if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"s": good}); err != nil {
			t.Error(err)
		}
	}
}

// TestPlanRefusesWrongShapes as Run does.
func TestPlanRefusesWrongShapes(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1, "n", 2), relu(), y()))
	for want, shapes := range map[string]map[string][]int64{
		`input "x": has no shape`:                         nil,
		`input "x": has shape [1 3], expected [-1 2]`:     {"x": {1, 3}},
		`input "x": over the limit: dimension 1073741824`: {"x": {1 << 30, 2}},
	} {
		_, err := s.Plan(shapes)
		wantError(t, err, want)
	}
	if _, err := mustLoad(t, pb.Model(sequence(11, "s", 1), pb.Node("", "SequenceLength", []string{"s"}, []string{"y"}), pb.OpenOutput("y", 7))).Plan(nil); err != nil {
		t.Errorf("a list has no shape: %v", err)
	}
}

func TestWrongOptions(t *testing.T) {
	for want, o := range map[string]Option{"0 threads, must be at least 1": WithThreads(0), `instructions "abacus", this machine has`: WithInstructions("abacus")} {
		m, err := Parse(pb.Model(x(), relu(), y()), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewSession(m, o)
		wantError(t, err, want)
	}
}

func TestInputsOverTheLimits(t *testing.T) {
	lim := DefaultLimits()
	lim.Elements, lim.RunBytes = 10, 48
	s, err := load(pb.Model(x(), pb.Input("z", 1, "m"), relu(), y()), lim)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(make([]float32, 11)...), "z": vec(1)})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("one input too large: %v", err)
	}
	_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(make([]float32, 7)...), "z": vec(make([]float32, 6)...)})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("inputs too large together: %v", err)
	}
}

// TestErrorsThatOnlyARunShows: what depends on the inputs is found before any
// kernel reads out of bounds, and named by node, operand and reason.
func TestErrorsThatOnlyARunShows(t *testing.T) {
	ints := func(v ...int64) *tensor.Tensor { return tensor.Of(v, int64(len(v))) }
	for name, c := range map[string]struct {
		op    string
		attrs []byte
		in    []*tensor.Tensor
		want  string
	}{
		"index too large":       {"Gather", nil, []*tensor.Tensor{vec(1, 2), ints(2)}, `input 1 "b": index 2 is outside of dimension 2`},
		"index too small":       {"Gather", nil, []*tensor.Tensor{vec(1, 2), ints(-3)}, "index -3 is outside"},
		"gather from empty":     {"Gather", nil, []*tensor.Tensor{vec(), ints(0)}, "index 0 is outside of dimension 0"},
		"broadcast":             {"Add", nil, []*tensor.Tensor{vec(1, 2), vec(1, 2, 3)}, `input 1 "b": shape [3] does not broadcast with [2]`},
		"multiply":              {"MatMul", nil, []*tensor.Tensor{vec(1, 2), vec(1, 2, 3)}, "does not multiply"},
		"division by zero":      {"Div", nil, []*tensor.Tensor{ints(1), ints(0)}, `input 1 "b": holds an integer zero`},
		"reshape to negative":   {"Reshape", nil, []*tensor.Tensor{vec(1), ints(-2)}, "asks for dimension -2"},
		"reshape two open":      {"Reshape", nil, []*tensor.Tensor{vec(1), ints(-1, -1)}, "asks for -1 twice"},
		"reshape beyond rank":   {"Reshape", nil, []*tensor.Tensor{vec(1), ints(1, 0)}, "asks for dimension 1 of float32[1]"},
		"reshape overflow":      {"Reshape", nil, []*tensor.Tensor{vec(1), ints(1<<62, 1<<62, -1)}, "more elements than an int64"},
		"reshape zero and open": {"Reshape", nil, []*tensor.Tensor{vec(), ints(0, -1)}, "cannot fit 0 elements"},
		"expand negative":       {"Expand", nil, []*tensor.Tensor{vec(1), ints(-1)}, "asks for dimension -1"},
		"expand huge":           {"Expand", nil, []*tensor.Tensor{vec(1), ints(1 << 40)}, "over the limit"},
		"squeeze not one":       {"Squeeze", nil, []*tensor.Tensor{vec(1, 2), ints(0)}, "dimension 0 of shape [2] is not 1"},
		"squeeze axis":          {"Squeeze", nil, []*tensor.Tensor{vec(1), ints(1)}, "axis 1 is outside of rank 1"},
		"unsqueeze twice":       {"Unsqueeze", nil, []*tensor.Tensor{vec(1), ints(0, 0)}, "axis 0 is there twice"},
		"unsqueeze many":        {"Unsqueeze", nil, []*tensor.Tensor{vec(1), ints(make([]int64, 500)...)}, "names 500 axes"},
		"unsqueeze rank":        {"Unsqueeze", nil, []*tensor.Tensor{vec(1), ints(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}, "over the limit: rank 17"},
		"reduce axis":           {"ReduceSum", nil, []*tensor.Tensor{vec(1), ints(-2)}, "axis -2 is outside of rank 1"},
		"slice uneven":          {"Slice", nil, []*tensor.Tensor{vec(1), ints(0), ints(1, 1)}, "has 2 ends for 1 starts"},
		"slice step zero":       {"Slice", nil, []*tensor.Tensor{vec(1), ints(0), ints(1), ints(0), ints(0)}, "a step of 0"},
		"slice axis":            {"Slice", nil, []*tensor.Tensor{vec(1), ints(0), ints(1), ints(7)}, "axis 7 is outside of rank 1"},
		"slice too many":        {"Slice", nil, []*tensor.Tensor{vec(1), ints(0, 0), ints(1, 1)}, "axis 1 is outside of rank 1"},
		"arg max of nothing":    {"ArgMax", nil, []*tensor.Tensor{vec()}, "has no element along the axis"},
		"concat":                {"Concat", pb.AttrInt("axis", 5), []*tensor.Tensor{vec(1), vec(1)}, "axis 5 is outside of rank 1"},
	} {
		t.Run(name, func(t *testing.T) {
			graph, names, feed := [][]byte{}, []string{}, map[string]*tensor.Tensor{}
			for i, in := range c.in {
				id := string(rune('a' + i))
				names = append(names, id)
				feed[id] = in
				graph = append(graph, pb.Msg(11, pb.Str(1, id), pb.Msg(2, pb.Msg(1, pb.Int(1, int64(in.Type)))))) // open rank
			}
			graph = append(graph, pb.Node("it", c.op, names, []string{"y"}, c.attrs), pb.OpenOutput("y", 0))
			_, err := mustLoad(t, pb.Model(graph...)).Run(t.Context(), feed)
			wantError(t, err, `node 0 "it" (`+c.op+"): ")
			wantError(t, err, c.want)
			var node *NodeError
			if !errors.As(err, &node) || node.Name != "it" || node.Op != c.op {
				t.Errorf("%v is not a NodeError", err)
			}
		})
	}
}

func TestOutputThatContradictsItsDeclarationIsAnError(t *testing.T) {
	s := mustLoad(t, pb.Model(x(), relu(), pb.Output("y", 1, 3)))
	_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1)})
	wantError(t, err, `output "y": declared with shape [3], but has [1]`)
}

func TestDescriptions(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1, "batch", 3, nil), pb.Initializer(pb.Floats("w", []int64{1}, 2)), pb.Input("w", 1, 1),
		pb.Node("", "Mul", []string{"x", "w"}, []string{"y"}), pb.OpenOutput("y", 1), pb.OpenOutput("w", 1)))
	in, out := s.Inputs(), s.Outputs()
	if got := fmt.Sprint(in); got != "[x float32[batch 3 -1]]" {
		t.Errorf("inputs %s: a weight that is listed as an input is none", got)
	}
	if got := fmt.Sprint(out[0]); got != "y float32[-1 3 -1]" {
		t.Errorf("output %s", got)
	}
	in[0].Shape[0], in[0].Symbols[0], in[0].Name = 7, "z", "z"
	if got := fmt.Sprint(s.Inputs()); got != "[x float32[batch 3 -1]]" {
		t.Errorf("a caller changed the session: %s", got)
	}
}

// TestUnneededNodesDoNotRun: a node that no output depends on costs nothing and
// cannot fail.
func TestUnneededNodesDoNotRun(t *testing.T) {
	s := mustLoad(t, pb.Model(x(), pb.Input("i", 7, "m"), pb.Node("", "Gather", []string{"x", "i"}, []string{"unused"}), relu(), y()))
	in := map[string]*tensor.Tensor{"x": vec(1), "i": tensor.Of([]int64{99}, 1)}
	if _, err := s.Run(t.Context(), in); err != nil || len(s.program.Steps) != 1 {
		t.Errorf("%d steps, %v", len(s.program.Steps), err)
	}
}

// TestShapeArithmeticIsDoneOnce: what follows from constants is computed when the
// session is made.
func TestShapeArithmeticIsDoneOnce(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1, 2, 6), pb.Node("", "Shape", []string{"x"}, []string{"s"}),
		pb.Initializer(pb.Ints("two", []int64{1}, 2)), pb.Node("", "Mul", []string{"s", "two"}, []string{"d"}),
		pb.Initializer(pb.Ints("half", []int64{2}, 1, 4)), pb.Node("", "Div", []string{"d", "half"}, []string{"t"}),
		pb.Node("", "Reshape", []string{"x", "t"}, []string{"y"}), y()))
	if got := fmt.Sprint(s.Outputs()[0].Shape); len(s.program.Steps) != 1 || got != "[4 3]" {
		t.Errorf("%d steps, shape %s", len(s.program.Steps), got)
	}
}

func TestCastOfWhatDoesNotFit(t *testing.T) {
	s := mustLoad(t, pb.Model(x(), pb.Node("", "Cast", []string{"x"}, []string{"y"}, pb.AttrInt("to", 7)), pb.OpenOutput("y", 7)))
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(float32(math.NaN()), float32(math.Inf(1)), -1e30, -(1 << 63), 1<<62)})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tensor.Data[int64](out["y"])); got != fmt.Sprint([]int64{math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64, 1 << 62}) {
		t.Errorf("got %s", got)
	}
}

// TestRunsShareASession: with -race this shows that runs do not write to it.
func TestRunsShareASession(t *testing.T) {
	s := mustLoad(t, pb.Model(x(), pb.Initializer(pb.Floats("w", []int64{1}, 2)), pb.Node("", "Mul", []string{"x", "w"}, []string{"m"}),
		pb.Node("", "Identity", []string{"m"}, []string{"y"}), y()))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(float32(i), 1)})
				if err != nil || tensor.Data[float32](out["y"])[0] != 2*float32(i) {
					t.Errorf("%v, %v", out, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestPanicBecomesAnError: no input is known to cause one, so one is made here.
func TestPanicBecomesAnError(t *testing.T) {
	s := &Session{} // without a program
	out, err := s.Run(t.Context(), nil)
	wantError(t, err, "internal error")
	if out != nil {
		t.Error("a value and an error")
	}
}

func TestNoModel(t *testing.T) {
	_, err := NewSession(nil)
	wantError(t, err, "no model")
	_, err = NewSession(&Model{})
	wantError(t, err, "no model")
}
