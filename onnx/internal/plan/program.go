// Package plan turns a graph into a program and runs it. A program is steps over
// numbered values (compile.go, pack.go); bound to the shapes of its inputs it knows the place
// of every value in memory and what a run takes, before it takes it (bind.go,
// memory.go); then it runs (run.go). Graphs inside nodes are programs of their own
// (body.go).
//
// What only shows while a run goes on, such as how often a loop turns, is counted as
// it comes (ledger.go).
package plan

import (
	"context"
	"fmt"
	"sync"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ErrLimit is wrapped by every error that says something would be larger than the
// limits.
var ErrLimit = op.ErrLimit

// Limits bounds what a program may hold and do.
type Limits struct {
	Rank     int
	Elements int64 // of any one tensor
	Bytes    int64 // of all tensors that are alive at the same time in one run
	Steps    int64 // turns of all loops of one run together
}

// Options says how programs are made.
type Options struct {
	Limits  Limits
	Table   map[string]op.Spec
	Level   kernel.Level
	Rewrite func(*Program) error // replaces steps by faster ones; nil: none
	Poison  byte                 // not 0: fill memory with this before each run, to show that nothing reads it
	Outline bool                 // keep what the program is before it is rewritten
	making  *making
	inner   bool // it is a graph inside of a node
}

// making is what all graphs of a program have in common while it is compiled.
type making struct {
	context context.Context // nil: nothing ends it; afterwards, too
	spare   int64           // bytes of results that may still be computed
}

func (m *making) err() error {
	if m.context == nil {
		return nil
	}
	return m.context.Err()
}

// Program is a graph that is ready to be bound to shapes. It is immutable and safe
// for concurrent use once Compile has returned it.
type Program struct {
	Values  []Value
	Steps   []Step
	Inputs  []int // values that a run is given
	Outputs []int // values that a run gives; one may be there twice
	options Options
	weights int64 // bytes of tensors that it keeps between runs, at most
	work    int64 // what it takes, at most, to infer all steps and those of graphs inside, in steps
	mu      sync.Mutex
	bound   []*Bound // most recently used last
	idle    idle
	outline *Outline
}

// Weights is how many bytes of tensors the program keeps between runs, at most.
func (p *Program) Weights() int64 { return p.weights }

// Value is what a program computes with. A fixed one has Info.Value set: a weight or
// a constant.
type Value struct {
	Name string
	Info op.Info
}

// Step is one operator at work. Values are numbers; -1 is one that is left out.
type Step struct {
	Node *graph.Node // for messages
	Op   op.Operator
	In   []int
	Out  []int
}

// Operators is the table that the program's operators are made from.
func (p *Program) Operators() map[string]op.Spec { return p.options.Table }

// Err is the error of the context that the program is compiled under. Long rewrites ask
// for it.
func (p *Program) Err() error { return p.options.making.err() }

// on is what operators run on outside of runs.
func (p *Program) on() *kernel.On {
	return &kernel.On{Context: p.options.making.context, Level: p.options.Level}
}

// Level is the instructions that the program's steps may use.
func (p *Program) Level() kernel.Level { return p.options.Level }

// Add enters a value and returns its number.
func (p *Program) Add(name string, info op.Info) int {
	p.Values = append(p.Values, Value{name, info})
	return len(p.Values) - 1
}

// Fixed returns the elements of a weight or constant; nil for any other value.
func (p *Program) Fixed(id int) *tensor.Tensor {
	if id < 0 {
		return nil
	}
	return p.Values[id].Info.Value
}

// FixedBytes is the memory of all weights and constants that the program holds as
// tensors.
func (p *Program) FixedBytes() int64 {
	n := int64(0)
	for _, v := range p.Values {
		if v.Info.Value != nil {
			n += v.Info.Value.Bytes()
		}
	}
	return n
}

// infos collects what is known of a step's operands.
func (p *Program) infos(ids []int) []*op.Info {
	in := make([]*op.Info, len(ids))
	for i, id := range ids {
		if id >= 0 {
			in[i] = &p.Values[id].Info
		}
	}
	return in
}

// StepError says in which step something went wrong.
type StepError struct {
	Node   *graph.Node
	Reason error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("node %d (%s): %v", e.Node.Index, e.Node.Op, e.Reason)
}

func (e *StepError) Unwrap() error { return e.Reason }

// failed names the node of an error. One in a graph inside is named behind it.
func failed(n *graph.Node, err error) error { return &StepError{n, err} }
