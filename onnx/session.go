package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/onnx/internal/fuse"
	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ValueInfo describes an input or output of a model. A dimension that the model
// leaves open is -1 in Shape; Symbols holds its name, "" if it has none, and may be nil
// for what is no session's. A nil Shape means that even the rank is open; a scalar's is
// empty and not nil. Item and Inner are the types of what a sequence or an optional holds.
type ValueInfo struct {
	Name        string
	Type        tensor.DataType
	Shape       []int64
	Symbols     []string
	Item, Inner tensor.DataType
}

// String is the value's name, type and shape, as in "x float32[batch 3 -1]".
func (v ValueInfo) String() string {
	s := v.Name + " " + v.Type.String()
	switch {
	case !v.Type.Element():
		return s + " of " + v.Item.String()
	case v.Shape == nil:
		return s + " of any shape"
	}
	dims := make([]string, len(v.Shape))
	for i, d := range v.Shape {
		dims[i] = fmt.Sprint(d)
		if i < len(v.Symbols) && v.Symbols[i] != "" {
			dims[i] = v.Symbols[i]
		}
	}
	return s + "[" + strings.Join(dims, " ") + "]"
}

// Session is a model that is ready to run. It is immutable and safe for
// concurrent use; all runs share one copy of the weights.
type Session struct {
	limits  Limits
	threads int
	inputs  []ValueInfo
	outputs []ValueInfo
	program *plan.Program
	rows    *rows // nil: not asked for
}

// Weights is how many bytes of weights and constants the session holds between runs, at
// most. Those of graphs inside its graph are not counted.
func (s *Session) Weights() int64 { return s.program.Weights() }

// Option changes how a session is made.
type Option func(*options)

type options struct {
	plan    plan.Options
	threads int
	err     error
}

// WithThreads lets each run use up to n threads. The results are the same for every
// n. Default 1: a server that runs several requests at once gets most out of that.
func WithThreads(n int) Option {
	return func(o *options) {
		if n < 1 {
			o.err = fmt.Errorf("onnx: %d threads, must be at least 1", n)
		}
		o.threads = n
	}
}

// WithInstructions makes the session use the kernels of a set of instructions, which
// this machine must have: one of those that [Instructions] lists. Default: the best.
func WithInstructions(name string) Option {
	return func(o *options) {
		for _, l := range kernel.Levels() {
			if l.String() == name {
				o.plan.Level = l
				return
			}
		}
		o.err = fmt.Errorf("onnx: instructions %q, this machine has %q", name, Instructions())
	}
}

// Instructions lists the sets of instructions that this machine has kernels for, the
// best last. "portable" is Go without assembly.
func Instructions() []string {
	var names []string
	for _, l := range kernel.Levels() {
		names = append(names, l.String())
	}
	return names
}

// WithoutFusion runs the model's operators one by one, as they stand in the file.
// Results differ by rounding only: tests use it to show that.
func WithoutFusion() Option { return func(o *options) { o.plan.Rewrite = nil } }

// WithPoison fills the memory of each run with garbage first. Results do not change:
// tests use it to show that no run reads what another one left.
func WithPoison() Option { return func(o *options) { o.plan.Poison = 0xff } }

// NewSession checks that every operator, type and shape of the model can be
// computed, and prepares its weights. Errors name the node, the operand and the
// reason. The session takes the weights over: a model makes one session.
//
// What it takes is bounded by the model's limits. A server that loads models of others
// calls [NewSessionContext] with a deadline.
func NewSession(m *Model, opts ...Option) (*Session, error) {
	return NewSessionContext(context.Background(), m, opts...)
}

// NewSessionContext is NewSession until the context ends; then it returns the context's
// error, some milliseconds later or when the weight at hand is laid out, and the model
// cannot be used any more. The session does not depend on the context.
func NewSessionContext(ctx context.Context, m *Model, opts ...Option) (s *Session, err error) {
	defer recovered(&err, func() { s = nil })
	if m == nil || m.graph == nil {
		return nil, errors.New("onnx: no model, or one that a session was made of already")
	}
	o := options{threads: 1, plan: plan.Options{Limits: m.limits.plan(), Table: op.Table(), Level: kernel.Best(), Rewrite: fuse.All}}
	for _, opt := range opts {
		opt(&o)
	}
	if o.err != nil {
		return nil, o.err
	}
	g := m.graph
	for _, d := range g.Inputs {
		if d.Type == 0 {
			return nil, fmt.Errorf("onnx: input %s has no type", quote(d.Name))
		}
	}
	m.graph = nil // some of its weights may be laid out by the time of an error
	p, err := plan.Compile(ctx, g, o.plan)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", public(err))
	}
	s = &Session{limits: m.limits, threads: o.threads, program: p}
	s.describe(g)
	if o.plan.Outline {
		s.rows = &rows{outline: p.Outline()}
	}
	return s, nil
}

// plan is the part of the limits that runs are held to.
func (l Limits) plan() plan.Limits {
	return plan.Limits{Rank: l.Rank, Elements: l.Elements, Bytes: l.RunBytes, Steps: l.RunSteps}
}

// describe keeps what callers may know of inputs and outputs.
func (s *Session) describe(g *graph.Graph) {
	p := s.program
	for _, id := range p.Inputs {
		i := slices.IndexFunc(g.Inputs, func(d graph.Decl) bool { return d.Name == p.Values[id].Name })
		s.inputs = append(s.inputs, describe(g.Inputs[i], p.Values[id].Info))
	}
	for i, d := range g.Outputs {
		s.outputs = append(s.outputs, describe(d, p.Values[p.Outputs[i]].Info))
	}
}

// describe joins what the model says about a value with what was inferred.
func describe(d graph.Decl, found op.Info) ValueInfo {
	out := ValueInfo{Name: d.Name, Type: found.Type, Item: found.Item, Inner: found.Inner}
	switch {
	case d.Ranked:
		out.Shape, out.Symbols = append([]int64{}, d.Shape...), slices.Clone(d.Symbols)
	case found.Ranked:
		out.Shape, out.Symbols = append([]int64{}, found.Shape...), make([]string, len(found.Shape))
	}
	return out
}

// public gives an error about a step, and about one in a graph inside of it, the type
// that callers know.
func public(err error) error {
	var at *plan.StepError
	if errors.As(err, &at) {
		return failed(at.Node, public(at.Reason))
	}
	return err
}

// Inputs lists what Run needs, in the model's order. The caller owns the list.
func (s *Session) Inputs() []ValueInfo { return cloneInfos(s.inputs) }

// Outputs lists what Run returns, in the model's order. The caller owns the list.
func (s *Session) Outputs() []ValueInfo { return cloneInfos(s.outputs) }

func cloneInfos(list []ValueInfo) []ValueInfo {
	out := slices.Clone(list)
	for i := range out {
		out[i].Shape = slices.Clone(out[i].Shape)
		out[i].Symbols = slices.Clone(out[i].Symbols)
	}
	return out
}

// Memory is what a run takes, in bytes, beside the session's weights and the inputs.
type Memory struct {
	Work    int64 // while it runs
	Outputs int64 // from when they are made until the caller is done with them
	// Exact is false if the model has parts whose size only the run shows, or operators that
	// take memory of their own to compute in another type; they come on top, up to
	// Limits.RunBytes. Lists as long as a dimension come on top in any case.
	Exact bool
}

// Plan tells what a run with inputs of the given shapes takes, without running it. A
// shape that the model does not take, or a run over the limits, is an error.
func (s *Session) Plan(shapes map[string][]int64) (m Memory, err error) {
	defer recovered(&err, func() { m = Memory{} })
	symbols := map[string]int64{}
	ordered := make([][]int64, len(s.inputs))
	for i, want := range s.inputs {
		shape, ok := shapes[want.Name]
		if !ok && want.Type.Element() {
			return Memory{}, &InputError{want.Name, errors.New("has no shape")}
		}
		if err := want.fits(shape, symbols); err != nil {
			return Memory{}, &InputError{want.Name, err}
		}
		ordered[i] = shape
	}
	b, err := s.program.Bind(ordered, s.threads)
	if err != nil {
		return Memory{}, fmt.Errorf("onnx: %w", public(err))
	}
	m.Work, m.Outputs, m.Exact = b.Bytes()
	return m, nil
}

// Run computes all outputs from all inputs, both by name. The tensors it returns
// are the caller's. A wrong input is an *InputError; what only shows while
// running (an index out of range, shapes that do not fit) is a *NodeError; a
// tensor or run over the limits wraps ErrLimit; the context's error is returned
// when it ends, at the latest some milliseconds later.
func (s *Session) Run(ctx context.Context, inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	return s.RunWithin(ctx, inputs, nil)
}

// RunWithin is Run with its inputs, outputs and what is in between taken from a
// share of a budget; nil is no budget. An error that wraps [ErrBusy] says that
// other runs have the memory. What is still taken afterwards is for the outputs:
// the caller releases the share when it is done with them.
func (s *Session) RunWithin(ctx context.Context, inputs map[string]*tensor.Tensor, share *Share) (out map[string]*tensor.Tensor, err error) {
	defer recovered(&err, func() { out = nil })
	feeds, err := s.feed(inputs)
	if err != nil {
		return nil, err
	}
	var taken plan.Share
	if share != nil {
		taken = share
	}
	results, err := s.program.Run(ctx, s.threads, feeds, taken)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", public(err))
	}
	if out, err = s.named(results); err != nil && share != nil {
		for _, t := range results { // nobody has them
			share.Give(t.Bytes())
		}
	}
	return out, err
}

// named holds results to what the model declares of its outputs.
func (s *Session) named(results []*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	out := make(map[string]*tensor.Tensor, len(results))
	for i, t := range results {
		want := s.outputs[i]
		if err := plan.Agree(want.info(), t); err != nil {
			return nil, fmt.Errorf("onnx: output %s: %w", quote(want.Name), err)
		}
		out[want.Name] = t
	}
	return out, nil
}

// feed checks the inputs against the model and puts them in its order.
func (s *Session) feed(inputs map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	symbols := map[string]int64{}
	feeds := make([]*tensor.Tensor, len(s.inputs))
	for i, want := range s.inputs {
		t, ok := inputs[want.Name]
		if !ok {
			return nil, &InputError{want.Name, errors.New("is missing")}
		}
		if err := want.accepts(t, symbols); err != nil {
			return nil, &InputError{want.Name, err}
		}
		feeds[i] = t
	}
	if len(inputs) == len(s.inputs) {
		return feeds, nil
	}
	for name := range inputs {
		if !slices.ContainsFunc(s.inputs, func(v ValueInfo) bool { return v.Name == name }) {
			return nil, &InputError{name, errors.New("the model has no such input")}
		}
	}
	return feeds, nil
}

func (v ValueInfo) info() op.Info {
	return op.Info{Type: v.Type, Item: v.Item, Inner: v.Inner, Ranked: v.Shape != nil, Shape: v.Shape}
}

// accepts holds a tensor to the type and shape that the model declares.
func (v ValueInfo) accepts(t *tensor.Tensor, symbols map[string]int64) error {
	if err := t.Check(); err != nil {
		return err
	}
	if t.Type != v.Type {
		return fmt.Errorf("is %s, expected %s", t.Type, v.Type)
	}
	if !t.Type.Element() {
		if t.ItemType != v.Item && (t.ItemType != 0 || len(t.Items) > 0) { // an empty one may not say
			return fmt.Errorf("is a %s of %s, expected one of %s", t.Type, t.ItemType, v.Item)
		}
		return v.acceptsInside(t)
	}
	return v.fits(t.Shape, symbols)
}

// acceptsInside looks at the lists in a list.
func (v ValueInfo) acceptsInside(t *tensor.Tensor) error {
	for i, item := range t.Items {
		if !item.Type.Element() && item.ItemType != v.Inner && (item.ItemType != 0 || len(item.Items) > 0) {
			return fmt.Errorf("item %d is a %s of %s, expected one of %s", i, item.Type, item.ItemType, v.Inner)
		}
	}
	return nil
}

// fits holds a shape to the declared one. A named open dimension must have one size in
// all inputs.
func (v ValueInfo) fits(shape []int64, symbols map[string]int64) error {
	if v.Shape == nil {
		return nil
	}
	if len(shape) != len(v.Shape) {
		return fmt.Errorf("has shape %v, expected %v", shape, v.Shape)
	}
	for i, d := range shape {
		if v.Shape[i] != -1 && v.Shape[i] != d {
			return fmt.Errorf("has shape %v, expected %v", shape, v.Shape)
		}
		name := v.Symbols[i]
		if name == "" {
			continue
		}
		if before, ok := symbols[name]; ok && before != d {
			return fmt.Errorf("has shape %v, but dimension %s is %d in another input", shape, quote(name), before)
		}
		symbols[name] = d
	}
	return nil
}
