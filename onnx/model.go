package onnx

// Model is a parsed model: well formed and bounded, not yet known to be
// runnable. It shares no memory with the bytes it was read from.
type Model struct {
	opset  int64 // version of the default operator set
	graph  *graph
	limits Limits
}

// graph is a GraphProto. Nodes are in execution order (checked by checkGraph).
type graph struct {
	name    string
	nodes   []node
	stored  []storedTensor
	inputs  []valueDecl
	outputs []valueDecl
	values  []valueDecl
}

// storedTensor is an initializer: a weight or a constant of the graph.
type storedTensor struct {
	name   string
	tensor *Tensor
}

// node is a NodeProto. An empty input or output name is an optional one that
// the model leaves out.
type node struct {
	index   int
	name    string
	op      string
	domain  string
	inputs  []string
	outputs []string
	attrs   []attribute
}

// attrKind numbers the kinds of attributes as AttributeProto.AttributeType does.
type attrKind int32

const (
	attrFloat   attrKind = 1
	attrInt     attrKind = 2
	attrString  attrKind = 3
	attrTensor  attrKind = 4
	attrGraph   attrKind = 5
	attrFloats  attrKind = 6
	attrInts    attrKind = 7
	attrStrings attrKind = 8
)

func (k attrKind) String() string {
	names := [...]string{"undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings",
		"tensors", "graphs", "sparse tensor", "sparse tensors", "type", "types"}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// attribute is an AttributeProto; kind says which of the fields holds its value.
type attribute struct {
	name    string
	kind    attrKind
	f       float32
	i       int64
	s       string
	t       *Tensor
	floats  []float32
	ints    []int64
	strings []string
}

// valueDecl is a ValueInfoProto: what the model says about a value. Without a
// shape (ranked false) the rank is open; a dimension of -1 is open.
type valueDecl struct {
	name    string
	typ     DataType
	ranked  bool
	shape   []int64
	symbols []string
}

func (v valueDecl) info() info { return info{typ: v.typ, ranked: v.ranked, shape: v.shape} }
