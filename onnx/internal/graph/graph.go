// Package graph is a model's graph as data: what the file says, with names, before
// anything is known of types, shapes or operators. The parser makes it, the checker
// and the rewriter read it, and the planner turns it into steps.
package graph

import "github.com/blindbox/blindbox/onnx/tensor"

// Graph is a GraphProto of the ONNX specification.
type Graph struct {
	Name    string
	Nodes   []Node
	Stored  []Stored
	Inputs  []Decl
	Outputs []Decl
	Values  []Decl
}

// Stored is an initializer: a weight or a constant of the graph.
type Stored struct {
	Name     string
	Tensor   *tensor.Tensor
	Mirrored *tensor.Tensor // instead of Tensor: a matrix of the same graph, whose transpose this is
}

// Like is a tensor with as many elements and bytes.
func (s Stored) Like() *tensor.Tensor {
	if s.Mirrored != nil {
		return s.Mirrored
	}
	return s.Tensor
}

// Node is a NodeProto. An empty input or output name is an optional one that the
// model leaves out. Index is its place in the file, for messages.
type Node struct {
	Index    int
	Name     string
	Op       string
	Domain   string
	Opset    int64  // version of the node's domain
	Overload string // which of the model's functions of one name; none is left after the parser
	Inputs   []string
	Outputs  []string
	Attrs    []Attribute
}

// Kind numbers the kinds of attributes as AttributeProto.AttributeType does.
type Kind int32

// The kinds of attributes that this engine reads.
const (
	Float   Kind = 1
	Int     Kind = 2
	String  Kind = 3
	Tensor  Kind = 4
	Sub     Kind = 5 // a graph
	Floats  Kind = 6
	Ints    Kind = 7
	Strings Kind = 8
	Tensors Kind = 9
	Type    Kind = 13
)

func (k Kind) String() string {
	names := [...]string{"undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings",
		"tensors", "graphs", "sparse tensor", "sparse tensors", "type", "types"}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Attribute is an AttributeProto; Kind says which of the fields holds its value.
type Attribute struct {
	Name    string
	Kind    Kind
	F       float32
	I       int64
	S       string
	T       *tensor.Tensor
	G       *Graph
	Floats  []float32
	Ints    []int64
	Strings []string
	Tensors []*tensor.Tensor
	Type    Decl   // without a name
	Ref     string // the attribute of the function around it that has the value; none is left after the parser
}

// Decl is a ValueInfoProto: what the model says about a value. Without a shape
// (Ranked false) the rank is open; a dimension of -1 is open. For sequences and
// optionals, Item is the type of what they hold, and Inner what a held list holds.
type Decl struct {
	Name    string
	Type    tensor.DataType
	Item    tensor.DataType
	Inner   tensor.DataType
	Ranked  bool
	Shape   []int64
	Symbols []string
}

// Versioned enters the version of the standard operator set at all nodes.
func (g *Graph) Versioned(opset int64) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.Opset = opset
		for _, a := range n.Attrs {
			if a.Kind == Sub {
				a.G.Versioned(opset)
			}
		}
	}
}

// Release lets go of all stored values: whoever has made something of the graph has
// taken those that it needs.
func (g *Graph) Release() {
	g.Stored = nil
	for i := range g.Nodes {
		for k := range g.Nodes[i].Attrs {
			a := &g.Nodes[i].Attrs[k]
			a.T, a.Tensors = nil, nil
			if a.G != nil {
				a.G.Release()
			}
		}
	}
}
