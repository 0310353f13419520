package plan

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// place says where the elements of a value are during a run.
type place uint8

const (
	unplaced place = iota
	fixed          // in the program: a weight or constant
	given          // in what the caller gave
	arena          // in the run's arena, at an offset
	heap           // in memory of their own: an output, or strings
	late           // in memory that is taken when the step runs, since its size shows only then
	view           // in another value's memory
)

// Bound is a program with the shapes of its inputs known: what runs, in which order,
// and where each value is.
type Bound struct {
	program *Program
	key     []int64
	values  []boundValue // those of the program, then those of branches that are taken for sure
	steps   []boundStep
	results []int  // values that are the program's outputs
	arena   int64  // bytes
	outputs int64  // bytes of outputs and other values outside of the arena
	exact   bool   // no value is late
	owned   []bool // of each output: it is in memory that is its own
}

type boundValue struct {
	info   op.Info
	place  place
	offset int64 // in the arena
	root   int   // of a view: the value whose memory it is
	last   int   // step that reads it last; the number of steps if it is an output
}

// boundStep is a step that a run takes. If dynamic, shapes of its results are inferred
// when it runs.
type boundStep struct {
	*Step
	dynamic bool
	open    bool  // an operand's shape shows only then, and no graph inside looks at it
	scratch int64 // floats
	offset  int64 // of the scratch memory in the arena
	free    []int // late values that no later step reads
}

// maxBound is how many bindings a program keeps: a caller with more shapes than that
// pays for planning again.
const maxBound = 16

// Bind plans a run for inputs of the given shapes, in the order of Inputs. Lists have
// none.
func (p *Program) Bind(shapes [][]int64, threads int) (*Bound, error) {
	key := bindingKey(shapes, threads)
	if b := p.lookup(key); b != nil {
		return b, nil
	}
	b := &Bound{program: p, key: key, exact: true}
	ids := b.enter(p)
	if err := b.given(shapes); err != nil {
		return nil, err
	}
	on := &kernel.On{Level: p.options.Level, Threads: threads}
	if err := b.follow(p, ids, on); err != nil {
		return nil, err
	}
	b.results = placed(p.Outputs, ids)
	b.lifetimes()
	if err := b.layout(); err != nil {
		return nil, err
	}
	p.keep(b)
	return b, nil
}

func bindingKey(shapes [][]int64, threads int) []int64 {
	key := []int64{int64(threads)}
	for _, s := range shapes {
		key = append(append(key, int64(len(s))), s...)
	}
	return key
}

// lookup finds a binding made before, and moves it to the end of the list.
func (p *Program) lookup(key []int64) *Bound {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.bound {
		if slices.Equal(b.key, key) {
			p.bound = append(slices.Delete(p.bound, i, i+1), b)
			return b
		}
	}
	return nil
}

func (p *Program) keep(b *Bound) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.bound) == maxBound {
		p.bound = slices.Delete(p.bound, 0, 1)
	}
	p.bound = append(p.bound, b)
}

// enter adds the values of a program, and returns where they are. A weight that its
// operator has packed has no place, but type and shape.
func (b *Bound) enter(p *Program) []int {
	ids := make([]int, len(p.Values))
	b.values = slices.Grow(b.values, len(ids))
	for i := range p.Values {
		ids[i] = len(b.values)
		v := boundValue{info: p.Values[i].Info, root: ids[i]}
		if v.info.Value != nil {
			v.place = fixed
		}
		b.values = append(b.values, v)
	}
	return ids
}

// given sets the shapes of the inputs.
func (b *Bound) given(shapes [][]int64) error {
	p := b.program
	for i, id := range p.Inputs {
		v := &b.values[id]
		v.place = given
		if !v.info.Type.Element() {
			continue
		}
		v.info.Ranked, v.info.Shape = true, slices.Clone(shapes[i]) // the caller may change its own
		if err := p.options.Limits.checkShape(v.info); err != nil {
			return fmt.Errorf("input %s: %w", op.Quote(p.Values[id].Name), err)
		}
	}
	return nil
}

// operands collects what is known of a step's operands.
func (b *Bound) operands(ids []int) []*op.Info {
	in := make([]*op.Info, len(ids))
	for i, id := range ids {
		if id >= 0 {
			in[i] = &b.values[id].info
		}
	}
	return in
}

// follow binds the steps of a program whose values are at ids. Of an If whose condition
// is known by now, as one about shapes is, the branch that will be taken stands for it.
func (b *Bound) follow(p *Program, ids []int, on *kernel.On) error {
	for i := range p.Steps {
		st := &p.Steps[i]
		branch, err := b.branch(st, ids)
		switch {
		case err != nil:
		case branch != nil:
			err = b.splice(st, ids, branch, on)
		default:
			err = b.step(moved(st, ids), on)
		}
		if err != nil {
			return failed(st.Node, err)
		}
	}
	return nil
}

// moved is a step with the places of its values instead of their numbers.
func moved(st *Step, ids []int) *Step {
	there := func(id int) bool { return id >= 0 && ids[id] != id }
	if !slices.ContainsFunc(st.In, there) && !slices.ContainsFunc(st.Out, there) {
		return st
	}
	return &Step{Node: st.Node, Op: st.Op, In: placed(st.In, ids), Out: placed(st.Out, ids)}
}

// placed is where values are.
func placed(values, ids []int) []int {
	at := make([]int, len(values))
	for i, id := range values {
		at[i] = -1
		if id >= 0 {
			at[i] = ids[id]
		}
	}
	return at
}

// branch is the graph that a step will take, if it is one that chooses and its condition
// is known.
func (b *Bound) branch(st *Step, ids []int) (*body, error) {
	o, ok := st.Op.(op.Chooser)
	if !ok {
		return nil, nil
	}
	condition := b.values[ids[st.In[0]]].info.Value
	if condition == nil {
		return nil, nil
	}
	chosen, err := o.Choose(condition)
	branch, _ := chosen.(*body) // else the step fails as the branch does
	return branch, err
}

// splice binds the steps of a branch in the place of the one that takes it.
func (b *Bound) splice(st *Step, ids []int, branch *body, on *kernel.On) error {
	p := branch.program
	inside := b.enter(p)
	for i, id := range p.Inputs { // an If has no operand but the condition and what its branches read
		from := ids[st.In[1+i]]
		if err := agree(p.Values[id].Info, b.values[from].info); err != nil {
			return fmt.Errorf("input %s of the graph inside: %w", op.Quote(p.Values[id].Name), err)
		}
		inside[id] = from
	}
	if err := b.follow(p, inside, on); err != nil {
		return err
	}
	for k, out := range st.Out {
		ids[out] = inside[p.Outputs[k]]
	}
	return nil
}

// step infers a step's results and decides whether it runs, and when its results get
// their memory.
func (b *Bound) step(st *Step, on *kernel.On) error {
	in := b.operands(st.In)
	results, err := st.Op.Infer(in)
	if err != nil {
		return err
	}
	if len(results) < len(st.Out) {
		return fmt.Errorf("gives %d results, had %d", len(results), len(st.Out))
	}
	results = results[:len(st.Out)]
	_, maker := st.Op.(op.Maker)
	bs := boundStep{Step: st, dynamic: maker}
	for i, r := range results {
		if err := b.program.options.Limits.checkShape(r); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		bs.dynamic = bs.dynamic || !r.Complete()
	}
	for _, v := range in { // what an open dimension turns out to be may not fit
		bs.open = bs.open || v != nil && !v.Complete()
	}
	bs.dynamic = bs.dynamic || bs.open
	bs.open = bs.open && !slices.ContainsFunc(st.Node.Attrs, func(a graph.Attribute) bool { return a.Kind == graph.Sub })
	if !maker {
		if done, err := b.known(st, in, results); done || err != nil {
			return err
		}
	}
	for i, id := range st.Out {
		v := &b.values[id]
		v.info, v.place = results[i], b.placeOf(st, results[i], bs.dynamic)
		if v.place == view {
			if err := fits(results[i], *in[0]); err != nil {
				return err
			}
			v.root = b.values[st.In[0]].root
		}
		b.exact = b.exact && v.place != late
	}
	if s, ok := st.Op.(op.Spender); ok && !bs.dynamic && s.Spends(in) {
		b.exact = false
	}
	if s, ok := st.Op.(op.Settler); ok && !bs.dynamic {
		settled := *st
		settled.Op = s.Settle(on.Level, in)
		st, bs.Step = &settled, &settled
	}
	if s, ok := st.Op.(op.Scratcher); ok && !bs.dynamic {
		if bs.scratch = s.Scratch(on, in); bs.scratch < 0 {
			return fmt.Errorf("%w: scratch memory", ErrLimit)
		}
	}
	b.steps = append(b.steps, bs)
	return nil
}

// fits refuses a view that does not have as many elements as what it is a view of:
// beyond its end lie other values.
func fits(seen, of op.Info) error {
	if of.Complete() && elements(seen.Shape)*seen.Type.Size() != elements(of.Shape)*of.Type.Size() {
		return fmt.Errorf("the result %s does not have the elements of %s", seen, of)
	}
	return nil
}

func (b *Bound) placeOf(st *Step, r op.Info, dynamic bool) place {
	_, isView := st.Op.(op.Viewer)
	switch {
	case dynamic:
		return late
	case isView:
		return view
	case r.Type == tensor.String:
		return heap
	}
	return arena
}

// known enters the results of a step that need no run: arithmetic on shapes.
func (b *Bound) known(st *Step, in []*op.Info, results []op.Info) (bool, error) {
	var values []*tensor.Tensor
	if allKnown(results) {
		for _, r := range results {
			values = append(values, r.Value)
		}
	} else {
		if _, ok := st.Op.(op.Packer); ok {
			return false, nil
		}
		spare := int64(0) // nothing large is folded here: it would be held beside the arena
		var err error
		if values, err = foldNow(b.program, st, in, results, &spare); err != nil {
			return false, err
		}
	}
	if values == nil {
		return false, nil
	}
	for i, id := range st.Out {
		b.values[id].info, b.values[id].place = op.Known(values[i]), fixed
	}
	return true, nil
}

// lifetimes finds the last reader of each piece of memory, drops steps without
// readers, and takes outputs out of the arena.
func (b *Bound) lifetimes() {
	b.outlive()
	for id := range b.values {
		b.values[id].last = -1
	}
	for _, id := range b.results {
		root := &b.values[b.values[id].root]
		root.last = len(b.steps)
		if root.place == arena {
			root.place = heap
		}
		b.values[id].last = len(b.steps)
	}
	kept := make([]boundStep, 0, len(b.steps))
	for _, st := range slices.Backward(b.steps) { // first which are kept, then their numbers
		if slices.ContainsFunc(st.Out, func(id int) bool { return b.values[id].last >= 0 }) {
			for _, id := range st.In {
				if id >= 0 {
					b.touch(id, 0)
				}
			}
			kept = append(kept, st)
		}
	}
	slices.Reverse(kept)
	b.steps = kept
	for i, st := range b.steps {
		for _, id := range st.In {
			if id >= 0 {
				b.touch(id, i)
			}
		}
		for _, id := range st.Out {
			b.touch(id, i) // a result that nobody reads has its place while the step runs
		}
	}
	for _, id := range b.results {
		b.touch(id, len(b.steps))
	}
	b.releases()
	b.owned = b.ownsOutputs()
}

// outlive takes out of the arena what may go on in a result for longer than the plan
// can see: operands of steps that make their results by themselves, and of views whose
// shape shows only in the run.
func (b *Bound) outlive() {
	for _, st := range b.steps {
		_, makes := st.Op.(op.Maker)
		_, views := st.Op.(op.Viewer)
		if !st.dynamic || !makes && !views {
			continue
		}
		for _, id := range st.In {
			if id < 0 {
				continue
			}
			if root := &b.values[b.values[id].root]; root.place == arena {
				root.place = heap
			}
		}
	}
}

// ownsOutputs says which outputs share memory with nothing: those that an operator
// wrote into memory that was taken for it, and that no output before has.
func (b *Bound) ownsOutputs() []bool {
	written := map[int]bool{}
	for _, st := range b.steps {
		_, makes := st.Op.(op.Maker)
		_, views := st.Op.(op.Viewer)
		for _, id := range st.Out {
			place := b.values[id].place
			written[id] = !makes && !views && (place == heap || place == late)
		}
	}
	owned := make([]bool, len(b.results))
	for i, id := range b.results {
		root := b.values[id].root
		owned[i], written[root] = written[root], false
	}
	return owned
}

// touch says that a step reads or writes a value, and so the memory that it is in.
func (b *Bound) touch(id, step int) {
	v := &b.values[id]
	v.last = max(v.last, step)
	root := &b.values[v.root]
	root.last = max(root.last, step)
}

// releases tells each step which late values it is the last to read. Their memory may
// be shared with values made of them, so this only lets go of references.
func (b *Bound) releases() {
	for id, v := range b.values {
		if (v.place == late || v.place == view || v.place == heap) && v.last >= 0 && v.last < len(b.steps) {
			st := &b.steps[v.last]
			st.free = append(st.free, id)
		}
	}
}

// Bytes is what a run takes beside the weights and its inputs, in bytes: the arena,
// and what is outside of it. exact is false if parts of it show only while it runs.
func (b *Bound) Bytes() (arena, outputs int64, exact bool) { return b.arena, b.outputs, b.exact }
