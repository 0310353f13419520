package plan

import (
	"context"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// run is one run of a program, with the runs of the bodies inside of it.
type run struct {
	on     *kernel.On
	ledger ledger
	steps  int64 // turns of loops that are left
}

// frame is the memory of one run of a bound program. Frames are used again: values
// whose place is planned keep their tensors.
type frame struct {
	bound  *Bound
	arena  *tensor.Arena
	values []*tensor.Tensor
	in     []*tensor.Tensor
	out    []*tensor.Tensor
	infos  []op.Info
	known  []*op.Info
}

// Run runs the program on inputs, in the order of Inputs, whose types and shapes the
// caller has held against the program's. What it returns is the caller's own. What is
// still taken from the share afterwards is for the outputs.
func (p *Program) Run(ctx context.Context, threads int, inputs []*tensor.Tensor, share Share) ([]*tensor.Tensor, error) {
	r := &run{on: &kernel.On{Context: ctx, Level: p.options.Level, Threads: threads}, steps: p.options.Limits.Steps}
	r.ledger = ledger{limit: p.options.Limits.Bytes, share: share, inputs: inputs}
	defer func() { r.ledger.give(r.ledger.exact + r.ledger.made) }()
	for _, t := range inputs {
		if err := r.ledger.take(t.Bytes()); err != nil {
			return nil, err
		}
	}
	out, b, err := p.run(r, inputs)
	if err != nil {
		return nil, err
	}
	if err := b.own(r, out); err != nil {
		return nil, err
	}
	for _, t := range out {
		r.ledger.exact -= t.Bytes() // the share keeps them: they live on
	}
	return out, nil
}

// own copies outputs that may share memory with the program, a body's constants, the
// inputs or each other.
func (b *Bound) own(r *run, out []*tensor.Tensor) error {
	for i, t := range out {
		if b.owned[i] {
			continue
		}
		if err := r.ledger.take(t.Bytes()); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		out[i] = t.Clone()
	}
	return nil
}

// run runs the program inside of a run.
func (p *Program) run(r *run, inputs []*tensor.Tensor) ([]*tensor.Tensor, *Bound, error) {
	shapes := make([][]int64, len(inputs))
	for i, t := range inputs {
		shapes[i] = t.Shape
	}
	b, err := p.Bind(shapes, r.on.Threads)
	if err != nil {
		return nil, nil, err
	}
	f := p.waiting(b, &r.ledger)
	if err := r.ledger.take(b.arena); err != nil {
		return nil, nil, err
	}
	if f, err = b.frame(f); err != nil {
		r.ledger.give(b.arena)
		return nil, nil, err
	}
	r.ledger.frames = append(r.ledger.frames, f)
	defer func() {
		r.ledger.frames = r.ledger.frames[:len(r.ledger.frames)-1]
		f.release()
		p.park(f, &r.ledger)
	}()
	out, err := f.run(r, inputs)
	return out, b, err
}

// frame makes a frame if there is none from before.
func (b *Bound) frame(f *frame) (*frame, error) {
	if f == nil {
		f = &frame{bound: b, arena: tensor.NewArena(b.arena), values: make([]*tensor.Tensor, len(b.values))}
		for id := range b.values {
			if err := f.settle(id); err != nil {
				return nil, err
			}
		}
	}
	if garbage := b.program.options.Poison; garbage != 0 {
		f.arena.Fill(garbage)
	}
	return f, nil
}

// settle makes the tensor of a value whose place is the same in every run.
func (f *frame) settle(id int) (err error) {
	v := &f.bound.values[id]
	root := &f.bound.values[v.root]
	switch {
	case v.place == fixed:
		f.values[id] = v.info.Value
	case v.last < 0:
	case v.place == arena:
		f.values[id], err = f.arena.At(v.offset, v.info.Type, v.info.Shape)
	case v.place == view && root.place == fixed:
		f.values[id] = root.info.Value.Reshaped(v.info.Shape)
	case v.place == view && root.place == arena:
		f.values[id], err = f.arena.At(root.offset, v.info.Type, v.info.Shape)
	}
	return err
}

// release lets go of what belonged to the run.
func (f *frame) release() {
	for id := range f.values {
		if v := &f.bound.values[id]; v.place == given || v.place == heap || v.place == late || v.place == view && !f.bound.settled(v) {
			f.values[id] = nil
		}
	}
	clear(f.in)
	clear(f.out)
	clear(f.infos)
}

// settled says whether a view's memory is the same in every run.
func (b *Bound) settled(v *boundValue) bool {
	root := b.values[v.root].place
	return root == fixed || root == arena
}

// run takes the steps.
func (f *frame) run(r *run, inputs []*tensor.Tensor) ([]*tensor.Tensor, error) {
	b := f.bound
	for i, id := range b.program.Inputs {
		f.values[id] = inputs[i]
	}
	for i := range b.steps {
		st := &b.steps[i]
		if err := r.on.Err(); err != nil {
			return nil, err
		}
		if err := f.step(r, st); err != nil {
			return nil, failed(st.Node, err)
		}
		for _, id := range st.free {
			f.values[id] = nil
		}
	}
	out := make([]*tensor.Tensor, len(b.results))
	for i, id := range b.results {
		out[i] = f.values[id]
	}
	return out, nil
}

// step takes one step.
func (f *frame) step(r *run, st *boundStep) error {
	f.in, f.out = f.in[:0], f.out[:0]
	for _, id := range st.In {
		var t *tensor.Tensor
		if id >= 0 {
			t = f.values[id]
		}
		f.in = append(f.in, t)
	}
	if st.dynamic {
		return f.dynamic(r, st)
	}
	some := false
	for _, id := range st.Out {
		if err := f.place(r, st, id); err != nil {
			return err
		}
		f.out = append(f.out, f.values[id])
		some = some || f.values[id].Len() > 0
	}
	if _, isView := st.Op.(op.Viewer); isView || !some {
		return nil
	}
	env := op.Env{On: r.on, New: r.new(f.bound.program), Hold: r.ledger.hold}
	if st.scratch > 0 {
		var err error
		if env.Scratch, err = f.arena.Floats(st.offset, st.scratch); err != nil {
			return err
		}
	}
	wipe(f.in, f.out)
	return st.Op.Run(&env, f.in, f.out)
}

// wipe clears results of which an operator may not write every element: where an
// operand or another result is empty, so may be the loop that would. What was there
// before may be of another run. A result in the place of an operand holds that one.
func wipe(in, out []*tensor.Tensor) {
	none := func(t *tensor.Tensor) bool { return t != nil && t.Type.Element() && t.Len() == 0 }
	if !slices.ContainsFunc(in, none) && !slices.ContainsFunc(out, none) {
		return
	}
	for _, t := range out {
		at := tensor.Address(t)
		if !slices.ContainsFunc(in, func(o *tensor.Tensor) bool { return o != nil && tensor.Address(o) == at }) {
			tensor.Spoil(t, 0)
		}
	}
}

// place gives a result its memory, if it has none yet.
func (f *frame) place(r *run, st *boundStep, id int) (err error) {
	if f.values[id] != nil {
		return nil
	}
	v := &f.bound.values[id]
	if v.place == view {
		f.values[id] = f.in[0].Reshaped(v.info.Shape)
		return f.values[id].Check()
	}
	f.values[id], err = r.result(f.bound.program, v.info)
	return err
}

// result takes memory for what an operator is about to write.
func (r *run) result(p *Program, v op.Info) (*tensor.Tensor, error) {
	t, err := r.ledger.make(p.options.Limits, v.Type, v.Shape)
	if err == nil && p.options.Poison != 0 {
		tensor.Spoil(t, p.options.Poison)
	}
	return t, err
}

func (r *run) new(p *Program) func(tensor.DataType, []int64) (*tensor.Tensor, error) {
	return func(t tensor.DataType, shape []int64) (*tensor.Tensor, error) {
		return r.ledger.make(p.options.Limits, t, shape)
	}
}

// dynamic takes a step whose results' sizes show only now.
func (f *frame) dynamic(r *run, st *boundStep) error {
	p := f.bound.program
	kept := len(r.ledger.kept)
	env := &op.Env{On: r.on, New: r.new(p), Steps: &r.steps, Engine: r, Hold: r.ledger.hold,
		Keep: func(values ...*tensor.Tensor) { r.ledger.kept = append(r.ledger.kept, values...) }}
	defer func() { r.ledger.kept = r.ledger.kept[:kept] }()
	if maker, ok := st.Op.(op.Maker); ok {
		if st.open {
			if _, err := st.Op.Infer(f.learn(st)); err != nil {
				return err
			}
		}
		// A body inside may run this frame's bound program again, but never this frame.
		out, err := maker.Make(env, slices.Clone(f.in))
		if err != nil {
			return err
		}
		return f.accept(st, out)
	}
	out, err := f.late(env, r, st)
	if err != nil {
		return err
	}
	for i, id := range st.Out {
		f.values[id] = out[i]
	}
	return nil
}

// accept holds what an operator made to what it said it would make.
func (f *frame) accept(st *boundStep, out []*tensor.Tensor) error {
	if len(out) < len(st.Out) {
		return fmt.Errorf("made %d results of %d", len(out), len(st.Out))
	}
	for i, id := range st.Out {
		if out[i] == nil {
			return fmt.Errorf("output %d is missing", i)
		}
		if err := agree(f.bound.values[id].info, op.Known(out[i])); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		f.values[id] = out[i]
	}
	return nil
}

// learn is all that is known of a step's operands when it runs.
func (f *frame) learn(st *boundStep) []*op.Info {
	f.infos, f.known = f.infos[:0], f.known[:0]
	for i, id := range st.In {
		var v op.Info
		switch {
		case f.in[i] != nil:
			v = op.Known(f.in[i])
		case id >= 0:
			v = f.bound.values[id].info // packed away
		}
		f.infos = append(f.infos, v)
	}
	for i, id := range st.In {
		var v *op.Info
		if id >= 0 {
			v = &f.infos[i]
		}
		f.known = append(f.known, v)
	}
	return f.known
}

// late infers a step with everything known, takes memory and runs it.
func (f *frame) late(env *op.Env, r *run, st *boundStep) ([]*tensor.Tensor, error) {
	p := f.bound.program
	results, err := st.Op.Infer(f.learn(st))
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(st.Out))
	if _, ok := st.Op.(op.Viewer); ok && !f.in[0].Type.Element() { // a list is itself
		return append(out[:0], f.in[0]), nil
	}
	some := false
	for i := range out {
		if err := p.options.Limits.checkShape(results[i]); err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		if !results[i].Complete() {
			return nil, fmt.Errorf("output %d: shape %s is not known", i, results[i])
		}
		if err := agree(f.bound.values[st.Out[i]].info, results[i]); err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		if _, ok := st.Op.(op.Viewer); ok {
			out[i] = f.in[0].Reshaped(slices.Clone(results[i].Shape))
			return out, out[i].Check()
		}
		if out[i], err = r.result(p, results[i]); err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		some = some || out[i].Len() > 0
	}
	if !some {
		return out, nil
	}
	if s, ok := st.Op.(op.Scratcher); ok {
		if err := r.scratch(env, p, s.Scratch(env.On, f.known)); err != nil {
			return nil, err
		}
	}
	wipe(f.in, out)
	return out, st.Op.Run(env, f.in, out)
}

// scratch takes scratch memory for one step.
func (r *run) scratch(env *op.Env, p *Program, n int64) error {
	t, err := r.ledger.make(p.options.Limits, tensor.Float32, []int64{n})
	if err != nil {
		return fmt.Errorf("scratch memory: %w", err)
	}
	env.Scratch = tensor.Data[float32](t)
	return nil
}
