// Package onnx answers one question: what does this ONNX model say about these
// inputs? It reads a model, checks it, and runs it, in Go alone.
//
// It stands inside the box, where both the model file and the inputs may be
// hostile. So nothing in it opens a file, reaches a network or follows a
// reference out of the bytes it was given; every size is checked before memory
// is taken; an operator that it does not have is refused when the session is
// made and never in the middle of a run; and no input makes it panic.
//
// The steps are files: parse.go (bytes to Model), check.go (one graph, well
// formed), infer.go and plan.go (types, shapes, lifetimes), session.go (the
// run), op_*.go (operators, one family each), internal/kernel (the loops).
package onnx

import (
	"context"
	"errors"
)

var errNotYet = errors.New("onnx: not built yet")

// ValueInfo describes an input or output of a model. A dimension that the model
// leaves open is -1 in Shape; Symbols holds its name, "" if it has none.
type ValueInfo struct {
	Name    string
	Type    DataType
	Shape   []int64
	Symbols []string
}

// Model is a parsed model: well formed, bounded, not yet known to be runnable.
type Model struct{}

// Parse reads the bytes of an .onnx file (a ModelProto of the ONNX
// specification) within the limits.
func Parse(model []byte, lim Limits) (*Model, error) { return nil, errNotYet }

// Session is a model that is ready to run. It is immutable and safe for
// concurrent use.
type Session struct{}

// NewSession checks that every operator, type and shape of the model can be
// computed, and plans the run.
func NewSession(m *Model) (*Session, error) { return nil, errNotYet }

// Inputs lists what Run needs, in the model's order.
func (s *Session) Inputs() []ValueInfo { return nil }

// Outputs lists what Run returns, in the model's order.
func (s *Session) Outputs() []ValueInfo { return nil }

// Run computes all outputs from all inputs, both by name.
func (s *Session) Run(ctx context.Context, inputs map[string]*Tensor) (map[string]*Tensor, error) {
	return nil, errNotYet
}
