package plan

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// told is an operator that does what a test says, right or wrong.
type told struct {
	infer func(in []*op.Info) ([]op.Info, error)
	run   func(env *op.Env, in, out []*tensor.Tensor) error
}

func (o told) Infer(in []*op.Info) ([]op.Info, error) { return o.infer(in) }

func (o told) Run(env *op.Env, in, out []*tensor.Tensor) error { return o.run(env, in, out) }

type toldViewer struct{ told }

func (toldViewer) View() {}

type toldScratcher struct {
	told
	scratch int64
}

func (o toldScratcher) Scratch(*kernel.On, []*op.Info) int64 { return o.scratch }

type toldMaker struct {
	told
	make func(env *op.Env) ([]*tensor.Tensor, error)
}

func (o toldMaker) Make(env *op.Env, _ []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return o.make(env)
}

// floats is a complete value of float32, or an open one if a dimension is -1.
func floats(shape ...int64) op.Info {
	return op.Info{Type: tensor.Float32, Ranked: true, Shape: shape}
}

// gives infers always the same results.
func gives(results ...op.Info) func([]*op.Info) ([]op.Info, error) {
	return func([]*op.Info) ([]op.Info, error) { return results, nil }
}

// changes infers first while the program is compiled, then when it is bound, or in the
// run.
func changes(first, then []op.Info) func([]*op.Info) ([]op.Info, error) {
	n := 0
	return func([]*op.Info) ([]op.Info, error) {
		if n++; n == 1 {
			return first, nil
		}
		return then, nil
	}
}

func fine(*op.Env, []*tensor.Tensor, []*tensor.Tensor) error { return nil }

// only is a graph with one node "It" of the operator, from x to y.
func only(o op.Operator, outputs ...string) (*graph.Graph, Options) {
	options := testOptions()
	options.Table = map[string]op.Spec{"It": {MaxIn: 1, MaxOut: 2, Make: func(*op.Attributes, int64) (op.Operator, error) { return o, nil }}}
	if outputs == nil {
		outputs = []string{"y"}
	}
	g := &graph.Graph{Inputs: []graph.Decl{input("x", -1, 4)}, Nodes: []graph.Node{node("It", []string{"x"}, outputs...)}}
	for _, name := range outputs {
		g.Outputs = append(g.Outputs, output(name))
	}
	return g, options
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestOperatorsAreNotBelieved: an operator that does not keep to its contract is an
// error, and neither a panic nor memory of another value.
func TestOperatorsAreNotBelieved(t *testing.T) {
	made := func(values ...*tensor.Tensor) func(*op.Env) ([]*tensor.Tensor, error) {
		return func(*op.Env) ([]*tensor.Tensor, error) { return values, nil }
	}
	two := []string{"y", "z"}
	four, open := floats(1, 4), floats(-1, 4)
	vector := tensor.Of(make([]float32, 4), 4)
	for name, c := range map[string]struct {
		o       op.Operator
		outputs []string
		want    string
	}{
		"results too few":             {told{gives(four), fine}, two, "has 2 outputs, the operator gives 1"},
		"results fewer when bound":    {told{changes([]op.Info{four, four}, []op.Info{four}), fine}, two, "gives 1 results, had 2"},
		"a negative dimension":        {told{gives(floats(-5)), fine}, nil, "a dimension is negative"},
		"a large result when bound":   {told{changes([]op.Info{open}, []op.Info{floats(1<<20, 4)}), fine}, nil, "output 0: over the limit: 4194304 elements"},
		"a large result in a run":     {told{lateResult(floats(1<<20, 4)), fine}, nil, "output 0: over the limit: 4194304 elements"},
		"an open result in a run":     {told{gives(open), fine}, nil, "output 0: shape float32[-1 4] is not known"},
		"another result in a run":     {told{lateResult(floats(4)), fine}, nil, "output 0: declared with shape [-1 4], but has [4]"},
		"a larger view":               {toldViewer{told{gives(floats(2, 4)), fine}}, nil, "does not have the elements of"},
		"a larger view in a run":      {toldViewer{told{lateResult(floats(2, 4)), fine}}, nil, "needs 8 float32 elements, got 4"},
		"a view of too many axes":     {toldViewer{told{lateResult(floats(1, 1, 1, 1, 1, 1, 1, 1, 4)), fine}}, nil, "output 0: over the limit: rank 9"},
		"cannot infer when bound":     {told{failsAt(2), fine}, nil, "not this time"},
		"cannot infer in a run":       {told{failsAt(3), fine}, nil, "not this time"},
		"scratch below nothing":       {toldScratcher{told{gives(four), fine}, -1}, nil, "over the limit: scratch memory"},
		"scratch below it in a run":   {toldScratcher{told{lateResult(four), fine}, -1}, nil, "scratch memory: "},
		"scratch beyond it in a run":  {toldScratcher{told{lateResult(four), fine}, 1 << 40}, nil, "scratch memory: over the limit"},
		"makes too few":               {toldMaker{told{gives(open, open), fine}, made(vector)}, two, "made 1 results of 2"},
		"makes nothing":               {toldMaker{told{gives(open), fine}, made(nil)}, nil, "output 0 is missing"},
		"makes another":               {toldMaker{told{gives(open), fine}, made(vector)}, nil, "output 0: declared with shape [-1 4], but has [4]"},
		"takes a list for its memory": {toldMaker{told{gives(open), fine}, takes(tensor.Sequence, 1)}, nil, "sequence is not an element type"},
		"takes beyond the limit":      {toldMaker{told{gives(open), fine}, takes(tensor.Float32, 1<<40)}, nil, "over the limit: dimension"},
	} {
		t.Run(name, func(t *testing.T) {
			g, options := only(c.o, c.outputs...)
			p, err := Compile(t.Context(), g, options)
			if err == nil {
				_, err = p.Run(t.Context(), 1, []*tensor.Tensor{tensor.Of(make([]float32, 4), 1, 4)}, nil)
			}
			wantError(t, err, c.want)
		})
	}
}

// lateResult infers an open shape until the run asks, which is the third time.
func lateResult(in op.Info) func([]*op.Info) ([]op.Info, error) {
	n := 0
	return func([]*op.Info) ([]op.Info, error) {
		if n++; n < 3 {
			return []op.Info{floats(-1, 4)}, nil
		}
		return []op.Info{in}, nil
	}
}

// failsAt infers an open shape, and fails at a turn.
func failsAt(turn int) func([]*op.Info) ([]op.Info, error) {
	n := 0
	return func([]*op.Info) ([]op.Info, error) {
		if n++; n == turn {
			return nil, errors.New("not this time")
		}
		return []op.Info{floats(-1, -1)}, nil
	}
}

func takes(typ tensor.DataType, n int64) func(*op.Env) ([]*tensor.Tensor, error) {
	return func(env *op.Env) ([]*tensor.Tensor, error) {
		v, err := env.New(typ, []int64{n})
		return []*tensor.Tensor{v}, err
	}
}

// TestScratchOfWhatIsFolded is bounded as that of a run is.
func TestScratchOfWhatIsFolded(t *testing.T) {
	one := []op.Info{floats(1)}
	for n, want := range map[int64]string{-1: "over the limit: -1 floats", 1<<24 + 1: "over the limit: 16777217 floats", 3: ""} {
		got := -1
		o := toldScratcher{told{gives(one...), func(env *op.Env, _, _ []*tensor.Tensor) error { got = len(env.Scratch); return nil }}, n}
		_, err := compute(&kernel.On{}, o, nil, one)
		if want != "" {
			wantError(t, err, want)
		} else if err != nil || got != int(n) {
			t.Errorf("%d floats, %v", got, err)
		}
	}
}

// TestScratchOfAStep is as long as the operator asked for, planned or not.
func TestScratchOfAStep(t *testing.T) {
	for name, infer := range map[string]func([]*op.Info) ([]op.Info, error){"planned": gives(floats(1, 4)), "late": lateResult(floats(1, 4))} {
		got := -1
		g, options := only(toldScratcher{told{infer, func(env *op.Env, _, _ []*tensor.Tensor) error { got = len(env.Scratch); return nil }}, 3})
		_, err := mustCompile(t, g, options).Run(t.Context(), 1, []*tensor.Tensor{tensor.Of(make([]float32, 4), 1, 4)}, nil)
		if err != nil || got != 3 {
			t.Errorf("%s: %d floats, %v", name, got, err)
		}
	}
}

// TestGraphsThatAreNotWellFormed: the checker saw to it, but a mistake in it must not
// become the memory of another value.
func TestGraphsThatAreNotWellFormed(t *testing.T) {
	inside := graph.Attribute{Name: "then_branch", Kind: graph.Sub, G: &graph.Graph{Outputs: []graph.Decl{output("q")}}}
	with := node("If", []string{"x"}, "y")
	with.Attrs = []graph.Attribute{inside}
	relu := node("Relu", []string{"x"}, "y")
	div := []graph.Stored{{Name: "a", Tensor: tensor.List[int64](1)}, {Name: "b", Tensor: tensor.List[int64](0)}}
	huge := []graph.Stored{{Name: "a", Tensor: tensor.Of(make([]float32, 1<<20+1), 1<<20+1)}}
	for want, g := range map[string]*graph.Graph{
		`output "z": nothing makes it`:                  {Nodes: []graph.Node{relu}, Outputs: []graph.Decl{output("z")}},
		`input 0: nothing makes it`:                     {Nodes: []graph.Node{node("Relu", []string{"q"}, "y")}, Outputs: []graph.Decl{output("y")}},
		`a graph inside reads "q", which nothing makes`: {Nodes: []graph.Node{with}, Outputs: []graph.Decl{output("y")}},
		`initializer "a": over the limit`:               {Stored: huge, Outputs: []graph.Decl{output("a")}},
		`input 1: holds an integer zero`:                {Stored: div, Nodes: []graph.Node{node("Div", []string{"a", "b"}, "y")}, Outputs: []graph.Decl{output("y")}},
	} {
		g.Inputs = []graph.Decl{input("x", 2)}
		_, err := Compile(t.Context(), g, testOptions())
		wantError(t, err, want)
	}
	o := testOptions()
	o.Rewrite = func(*Program) error { return errors.New("rewritten") }
	_, err := Compile(t.Context(), &graph.Graph{Inputs: []graph.Decl{input("x", 2)}, Nodes: []graph.Node{relu}, Outputs: []graph.Decl{output("y")}}, o)
	wantError(t, err, "rewritten")
}

// TestBodiesAreHeldToWhatTheyTake: what an operator hands to a graph inside of it.
func TestBodiesAreHeldToWhatTheyTake(t *testing.T) {
	g := &graph.Graph{Inputs: []graph.Decl{input("x", 2)}, Nodes: []graph.Node{node("Concat", []string{"x", "x"}, "y")}, Outputs: []graph.Decl{output("y")}}
	g.Nodes[0].Attrs = []graph.Attribute{{Name: "axis", Kind: graph.Int}}
	b := &body{program: mustCompile(t, g, testOptions())}
	two, long, whole := floats(2), floats(1<<20), op.Info{Type: tensor.Int64, Ranked: true, Shape: []int64{2}}
	for want, in := range map[string][]*op.Info{
		"takes 1 values, gets 0":                             nil,
		"input 0 of the graph inside is missing":             {nil},
		`input "x" of the graph inside: declared as float32`: {&whole},
	} {
		_, err := b.Infer(in)
		wantError(t, err, want)
	}
	if out, err := b.Infer([]*op.Info{&two}); err != nil || out[0].Shape[0] != 4 {
		t.Errorf("%v, %v", out, err)
	}
	g.Inputs = []graph.Decl{input("x", -1)}
	b = &body{program: mustCompile(t, g, testOptions())}
	_, err := b.Infer([]*op.Info{&long})
	wantError(t, err, "output 0: over the limit")
	b = &body{program: mustCompile(t, &graph.Graph{Inputs: []graph.Decl{input("x", -1), input("z", -1)}, Nodes: []graph.Node{node("Add", []string{"x", "z"}, "y")}, Outputs: []graph.Decl{output("y")}}, testOptions())}
	three := floats(3)
	_, err = b.Infer([]*op.Info{&two, &three})
	wantError(t, err, "does not broadcast")
	_, err = b.Run(&op.Env{}, nil)
	wantError(t, err, "runs inside a run only")
}

// TestBindRefusesWhatIsTooLarge, by itself and together.
func TestBindRefusesWhatIsTooLarge(t *testing.T) {
	chain := func(nodes ...graph.Node) *graph.Graph {
		return &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: numbered(nodes...), Outputs: []graph.Decl{output("y")}}
	}
	for name, c := range map[string]struct {
		g     *graph.Graph
		shape []int64
		want  string
	}{
		"input":     {chain(node("Relu", []string{"x"}, "y")), []int64{1<<20 + 1}, `input "x": over the limit`},
		"output":    {chain(node("Relu", []string{"x"}, "y")), []int64{1 << 10}, "the run takes more than 4000 bytes"},
		"between":   {chain(node("Relu", []string{"x"}, "m"), node("ReduceMax", []string{"m"}, "y")), []int64{1 << 10}, "the run takes more than 4000 bytes"},
		"together":  {chain(node("Softmax", []string{"x"}, "m"), node("Softmax", []string{"m"}, "y")), []int64{600}, "the run takes more than 4000 bytes"},
		"axes":      {&graph.Graph{Inputs: []graph.Decl{{Name: "x", Type: tensor.Float32}}, Outputs: []graph.Decl{output("x")}}, make([]int64, 9), "rank 9, at most 8"},
		"countless": {&graph.Graph{Inputs: []graph.Decl{input("x", -1, -1, -1, -1)}, Outputs: []graph.Decl{output("x")}}, []int64{1 << 20, 1 << 20, 1 << 20, 1 << 20}, "more elements than an int64"},
	} {
		o := testOptions()
		o.Limits.Bytes = 4000
		_, err := mustCompile(t, c.g, o).Bind([][]int64{c.shape}, 1)
		if err == nil || !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestShapeArithmeticIsDoneWhenBound, and what it cannot do is told then.
func TestShapeArithmeticIsDoneWhenBound(t *testing.T) {
	p := mustCompile(t, &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: numbered(node("Shape", []string{"x"}, "s"), node("Add", []string{"s", "s"}, "y")), Outputs: []graph.Decl{output("y")}}, testOptions())
	b, err := p.Bind([][]int64{{3}}, 1)
	if err != nil || len(b.steps) != 0 || tensor.Data[int64](b.values[p.Outputs[0]].info.Value)[0] != 6 {
		t.Errorf("%v, %v", b, err)
	}
	p = mustCompile(t, &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: numbered(node("Shape", []string{"x"}, "s"), node("Sub", []string{"s", "s"}, "z"), node("Div", []string{"s", "z"}, "y")), Outputs: []graph.Decl{output("y")}}, testOptions())
	_, err = p.Bind([][]int64{{3}}, 1)
	wantError(t, err, "holds an integer zero")
}

// bounded is a share of so many bytes.
type bounded struct{ left int64 }

func (b *bounded) Take(n int64) error {
	if n > b.left {
		return errors.New("busy")
	}
	b.left -= n
	return nil
}

func (b *bounded) Give(n int64) { b.left += n }

// TestRunsAskForAllMemory: inputs, the arena, and copies of results.
func TestRunsAskForAllMemory(t *testing.T) {
	const n = 256 // floats
	shape := &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: []graph.Node{node("Shape", []string{"x"}, "y")}, Outputs: []graph.Decl{output("y")}}
	between := &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: numbered(node("Relu", []string{"x"}, "m"), node("ReduceMax", []string{"m"}, "y")), Outputs: []graph.Decl{output("y")}}
	result := &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: []graph.Node{node("Relu", []string{"x"}, "y")}, Outputs: []graph.Decl{output("y")}}
	copied := &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: []graph.Node{node("Identity", []string{"x"}, "y")}, Outputs: []graph.Decl{output("y")}}
	for name, c := range map[string]struct {
		g    *graph.Graph
		left int64
		ok   bool
	}{
		"input":           {shape, 4*n - 1, false},
		"input fits":      {shape, 4*n + 8, true},
		"arena":           {between, 4*n + 512, false},
		"arena fits":      {between, 12 * n, true},
		"result":          {result, 8*n - 1, false},
		"result fits":     {result, 8*n + smallest, true},
		"copy of a value": {copied, 8*n - 1, false},
		"copy fits":       {copied, 8 * n, true},
	} {
		share := &bounded{c.left}
		out, err := mustCompile(t, c.g, testOptions()).Run(t.Context(), 1, []*tensor.Tensor{tensor.Of(make([]float32, n), n)}, share)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", name, out, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "busy") || share.left != c.left) {
			t.Errorf("%s: %v, %d bytes of %d are left", name, err, share.left, c.left)
		}
	}
}

// TestLateResultsAskForMemory when their size shows.
func TestLateResultsAskForMemory(t *testing.T) {
	for left, ok := range map[int64]bool{2*16 + smallest: true, 2*16 + smallest - 1: false} {
		g, options := only(told{lateResult(floats(1, 4)), fine})
		_, err := mustCompile(t, g, options).Run(t.Context(), 1, []*tensor.Tensor{tensor.Of(make([]float32, 4), 1, 4)}, &bounded{left})
		if (err == nil) != ok {
			t.Errorf("%d bytes: %v", left, err)
		}
	}
}

// TestRunsEndBetweenSteps even if no step looks at the context.
func TestRunsEndBetweenSteps(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	g, options := only(told{gives(floats(1, 4)), func(*op.Env, []*tensor.Tensor, []*tensor.Tensor) error { n++; cancel(); return nil }})
	g.Nodes = numbered(g.Nodes[0], node("It", []string{"y"}, "z"))
	g.Outputs = []graph.Decl{output("z")}
	if _, err := mustCompile(t, g, options).Run(ctx, 1, []*tensor.Tensor{tensor.Of(make([]float32, 4), 1, 4)}, nil); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("%d steps, %v", n, err)
	}
}
