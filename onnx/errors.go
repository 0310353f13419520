package onnx

import (
	"errors"
	"fmt"
	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"strings"
)

// ErrLimit is wrapped by every error that says a tensor or a run would be
// larger than the limits of the model's session.
var ErrLimit = plan.ErrLimit

// NodeError says which node of a graph is wrong, and why.
type NodeError struct {
	Index  int    // position in the graph's list of nodes
	Name   string // the node's name, often empty
	Op     string // its operator
	Reason error
}

func (e *NodeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %d", e.Index)
	if e.Name != "" {
		b.WriteString(" " + quote(e.Name))
	}
	if e.Op != "" {
		b.WriteString(" (" + strings.Trim(quote(e.Op), `"`) + ")")
	}
	return b.String() + ": " + e.Reason.Error()
}

func (e *NodeError) Unwrap() error { return e.Reason }

// quote bounds a name from a model before it goes into a message.
func quote(name string) string { return op.Quote(name) }

// failed says which node an error is about, and by name which operand.
func failed(n *graph.Node, err error) error {
	var in *op.OperandError
	if errors.As(err, &in) && in.Index < len(n.Inputs) {
		err = fmt.Errorf("input %d %s: %w", in.Index, quote(n.Inputs[in.Index]), in.Reason)
	}
	return &NodeError{Index: n.Index, Name: n.Name, Op: n.Op, Reason: err}
}

// InputError says what is wrong with a tensor that was handed to Run.
type InputError struct {
	Name   string
	Reason error
}

func (e *InputError) Error() string {
	return fmt.Sprintf("onnx: input %s: %v", quote(e.Name), e.Reason)
}

func (e *InputError) Unwrap() error { return e.Reason }

// recovered turns a panic into an error. No input is known to cause one; this
// is the last line that keeps a mistake here from ending the process. The
// message holds the panic's type only: its text could hold data of a request.
func recovered(err *error, clear func()) {
	if r := recover(); r != nil {
		clear()
		*err = fmt.Errorf("onnx: internal error (%T)", r)
	}
}
