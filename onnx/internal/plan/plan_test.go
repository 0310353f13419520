package plan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func testOptions() Options {
	return Options{Limits: Limits{Rank: 8, Elements: 1 << 20, Bytes: 1 << 24, Steps: 1 << 10}, Table: op.Table(), Level: kernel.Best(), Poison: 0xff}
}

// input declares a float32 input.
func input(name string, shape ...int64) graph.Decl {
	return graph.Decl{Name: name, Type: tensor.Float32, Ranked: true, Shape: shape}
}

func output(name string) graph.Decl { return graph.Decl{Name: name} }

func node(op string, in []string, out ...string) graph.Node {
	return graph.Node{Op: op, Opset: 17, Inputs: in, Outputs: out}
}

// numbered gives nodes their places, as the parser does.
func numbered(nodes ...graph.Node) []graph.Node {
	for i := range nodes {
		nodes[i].Index = i
	}
	return nodes
}

func mustCompile(t testing.TB, g *graph.Graph, o Options) *Program {
	t.Helper()
	p, err := Compile(t.Context(), g, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tangle is a random graph: every node reads values made before it, some of them many
// times, some never; views and wide values are among them.
func tangle(rng *rand.Rand, nodes int) *graph.Graph {
	g := &graph.Graph{Inputs: []graph.Decl{input("v0", -1, 4), input("v1", -1, 4)}}
	names := []string{"v0", "v1"}
	for i := range nodes {
		name := fmt.Sprint("n", i)
		pick := func() string { return names[max(0, len(names)-1-rng.IntN(6))] }
		switch rng.IntN(5) {
		case 0:
			g.Nodes = append(g.Nodes, node("Relu", []string{pick()}, name))
		case 1:
			g.Nodes = append(g.Nodes, node("Softmax", []string{pick()}, name))
		case 2:
			g.Nodes = append(g.Nodes, node("Identity", []string{pick()}, name))
		default:
			g.Nodes = append(g.Nodes, node([]string{"Add", "Mul", "Sub"}[rng.IntN(3)], []string{pick(), pick()}, name))
		}
		names = append(names, name)
	}
	numbered(g.Nodes...)
	for range 1 + rng.IntN(3) {
		g.Outputs = append(g.Outputs, output(names[rng.IntN(len(names))]))
	}
	return g
}

// naive computes a tangle one node at a time, each in new memory.
func naive(t *testing.T, g *graph.Graph, in []*tensor.Tensor) map[string]*tensor.Tensor {
	t.Helper()
	values := map[string]*tensor.Tensor{"v0": in[0], "v1": in[1]}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		o, err := op.New(n, op.Table(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var args []*tensor.Tensor
		for _, name := range n.Inputs {
			args = append(args, values[name])
		}
		results, err := o.Infer(known(args))
		if err != nil {
			t.Fatal(err)
		}
		out, err := compute(&kernel.On{Level: kernel.Best()}, o, args, results)
		if err != nil {
			t.Fatal(err)
		}
		values[n.Outputs[0]] = out[0].Clone()
	}
	return values
}

// TestPlannedMemoryGivesWhatNewMemoryGives: reuse, places taken over and views change
// nothing, in memory that is full of garbage before each run.
func TestPlannedMemoryGivesWhatNewMemoryGives(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		g := tangle(rng, 1+rng.IntN(30))
		p := mustCompile(t, g, testOptions())
		for range 2 {
			rows := 1 + rng.Int64N(40)
			in := []*tensor.Tensor{random(rng, rows, 4), random(rng, rows, 4)}
			given := []*tensor.Tensor{in[0].Clone(), in[1].Clone()}
			want := naive(t, g, in)
			got, err := p.Run(t.Context(), 1, in, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range g.Outputs {
				if w := want[d.Name]; !slices.Equal(bits(got[i]), bits(w)) {
					t.Fatalf("round %d, output %s: %v, expected %v", round, d.Name, tensor.Data[float32](got[i]), tensor.Data[float32](w))
				}
				tensor.Data[float32](got[i])[0] = 99 // the caller's: no other output, input or later run sees it
			}
			if !slices.Equal(bits(in[0]), bits(given[0])) || !slices.Equal(bits(in[1]), bits(given[1])) {
				t.Fatal("an input was written to")
			}
		}
	}
}

func bits(t *tensor.Tensor) []uint32 { return tensor.Words[uint32](t) }

func random(rng *rand.Rand, shape ...int64) *tensor.Tensor {
	t, err := tensor.New(tensor.Float32, shape)
	if err != nil {
		panic(err)
	}
	for i := range tensor.Data[float32](t) {
		tensor.Data[float32](t)[i] = rng.Float32()*2 - 1
	}
	return t
}

// TestNothingAliveOverlaps looks at the places themselves.
func TestNothingAliveOverlaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := mustCompile(t, tangle(rng, 40), testOptions())
		b, err := p.Bind([][]int64{{9, 4}, {9, 4}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Verify(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifySees moves values of good plans onto each other.
func TestVerifySees(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		b, err := mustCompile(t, tangle(rng, 40), testOptions()).Bind([][]int64{{9, 4}, {9, 4}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		moved := false
		for i := range b.steps {
			for k, in := range b.steps[i].In { // an operand and a result that nobody lets share
				out := &b.values[b.steps[i].Out[0]]
				v := &b.values[b.values[in].root]
				if v.place != arena || out.place != arena || v.last == i || k > 0 {
					continue
				}
				kept := out.offset
				out.offset = v.offset
				if b.Verify() == nil {
					t.Fatal("an operand that is read again and a result are in one place")
				}
				out.offset = b.arena
				if b.Verify() == nil {
					t.Fatal("a result behind the end")
				}
				out.offset, moved = kept, true
			}
		}
		if err := b.Verify(); err != nil {
			t.Fatal(err, moved)
		}
	}
}

func TestMemoryIsReused(t *testing.T) {
	g := &graph.Graph{Inputs: []graph.Decl{input("v0", -1)}, Outputs: []graph.Decl{output("v100")}}
	for i := range 100 {
		g.Nodes = append(g.Nodes, node("Softmax", []string{fmt.Sprint("v", i)}, fmt.Sprint("v", i+1)))
	}
	b, err := mustCompile(t, g, testOptions()).Bind([][]int64{{1024}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if arena, outputs, exact := b.Bytes(); arena > 2*4096 || outputs != 4096 || !exact {
		t.Errorf("%d and %d bytes, exact %v", arena, outputs, exact)
	}
}

func TestSpace(t *testing.T) {
	var s space
	a, b, c := s.take(100), s.take(64), s.take(1)
	if a != 0 || b != 128 || c != 192 || s.top != 256 {
		t.Errorf("%d %d %d, top %d", a, b, c, s.top)
	}
	s.give(b, 64)
	s.give(a, 100)
	if got := s.take(192); got != 0 || len(s.free) != 0 {
		t.Errorf("neighbours are not joined: %d, %v", got, s.free)
	}
	s.give(c, 1)
	if got := s.take(256); got != 192 || s.top != 448 {
		t.Errorf("the free end is not used: %d, top %d", got, s.top)
	}
	s.give(192, 256)
	if s.take(64); s.top != 448 || len(s.free) != 1 || s.free[0].bytes != 192 {
		t.Errorf("%v, top %d", s.free, s.top)
	}
}

func TestBindingsAreKept(t *testing.T) {
	p := mustCompile(t, &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: []graph.Node{node("Softmax", []string{"x"}, "y")}, Outputs: []graph.Decl{output("y")}}, testOptions())
	bind := func(n int64, threads int) *Bound {
		b, err := p.Bind([][]int64{{n}}, threads)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := bind(1, 1)
	if bind(1, 1) != first {
		t.Error("planned twice")
	}
	if bind(1, 2) == first {
		t.Error("the plan of another number of threads")
	}
	for n := range int64(2 * maxBound) {
		bind(n+2, 1)
	}
	if len(p.bound) != maxBound || bind(1, 1) == first {
		t.Errorf("%d are kept", len(p.bound))
	}
}

// TestFoldingIsBounded: what is computed before a run makes nothing larger than it was.
func TestFoldingIsBounded(t *testing.T) {
	big := tensor.Of(make([]float32, 1<<12), 1<<6, 1<<6)
	compiled := func(n graph.Node) int {
		g := &graph.Graph{Stored: []graph.Stored{{Name: "w", Tensor: big}, {Name: "s", Tensor: tensor.List[int64](4, 1<<6, 1<<6)}},
			Nodes: []graph.Node{n}, Outputs: []graph.Decl{output("y")}}
		return len(mustCompile(t, g, testOptions()).Steps)
	}
	for name, c := range map[string]struct {
		n     graph.Node
		steps int
	}{
		"grows":  {node("Expand", []string{"w", "s"}, "y"), 1},
		"costly": {node("MatMul", []string{"w", "w"}, "y"), 1},
		"view":   {node("Flatten", []string{"w"}, "y"), 0},
		"cheap":  {node("Transpose", []string{"w"}, "y"), 0},
	} {
		if got := compiled(c.n); got != c.steps {
			t.Errorf("%s: %d steps, expected %d", name, got, c.steps)
		}
	}
}

// TestFoldingManyTimesIsBounded: a weight with a hundred names is not a hundred weights.
func TestFoldingManyTimesIsBounded(t *testing.T) {
	g := &graph.Graph{Stored: []graph.Stored{{Name: "w", Tensor: tensor.Of(make([]float32, 1<<12), 1<<6, 1<<6)}}}
	for i := range 100 {
		g.Nodes = append(g.Nodes, node("Transpose", []string{"w"}, fmt.Sprint("y", i)))
		g.Outputs = append(g.Outputs, output(fmt.Sprint("y", i)))
	}
	if p := mustCompile(t, g, testOptions()); p.FixedBytes() > (foldedWeights+1)<<14 || len(p.Steps) < 90 {
		t.Errorf("%d steps are left, %d bytes are held", len(p.Steps), p.FixedBytes())
	}
}

// TestOneWeightDoesNotBecomeMany: a thousand products by one matrix share it.
func TestOneWeightDoesNotBecomeMany(t *testing.T) {
	g := &graph.Graph{Stored: []graph.Stored{{Name: "w", Tensor: tensor.Of(make([]float32, 64*64), 64, 64)}},
		Inputs: []graph.Decl{input("v0", 1, 64)}, Outputs: []graph.Decl{output("v1000")}}
	for i := range 1000 {
		g.Nodes = append(g.Nodes, node("MatMul", []string{fmt.Sprint("v", i), "w"}, fmt.Sprint("v", i+1)))
	}
	p, packed := mustCompile(t, g, testOptions()), 0
	id := p.Steps[500].In[1]
	for _, st := range p.Steps {
		if again, _, err := st.Op.(op.Packer).Pack(&kernel.On{Level: kernel.Portable}, func(i int) *tensor.Tensor { return p.Fixed(id) }, p.infos(st.In)); err != nil || again == nil {
			packed++
		}
	}
	if packed > 1 {
		t.Errorf("%d copies", packed)
	}
}

// TestPackedWeightsAreLetGo: a weight that only its product reads is not held twice.
func TestPackedWeightsAreLetGo(t *testing.T) {
	g := &graph.Graph{Stored: []graph.Stored{{Name: "w", Tensor: tensor.Of(make([]float32, 64*64), 64, 64)}},
		Inputs: []graph.Decl{input("x", -1, 64)}, Nodes: []graph.Node{node("MatMul", []string{"x", "w"}, "y")}, Outputs: []graph.Decl{output("y")}}
	p := mustCompile(t, g, testOptions())
	if n := p.FixedBytes(); n != 0 || g.Stored != nil {
		t.Errorf("%d bytes are held beside the packed ones, and in the graph %v", n, g.Stored)
	}
	if _, err := p.Run(t.Context(), 1, []*tensor.Tensor{tensor.Of(make([]float32, 128), 2, 64)}, nil); err != nil {
		t.Error(err)
	}
}

// hoarder takes memory on the way, says that it keeps it, and so on, to the end.
type hoarder struct{ keep bool }

func (hoarder) Infer([]*op.Info) ([]op.Info, error) {
	return []op.Info{{Type: tensor.Float32, Ranked: true, Shape: []int64{-1}}}, nil
}

func (hoarder) Run(*op.Env, []*tensor.Tensor, []*tensor.Tensor) error {
	return errors.New("not called")
}

func (o hoarder) Make(env *op.Env, _ []*tensor.Tensor) ([]*tensor.Tensor, error) {
	var last *tensor.Tensor
	for range 100 {
		t, err := env.New(tensor.Float32, []int64{1 << 10})
		if err != nil {
			return nil, err
		}
		if last = t; o.keep {
			env.Keep(t)
		}
	}
	return []*tensor.Tensor{last}, nil
}

// TestWhatIsMadeOnTheWayIsCounted: as long as the run can reach it, and no longer.
func TestWhatIsMadeOnTheWayIsCounted(t *testing.T) {
	for _, keep := range []bool{false, true} {
		o := testOptions()
		o.Limits.Bytes = 10 * 4096
		o.Table = map[string]op.Spec{"Hoard": {MaxOut: 1, Make: func(*op.Attributes, int64) (op.Operator, error) { return hoarder{keep}, nil }}}
		p := mustCompile(t, &graph.Graph{Nodes: []graph.Node{node("Hoard", nil, "y")}, Outputs: []graph.Decl{output("y")}}, o)
		share := &counted{}
		out, err := p.Run(t.Context(), 1, nil, share)
		if errors.Is(err, ErrLimit) != keep {
			t.Errorf("keeping %v: %v", keep, err)
		}
		if !keep && (len(out) != 1 || share.held != out[0].Bytes()) {
			t.Errorf("%d bytes are held for %v", share.held, out)
		}
		if keep && share.held != 0 {
			t.Errorf("%d bytes are held after an error", share.held)
		}
	}
}

// TestShareHasWhatNobodyReaches: before a budget refuses a run, what the run has let go
// of is given back.
func TestShareHasWhatNobodyReaches(t *testing.T) {
	o := testOptions()
	o.Table = map[string]op.Spec{"Hoard": {MaxOut: 1, Make: func(*op.Attributes, int64) (op.Operator, error) { return hoarder{}, nil }}}
	p := mustCompile(t, &graph.Graph{Nodes: []graph.Node{node("Hoard", nil, "y")}, Outputs: []graph.Decl{output("y")}}, o)
	if _, err := p.Run(t.Context(), 1, nil, &bounded{10 * 4096}); err != nil {
		t.Error(err)
	}
}

// TestCopiedOutputsArePlanned: outputs that share memory are copied for the caller, and
// that is part of what the plan says.
func TestCopiedOutputsArePlanned(t *testing.T) {
	g := &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: numbered(node("Identity", []string{"x"}, "y"), node("Softmax", []string{"x"}, "z")),
		Outputs: []graph.Decl{output("y"), output("z"), output("z")}}
	b, err := mustCompile(t, g, testOptions()).Bind([][]int64{{1024}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, outputs, exact := b.Bytes(); outputs != 3*4096 || !exact {
		t.Errorf("%d bytes of outputs, exact %v", outputs, exact)
	}
}

// counted is a share without a bound.
type counted struct{ held int64 }

func (c *counted) Take(n int64) error { c.held += n; return nil }
func (c *counted) Give(n int64)       { c.held -= n }

func TestErrorsNameTheNode(t *testing.T) {
	g := &graph.Graph{Inputs: []graph.Decl{input("x", 2, 3)}, Nodes: numbered(node("Relu", []string{"x"}, "r"), node("MatMul", []string{"r", "r"}, "y")), Outputs: []graph.Decl{output("y")}}
	_, err := Compile(t.Context(), g, testOptions())
	var at *StepError
	if !errors.As(err, &at) || at.Node.Index != 1 || !strings.Contains(err.Error(), "does not multiply") {
		t.Errorf("%v", err)
	}
}
