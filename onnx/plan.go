package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ValueInfo describes an input or output of a model. A dimension that the model
// leaves open is -1 in Shape; Symbols holds its name, "" if it has none. A nil
// Shape means that even the rank is open; a scalar's is empty and not nil.
type ValueInfo struct {
	Name    string
	Type    DataType
	Shape   []int64
	Symbols []string
}

// Session is a model that is ready to run. It is immutable and safe for
// concurrent use; all runs share one copy of the weights.
type Session struct {
	limits  Limits
	inputs  []ValueInfo
	outputs []ValueInfo
	feeds   []int     // value of each input
	results []int     // value of each output
	shared  []bool    // output may share memory with weights, inputs or another value
	fixed   []*Tensor // weights and constants by value; nil: computed or fed
	steps   []step
}

// step is one node of the run. Values are numbers; -1 is one that is left out.
type step struct {
	node *node
	op   operator
	in   []int
	out  []int
	free []int // values that no later step reads
}

// planner turns a graph of names into steps over numbered values.
type planner struct {
	graph   *graph
	limits  Limits
	ids     map[string]int
	infos   []info
	fixed   []*Tensor
	aliased []bool // shares memory with something that outlives its last reader
	steps   []step
}

// foldLimit bounds the operands and results that are computed when the session
// is made: enough for arithmetic on shapes, too little for a model that tries to
// make loading slow.
const foldLimit = 64

// NewSession checks that every operator, type and shape of the model can be
// computed, and plans the run. Errors name the node, the operand and the reason.
func NewSession(m *Model) (s *Session, err error) {
	defer recovered(&err, func() { s = nil })
	if m == nil || m.graph == nil {
		return nil, errors.New("onnx: no model")
	}
	p := &planner{graph: m.graph, limits: m.limits, ids: map[string]int{}}
	if s, err = p.session(m.opset); err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return s, nil
}

func (p *planner) session(opset int64) (*Session, error) {
	ops, err := makeOperators(p.graph, opset)
	if err != nil {
		return nil, err
	}
	s := &Session{limits: p.limits}
	if err := p.declare(s); err != nil {
		return nil, err
	}
	for i := range p.graph.nodes {
		if err := p.node(&p.graph.nodes[i], ops[i]); err != nil {
			return nil, p.graph.nodes[i].fail(err)
		}
	}
	if err := p.agree(); err != nil {
		return nil, err
	}
	if err := p.finish(s); err != nil {
		return nil, err
	}
	s.fixed, s.steps = p.fixed, p.steps
	return s, nil
}

var errUnsupported = errors.New("operator is not supported by this engine")

// makeOperators makes every node's operator. It names all operators that are
// missing at once, so that a user need not try a model ten times.
func makeOperators(g *graph, opset int64) ([]operator, error) {
	table := operatorTable()
	ops := make([]operator, len(g.nodes))
	var missing []string
	var first error
	for i := range g.nodes {
		n := &g.nodes[i]
		op, err := makeOperator(n, table, opset)
		switch {
		case errors.Is(err, errUnsupported):
			if name := strings.Trim(quote(n.op), `"`); !slices.Contains(missing, name) && len(missing) < 100 {
				missing = append(missing, name)
			}
			if first == nil {
				first = n.fail(err)
			}
		case err != nil:
			return nil, n.fail(err)
		}
		ops[i] = op
	}
	if len(missing) > 1 {
		return nil, fmt.Errorf("%w; missing in all: %s", first, strings.Join(missing, ", "))
	}
	return ops, first
}

// value enters a value and returns its number.
func (p *planner) value(name string, v info, fixed *Tensor) int {
	id := len(p.infos)
	if name != "" {
		p.ids[name] = id
	}
	p.infos = append(p.infos, v)
	p.fixed = append(p.fixed, fixed)
	p.aliased = append(p.aliased, fixed != nil)
	return id
}

// declare enters initializers and inputs.
func (p *planner) declare(s *Session) error {
	for _, st := range p.graph.stored {
		p.value(st.name, known(st.tensor), st.tensor)
	}
	for _, v := range p.graph.inputs {
		if id, ok := p.ids[v.name]; ok { // a weight that is also listed as an input
			if err := agree(v.info(), p.infos[id]); err != nil {
				return fmt.Errorf("input %s: %w", quote(v.name), err)
			}
			continue
		}
		if !v.typ.Supported() {
			return fmt.Errorf("input %s: element type %s is not supported; this engine has float32, int64, bool and string",
				quote(v.name), v.typ)
		}
		id := p.value(v.name, v.info(), nil)
		p.aliased[id] = true
		s.feeds = append(s.feeds, id)
		s.inputs = append(s.inputs, describe(v, v.info()))
	}
	return nil
}

// describe joins what the model says about a value with what was inferred.
func describe(v valueDecl, found info) ValueInfo {
	out := ValueInfo{Name: v.name, Type: found.typ}
	switch {
	case v.ranked:
		out.Shape, out.Symbols = append([]int64{}, v.shape...), slices.Clone(v.symbols)
	case found.ranked:
		out.Shape, out.Symbols = append([]int64{}, found.shape...), make([]string, len(found.shape))
	}
	return out
}

// node infers one node's results, and computes them if they are constants.
func (p *planner) node(n *node, op operator) error {
	st := step{node: n, op: op, in: make([]int, len(n.inputs)), out: make([]int, len(n.outputs))}
	in := make([]*info, len(n.inputs))
	for i, name := range n.inputs {
		st.in[i] = -1
		if name != "" {
			st.in[i] = p.ids[name]
			in[i] = &p.infos[st.in[i]]
		}
	}
	results, err := op.infer(in)
	if err != nil {
		return err
	}
	for i, r := range results {
		if err := p.limits.checkShape(r); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	fixed, err := p.fold(op, st.in, results)
	if err != nil {
		return err
	}
	for i, r := range results {
		if fixed != nil {
			st.out[i] = p.value(n.outputs[i], known(fixed[i]), fixed[i])
			continue
		}
		st.out[i] = p.value(n.outputs[i], r, nil)
		if _, ok := op.(viewer); ok {
			p.aliased[st.out[i]] = true
		}
	}
	if fixed == nil {
		p.steps = append(p.steps, st)
	}
	return nil
}

// fold returns the results of a node that can be known now, or nil.
func (p *planner) fold(op operator, in []int, results []info) ([]*Tensor, error) {
	if c, ok := op.(constant); ok {
		return []*Tensor{c.tensor}, nil
	}
	allKnown, small := true, true
	for _, r := range results {
		allKnown = allKnown && r.value != nil
		small = small && r.complete() && elements(r.shape) <= foldLimit
	}
	if allKnown {
		return valuesOf(results), nil
	}
	operands := make([]*Tensor, len(in))
	for i, id := range in {
		if id < 0 {
			continue
		}
		t := p.infos[id].value
		if t == nil || t.Len() > foldLimit {
			return nil, nil
		}
		operands[i] = t
	}
	if !small {
		return nil, nil
	}
	return compute(context.Background(), op, operands, results)
}

func valuesOf(results []info) []*Tensor {
	out := make([]*Tensor, len(results))
	for i, r := range results {
		out[i] = r.value
	}
	return out
}

// elements counts a complete shape that passed checkShape.
func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// checkShape holds a result to the limits, as far as its shape is known.
func (l Limits) checkShape(v info) error {
	if !v.ranked {
		return nil
	}
	if len(v.shape) > l.Rank {
		return fmt.Errorf("%w: rank %d, at most %d", ErrLimit, len(v.shape), l.Rank)
	}
	for _, d := range v.shape {
		if d > l.Elements { // an empty tensor, too, must not make a loop count to 2^60
			return fmt.Errorf("%w: dimension %d, at most %d", ErrLimit, d, l.Elements)
		}
	}
	if !v.complete() {
		return nil
	}
	n, err := countElements(v.shape)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLimit, err)
	}
	if n > l.Elements {
		return fmt.Errorf("%w: %d elements, at most %d", ErrLimit, n, l.Elements)
	}
	return nil
}

// agree compares what the model says about its values with what was inferred.
func (p *planner) agree() error {
	for _, list := range [][]valueDecl{p.graph.values, p.graph.outputs} {
		for _, v := range list {
			id, ok := p.ids[v.name]
			if !ok {
				continue
			}
			if err := agree(v.info(), p.infos[id]); err != nil {
				return fmt.Errorf("value %s: %w", quote(v.name), err)
			}
		}
	}
	return nil
}

// agree refuses a declaration that contradicts what is known. An undeclared
// type or shape contradicts nothing.
func agree(declared, found info) error {
	if declared.typ != 0 && declared.typ != found.typ {
		return fmt.Errorf("declared as %s, but is %s", declared.typ, found.typ)
	}
	if !declared.ranked || !found.ranked {
		return nil
	}
	same := len(declared.shape) == len(found.shape)
	for i := 0; same && i < len(declared.shape); i++ {
		_, same = sameDim(declared.shape[i], found.shape[i])
	}
	if !same {
		return fmt.Errorf("declared with shape %v, but has %v", declared.shape, found.shape)
	}
	return nil
}

// finish drops steps that no output needs, and works out each value's lifetime.
func (p *planner) finish(s *Session) error {
	needed := make([]bool, len(p.infos))
	for _, v := range p.graph.outputs {
		id := p.ids[v.name]
		needed[id] = true
		s.results = append(s.results, id)
		s.shared = append(s.shared, p.aliased[id])
		s.outputs = append(s.outputs, describe(v, p.infos[id]))
	}
	kept := make([]step, 0, len(p.steps))
	last := slices.Clone(needed) // outputs outlive every step
	for _, st := range slices.Backward(p.steps) {
		if !slices.ContainsFunc(st.out, func(id int) bool { return needed[id] }) {
			continue
		}
		for _, id := range slices.Concat(st.in, st.out) {
			if id < 0 {
				continue
			}
			needed[id] = true
			if !last[id] && p.fixed[id] == nil {
				last[id] = true
				st.free = append(st.free, id)
			}
		}
		kept = append(kept, st)
	}
	slices.Reverse(kept)
	p.steps = kept
	return nil
}
