package onnx

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// loopOf is a Loop over the values that go around, whose graph is given without its
// inputs number and goes-on, and without its first output, goes-on again.
func loopOf(trips, begin string, around []string, results []string, body ...[]byte) []byte {
	head := join(pb.Input("number", 7), pb.Input("goesOn", 9), pb.Node("", "Identity", of("goesOn"), of("more")))
	return pb.Node("turns", "Loop", append(of(trips, begin), around...), results, pb.AttrGraph("body", head, pb.OpenOutput("more", 9), join(body...)))
}

func constant(name string, v int64) []byte { return pb.Initializer(pb.Ints(name, nil, v)) }

func truth(name string) []byte { return pb.Initializer(pb.Head(name, 9), pb.Int(5, 1)) }

// open is an input without a shape.
func open(name string, typ int64) []byte {
	return pb.Msg(11, pb.Str(1, name), pb.Msg(2, pb.Msg(1, pb.Int(1, typ))))
}

// sequence is an input or output (11 or 12) that is a sequence.
func sequence(field int, name string, item int64) []byte {
	return pb.Msg(field, pb.Str(1, name), pb.Msg(2, pb.Msg(4, pb.Msg(1, pb.Msg(1, pb.Int(1, item))))))
}

// endless are loops that end only when they are ended: by their number of turns, by
// their condition, by both, and in each other.
func endless() map[string][]byte {
	inc := join(open("v", 1), pb.Node("", "Neg", of("v"), of("w")), pb.OpenOutput("w", 1))
	x, y, trips := pb.Input("x", 1, 1), pb.OpenOutput("y", 1), constant("trips", math.MaxInt64)
	inner := join(pb.Input("i", 7), pb.Input("c", 9), open("u", 1), pb.Node("", "Identity", of("c"), of("d")), pb.Node("", "Neg", of("u"), of("t")), pb.OpenOutput("d", 9), pb.OpenOutput("t", 1))
	nested := join(open("v", 1), pb.Node("", "Loop", of("many", "yes", "v"), of("w"), pb.AttrGraph("body", inner)), pb.OpenOutput("w", 1))
	return map[string][]byte{
		"2^63-1 turns":         pb.Model(x, trips, loopOf("trips", "", of("x"), of("y"), inc), y),
		"always true":          pb.Model(x, truth("yes"), loopOf("", "yes", of("x"), of("y"), inc), y),
		"neither bound":        pb.Model(x, loopOf("", "", of("x"), of("y"), inc), y),
		"both":                 pb.Model(x, trips, truth("yes"), loopOf("trips", "yes", of("x"), of("y"), inc), y),
		"a loop inside a loop": pb.Model(x, constant("many", 5000), truth("yes"), loopOf("many", "yes", of("x"), of("y"), nested), y),
	}
}

func TestEndlessLoops(t *testing.T) {
	for name, model := range endless() {
		t.Run(name, func(t *testing.T) {
			lim := DefaultLimits()
			lim.RunSteps = 10_000
			s, err := load(model, lim)
			if err != nil {
				t.Fatal(err)
			}
			in := map[string]*tensor.Tensor{"x": vec(1)}
			_, err = s.Run(t.Context(), in)
			wantError(t, err, `(Loop): `)
			wantError(t, err, "the loops of one run take more turns together than they may")
			if !errors.Is(err, ErrLimit) {
				t.Errorf("%v is not ErrLimit", err)
			}
		})
		t.Run(name+" until the time is over", func(t *testing.T) {
			lim := DefaultLimits()
			lim.RunSteps = math.MaxInt64
			model := model
			if strings.Contains(name, "inside") {
				return // ends by itself
			}
			s, err := load(model, lim)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if _, err := s.Run(ctx, map[string]*tensor.Tensor{"x": vec(1)}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestLoopsThatGrow without end: by tensors in a list, by one tensor many times in a
// list, by what each turn gives, by a tensor that doubles, by a string that doubles.
func TestLoopsThatGrow(t *testing.T) {
	lim := DefaultLimits()
	lim.RunBytes, lim.RunSteps = 1<<20, 1<<40
	shape := pb.Initializer(pb.Ints("shape", []int64{1}, 1<<14))
	list := pb.Node("", "SequenceEmpty", nil, of("x"))
	insert := func(what string) []byte {
		return join(sequence(11, "v", 1), pb.Node("", "SequenceInsert", of("v", what), of("w")), sequence(12, "w", 1))
	}
	double := func(op string, typ int64, attrs ...[]byte) []byte {
		return join(open("v", typ), pb.Node("", op, of("v", "v"), of("w"), attrs...), pb.OpenOutput("w", typ))
	}
	fill := pb.Node("", "ConstantOfShape", of("shape"), of("new"))
	length := pb.Node("", "SequenceLength", of("r"), of("y"))
	for name, graph := range map[string][]byte{
		"list of new tensors":   join(shape, list, loopOf("", "", of("x"), of("r"), join(fill, insert("new"))), length, pb.OpenOutput("y", 7)),
		"list of one tensor":    join(pb.Initializer(pb.Floats("w0", nil, 1)), list, loopOf("", "", of("x"), of("r"), insert("w0")), length, pb.OpenOutput("y", 7)),
		"what each turn gives":  join(shape, loopOf("", "", nil, of("y"), fill, pb.OpenOutput("new", 1)), pb.OpenOutput("y", 1)),
		"list with text":        join(pb.Initializer(pb.Head("x", 8, 1), pb.Str(6, "ab")), pb.Node("", "StringConcat", of("x", "x"), of("xx")), loopOf("", "", of("xx"), of("y"), double("StringConcat", 8)), pb.OpenOutput("y", 8)),
		"a tensor that doubles": join(pb.Initializer(pb.Floats("x", []int64{1}, 1)), loopOf("", "", of("x"), of("y"), double("Concat", 1, pb.AttrInt("axis", 0))), pb.OpenOutput("y", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := load(pb.ModelAt(20, graph), lim)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			budget := NewBudget(1 << 30)
			share := budget.Share()
			_, err = s.RunWithin(t.Context(), nil, share)
			wantError(t, err, "(Loop): ")
			if !errors.Is(err, ErrLimit) {
				t.Errorf("%v is not ErrLimit", err)
			}
			runtime.ReadMemStats(&after)
			t.Logf("%d MB allocated in all", (after.TotalAlloc-before.TotalAlloc)>>20)
			share.Release()
			if budget.left.Load() != 1<<30 {
				t.Errorf("%d bytes are not given back", 1<<30-budget.left.Load())
			}
		})
	}
}

// TestLoopsThatLetGo: what turns no longer hold is free for those after them.
func TestLoopsThatLetGo(t *testing.T) {
	lim := DefaultLimits()
	lim.RunBytes = 1 << 20
	shape := pb.Initializer(pb.Ints("shape", []int64{1}, 1<<14)) // 64 KB each turn, a thousand turns
	body := join(open("v", 1), pb.Node("", "ConstantOfShape", of("shape"), of("new")), pb.Node("", "Add", of("new", "v"), of("w")), pb.OpenOutput("w", 1))
	s, err := load(pb.Model(pb.Input("x", 1, "n"), shape, constant("trips", 1000), loopOf("trips", "", of("x"), of("y"), body), y()), lim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1)}); err != nil {
		t.Error(err)
	}
}

// TestLoopsWithoutATurn: results have a shape all the same.
func TestLoopsWithoutATurn(t *testing.T) {
	body := join(open("v", 1), pb.Node("", "Neg", of("v"), of("w")), pb.OpenOutput("w", 1), pb.OpenOutput("w", 1))
	s := mustLoad(t, pb.Model(pb.Input("x", 1, 3), pb.Input("trips", 7), loopOf("trips", "", of("x"), of("y", "all"), body), y(), pb.OpenOutput("all", 1)))
	for _, trips := range []int64{0, -1, math.MinInt64} {
		out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1, 2, 3), "trips": tensor.Scalar(trips)})
		if err != nil {
			t.Fatal(err)
		}
		if v := tensor.Data[float32](out["y"]); len(v) != 3 || v[2] != 3 {
			t.Errorf("y is %v", v)
		}
		if got := out["all"].Shape; len(got) != 2 || got[0] != 0 || got[1] != 3 {
			t.Errorf("all is of shape %v, want [0 3]", got)
		}
	}
}

// TestMakersHandOnWhatTheyGot: what a loop or a branch gives may be what it was
// given, and must outlive the place that this had in the plan.
func TestMakersHandOnWhatTheyGot(t *testing.T) {
	body := join(open("v", 1), pb.Node("", "Identity", of("v"), of("w")), pb.OpenOutput("w", 1))
	keep := pb.AttrGraph("then_branch", pb.Node("", "Identity", of("a"), of("k")), pb.OpenOutput("k", 1))
	other := pb.AttrGraph("else_branch", pb.Node("", "Neg", of("a"), of("k")), pb.OpenOutput("k", 1))
	for name, node := range map[string][]byte{
		"Loop": loopOf("trips", "", of("a"), of("kept"), body),
		"If":   pb.Node("", "If", of("yes"), of("kept"), keep, other),
	} {
		t.Run(name, func(t *testing.T) {
			graph := join(pb.Input("x", 1, "n"), pb.Input("trips", 7), pb.Input("yes", 9), pb.Node("", "Neg", of("x"), of("a")), node)
			last := "x"
			for _, v := range []string{"b", "c", "d", "e"} { // take the places that are free
				graph = append(graph, pb.Node("", "Exp", of(last), of(v))...)
				last = v
			}
			graph = append(graph, pb.Node("", "Mul", of("kept", last), of("y"))...)
			graph = append(graph, pb.Node("", "Sub", of("kept", "kept"), of("z"))...)
			s := mustLoad(t, pb.Model(graph, y(), pb.OpenOutput("z", 1), pb.OpenOutput("kept", 1)))
			for range 2 {
				out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1, 2, 3), "trips": tensor.Scalar(int64(2)), "yes": tensor.Scalar(true)})
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range tensor.Data[float32](out["kept"]) {
					if v != -float32(i+1) {
						t.Errorf("kept is %v", tensor.Data[float32](out["kept"]))
						break
					}
				}
			}
		})
	}
}

func scanOf(in, out []string, body ...[]byte) []byte {
	return pb.Node("scan", "Scan", in, out, pb.AttrInt("num_scan_inputs", 1), pb.AttrGraph("body", body...))
}

// TestScanOverNothing: no slice is no turn, and results are empty.
func TestScanOverNothing(t *testing.T) {
	body := join(open("s", 1), open("v", 1), pb.Node("", "Add", of("s", "v"), of("t")), pb.Node("", "Neg", of("v"), of("u")), pb.OpenOutput("t", 1), pb.OpenOutput("u", 1))
	s := mustLoad(t, pb.Model(pb.Input("x", 1, "n", 2), pb.Input("s0", 1, 2), scanOf(of("s0", "x"), of("y", "all"), body), y(), pb.OpenOutput("all", 1)))
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{}, 0, 2), "s0": vec(7, 8)})
	if err != nil {
		t.Fatal(err)
	}
	if tensor.Data[float32](out["y"])[1] != 8 || len(out["all"].Shape) != 2 || out["all"].Shape[0] != 0 || out["all"].Shape[1] != 2 {
		t.Errorf("%v, %v", out["y"], out["all"].Shape)
	}
	out, err = s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{1, 2, 3, 4}, 2, 2), "s0": vec(7, 8)})
	if err != nil || tensor.Data[float32](out["y"])[1] != 14 || tensor.Data[float32](out["all"])[3] != -4 {
		t.Errorf("%v, %v", out, err)
	}
}

// TestScansThatAreWrong: tensors of two lengths, slices without elements by the million.
func TestScansThatAreWrong(t *testing.T) {
	body := join(open("s", 1), open("v", 1), pb.OpenOutput("s", 1), pb.OpenOutput("v", 1))
	two := pb.Node("", "Scan", of("x", "z"), of("y", "all"), pb.AttrInt("num_scan_inputs", 2), pb.AttrGraph("body", body))
	s := mustLoad(t, pb.Model(pb.Input("x", 1, "n"), pb.Input("z", 1, "m"), two, y(), pb.OpenOutput("all", 1)))
	_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1), "z": vec(1, 2)})
	wantError(t, err, "has 2 slices along axis 0, the tensors before it 1")

	lim := DefaultLimits()
	lim.RunSteps = 1000
	s, err = load(pb.Model(pb.Input("x", 1, "n", 0), pb.Input("s0", 1), scanOf(of("s0", "x"), of("y", "all"), body), y(), pb.OpenOutput("all", 1)), lim)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{}, 1<<26, 0), "s0": tensor.Scalar[float32](1)})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

// TestGraphsInsideThatAreWrong: what the checker and the operators refuse when a
// session is made.
func TestGraphsInsideThatAreWrong(t *testing.T) {
	branch := func(name string, graph ...[]byte) []byte { return pb.AttrGraph(name, graph...) }
	neg := join(pb.Node("", "Neg", of("x"), of("b")), pb.OpenOutput("b", 1))
	branches := func(then []byte) []byte {
		return pb.Model(x(), pb.Input("c", 9), pb.Node("", "If", of("c"), of("y"), branch("then_branch", then), branch("else_branch", neg)), y())
	}
	loop := func(graph ...[]byte) []byte {
		return pb.Model(x(), constant("trips", 2), pb.Node("", "Loop", of("trips", "", "x"), of("y"), branch("body", graph...)), y())
	}
	control := join(pb.Input("i", 7), pb.Input("c", 9))
	for name, c := range map[string]struct {
		model []byte
		want  string
	}{
		"reads nothing":       {branches(join(pb.Node("", "Neg", of("q"), of("b")), pb.OpenOutput("b", 1))), `attribute "then_branch": node 0 (Neg): input 0 "q": no input`},
		"reads what is later": {branches(join(pb.Node("", "Neg", of("y"), of("b")), pb.OpenOutput("b", 1))), `input 0 "y": no input, initializer or node makes it`},
		"takes a name":        {branches(join(pb.Node("", "Neg", of("x"), of("x")), pb.OpenOutput("x", 1))), `output 0 "x": the name is taken by an input`},
		"gives nothing":       {branches(pb.Node("", "Neg", of("x"), of("b"))), "the graph has no output"},
		"gives two":           {branches(join(neg, pb.OpenOutput("b", 1))), "a branch has 0 inputs and 2 outputs, the node needs 0 and 1"},
		"takes an input":      {branches(join(x(), neg)), "a branch has 1 inputs"},
		"other type":          {branches(join(pb.Node("", "Shape", of("x"), of("b")), pb.OpenOutput("b", 7))), "output 0 of the branches: is int64[1] or float32[-1]"},
		"value of a type":     {loop(control, open("v", 1), pb.Node("", "Neg", of("v"), of("b")), pb.Msg(13, pb.Str(1, "b"), pb.Msg(2, pb.Msg(1, pb.Int(1, 7)))), pb.OpenOutput("c", 9), pb.OpenOutput("b", 1)), `value "b": declared as int64, but is float32`},
		"unknown operator":    {branches(join(pb.Node("", "Frob", of("x"), of("b")), pb.OpenOutput("b", 1))), "operator is not supported"},
		"unknown domain":      {branches(join(pb.Call("com.example", "Neg", of("x"), of("b")), pb.OpenOutput("b", 1))), `domain "com.example" is not supported`},
		"loop takes too few":  {loop(control, pb.OpenOutput("c", 9), pb.OpenOutput("i", 7)), "which does not fit 3 inputs and 1 outputs of the node"},
		"loop of no bool":     {loop(control, open("v", 1), pb.OpenOutput("v", 1), pb.OpenOutput("v", 1)), "says with float32[-1] whether to go on, expected bool"},
		"loop changes type":   {loop(control, open("v", 1), pb.OpenOutput("c", 9), pb.OpenOutput("i", 7)), "value 0 that goes around: is float32[-1] or int64[]"},
		"loop without graph":  {pb.Model(x(), pb.Node("", "Loop", of("", "", "x"), of("y")), y()), `attribute "body" is required`},
		"scan without slices": {pb.Model(x(), pb.Node("", "Scan", of("x"), of("y"), branch("body", open("v", 1), pb.OpenOutput("v", 1))), y()), `"num_scan_inputs" is 0 of 1 inputs`},
		"weights outside":     {branches(join(pb.Initializer(pb.Head("w", 1, 1), pb.Msg(13, pb.Str(1, "location"), pb.Str(2, "/etc/passwd"))), neg)), "external data is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(c.model, DefaultLimits())
			wantError(t, err, c.want)
		})
	}
}

// TestBranchThatCannotBe: exporters write a branch for each shape that a value may have.
// With all sizes declared one of them does not fit: that is an error for a run that
// chooses it, and for no other.
func TestBranchThatCannotBe(t *testing.T) {
	for name, then := range map[string][]byte{
		"does not infer":   join(pb.Initializer(pb.Ints("one", []int64{1}, 1)), pb.Node("", "Squeeze", of("x", "one"), of("b")), pb.OpenOutput("b", 1)),
		"is declared else": join(pb.Node("", "Neg", of("x"), of("b")), pb.Msg(13, pb.Output("b", 1, 7)[2:]), pb.OpenOutput("b", 1)),
	} {
		branches := func(then, otherwise []byte) []byte {
			return pb.Model(pb.Input("x", 1, 2, 3), pb.Input("c", 9), pb.Node("", "If", of("c"), of("y"), pb.AttrGraph("then_branch", then), pb.AttrGraph("else_branch", otherwise)), y())
		}
		s := mustLoad(t, branches(then, join(pb.Node("", "Abs", of("x"), of("d")), pb.OpenOutput("d", 1))))
		in := map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, 6), 2, 3), "c": tensor.Scalar(false)}
		if _, err := s.Run(t.Context(), in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		in["c"] = tensor.Scalar(true)
		var at *NodeError
		if _, err := s.Run(t.Context(), in); !errors.As(err, &at) || at.Op != "If" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := load(branches(then, then), DefaultLimits()); err == nil {
			t.Errorf("%s: loads with no branch that can be", name)
		}
	}
}
