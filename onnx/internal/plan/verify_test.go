package plan

import (
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
)

// TestVerifyFindsWhatOverlaps: each condition under which a result may be where an
// operand is, and the ends of the arena.
func TestVerifyFindsWhatOverlaps(t *testing.T) {
	g := &graph.Graph{Inputs: []graph.Decl{input("x", 4)}, Nodes: numbered(node("Neg", []string{"x"}, "a"), node("Relu", []string{"a"}, "b"), node("Softmax", []string{"b"}, "y")), Outputs: []graph.Decl{output("y")}}
	b, err := mustCompile(t, g, testOptions()).Bind([][]int64{{4}}, 1)
	if err != nil || len(b.steps) != 3 {
		t.Fatalf("%v, %v", b, err)
	}
	b.arena = 256
	const relu = 1
	a, r := b.steps[relu].In[0], b.steps[relu].Out[0]
	operand, result := tenant{a, 64, 16, 0, relu}, tenant{r, 64, 16, relu, 2}
	if err := b.apart(relu, []tenant{operand, result}); err != nil {
		t.Errorf("in the place of its operand: %v", err)
	}
	for name, change := range map[string]func(o, r *tenant) int{
		"an operand that is read later":   func(o, _ *tenant) int { o.to = 2; return relu },
		"a part of the operand":           func(_, r *tenant) int { r.offset += 4; r.bytes -= 4; return relu },
		"less than the operand":           func(_, r *tenant) int { r.bytes -= 4; return relu },
		"scratch memory":                  func(o, _ *tenant) int { o.id = -1; return relu },
		"what is no result":               func(_, r *tenant) int { r.id = a; return relu },
		"an operator that does not allow": func(o, r *tenant) int { o.to = 2; return 2 },
		"memory before the arena":         func(o, _ *tenant) int { o.offset = -64; return relu },
		"less than no memory":             func(o, _ *tenant) int { o.bytes = -16; return relu },
		"memory behind the arena":         func(o, _ *tenant) int { o.offset = 256; return relu },
	} {
		o, r := operand, result
		if step := change(&o, &r); b.apart(step, []tenant{o, r}) == nil {
			t.Errorf("%s is shared", name)
		}
	}
}
