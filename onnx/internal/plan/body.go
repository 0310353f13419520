package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// body is a graph inside a node, as a program. All bodies of one node take the same
// captured values.
type body struct {
	program  *Program
	declared []op.Info
	captured int
}

// bodies compiles the graphs inside a node. What they read from around them becomes
// further operands of the node.
func (c *compiler) bodies(n *graph.Node) (map[string]op.Body, []int, error) {
	free := map[string]bool{}
	for _, a := range n.Attrs {
		if a.Kind == graph.Sub {
			freeNames(a.G, nil, free)
		}
	}
	var captured, constants []Value
	var ids []int
	for _, name := range slices.Sorted(maps.Keys(free)) {
		id, ok := c.ids[name]
		if !ok {
			return nil, nil, fmt.Errorf("a graph inside reads %s, which nothing makes", op.Quote(name))
		}
		v := Value{name, c.Values[id].Info}
		if v.Info.Value != nil {
			constants = append(constants, v)
			continue
		}
		captured = append(captured, v)
		ids = append(ids, id)
	}
	var all map[string]op.Body
	for _, a := range n.Attrs {
		if a.Kind != graph.Sub {
			continue
		}
		b, err := c.body(n, a, captured, constants)
		if err != nil {
			return nil, nil, fmt.Errorf("graph %s: %w", op.Quote(a.Name), err)
		}
		if all == nil {
			all = map[string]op.Body{}
		}
		all[a.Name] = b
	}
	return all, ids, nil
}

// body compiles one graph inside a node. A branch that is never taken is not looked at,
// and one that cannot be computed with what is known is an error when it is taken: the
// condition may be there to avoid it. What no condition mends is one now.
func (c *compiler) body(n *graph.Node, a graph.Attribute, captured, constants []Value) (op.Body, error) {
	if c.never(n, a.Name) {
		return &deadEnd{len(a.G.Inputs), len(a.G.Outputs), errors.New("this branch is not taken")}, nil
	}
	inside := c.options
	inside.inner = true
	p, err := compile(c.typed(n, a.G), inside, captured, constants)
	switch {
	case err == nil:
	case n.Op == "If" && !errors.Is(err, op.ErrUnsupported) && !errors.Is(err, ErrLimit):
		return &deadEnd{len(a.G.Inputs), len(a.G.Outputs), err}, nil
	default:
		return nil, err
	}
	b := &body{program: p, captured: len(captured)}
	for _, id := range p.Inputs[:len(p.Inputs)-len(captured)] {
		b.declared = append(b.declared, p.Values[id].Info)
	}
	return b, nil
}

// never says whether the condition of an If is known and not that of this branch.
func (c *compiler) never(n *graph.Node, branch string) bool {
	if op.Name(n) != "If" || len(n.Inputs) != 1 {
		return false
	}
	id, ok := c.ids[n.Inputs[0]]
	if !ok {
		return false
	}
	condition := c.Fixed(id)
	if condition == nil || condition.Type != tensor.Bool || condition.Len() != 1 {
		return false
	}
	return (branch == "then_branch") != tensor.Data[bool](condition)[0]
}

// deadEnd is a branch that cannot be taken.
type deadEnd struct {
	inputs, outputs int
	reason          error
}

func (d *deadEnd) Inputs() []op.Info { return make([]op.Info, d.inputs) }
func (d *deadEnd) Captured() int     { return 0 }
func (d *deadEnd) Outputs() int      { return d.outputs }

// Infer fails for the reason that the branch did.
func (d *deadEnd) Infer([]*op.Info) ([]op.Info, error) { return nil, d.reason }

// Run fails, too: a condition that is not known may lead here.
func (d *deadEnd) Run(*op.Env, []*tensor.Tensor) ([]*tensor.Tensor, error) { return nil, d.reason }

// typed gives inputs of a loop's graph that declare no type that of the operand at the
// same place, as the specification lets exporters leave it out.
func (c *compiler) typed(n *graph.Node, g *graph.Graph) *graph.Graph {
	if n.Op != "Loop" && n.Op != "Scan" {
		return g
	}
	full := *g
	full.Inputs = slices.Clone(g.Inputs)
	for i := range full.Inputs {
		d := &full.Inputs[i]
		if d.Type != 0 || i >= len(n.Inputs) || n.Inputs[i] == "" {
			continue
		}
		if id, ok := c.ids[n.Inputs[i]]; ok {
			v := c.Values[id].Info
			d.Type, d.Item, d.Inner = v.Type, v.Item, v.Inner
		}
	}
	return &full
}

// maxWork bounds the steps that are inferred for one node or one graph inside.
const maxWork = 1 << 22

// weigh adds up what it takes to infer a node. A loop follows its graph several times,
// each time with the loops inside of it, so a few dozen nodes deep inside could take
// hours.
func (c *compiler) weigh(n *graph.Node, bodies map[string]op.Body) error {
	c.work++
	for _, inside := range bodies {
		b, ok := inside.(*body)
		if !ok {
			continue
		}
		times := int64(op.Settling)
		if n.Op == "If" {
			times = 1
		}
		c.work += times * b.program.work
	}
	if c.work > maxWork {
		return fmt.Errorf("%w: the graphs inside of each other have too many nodes for the loops around them", ErrLimit)
	}
	return nil
}

// scope is the names that a graph makes, inside of the graph around it.
type scope struct {
	made   map[string]bool
	around *scope
}

func (s *scope) makes(name string) bool {
	for at := s; at != nil; at = at.around {
		if at.made[name] {
			return true
		}
	}
	return false
}

// freeNames collects the names that a graph reads and does not make. The way up is
// short, so it is walked for each name: copies of what is around would cost as much as
// it is large for every graph inside.
func freeNames(g *graph.Graph, around *scope, free map[string]bool) {
	s := &scope{map[string]bool{}, around}
	read := func(name string) {
		if name != "" && !s.makes(name) {
			free[name] = true
		}
	}
	for _, st := range g.Stored {
		s.made[st.Name] = true
	}
	for _, d := range g.Inputs {
		s.made[d.Name] = true
	}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			read(name)
		}
		for _, a := range n.Attrs {
			if a.Kind == graph.Sub {
				freeNames(a.G, s, free)
			}
		}
		for _, name := range n.Outputs {
			s.made[name] = true
		}
	}
	for _, d := range g.Outputs {
		read(d.Name)
	}
}

func (b *body) Inputs() []op.Info { return b.declared }
func (b *body) Captured() int     { return b.captured }
func (b *body) Outputs() int      { return len(b.program.Outputs) }

// Infer follows the body's steps with what is known of its inputs.
func (b *body) Infer(in []*op.Info) ([]op.Info, error) {
	p := b.program
	if len(in) != len(p.Inputs) {
		return nil, fmt.Errorf("the graph inside takes %d values, gets %d", len(p.Inputs)-b.captured, len(in)-b.captured)
	}
	infos := make([]op.Info, len(p.Values))
	for id, v := range p.Values {
		if v.Info.Value != nil {
			infos[id] = v.Info
		}
	}
	for i, id := range p.Inputs {
		if in[i] == nil {
			return nil, fmt.Errorf("input %d of the graph inside is missing", i)
		}
		if err := agree(p.Values[id].Info, *in[i]); err != nil {
			return nil, fmt.Errorf("input %s of the graph inside: %w", op.Quote(p.Values[id].Name), err)
		}
		infos[id] = *in[i]
	}
	for i := range p.Steps {
		if err := p.Err(); err != nil {
			return nil, err
		}
		if err := p.follow(&p.Steps[i], infos); err != nil {
			return nil, failed(p.Steps[i].Node, err)
		}
	}
	out := make([]op.Info, len(p.Outputs))
	for i, id := range p.Outputs {
		out[i] = infos[id]
		out[i].Value = nil
	}
	return out, nil
}

// follow infers one step from infos into infos.
func (p *Program) follow(st *Step, infos []op.Info) error {
	in := make([]*op.Info, len(st.In))
	for i, id := range st.In {
		if id >= 0 {
			in[i] = &infos[id]
			if infos[id].Type == 0 { // packed away: type and shape are known still
				in[i] = &p.Values[id].Info
			}
		}
	}
	results, err := st.Op.Infer(in)
	if err != nil {
		return err
	}
	for i, id := range st.Out {
		if err := p.options.Limits.checkShape(results[i]); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		infos[id] = results[i]
	}
	return nil
}

// Run runs the body inside of the run that env belongs to.
func (b *body) Run(env *op.Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	r, ok := env.Engine.(*run)
	if !ok {
		return nil, fmt.Errorf("a graph inside a node runs inside a run only")
	}
	out, _, err := b.program.run(r, in)
	return out, err
}
