package plan

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// mirror enters a weight that is the transpose of another one. If all that reads it is
// a product, a step stands for it: the rewriter lets the product read the other matrix
// as it is.
func (c *compiler) mirror(s graph.Stored) error {
	of := slices.IndexFunc(c.Values, func(v Value) bool { return v.Info.Value == s.Mirrored })
	n := &graph.Node{Name: s.Name, Op: "Transpose", Opset: 1, Inputs: []string{c.Values[of].Name}, Outputs: []string{s.Name}}
	o, err := op.New(n, c.options.Table, nil)
	if err != nil {
		return err
	}
	st := Step{Node: n, Op: o, In: []int{of}}
	results, err := c.infer(&st, 1)
	if err != nil {
		return err
	}
	st.Out = []int{c.named(s.Name, results[0])}
	if c.options.Rewrite != nil && c.multiplied(s.Name) {
		c.readers[n.Inputs[0]]++
		c.Steps = append(c.Steps, st)
		c.mirrors = append(c.mirrors, st.Out[0])
		return nil
	}
	return c.transposed(&st)
}

// multiplied says whether a name is read once only, as the right side of a product.
func (c *compiler) multiplied(name string) bool {
	return c.readers[name] == 1 && slices.ContainsFunc(c.graph.Nodes, func(n graph.Node) bool {
		return (op.Name(&n) == "MatMul" || op.Name(&n) == "Gemm") && len(n.Inputs) > 1 && n.Inputs[1] == name
	})
}

// transposed computes the result of such a step now.
func (c *compiler) transposed(st *Step) error {
	v := &c.Values[st.Out[0]]
	made, err := compute(c.on(), st.Op, []*tensor.Tensor{c.Fixed(st.In[0])}, []op.Info{v.Info})
	if err != nil {
		return err
	}
	v.Info = op.Known(made[0])
	return nil
}

// reflect computes those transposes that something reads still.
func (c *compiler) reflect() error {
	if len(c.mirrors) == 0 {
		return nil
	}
	kept := make([]Step, 0, len(c.Steps))
	for _, st := range c.Steps {
		if len(st.Out) != 1 || !slices.Contains(c.mirrors, st.Out[0]) {
			kept = append(kept, st)
			continue
		}
		if err := c.transposed(&st); err != nil {
			return err
		}
	}
	c.Steps = kept
	c.Prune()
	return nil
}
