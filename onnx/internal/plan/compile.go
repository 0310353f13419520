package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// compiler turns a graph of names into steps over numbered values.
type compiler struct {
	*Program
	graph   *graph.Graph
	ids     map[string]int
	readers map[string]int // of each name, those that were not computed
	mirrors []int          // values that are transposes of weights, and made by steps so far
}

// foldElements bounds the operands and results that are computed before a run by
// operators of any kind: enough for arithmetic on shapes, too little for a model that
// tries to make loading slow.
const foldElements = 64

// Results that are computed before a run may be larger than their operands by the
// factor widening, and all together than the weights by the factor foldedWeights: those
// of 8 bits become float32, and are multiplied by a scale.
const (
	widening      = 4
	foldedWeights = 2 * widening
)

// Compile checks that every operator, type and shape of the graph can be computed,
// computes what is known already, and drops what nobody needs. The graph is in
// execution order and each of its names has one maker (the checker saw to it). It ends
// with the context, at the latest some milliseconds later or when one weight is laid out.
func Compile(ctx context.Context, g *graph.Graph, o Options) (*Program, error) {
	o.making = &making{context: ctx}
	p, err := compile(g, o, nil, nil)
	o.making.context = nil // the program goes on without
	return p, err
}

// compile makes a program of a graph. Of a graph inside a node, captured are the
// values around it that it reads, and constants those among them that are known.
func compile(g *graph.Graph, o Options, captured []Value, constants []Value) (*Program, error) {
	c := &compiler{Program: &Program{options: o}, graph: g, ids: map[string]int{}, readers: readersOf(g)}
	if err := c.supported(); err != nil {
		return nil, err
	}
	if err := c.declare(); err != nil {
		return nil, err
	}
	c.stores(c.FixedBytes())
	for _, v := range captured {
		c.Inputs = append(c.Inputs, c.named(v.Name, v.Info))
	}
	for _, v := range constants {
		c.named(v.Name, v.Info)
	}
	for i := range g.Nodes {
		if err := c.Err(); err != nil {
			return nil, err
		}
		if err := c.node(&g.Nodes[i]); err != nil {
			return nil, failed(&g.Nodes[i], err)
		}
	}
	if err := c.agree(); err != nil {
		return nil, err
	}
	for _, v := range g.Outputs {
		id, ok := c.ids[v.Name]
		if !ok {
			return nil, fmt.Errorf("output %s: nothing makes it", op.Quote(v.Name))
		}
		c.Outputs = append(c.Outputs, id)
	}
	if !o.inner {
		g.Release() // else steps, which name their nodes, would hold weights that were packed
	}
	c.work += int64(len(c.Values))
	return c.Program, c.finish()
}

// finish drops what is not needed, rewrites, and prepares operators for their weights.
func (c *compiler) finish() error {
	c.Prune()
	if c.options.Outline && !c.options.inner {
		c.outline = c.outlines()
	}
	if c.options.Rewrite != nil {
		if err := c.options.Rewrite(c.Program); err != nil {
			return err
		}
		c.Prune()
	}
	if err := c.reflect(); err != nil {
		return err
	}
	return c.pack()
}

// supported names all operators that are missing at once, so that a user need not try
// a model ten times.
func (c *compiler) supported() error {
	var missing []string
	var first *graph.Node
	for i := range c.graph.Nodes {
		n := &c.graph.Nodes[i]
		if _, ok := c.options.Table[op.Name(n)]; ok {
			continue
		}
		name := op.Quote(op.Name(n))
		if !slices.Contains(missing, name) && len(missing) < 100 {
			missing = append(missing, name)
		}
		if first == nil {
			first = n
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return failed(first, op.ErrUnsupported)
	}
	return failed(first, fmt.Errorf("%w; missing in all: %s", op.ErrUnsupported, strings.Join(missing, ", ")))
}

// named enters a value under its name.
func (c *compiler) named(name string, info op.Info) int {
	id := c.Add(name, info)
	if name != "" {
		c.ids[name] = id
	}
	return id
}

// InfoOf is what a declaration says of a value.
func InfoOf(d graph.Decl) op.Info {
	return op.Info{Type: d.Type, Item: d.Item, Inner: d.Inner, Ranked: d.Ranked, Shape: d.Shape}
}

// declare enters initializers and inputs.
func (c *compiler) declare() error {
	for _, s := range c.graph.Stored {
		if s.Mirrored != nil {
			if err := c.mirror(s); err != nil {
				return fmt.Errorf("initializer %s: %w", op.Quote(s.Name), err)
			}
			continue
		}
		if err := c.options.Limits.checkShape(op.Known(s.Tensor)); err != nil {
			return fmt.Errorf("initializer %s: %w", op.Quote(s.Name), err)
		}
		c.named(s.Name, op.Known(s.Tensor))
	}
	for _, d := range c.graph.Inputs {
		if id, ok := c.ids[d.Name]; ok { // a weight that is also listed as an input
			if err := agree(InfoOf(d), c.Values[id].Info); err != nil {
				return fmt.Errorf("input %s: %w", op.Quote(d.Name), err)
			}
			continue
		}
		c.Inputs = append(c.Inputs, c.named(d.Name, InfoOf(d)))
	}
	return nil
}

// node makes one node's operator, infers its results, and computes them if they are
// constants.
func (c *compiler) node(n *graph.Node) error {
	st := Step{Node: n, In: make([]int, len(n.Inputs))}
	for i, name := range n.Inputs {
		st.In[i] = -1
		if name == "" {
			continue
		}
		id, ok := c.ids[name]
		if !ok {
			return op.BadInput(i, "nothing makes it")
		}
		st.In[i] = id
	}
	bodies, captured, err := c.bodies(n)
	if err != nil {
		return err
	}
	if err := c.weigh(n, bodies); err != nil {
		return err
	}
	if st.Op, err = op.New(n, c.options.Table, bodies); err != nil {
		return err
	}
	st.In = append(st.In, captured...)
	st.Op = op.ForTypes(st.Op, c.infos(st.In))
	results, err := c.infer(&st, len(n.Outputs))
	if err != nil {
		return err
	}
	fixed, err := c.fold(&st, results)
	if err != nil {
		return err
	}
	for i, r := range results {
		name := "" // of a result that the model leaves out
		if i < len(n.Outputs) {
			name = n.Outputs[i]
		}
		if fixed != nil {
			r = op.Known(fixed[i])
		}
		st.Out = append(st.Out, c.named(name, r))
	}
	if fixed == nil {
		c.Steps = append(c.Steps, st)
		return nil
	}
	c.folded(n)
	return nil
}

// folded lets go of the operands of a node that was computed if nobody else reads them:
// of a weight that is widened, then scaled, only the last form is of use.
func (c *compiler) folded(n *graph.Node) {
	for _, name := range n.Inputs {
		if name == "" {
			continue
		}
		c.readers[name]--
		if v := &c.Values[c.ids[name]]; c.readers[name] == 0 {
			v.Info.Value = nil
		}
	}
}

// readersOf counts who reads each name: nodes, graphs inside of them, and the caller.
func readersOf(g *graph.Graph) map[string]int {
	readers := map[string]int{}
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Inputs {
			readers[name]++
		}
		for _, a := range g.Nodes[i].Attrs {
			if a.Kind != graph.Sub {
				continue
			}
			free := map[string]bool{}
			freeNames(a.G, nil, free)
			for name := range free {
				readers[name]++
			}
		}
	}
	for _, d := range g.Outputs {
		readers[d.Name]++
	}
	return readers
}

// infer asks a step's operator for its results, and holds them to the limits.
func (p *Program) infer(st *Step, outputs int) ([]op.Info, error) {
	results, err := st.Op.Infer(p.infos(st.In))
	if err != nil {
		return nil, err
	}
	if len(results) < outputs {
		return nil, fmt.Errorf("has %d outputs, the operator gives %d", outputs, len(results))
	}
	for i, r := range results {
		if err := p.options.Limits.checkShape(r); err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
	}
	return results, nil
}

// stores counts weights: for so many bytes of them, so much more may be folded.
func (c *compiler) stores(bytes int64) {
	c.options.making.spare = min(c.options.making.spare+foldedWeights*bytes, c.options.Limits.Bytes)
}

// fold returns the results of a step that can be known now, or nil.
func (c *compiler) fold(st *Step, results []op.Info) ([]*tensor.Tensor, error) {
	if !allKnown(results) {
		return foldNow(c.Program, st, c.infos(st.In), results, &c.options.making.spare)
	}
	fixed := make([]*tensor.Tensor, len(results))
	for i, r := range results {
		fixed[i] = r.Value
		if len(st.In) == 0 { // a weight that is stored in a node
			c.stores(r.Value.Bytes())
		}
	}
	return fixed, nil
}

func allKnown(results []op.Info) bool {
	return !slices.ContainsFunc(results, func(r op.Info) bool { return r.Value == nil })
}

// foldNow computes a step whose operands are all known: if it is small, or if its
// operator is cheap and widens its operands at most, as those of 8 bits to float32.
func foldNow(p *Program, st *Step, in []*op.Info, results []op.Info, spare *int64) ([]*tensor.Tensor, error) {
	if _, ok := st.Op.(op.Maker); ok {
		return nil, nil
	}
	if _, ok := st.Op.(op.Dear); ok {
		return nil, nil
	}
	small, bytes := true, int64(0)
	operands := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		if v == nil {
			continue
		}
		if v.Value == nil {
			return nil, nil
		}
		small = small && v.Value.Len() <= foldElements
		bytes += v.Value.Bytes()
		operands[i] = v.Value
	}
	made := int64(0)
	for _, r := range results {
		if !r.Complete() || r.Type == tensor.String { // a chain of these may double its text each time
			return nil, nil
		}
		n := elements(r.Shape)
		small = small && n <= foldElements
		made += n * r.Type.Size()
	}
	_, cheap := st.Op.(op.Cheap)
	_, view := st.Op.(op.Viewer)
	if !small && !view && !(cheap && made <= widening*bytes && made <= *spare) {
		return nil, nil
	}
	if !small && !view {
		*spare -= made
	}
	return compute(p.on(), st.Op, operands, results)
}

// compute runs an operator outside of any run.
func compute(on *kernel.On, o op.Operator, in []*tensor.Tensor, results []op.Info) ([]*tensor.Tensor, error) {
	out := make([]*tensor.Tensor, len(results))
	if _, ok := o.(op.Viewer); ok {
		out[0] = in[0].Reshaped(slices.Clone(results[0].Shape))
		return out, out[0].Check()
	}
	some := false
	for i, r := range results {
		t, err := tensor.New(r.Type, r.Shape)
		if err != nil {
			return nil, err
		}
		out[i] = t
		some = some || t.Len() > 0
	}
	if !some {
		return out, nil
	}
	env := &op.Env{On: on, New: tensor.New}
	if s, ok := o.(op.Scratcher); ok {
		n := s.Scratch(env.On, known(in))
		if n < 0 || n > 1<<24 {
			return nil, fmt.Errorf("%w: %d floats of scratch memory", ErrLimit, n)
		}
		env.Scratch = make([]float32, n)
	}
	return out, o.Run(env, in, out)
}

func known(in []*tensor.Tensor) []*op.Info {
	infos := make([]*op.Info, len(in))
	for i, t := range in {
		if t != nil {
			v := op.Known(t)
			infos[i] = &v
		}
	}
	return infos
}

// agree compares what the graph says about its values with what was inferred.
func (c *compiler) agree() error {
	for _, list := range [][]graph.Decl{c.graph.Values, c.graph.Outputs} {
		for _, d := range list {
			id, ok := c.ids[d.Name]
			if !ok {
				continue
			}
			if err := agree(InfoOf(d), c.Values[id].Info); err != nil {
				return fmt.Errorf("value %s: %w", op.Quote(d.Name), err)
			}
		}
	}
	return nil
}

// agree refuses a declaration that contradicts what is known. An undeclared type or
// shape contradicts nothing.
func agree(declared, found op.Info) error {
	if declared.Type != 0 && declared.Type != found.Type || declared.Item != 0 && found.Item != 0 && declared.Item != found.Item {
		return fmt.Errorf("declared as %s, but is %s", declared.Type, found.Type)
	}
	if !declared.Ranked || !found.Ranked {
		return nil
	}
	same := len(declared.Shape) == len(found.Shape)
	for i := 0; same && i < len(declared.Shape); i++ {
		a, b := declared.Shape[i], found.Shape[i]
		same = a == -1 || b == -1 || a == b
	}
	if !same {
		return fmt.Errorf("declared with shape %v, but has %v", declared.Shape, found.Shape)
	}
	return nil
}

// Agree is the check of a declaration against a tensor.
func Agree(declared op.Info, t *tensor.Tensor) error { return agree(declared, op.Known(t)) }

// elements counts a complete shape that passed checkShape.
func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// checkShape holds a value to the limits, as far as its shape is known.
func (l Limits) checkShape(v op.Info) error {
	if !v.Ranked {
		return nil
	}
	if len(v.Shape) > l.Rank {
		return fmt.Errorf("%w: rank %d, at most %d", ErrLimit, len(v.Shape), l.Rank)
	}
	for _, d := range v.Shape {
		if d > l.Elements { // an empty tensor, too, must not make a loop count to 2^60
			return fmt.Errorf("%w: dimension %d, at most %d", ErrLimit, d, l.Elements)
		}
		if d < -1 {
			return errors.New("a dimension is negative")
		}
	}
	if !v.Complete() {
		return nil
	}
	return l.checkCount(v.Shape)
}

// checkDims holds a complete shape to the limits.
func (l Limits) checkDims(shape []int64) error {
	return l.checkShape(op.Info{Ranked: true, Shape: shape})
}

func (l Limits) checkCount(shape []int64) error {
	n, err := tensor.Count(shape)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLimit, err)
	}
	if n > l.Elements {
		return fmt.Errorf("%w: %d elements, at most %d", ErrLimit, n, l.Elements)
	}
	return nil
}
