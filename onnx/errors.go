package onnx

import (
	"errors"
	"fmt"
	"strings"
)

// ErrLimit is wrapped by every error that says a tensor or a run would be
// larger than the limits of the model's session.
var ErrLimit = errors.New("over the limit")

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

func (n *node) fail(err error) error {
	var in *operandError
	if errors.As(err, &in) && in.index < len(n.inputs) {
		err = fmt.Errorf("input %d %s: %w", in.index, quote(n.inputs[in.index]), in.reason)
	}
	return &NodeError{Index: n.index, Name: n.name, Op: n.op, Reason: err}
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

// operandError lets an operator name the operand that is wrong by its number.
type operandError struct {
	index  int
	reason error
}

func (e *operandError) Error() string { return fmt.Sprintf("input %d: %v", e.index, e.reason) }

func badInput(index int, format string, args ...any) error {
	return &operandError{index, fmt.Errorf(format, args...)}
}

// recovered turns a panic into an error. No input is known to cause one; this
// is the last line that keeps a mistake here from ending the process. The
// message holds the panic's type only: its text could hold data of a request.
func recovered(err *error, clear func()) {
	if r := recover(); r != nil {
		clear()
		*err = fmt.Errorf("onnx: internal error (%T)", r)
	}
}
