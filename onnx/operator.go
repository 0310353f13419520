package onnx

import (
	"context"
	"fmt"
)

// operator is one node's computation, with its attributes read and checked. It
// is immutable and safe for concurrent use.
type operator interface {
	// infer returns the type and, as far as it follows from what is known of the
	// operands, the shape of every result. An operand that the model leaves out
	// is nil. If all operands are complete and have values, so are the results.
	infer(in []*info) ([]info, error)
	// run computes the results into out. Their shapes are those of infer; their
	// elements are zero. run is not called if no result has an element.
	run(ctx context.Context, in, out []*Tensor) error
}

// viewer is an operator whose result has the elements of operand 0 under
// another shape. The engine lets both share memory and does not call run.
type viewer interface{ view() }

// operatorSpec says how many operands and results a node may have, and makes its
// operator from its attributes.
type operatorSpec struct {
	minIn, maxIn int
	maxOut       int
	make         func(a *attributes, opset int64) (operator, error)
}

// variadic is more operands than any limit lets through.
const variadic = 1 << 30

// operatorTable lists every operator of the engine, by family.
func operatorTable() map[string]operatorSpec {
	table := map[string]operatorSpec{}
	for _, family := range []map[string]operatorSpec{
		arithmeticOperators(), unaryOperators(), logicOperators(), matrixOperators(), softmaxOperators(),
		reduceOperators(), shapeOperators(), moveOperators(), constantOperators(),
	} {
		for name, spec := range family {
			table[name] = spec
		}
	}
	return table
}

// makeOperator checks a node's operands and attributes and returns its operator.
func makeOperator(n *node, table map[string]operatorSpec, opset int64) (operator, error) {
	spec, ok := table[n.op]
	if !ok {
		return nil, errUnsupported
	}
	if len(n.inputs) < spec.minIn || len(n.inputs) > spec.maxIn {
		return nil, fmt.Errorf("has %d inputs, expected %s", len(n.inputs), between(spec.minIn, spec.maxIn))
	}
	if len(n.outputs) < 1 || len(n.outputs) > spec.maxOut {
		return nil, fmt.Errorf("has %d outputs, expected %s", len(n.outputs), between(1, spec.maxOut))
	}
	a := newAttributes(n)
	op, err := spec.make(a, opset)
	if a.err() != nil { // the first cause: what make saw may be a default
		return nil, a.err()
	}
	return op, err
}

func between(low, high int) string {
	switch {
	case low == high:
		return fmt.Sprint(low)
	case high == variadic:
		return fmt.Sprintf("%d or more", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// attributes hands out a node's attributes once each, by kind. What nobody asked
// for is an error: an attribute that is not understood may change the meaning.
type attributes struct {
	left  map[string]attribute
	first error
}

func newAttributes(n *node) *attributes {
	a := &attributes{left: make(map[string]attribute, len(n.attrs))}
	for _, at := range n.attrs {
		a.left[at.name] = at
	}
	return a
}

func (a *attributes) take(name string, kind attrKind) (attribute, bool) {
	at, ok := a.left[name]
	if !ok {
		return at, false
	}
	delete(a.left, name)
	if at.kind != kind {
		if a.first == nil {
			a.first = fmt.Errorf("attribute %s is %s, expected %s", quote(name), at.kind, kind)
		}
		return at, false
	}
	return at, true
}

func (a *attributes) has(name string) bool {
	_, ok := a.left[name]
	return ok
}

func (a *attributes) int(name string, otherwise int64) int64 {
	if at, ok := a.take(name, attrInt); ok {
		return at.i
	}
	return otherwise
}

// flag reads an int that must be 0 or 1.
func (a *attributes) flag(name string, otherwise bool) bool {
	at, ok := a.take(name, attrInt)
	if !ok {
		return otherwise
	}
	if at.i != 0 && at.i != 1 && a.first == nil {
		a.first = fmt.Errorf("attribute %s is %d, must be 0 or 1", quote(name), at.i)
	}
	return at.i == 1
}

func (a *attributes) float(name string, otherwise float32) float32 {
	if at, ok := a.take(name, attrFloat); ok {
		return at.f
	}
	return otherwise
}

func (a *attributes) ints(name string) ([]int64, bool) {
	at, ok := a.take(name, attrInts)
	return at.ints, ok
}

// err returns the first attribute that was wrong, or is left over.
func (a *attributes) err() error {
	if a.first != nil {
		return a.first
	}
	worst := ""
	for name := range a.left {
		if worst == "" || name < worst {
			worst = name
		}
	}
	if len(a.left) > 0 {
		return fmt.Errorf("attribute %s is not known", quote(worst))
	}
	return nil
}
