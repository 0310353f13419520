package onnx

import (
	"cmp"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
)

// Description is what a model's file says of the model, whether or not it can be run.
type Description struct {
	Opset      int64 // version of the standard operator set
	Inputs     []ValueInfo
	Outputs    []ValueInfo
	Operators  []OperatorUse // in the order of their names
	Tensors    int           // stored ones: initializers, and the values of Constant nodes
	Parameters int64         // elements of all of them
	Bytes      int64         // and what those take
}

// OperatorUse says how often a model uses an operator. The name of one from outside of
// the standard set has its domain in front, with a colon.
type OperatorUse struct {
	Name      string
	Nodes     int  // in all graphs
	Supported bool // by this engine, in some version and form
}

// Describe lists what the file says. A model that a session was made of has nothing
// left to say.
func (m *Model) Describe() Description {
	if m == nil || m.graph == nil {
		return Description{}
	}
	d := &describer{uses: map[string]int{}}
	d.graph(m.graph)
	out := Description{Opset: m.opset, Tensors: d.tensors, Parameters: d.elements, Bytes: d.bytes}
	out.Inputs, out.Outputs = inputsOf(m.graph), declared(m.graph.Outputs)
	table := op.Table()
	for name, n := range d.uses {
		_, ok := table[name]
		out.Operators = append(out.Operators, OperatorUse{name, n, ok})
	}
	slices.SortFunc(out.Operators, func(a, b OperatorUse) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// inputsOf leaves out the weights that file format 3 lists as inputs too.
func inputsOf(g *graph.Graph) []ValueInfo {
	stored := make(map[string]bool, len(g.Stored))
	for _, s := range g.Stored {
		stored[s.Name] = true
	}
	return declared(slices.DeleteFunc(slices.Clone(g.Inputs), func(d graph.Decl) bool { return stored[d.Name] }))
}

func declared(list []graph.Decl) []ValueInfo {
	out := make([]ValueInfo, len(list))
	for i, d := range list {
		out[i] = describe(d, op.Info{Type: d.Type, Item: d.Item, Inner: d.Inner})
	}
	return out
}

// describer counts what is in a graph and in those inside its nodes.
type describer struct {
	uses            map[string]int
	tensors         int
	elements, bytes int64
}

func (d *describer) graph(g *graph.Graph) {
	for _, s := range g.Stored {
		d.tensors++
		d.elements += int64(s.Like().Len())
		d.bytes += s.Like().Bytes()
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		d.uses[op.Name(n)]++
		for _, a := range n.Attrs {
			d.attribute(a)
		}
	}
}

func (d *describer) attribute(a graph.Attribute) {
	switch {
	case a.Kind == graph.Sub:
		d.graph(a.G)
	case a.Kind == graph.Tensor:
		d.tensors++
		d.elements += int64(a.T.Len())
		d.bytes += a.T.Bytes()
	}
}
