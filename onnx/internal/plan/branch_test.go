package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// choice is an If with two graphs, each of which gives its last value.
func choice(condition, out string, then, otherwise []graph.Node) graph.Node {
	branch := func(name string, nodes []graph.Node) graph.Attribute {
		last := nodes[len(nodes)-1]
		g := &graph.Graph{Outputs: []graph.Decl{output(last.Outputs[0])}}
		if last.Op != "" { // else it is a value from around
			g.Nodes = numbered(nodes...)
		}
		return graph.Attribute{Name: name, Kind: graph.Sub, G: g}
	}
	n := node("If", []string{condition}, out)
	n.Attrs = []graph.Attribute{branch("then_branch", then), branch("else_branch", otherwise)}
	return n
}

// byRows is a graph whose condition is whether x has one row.
func byRows(nodes ...graph.Node) *graph.Graph {
	w := tensor.Of([]float32{1, 0, 0, 0, 2, 0, 0, 0, 3}, 3, 3)
	first := []graph.Node{node("Shape", []string{"x"}, "s"), node("Gather", []string{"s", "zero"}, "rows"), node("Equal", []string{"rows", "one"}, "single")}
	return &graph.Graph{
		Inputs:  []graph.Decl{input("x", -1, 3)},
		Stored:  []graph.Stored{{Name: "w", Tensor: w}, {Name: "zero", Tensor: tensor.Scalar[int64](0)}, {Name: "one", Tensor: tensor.Scalar[int64](1)}},
		Nodes:   numbered(append(first, nodes...)...),
		Outputs: []graph.Decl{output("y")},
	}
}

func of(names ...string) []string { return names }

// TestShapesDecideBranches: once shapes are known, an If about them is no step, and what
// comes behind it has its place.
func TestShapesDecideBranches(t *testing.T) {
	product, twice := []graph.Node{node("MatMul", of("x", "w"), "p")}, []graph.Node{node("Add", of("x", "x"), "a")}
	as := func(name string) []graph.Node { return []graph.Node{{Outputs: of(name)}} }
	for name, c := range map[string]struct {
		nodes     []graph.Node
		one, many []float32 // of a row 1 2 3, and of two
	}{
		"the result": {[]graph.Node{choice("single", "y", product, twice)}, []float32{1, 4, 9}, []float32{2, 4, 6, 2, 4, 6}},
		"read behind": {[]graph.Node{choice("single", "b", product, twice), node("Neg", of("b"), "n"), node("Sub", of("n", "b"), "y")},
			[]float32{-2, -8, -18}, []float32{-4, -8, -12, -4, -8, -12}},
		"what is around":  {[]graph.Node{choice("single", "y", as("x"), twice)}, []float32{1, 2, 3}, []float32{2, 4, 6, 2, 4, 6}},
		"a weight":        {[]graph.Node{choice("single", "y", as("w"), twice)}, []float32{1, 0, 0, 0, 2, 0, 0, 0, 3}, []float32{2, 4, 6, 2, 4, 6}},
		"one in another":  {[]graph.Node{choice("single", "y", []graph.Node{choice("single", "i", product, twice)}, twice)}, []float32{1, 4, 9}, []float32{2, 4, 6, 2, 4, 6}},
		"one after other": {[]graph.Node{choice("single", "b", product, twice), choice("single", "y", []graph.Node{node("Neg", of("b"), "n")}, as("b"))}, []float32{-1, -4, -9}, []float32{2, 4, 6, 2, 4, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustCompile(t, byRows(c.nodes...), testOptions())
			for _, rows := range []int{1, 2, 1} {
				want := [][]float32{c.one, c.many}[rows-1]
				x := tensor.Of(slices.Repeat([]float32{1, 2, 3}, rows), int64(rows), 3)
				b, err := p.Bind([][]int64{x.Shape}, 1)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, exact := b.Bytes(); !exact {
					t.Errorf("%d rows: sizes are not known", rows)
				}
				out, err := p.Run(t.Context(), 1, []*tensor.Tensor{x}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := tensor.Data[float32](out[0]); !slices.Equal(got, want) {
					t.Errorf("%d rows: got %v, want %v", rows, got, want)
				}
				tensor.Spoil(out[0], 0xff) // it must be the caller's own
			}
		})
	}
}

// TestOtherBranchMayNotFit: what cannot be computed is an error only if it is taken.
func TestOtherBranchMayNotFit(t *testing.T) {
	odd := []graph.Node{node("MatMul", of("w", "five"), "p")}
	twice := []graph.Node{node("Add", of("x", "x"), "a")}
	five := graph.Stored{Name: "five", Tensor: tensor.List[float32](1, 2, 3, 4, 5)}
	for name, c := range map[string]struct {
		condition string
		rows      int64
		want      string
	}{
		"never":          {"no", 1, ""},
		"for sure":       {"yes", 1, "does not multiply"},
		"not by shape":   {"single", 2, ""},
		"by shape":       {"single", 1, "does not multiply"},
		"not by a value": {"c", 2, ""},
		"by a value":     {"c", 1, "does not multiply"},
	} {
		t.Run(name, func(t *testing.T) {
			g := byRows(choice(c.condition, "y", odd, twice))
			g.Stored = append(g.Stored, five, graph.Stored{Name: "no", Tensor: tensor.Scalar(false)}, graph.Stored{Name: "yes", Tensor: tensor.Scalar(true)})
			g.Inputs = append(g.Inputs, graph.Decl{Name: "c", Type: tensor.Bool, Ranked: true, Shape: []int64{}})
			x := tensor.Of(make([]float32, 3*c.rows), c.rows, 3)
			p, err := Compile(t.Context(), g, testOptions())
			if err == nil {
				_, err = p.Run(t.Context(), 1, []*tensor.Tensor{x, tensor.Scalar(c.rows == 1)}, nil)
			}
			if c.want == "" && err != nil || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestOtherBranchMustBeKnown: an operator that is missing may be needed any time.
func TestOtherBranchMustBeKnown(t *testing.T) {
	twice := []graph.Node{node("Add", of("x", "x"), "a")}
	if _, err := Compile(t.Context(), byRows(choice("single", "y", []graph.Node{node("Unheard", of("x"), "u")}, twice)), testOptions()); !strings.Contains(fmt.Sprint(err), op.ErrUnsupported.Error()) {
		t.Errorf("got %v", err)
	}
}
