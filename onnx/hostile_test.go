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
		in := &Tensor{Type: Int64, Shape: []int64{int64(len(shape))}, I64: shape}
		_, err = s.Run(t.Context(), map[string]*Tensor{"s": in})
		wantError(t, err, `node 0 "big" (ConstantOfShape): output 0: over the limit`)
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%v is not ErrLimit", err)
		}
	}
}

func TestExpandAndBroadcastBombs(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 1, "n", 1), pb.Input("b", 1, 1, "m"), pb.Node("", "Add", []string{"a", "b"}, []string{"y"}), y()))
	n := int64(1 << 14)
	a := &Tensor{Type: Float32, Shape: []int64{n, 1}, F32: make([]float32, n)}
	b := &Tensor{Type: Float32, Shape: []int64{1, n}, F32: make([]float32, n)}
	_, err := s.Run(t.Context(), map[string]*Tensor{"a": a, "b": b})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

func TestRunBudgetCountsWhatIsAlive(t *testing.T) {
	lim := DefaultLimits()
	lim.RunElements = 100
	chain := []byte{}
	for i := range 50 {
		chain = append(chain, pb.Node("", "Relu", []string{fmt.Sprint("v", i)}, []string{fmt.Sprint("v", i+1)})...)
	}
	run := func(nodes []byte, n int64) error {
		s, err := load(pb.Model(pb.Input("v0", 1, "n"), nodes, pb.OpenOutput("v50", 1)), lim)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Run(t.Context(), map[string]*Tensor{"v0": {Type: Float32, Shape: []int64{n}, F32: make([]float32, n)}})
		return err
	}
	if err := run(chain, 50); err != nil {
		t.Errorf("two values of 50 alive at once: %v", err)
	}
	if err := run(chain, 51); !errors.Is(err, ErrLimit) {
		t.Errorf("two values of 51 alive at once: %v", err)
	}
	keep := append(chain[:len(chain):len(chain)], pb.Node("", "Add", []string{"v0", "v1"}, []string{"z"})...)
	keep = append(keep, pb.OpenOutput("z", 1)...)
	if err := run(keep, 25); err != nil {
		t.Errorf("v0, v1 and two more of 25: %v", err)
	}
	if err := run(keep, 26); !errors.Is(err, ErrLimit) {
		t.Errorf("v0, v1 and two more of 26: %v", err)
	}
}

// TestBudgetOfAllRuns: what one run holds, another cannot, until it is given
// back; what is let go during a run is free at once; outputs count until then.
func TestBudgetOfAllRuns(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("x", 7, "n"), pb.Node("", "Neg", []string{"x"}, []string{"a"}), pb.Node("", "Neg", []string{"a"}, []string{"b"}),
		pb.Node("", "Neg", []string{"b"}, []string{"y"}), pb.OpenOutput("y", 7)))
	b := NewBudget(2 * 8 * 10)
	run := func(n int64, share *Share) error {
		_, err := s.RunWithin(t.Context(), map[string]*Tensor{"x": {Type: Int64, Shape: []int64{n}, I64: make([]int64, n)}}, share)
		return err
	}
	first, second := b.Share(), b.Share()
	if err := run(10, first); err != nil || b.left.Load() != 80 {
		t.Fatalf("two values of 10 at once: %v, %d bytes left, expected 80", err, b.left.Load())
	}
	if err := run(10, second); !errors.Is(err, ErrBusy) || errors.Is(err, ErrLimit) {
		t.Errorf("while the other's output is held: %v", err)
	}
	second.Release()
	if err := run(5, second); err != nil {
		t.Errorf("what is left is enough: %v", err)
	}
	second.Release()
	first.Release()
	first.Release()
	if b.left.Load() != 160 {
		t.Errorf("%d bytes left, expected 160", b.left.Load())
	}
	if err := run(11, second); !errors.Is(err, ErrLimit) {
		t.Errorf("more than the whole budget: %v", err)
	}
	if second.Release(); b.left.Load() != 160 {
		t.Errorf("%d bytes left, expected 160", b.left.Load())
	}
	for typ, width := range map[DataType]int64{Float32: 4, Int64: 8, String: 16, Bool: 1} {
		if typ.width() != width {
			t.Errorf("%s: %d bytes, expected %d", typ, typ.width(), width)
		}
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
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestDeepSubgraphs(t *testing.T) {
	graph := relu()
	for range 500 {
		graph = pb.Node("", "If", []string{"x"}, []string{"y"}, pb.AttrGraph("then_branch", graph))
	}
	_, err := load(pb.Model(x(), graph, y()), DefaultLimits())
	wantError(t, err, "graphs inside graphs: more than 4 levels")
	if len(err.Error()) > 2000 {
		t.Errorf("message of %d bytes", len(err.Error()))
	}
	_, err = load(pb.Model(x(), pb.Node("", "If", []string{"x"}, []string{"y"}, pb.AttrGraph("then_branch", relu())), y()), DefaultLimits())
	wantError(t, err, "(If): operator is not supported")
}

func TestEndlessLoopIsRefused(t *testing.T) {
	trips := pb.Initializer(pb.Ints("trips", nil, 1<<62))
	_, err := load(pb.Model(x(), trips, pb.Node("", "Loop", []string{"trips", "", "x"}, []string{"y"}, pb.AttrGraph("body", relu())), y()), DefaultLimits())
	wantError(t, err, "(Loop): operator is not supported")
}

func TestRecursiveFunctionIsRefused(t *testing.T) {
	function := pb.Msg(25, pb.Str(1, "F"), pb.Str(4, "x"), pb.Str(5, "y"), pb.Msg(7, pb.Str(1, "x"), pb.Str(2, "y"), pb.Str(4, "F"), pb.Str(7, "local")), pb.Str(10, "local"))
	call := pb.Msg(1, pb.Str(1, "x"), pb.Str(2, "y"), pb.Str(4, "F"), pb.Str(7, "local"))
	_, err := load(append(pb.Model(x(), call, y()), function...), DefaultLimits())
	wantError(t, err, "functions are not supported")
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
	out, err := s.Run(t.Context(), map[string]*Tensor{"v0": {Type: Float32, Shape: []int64{1}, F32: []float32{7}}})
	if err != nil || out[fmt.Sprint("v", n)].F32[0] != 7 {
		t.Fatalf("%v, %v", out, err)
	}
	runtime.ReadMemStats(&after)
	spent, bytes := time.Since(start), after.TotalAlloc-before.TotalAlloc
	t.Logf("%d byte model: %v, %d MB allocated in all", len(model), spent, bytes>>20)
	if spent > 3*time.Second || bytes > 150<<20 {
		t.Errorf("%v, %d MB", spent, bytes>>20)
	}
}

func TestZeroInputModel(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Node("", "Constant", nil, []string{"y"}, pb.AttrFloat("value_float", 2.5)), y()))
	if len(s.Inputs()) != 0 {
		t.Errorf("inputs %v", s.Inputs())
	}
	for _, in := range []map[string]*Tensor{nil, {}} {
		out, err := s.Run(t.Context(), in)
		if err != nil || out["y"].F32[0] != 2.5 || len(out["y"].Shape) != 0 {
			t.Errorf("%v, %v", out, err)
		}
	}
	_, err := s.Run(t.Context(), map[string]*Tensor{"x": nil})
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
			if _, err := s.Run(t.Context(), map[string]*Tensor{"x": {Type: Float32, F32: []float32{1}}}); err != nil {
				t.Error(err)
			}
			_, err := s.Run(t.Context(), map[string]*Tensor{"x": {Type: Float32, Shape: []int64{1}, F32: []float32{1}}})
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

func TestUnsupportedTypesAreNamed(t *testing.T) {
	for number, name := range map[int64]string{10: "float16", 16: "bfloat16", 11: "float64", 6: "int32", 99: "type 99", 0: "undefined"} {
		_, err := load(pb.Model(pb.Input("x", number, "n"), relu(), pb.OpenOutput("y", number)), DefaultLimits())
		wantError(t, err, "element type "+name+" is not supported")
		_, err = load(pb.Model(pb.Initializer(pb.Head("x", number, 0), pb.Msg(9)), relu(), pb.OpenOutput("y", number)), DefaultLimits())
		wantError(t, err, "element type "+name+" is not supported")
	}
	_, err := load(pb.Model(x(), pb.Node("", "Cast", []string{"x"}, []string{"y"}, pb.AttrInt("to", 10)), pb.OpenOutput("y", 10)), DefaultLimits())
	wantError(t, err, "to float16 is not supported")
}

// TestRunEndsWithItsContext multiplies for many seconds unless it is stopped inside
// one operator.
func TestRunEndsWithItsContext(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Input("a", 1, "n", "n"), pb.Node("", "MatMul", []string{"a", "a"}, []string{"y"}), y()))
	n := int64(3000)
	a := &Tensor{Type: Float32, Shape: []int64{n, n}, F32: make([]float32, n*n)}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Run(ctx, map[string]*Tensor{"a": a})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 4*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.Run(cancelled, map[string]*Tensor{"a": {Type: Float32, Shape: []int64{1, 1}, F32: []float32{1}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestEmptyTensorsDoNotLoop: shapes without elements whose other dimensions are
// large must not make a loop count them.
func TestEmptyTensorsDoNotLoop(t *testing.T) {
	const big = int64(1 << 26)
	empty := func(shape ...int64) *Tensor { return &Tensor{Type: Float32, Shape: shape} }
	for name, c := range map[string]struct {
		node []byte
		in   []*Tensor
	}{
		"Softmax":   {pb.Node("", "Softmax", []string{"a"}, []string{"y"}, pb.AttrInt("axis", 0)), []*Tensor{empty(0, big, big)}},
		"MatMul":    {pb.Node("", "MatMul", []string{"a", "b"}, []string{"y"}), []*Tensor{empty(big, big, 0), empty(0, 0)}},
		"Transpose": {pb.Node("", "Transpose", []string{"a"}, []string{"y"}), []*Tensor{empty(0, big, big)}},
		"Add":       {pb.Node("", "Add", []string{"a", "a"}, []string{"y"}), []*Tensor{empty(big, big, 0)}},
		"Concat":    {pb.Node("", "Concat", []string{"a", "a"}, []string{"y"}, pb.AttrInt("axis", 0)), []*Tensor{empty(1, big, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			graph := [][]byte{c.node, y()}
			feed := map[string]*Tensor{}
			for i, in := range c.in {
				id := string(rune('a' + i))
				graph = append(graph, pb.Input(id, 1, make([]any, len(in.Shape))...))
				feed[id] = in
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
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
	w := make([]float32, 256*256)
	graph := pb.Initializer(pb.Floats("v0", []int64{256, 256}, w...))
	const n = 2000
	for i := range n {
		graph = append(graph, pb.Node("", "MatMul", []string{fmt.Sprint("v", i), "v0"}, []string{fmt.Sprint("v", i+1)})...)
	}
	start := time.Now()
	mustLoad(t, pb.Model(graph, pb.OpenOutput(fmt.Sprint("v", n), 1)))
	if d := time.Since(start); d > time.Second { // computing it would take half a minute
		t.Errorf("loading took %v", d)
	}
}

// TestWeightsStayTheSessions: what Run returns may be written to by the caller.
func TestWeightsStayTheSessions(t *testing.T) {
	s := mustLoad(t, pb.Model(pb.Initializer(pb.Floats("w", []int64{1}, 1)), pb.Input("x", 1, 1), pb.Output("w", 1, 1), pb.Output("x", 1, 1),
		pb.Node("", "Identity", []string{"w"}, []string{"a"}), pb.OpenOutput("a", 1),
		pb.Node("", "Relu", []string{"x"}, []string{"r"}), pb.Node("", "Identity", []string{"r"}, []string{"b"}),
		pb.OpenOutput("r", 1), pb.OpenOutput("b", 1)))
	in := &Tensor{Type: Float32, Shape: []int64{1}, F32: []float32{5}}
	for range 2 {
		out, err := s.Run(t.Context(), map[string]*Tensor{"x": in})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float32{"w": 1, "a": 1, "x": 5, "r": 5, "b": 5} {
			if got := out[name].F32[0]; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			out[name].F32[0] = -1
			out[name].Shape[0] = -1
		}
	}
	if in.F32[0] != 5 || in.Shape[0] != 1 {
		t.Error("the caller's input was written to")
	}
}
