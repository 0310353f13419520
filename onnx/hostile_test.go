package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// load parses and plans a model; the error is that of either.
func load(data []byte, lim Limits) (*Session, error) {
	m, err := Parse(data, lim)
	if err != nil {
		return nil, err
	}
	return NewSession(m)
}

func mustLoad(t testing.TB, data []byte) *Session {
	t.Helper()
	s, err := load(data, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "onnx: ") {
		t.Errorf("no prefix: %v", err)
	}
}

// relu is a graph of one Relu from x to y.
func relu() []byte { return pb.Node("", "Relu", []string{"x"}, []string{"y"}) }

func x() []byte { return pb.Input("x", 1, "n") }
func y() []byte { return pb.OpenOutput("y", 1) }

// TestExternalDataIsNeverRead: other engines read a named file of the process
// that loads the model, and hand its content out as weights.
func TestExternalDataIsNeverRead(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("16 bytes of data"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, path := range []string{"secret", secret, "../" + filepath.Base(dir) + "/secret"} {
		entry := pb.Msg(13, pb.Str(1, "location"), pb.Str(2, path))
		for name, w := range map[string][]byte{
			"location and entry": join(pb.Head("w", 1, 4), entry, pb.Int(14, 1)),
			"entry only":         join(pb.Head("w", 1, 4), entry),
			"location only":      join(pb.Head("w", 1, 4), pb.Int(14, 1)),
			"beside raw data":    join(pb.Floats("w", []int64{4}, 1, 2, 3, 4), entry),
		} {
			t.Run(name, func(t *testing.T) {
				_, err := load(pb.Model(pb.Initializer(w), pb.Node("", "Identity", []string{"w"}, []string{"y"}), y()), DefaultLimits())
				wantError(t, err, "external data is refused")
			})
			t.Run(name+" in an attribute", func(t *testing.T) {
				_, err := load(pb.Model(pb.Node("", "Constant", nil, []string{"y"}, pb.AttrTensor("value", w)), y()), DefaultLimits())
				wantError(t, err, "external data is refused")
			})
		}
	}
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestHugeConstantOfShape(t *testing.T) {
	fill := pb.Node("big", "ConstantOfShape", []string{"s"}, []string{"y"})
	for _, shape := range [][]int64{{1 << 36}, {1 << 20, 1 << 20}, {1 << 62, 4}, {0, 1 << 40}} {
		stored := pb.Initializer(pb.Ints("s", []int64{int64(len(shape))}, shape...))
		_, err := load(pb.Model(stored, fill, y()), DefaultLimits())
		wantError(t, err, `node 0 "big" (ConstantOfShape): output 0: over the limit`)

		s := mustLoad(t, pb.Model(pb.Input("s", 7, "n"), fill, y()))
		in := tensor.Of(shape, int64(len(shape)))
		_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"s": in})
		wantError(t, err, `node 0 "big" (ConstantOfShape): output 0: over the limit`)
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%v is not ErrLimit", err)
		}
	}
}

func TestExpandAndBroadcastBombs(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 1, "n", 1), pb.Input("b", 1, 1, "m"), pb.Node("", "Add", []string{"a", "b"}, []string{"y"}), y()))
	n := int64(1 << 14)
	a := tensor.Of(make([]float32, n), n, 1)
	b := tensor.Of(make([]float32, n), 1, n)
	_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": a, "b": b})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

// TestRunTakesWhatItsPlanSays: of a long chain only neighbours are alive at once, and a
// value that is read again later stays.
func TestRunTakesWhatItsPlanSays(t *testing.T) {
	chain := []byte{}
	for i := range 50 {
		chain = append(chain, pb.Node("", "Softmax", []string{fmt.Sprint("v", i)}, []string{fmt.Sprint("v", i+1)})...)
	}
	keep := append(chain[:len(chain):len(chain)], pb.Node("", "Add", []string{"v0", "v1"}, []string{"z"})...)
	keep = append(keep, pb.OpenOutput("z", 1)...)
	const n = 1 << 12
	for name, c := range map[string]struct {
		nodes []byte
		most  int64 // values of n elements
	}{"chain": {chain, 2}, "kept": {keep, 3}} {
		model := pb.Model(pb.Input("v0", 1, "n"), c.nodes, pb.OpenOutput("v50", 1))
		m, err := mustLoad(t, model).Plan(map[string][]int64{"v0": {n}})
		if err != nil || m.Work < 4*n || m.Work > 4*n*c.most || !m.Exact {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		for _, short := range []int64{0, 4096} {
			lim := DefaultLimits()
			lim.RunBytes = 4*n + m.Work + m.Outputs + 1024 - short
			s, err := load(model, lim)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Run(t.Context(), map[string]*tensor.Tensor{"v0": vec(make([]float32, n)...)})
			if errors.Is(err, ErrLimit) != (short > 0) {
				t.Errorf("%s, %d bytes short: %v", name, short, err)
			}
		}
	}
}

// TestBudgetOfAllRuns: what one run holds, another cannot, until it is given
// back; what is let go during a run is free at once; outputs count until then.
func TestBudgetOfAllRuns(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1, "n"), pb.Node("", "Softmax", []string{"x"}, []string{"a"}), pb.Node("", "Softmax", []string{"a"}, []string{"b"}),
		pb.Node("", "Softmax", []string{"b"}, []string{"y"}), pb.OpenOutput("y", 1)))
	const n, margin = 4096, 256
	m, err := s.Plan(map[string][]int64{"x": {n}})
	if err != nil {
		t.Fatal(err)
	}
	all := 4*n + m.Work + m.Outputs + margin
	b := NewBudget(all)
	run := func(n int64, share *Share) error {
		_, err := s.RunWithin(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, n), n)}, share)
		return err
	}
	first, second := b.Share(), b.Share()
	if err := run(n, first); err != nil || b.free() != all-4*n {
		t.Fatalf("one run: %v, %d bytes left of %d, expected all but the output", err, b.free(), all)
	}
	if err := run(n, second); !errors.Is(err, ErrBusy) || errors.Is(err, ErrLimit) {
		t.Errorf("while the other's output is held: %v", err)
	}
	second.Release()
	if err := run(n/4, second); err != nil {
		t.Errorf("what is left is enough: %v", err)
	}
	second.Release()
	first.Release()
	first.Release()
	if b.free() != all {
		t.Errorf("%d bytes left, expected %d", b.free(), all)
	}
	if err := run(2*n, second); !errors.Is(err, ErrLimit) {
		t.Errorf("more than the whole budget: %v", err)
	}
	if second.Release(); b.free() != all {
		t.Errorf("%d bytes left, expected %d", b.free(), all)
	}
}

// TestRefusedOutputsAreGivenBack: nobody has them, so nobody would.
func TestRefusedOutputsAreGivenBack(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 1, "n"), pb.Node("", "Relu", []string{"x"}, []string{"y"}), pb.Output("y", 1, 3)))
	b := NewBudget(1 << 10)
	_, err := s.RunWithin(t.Context(), map[string]*tensor.Tensor{"x": vec(1, 2)}, b.Share())
	wantError(t, err, `output "y": declared with shape [3], but has [2]`)
	if left := b.left.Load(); left != 1<<10 {
		t.Errorf("%d bytes left of %d", left, 1<<10)
	}
}

// TestManyAttributes: each is compared with those before it.
func TestManyAttributes(t *testing.T) {
	var attrs []byte
	for i := range 200_000 {
		attrs = append(attrs, pb.AttrInt(fmt.Sprintf("%08d", i), 1)...)
	}
	begin := time.Now()
	_, err := load(pb.Model(x(), pb.Node("", "Relu", []string{"x"}, []string{"y"}, attrs), y()), DefaultLimits())
	wantError(t, err, "more than 256 attributes of one node")
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %s", took)
	}
}

func TestDeepSubgraphs(t *testing.T) {
	body := func(graph []byte) []byte { return pb.AttrGraph("then_branch", graph, y()) }
	graph := relu()
	for range 500 {
		graph = pb.Node("", "If", []string{"x"}, []string{"y"}, body(graph))
	}
	_, err := load(pb.Model(x(), graph, y()), DefaultLimits())
	wantError(t, err, "graphs inside graphs: more than 8 levels")
	if len(err.Error()) > 2000 {
		t.Errorf("message of %d bytes", len(err.Error()))
	}
}

func TestHugeStrings(t *testing.T) {
	huge := strings.Repeat("a", 1<<20)
	for name, model := range map[string][]byte{
		"node name":    pb.Model(x(), pb.Node(huge, "Relu", []string{"x"}, []string{"y"}), y()),
		"operator":     pb.Model(x(), pb.Node("", huge, []string{"x"}, []string{"y"}), y()),
		"input":        pb.Model(pb.Input(huge, 1, "n"), relu(), y()),
		"symbol":       pb.Model(pb.Input("x", 1, huge), relu(), y()),
		"graph name":   pb.Model(x(), relu(), y(), pb.Str(2, huge)),
		"element":      pb.Model(pb.Initializer(pb.Head("w", 8, 1), pb.Str(6, huge)), pb.Node("", "Identity", []string{"w"}, []string{"y"}), pb.OpenOutput("y", 8)),
		"attribute":    pb.Model(x(), pb.Node("", "Relu", []string{"x"}, []string{"y"}, pb.AttrInt(huge, 1)), y()),
		"string value": pb.Model(pb.Node("", "Constant", nil, []string{"y"}, pb.Msg(5, pb.Str(1, "value_string"), pb.Str(4, huge), pb.Int(20, 3))), pb.OpenOutput("y", 8)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(model, DefaultLimits())
			wantError(t, err, "string of 1048576 bytes, the limit is 65536")
		})
	}
	long := strings.Repeat("a", 60_000)
	_, err := load(pb.Model(x(), pb.Node(long, long, []string{long}, []string{long}), y()), DefaultLimits())
	if err == nil || len(err.Error()) > 500 {
		t.Errorf("message must not repeat 60,000 bytes: %.600v", err)
	}
}

// TestChainOf50000Nodes is refused by default; with the limit raised it must be
// read, planned and run in time and memory that grow with its length only.
func TestChainOf50000Nodes(t *testing.T) {
	const n = 50_000
	graph := pb.Input("v0", 1, 1)
	for i := range n {
		graph = append(graph, pb.Node("", "Identity", []string{fmt.Sprint("v", i)}, []string{fmt.Sprint("v", i+1)})...)
	}
	model := pb.Model(graph, pb.OpenOutput(fmt.Sprint("v", n), 1))
	_, err := load(model, DefaultLimits())
	wantError(t, err, "more than 20000 nodes")

	lim := DefaultLimits()
	lim.Nodes, lim.Values = n, 3*n
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	s, err := load(model, lim)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"v0": tensor.Of([]float32{7}, 1)})
	if err != nil || tensor.Data[float32](out[fmt.Sprint("v", n)])[0] != 7 {
		t.Fatalf("%v, %v", out, err)
	}
	runtime.ReadMemStats(&after)
	spent, bytes := time.Since(start), after.TotalAlloc-before.TotalAlloc
	t.Logf("%d byte model: %v, %d MB allocated in all", len(model), spent, bytes>>20)
	if bytes > 150<<20 {
		t.Errorf("%d MB", bytes>>20)
	}
}

func TestZeroInputModel(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Node("", "Constant", nil, []string{"y"}, pb.AttrFloat("value_float", 2.5)), y()))
	if len(s.Inputs()) != 0 {
		t.Errorf("inputs %v", s.Inputs())
	}
	for _, in := range []map[string]*tensor.Tensor{nil, {}} {
		out, err := s.Run(t.Context(), in)
		if err != nil || tensor.Data[float32](out["y"])[0] != 2.5 || len(out["y"].Shape) != 0 {
			t.Errorf("%v, %v", out, err)
		}
	}
	_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": nil})
	wantError(t, err, `input "x": the model has no such input`)
}

func TestRankZeroInput(t *testing.T) {
	for _, op := range []string{"Relu", "Identity", "Exp", "ReduceSum", "Shape", "Transpose", "Squeeze"} {
		t.Run(op, func(t *testing.T) {
			out := int64(1)
			if op == "Shape" {
				out = 7
			}
			s := mustLoad(t, pb.Model(pb.Input("x", 1), pb.Node("", op, []string{"x"}, []string{"y"}), pb.OpenOutput("y", out)))
			if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{1})}); err != nil {
				t.Error(err)
			}
			_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{1}, 1)})
			wantError(t, err, "has shape [1], expected []")
		})
	}
	for _, op := range []string{"Softmax", "ArgMax"} {
		_, err := load(pb.Model(pb.Input("x", 1), pb.Node("", op, []string{"x"}, []string{"y"}), pb.OpenOutput("y", 0)), DefaultLimits())
		wantError(t, err, "outside of rank 0")
	}
	_, err := load(pb.Model(pb.Input("x", 1), pb.Input("z", 1), pb.Node("", "MatMul", []string{"x", "z"}, []string{"y"}), y()), DefaultLimits())
	wantError(t, err, "is a scalar")
}

func TestTypesAreNamed(t *testing.T) {
	for number, name := range map[int64]string{99: "type -1", 0: "undefined"} {
		_, err := load(pb.Model(pb.Initializer(pb.Head("x", number, 0), pb.Msg(9)), relu(), pb.OpenOutput("y", number)), DefaultLimits())
		wantError(t, err, `initializer "x": `+name+" is not an element type")
	}
	_, err := load(pb.Model(pb.Input("x", 0, "n"), relu(), pb.OpenOutput("y", 0)), DefaultLimits())
	wantError(t, err, `input "x" has no type`)
	_, err = load(pb.Model(pb.Input("x", 8, "n"), relu(), pb.OpenOutput("y", 8)), DefaultLimits())
	wantError(t, err, `input 0 "x": is string, expected float32 or`)
}

// TestRunEndsWithItsContext multiplies for many seconds unless it is stopped inside
// one operator.
func TestRunEndsWithItsContext(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 1, "n", "n"), pb.Node("", "MatMul", []string{"a", "a"}, []string{"y"}), y()))
	n := int64(3000)
	a := tensor.Of(make([]float32, n*n), n, n)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Run(ctx, map[string]*tensor.Tensor{"a": a})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.Run(cancelled, map[string]*tensor.Tensor{"a": tensor.Of([]float32{1}, 1, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestMakersSeeShapesOfTheRun: an operator that makes its results by itself is held to the
// shapes that its operands turn out to have, as all others are.
func TestMakersSeeShapesOfTheRun(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("b", 1, "n"), pb.Input("s", 7, 3), pb.Input("scores", 1, 1, 1, 6), pb.Initializer(pb.Ints("most", []int64{1}, 5)),
		pb.Node("", "Reshape", []string{"b", "s"}, []string{"boxes"}), pb.Node("", "NonMaxSuppression", []string{"boxes", "scores", "most"}, []string{"y"}), pb.OpenOutput("y", 7)))
	for _, shape := range [][]int64{{1, 6, 1}, {1, 1, 6}, {2, 3, 1}} {
		_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"b": vec(1, 2, 3, 4, 5, 6), "s": tensor.List(shape...), "scores": tensor.Of(make([]float32, 6), 1, 1, 6)})
		wantError(t, err, `node 1 (NonMaxSuppression): input 0 "boxes": has shape`)
	}
}

// TestListsInside: what a list in an input holds has the declared type.
func TestListsInside(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(9, pb.Msg(1, pb.Msg(4, pb.Msg(1, pb.Msg(1, pb.Int(1, 1)))))))),
		pb.Node("", "OptionalHasElement", []string{"x"}, []string{"y"}), pb.OpenOutput("y", 9)))
	for kind, item := range map[string]*tensor.Tensor{"": tensor.SequenceOf(tensor.Float32, vec(1)), "of int64": tensor.SequenceOf(tensor.Int64, tensor.List[int64](1))} {
		in := tensor.OptionalOf(tensor.Sequence, 0, item)
		_, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": in})
		if (err == nil) != (kind == "") {
			t.Errorf("%s: %v", kind, err)
		}
		if err != nil {
			wantError(t, err, `input "x": item 0 is a sequence of int64, expected one of float32`)
		}
	}
}

// TestEmptyTensorsDoNotLoop: shapes without elements whose other dimensions are
// large must not make a loop count them.
func TestEmptyTensorsDoNotLoop(t *testing.T) {
	const big = int64(1 << 26)
	empty := func(shape ...int64) *tensor.Tensor { return tensor.Of([]float32(nil), shape...) }
	for name, c := range map[string]struct {
		node []byte
		in   []*tensor.Tensor
	}{
		"Softmax":   {pb.Node("", "Softmax", []string{"a"}, []string{"y"}, pb.AttrInt("axis", 0)), []*tensor.Tensor{empty(0, big, big)}},
		"MatMul":    {pb.Node("", "MatMul", []string{"a", "b"}, []string{"y"}), []*tensor.Tensor{empty(big, big, 0), empty(0, 0)}},
		"Transpose": {pb.Node("", "Transpose", []string{"a"}, []string{"y"}), []*tensor.Tensor{empty(0, big, big)}},
		"Add":       {pb.Node("", "Add", []string{"a", "a"}, []string{"y"}), []*tensor.Tensor{empty(big, big, 0)}},
		"Concat":    {pb.Node("", "Concat", []string{"a", "a"}, []string{"y"}, pb.AttrInt("axis", 0)), []*tensor.Tensor{empty(1, big, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			graph := [][]byte{c.node, y()}
			feed := map[string]*tensor.Tensor{}
			for i, in := range c.in {
				id := string(rune('a' + i))
				graph = append(graph, pb.Input(id, 1, make([]any, len(in.Shape))...))
				feed[id] = in
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := mustLoad(t, pb.Model(graph...)).Run(ctx, feed); err != nil && !errors.Is(err, ErrLimit) {
				t.Error(err)
			}
		})
	}
}

// TestLoadingDoesNotComputeMuch: constants are folded when a session is made, but
// a model must not turn that into work.
func TestLoadingDoesNotComputeMuch(t *testing.T) {
	const side = 1024
	w := make([]float32, side*side)
	graph := pb.Initializer(pb.Floats("v0", []int64{side, side}, w...))
	const n = 2000
	for i := range n {
		graph = append(graph, pb.Node("", "MatMul", []string{fmt.Sprint("v", i), "v0"}, []string{fmt.Sprint("v", i+1)})...)
	}
	start := time.Now()
	mustLoad(t, pb.Model(graph, pb.OpenOutput(fmt.Sprint("v", n), 1)))
	if d := time.Since(start); d > 30*time.Second { // computing it would take minutes
		t.Errorf("loading took %v", d)
	}
}

// TestViewsAreAsLargeAsWhatTheyView: a shape that seems to be known before it is fed
// must not show what lies behind a value in memory.
func TestViewsAreAsLargeAsWhatTheyView(t *testing.T) {
	for name, first := range map[string][]byte{"of an input": nil, "of a result": pb.Node("", "Neg", []string{"x"}, []string{"a"})} {
		read := "x"
		if first != nil {
			read = "a"
		}
		s := mustLoad(t, pb.Model(pb.Input("x", 1, "n"), pb.Input("shape", 7, "m"), first, pb.Node("it", "Reshape", []string{read, "shape"}, []string{"y"}), y()))
		for _, n := range []int{0, 2, 4} {
			out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(make([]float32, n)...), "shape": tensor.Of([]int64{}, 0)})
			if err == nil {
				t.Errorf("%s: %d elements became %v", name, n, out["y"])
				continue
			}
			wantError(t, err, `(Reshape): `)
		}
		if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": vec(1), "shape": tensor.Of([]int64{}, 0)}); err != nil {
			t.Errorf("%s: one element is a scalar: %v", name, err)
		}
	}
}

// TestWeightsStayTheSessions: what Run returns may be written to by the caller.
func TestWeightsStayTheSessions(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Initializer(pb.Floats("w", []int64{1}, 1)), pb.Input("x", 1, 1), pb.Output("w", 1, 1), pb.Output("x", 1, 1),
		pb.Node("", "Identity", []string{"w"}, []string{"a"}), pb.OpenOutput("a", 1),
		pb.Node("", "Relu", []string{"x"}, []string{"r"}), pb.Node("", "Identity", []string{"r"}, []string{"b"}),
		pb.OpenOutput("r", 1), pb.OpenOutput("b", 1)))
	in := tensor.Of([]float32{5}, 1)
	for range 2 {
		out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": in})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float32{"w": 1, "a": 1, "x": 5, "r": 5, "b": 5} {
			if got := tensor.Data[float32](out[name])[0]; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			tensor.Data[float32](out[name])[0] = -1
			out[name].Shape[0] = -1
		}
	}
	if tensor.Data[float32](in)[0] != 5 || in.Shape[0] != 1 {
		t.Error("the caller's input was written to")
	}
}
