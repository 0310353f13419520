package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

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

// Run computes all outputs from all inputs, both by name. The tensors it returns
// are the caller's. A wrong input is an *InputError; what only shows while
// running (an index out of range, shapes that do not fit) is a *NodeError; a
// tensor or run over the limits wraps ErrLimit; the context's error is returned
// when it ends, at the latest one operator's inner loop later.
func (s *Session) Run(ctx context.Context, inputs map[string]*Tensor) (map[string]*Tensor, error) {
	return s.RunWithin(ctx, inputs, nil)
}

// RunWithin is Run with its inputs, outputs and what is in between taken from a
// share of a budget; nil is no budget. An error that wraps [ErrBusy] says that
// other runs have the memory. What is still taken afterwards is for the outputs:
// the caller releases the share when it is done with them.
func (s *Session) RunWithin(ctx context.Context, inputs map[string]*Tensor, share *Share) (out map[string]*Tensor, err error) {
	defer recovered(&err, func() { out = nil })
	r := &run{session: s, share: share, values: slices.Clone(s.fixed)}
	if err := r.feed(inputs); err != nil {
		return nil, err
	}
	for i := range s.steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("onnx: %w", err)
		}
		if err := r.step(ctx, &s.steps[i]); err != nil {
			return nil, fmt.Errorf("onnx: %w", s.steps[i].node.fail(err))
		}
	}
	return r.collect()
}

// run is the state of one run.
type run struct {
	session *Session
	share   *Share
	values  []*Tensor
	alive   int64 // elements of all values that were fed or computed and are still held
	infos   []info
	in      []*info
	tensors []*Tensor
}

// feed checks the inputs against the model and enters them.
func (r *run) feed(inputs map[string]*Tensor) error {
	s := r.session
	symbols := map[string]int64{}
	for i, want := range s.inputs {
		t, ok := inputs[want.Name]
		if !ok {
			return &InputError{want.Name, errors.New("is missing")}
		}
		if err := want.accepts(t, symbols); err != nil {
			return &InputError{want.Name, err}
		}
		if err := s.limits.checkShape(known(t)); err != nil {
			return &InputError{want.Name, err}
		}
		if err := r.hold(t.Type, int64(t.Len())); err != nil {
			return &InputError{want.Name, err}
		}
		r.values[s.feeds[i]] = t
	}
	if len(inputs) == len(s.inputs) {
		return nil
	}
	for name := range inputs {
		if !slices.ContainsFunc(s.inputs, func(v ValueInfo) bool { return v.Name == name }) {
			return &InputError{name, errors.New("the model has no such input")}
		}
	}
	return nil
}

// accepts holds a tensor to the type and shape that the model declares. A named
// open dimension must have one size in all inputs.
func (v ValueInfo) accepts(t *Tensor, symbols map[string]int64) error {
	if err := t.Check(); err != nil {
		return err
	}
	if t.Type != v.Type {
		return fmt.Errorf("is %s, expected %s", t.Type, v.Type)
	}
	if v.Shape == nil {
		return nil
	}
	if len(t.Shape) != len(v.Shape) {
		return fmt.Errorf("has shape %v, expected %v", t.Shape, v.Shape)
	}
	for i, d := range t.Shape {
		if v.Shape[i] != -1 && v.Shape[i] != d {
			return fmt.Errorf("has shape %v, expected %v", t.Shape, v.Shape)
		}
		name := v.Symbols[i]
		if name == "" {
			continue
		}
		if before, ok := symbols[name]; ok && before != d {
			return fmt.Errorf("has shape %v, but dimension %s is %d in another input", t.Shape, quote(name), before)
		}
		symbols[name] = d
	}
	return nil
}

// hold counts n more elements that are alive.
func (r *run) hold(t DataType, n int64) error {
	most := r.session.limits.RunElements
	if n > most-r.alive {
		return fmt.Errorf("%w: %d elements more than the %d alive, at most %d", ErrLimit, n, r.alive, most)
	}
	if err := r.share.take(n * t.width()); err != nil {
		return err
	}
	r.alive += n
	return nil
}

// step computes one node and lets go of what is not needed any more.
func (r *run) step(ctx context.Context, st *step) error {
	r.infos, r.in, r.tensors = r.infos[:0], r.in[:0], r.tensors[:0]
	for _, id := range st.in {
		var t *Tensor
		var v info
		if id >= 0 {
			t = r.values[id]
			v = known(t)
		}
		r.infos = append(r.infos, v)
		r.tensors = append(r.tensors, t)
	}
	for i := range r.infos {
		var v *info
		if r.tensors[i] != nil {
			v = &r.infos[i]
		}
		r.in = append(r.in, v)
	}
	results, err := st.op.infer(r.in)
	if err != nil {
		return err
	}
	for i, res := range results {
		if err := r.session.limits.checkShape(res); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		if !res.complete() {
			return fmt.Errorf("output %d: shape %s is not known", i, res)
		}
		if err := r.hold(res.typ, elements(res.shape)); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	out, err := compute(ctx, st.op, r.tensors, results)
	if err != nil {
		return err
	}
	for i, id := range st.out {
		r.values[id] = out[i]
	}
	for _, id := range st.free {
		n := int64(r.values[id].Len())
		r.alive -= n
		r.share.give(n * r.values[id].Type.width())
		r.values[id] = nil
	}
	return nil
}

// compute makes the results of an operator, whose shapes are complete and within
// the limits.
func compute(ctx context.Context, op operator, in []*Tensor, results []info) ([]*Tensor, error) {
	out := make([]*Tensor, len(results))
	if _, ok := op.(viewer); ok {
		same := *in[0]
		same.Shape = slices.Clone(results[0].shape)
		out[0] = &same
		return out, same.Check()
	}
	some := false
	for i, r := range results {
		n := elements(r.shape)
		out[i] = newTensor(r.typ, r.shape, n)
		some = some || n > 0
	}
	if !some {
		return out, nil
	}
	return out, op.run(ctx, in, out)
}

// collect returns the outputs, as memory of their own.
func (r *run) collect() (map[string]*Tensor, error) {
	s := r.session
	out := make(map[string]*Tensor, len(s.results))
	for i, id := range s.results {
		t := r.values[id]
		want := s.outputs[i]
		declared := info{typ: want.Type, ranked: want.Shape != nil, shape: want.Shape}
		if err := agree(declared, known(t)); err != nil {
			return nil, fmt.Errorf("onnx: output %s: %w", quote(want.Name), err)
		}
		if s.shared[i] {
			t = t.clone()
		}
		out[want.Name] = t
	}
	return out, nil
}

func (t *Tensor) clone() *Tensor {
	return &Tensor{Type: t.Type, Shape: slices.Clone(t.Shape), F32: slices.Clone(t.F32), I64: slices.Clone(t.I64),
		Str: slices.Clone(t.Str), Bool: slices.Clone(t.Bool)}
}
