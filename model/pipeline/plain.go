package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// plainTask is one model between an input and steps.
type plainTask struct {
	at     strictyaml.Pos
	model  name
	input  strictyaml.Choice[inputs]
	output []strictyaml.Choice[steps]
}

// input is what callers send, as the document describes it.
type input interface {
	// check looks at the values of the document, which stand at path.
	check(c *checker, path string)
	// open looks at them beside the model.
	open(b *binder, m Model, path string) (source, error)
}

// source makes inputs of a model of what callers send.
type source interface {
	inputs() []onnx.ValueInfo
	// outputs are those that do not come from the model.
	outputs() []onnx.ValueInfo
	// feed calls run for some of the request's elements at a time, each once, and
	// returns the source's own outputs.
	feed(ctx context.Context, in map[string]*tensor.Tensor, run func(batch) error) (map[string]*tensor.Tensor, error)
}

// batch is one run of the model.
type batch struct {
	in    map[string]*tensor.Tensor // of the model
	items []int                     // elements of the request, in the order of the model's
	// rows says how many of a result's rows (tokens, frames) are of the element itself
	// and not filled up; nil: all of them.
	rows []int
	// ask, if it is there, asks the model as often as it takes, and makes one result of all.
	ask func(once asker) (tensors, error)
}

// tensors are inputs or outputs of a model, by name.
type tensors = map[string]*tensor.Tensor

// asker runs the pipeline's model once.
type asker func(in tensors) (tensors, error)

// run runs the model for a batch.
func (b batch) run(once asker) (tensors, error) {
	if b.ask != nil {
		return b.ask(once)
	}
	return once(b.in)
}

// step is what is done with a result, as the document describes it.
type step interface {
	check(c *checker, path string)
	// fit looks at the form of what the step gets, and says what it makes of it.
	fit(b *binder, f form, path string) (form, apply, error)
}

// form is what is known of a state before it is there. Its first value is what steps
// work on.
type form struct {
	values  []onnx.ValueInfo
	classes int64 // after top: how many there were, -1 if that is not known
}

// state is what goes from one step to the next, with as many values as its form.
type state struct {
	values []*tensor.Tensor
	items  int   // elements, which are the first dimension of what steps work on
	rows   []int // as in batch
}

// then is the state after a step, with one row for each element.
func (s state) then(values ...*tensor.Tensor) state { return state{values: values, items: s.items} }

// floats returns what a step works on, and refuses what is not of its form.
func (s state) floats(ctx context.Context, rank int) (*tensor.Tensor, error) {
	t := s.values[0]
	if len(t.Shape) != rank || t.Shape[0] != int64(s.items) {
		return nil, fmt.Errorf("pipeline: the model gave %v%v, expected %d dimensions, of which the first is %d", t.Type, t.Shape, rank, s.items)
	}
	if wide := t.Shape[rank-1]; wide > maxWide {
		return nil, fmt.Errorf("pipeline: the model gave %v%v, expected at most %d in the last dimension", t.Type, t.Shape, maxWide)
	}
	return widened(ctx, t)
}

// maxWide is more than any model has classes or features. A result without elements may
// claim any number of them.
const maxWide = 1 << 20

// apply does what a step says. It may change the elements of what it gets.
type apply func(ctx context.Context, s state) (state, error)

func (t *plainTask) check(c *checker) {
	if !given(t.model) {
		c.refuse(t.at, "model", "nothing", "the name of an ONNX file")
	} else {
		c.model(t.model, "model")
	}
	if list := chosen[input](&t.input.Value); len(list) != 1 {
		c.refuse(t.at, "input", "nothing", "what callers send")
	} else {
		list[0].check(c, "input."+t.input.Key)
	}
	if len(t.output) == 0 {
		c.refuse(t.at, "output", "nothing", "one step or more")
	}
	for i := range t.output {
		for _, s := range chosen[step](&t.output[i].Value) {
			s.check(c, t.stepPath(i))
		}
	}
}

func (t *plainTask) stepPath(i int) string { return fmt.Sprintf("output[%d].%s", i, t.output[i].Key) }

func (t *plainTask) open(b *binder) (runner, error) {
	m := b.models[t.model.Value]
	src, err := chosen[input](&t.input.Value)[0].open(b, m, "input."+t.input.Key)
	if err != nil {
		return nil, err
	}
	p := &plain{model: t.model.Value, source: src, wanted: m.Outputs}
	f := form{values: m.Outputs}
	for i := range t.output {
		var do apply
		s := chosen[step](&t.output[i].Value)[0]
		if f, do, err = t.fit(b, s, f, i); err != nil {
			return nil, err
		}
		p.steps = append(p.steps, do)
	}
	p.form = f
	return p, t.finished(f, src.outputs())
}

// fit is a step's, unless it gets several outputs of the model and is not told which.
func (t *plainTask) fit(b *binder, s step, f form, i int) (form, apply, error) {
	if _, takes := s.(*takeStep); i == 0 && !takes && len(f.values) != 1 {
		return form{}, nil, misfit(t.output[i].Pos, t.stepPath(i),
			fmt.Sprintf("a model with %d outputs (%s)", len(f.values), names(f.values)), "the step take first, which names one")
	}
	return s.fit(b, f, t.stepPath(i))
}

// finished refuses results that have another shape for each element, or the name of
// something else.
func (t *plainTask) finished(f form, others []onnx.ValueInfo) error {
	last := len(t.output) - 1
	for _, v := range f.values {
		if len(v.Shape) > 2 && slices.Contains(v.Shape[1:], -1) {
			return misfit(t.output[last].Pos, t.stepPath(last), v.String()+", which may have another shape for each element", "a step after it, such as pool or ctc")
		}
		if slices.ContainsFunc(others, func(o onnx.ValueInfo) bool { return o.Name == v.Name }) {
			return misfit(t.output[last].Pos, t.stepPath(last), "the name "+v.Name+", which the input gives as well", "another step, which names it anew")
		}
	}
	return nil
}

func names(values []onnx.ValueInfo) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = v.Name
	}
	return strings.Join(list, ", ")
}

// plain is a plainTask ready to run.
type plain struct {
	model  string
	source source
	wanted []onnx.ValueInfo // outputs of the model
	steps  []apply
	form   form
}

func (p *plain) inputs() []onnx.ValueInfo { return p.source.inputs() }

func (p *plain) outputs() []onnx.ValueInfo {
	var list []onnx.ValueInfo
	for _, v := range p.form.values {
		list = append(list, result(v.Name, v.Type, v.Shape[1:]...))
	}
	return append(list, p.source.outputs()...)
}

func (p *plain) run(ctx context.Context, in map[string]*tensor.Tensor, ask Ask) (map[string]*tensor.Tensor, error) {
	results := newCollector(p.form.values, in[p.source.inputs()[0].Name].Len())
	own, err := p.source.feed(ctx, in, func(b batch) error { return p.once(ctx, b, ask, results) })
	if err != nil {
		return nil, err
	}
	return results.done(own)
}

// sampler is a source that knows what the most is that an element can be.
type sampler interface{ sample() batch }

func (p *plain) try(ctx context.Context, ask Ask) error {
	s, ok := p.source.(sampler)
	if !ok {
		return nil
	}
	if err := p.once(ctx, s.sample(), ask, newCollector(p.form.values, 1)); err != nil {
		return fmt.Errorf("pipeline.yaml: %s cannot take what input and output promise: %w", p.model, err)
	}
	return nil
}

// once runs the model and then the steps for some elements.
func (p *plain) once(ctx context.Context, b batch, ask Ask, results *collector) error {
	out, err := b.run(func(in tensors) (tensors, error) { return ask(ctx, p.model, in) })
	if err != nil {
		return err
	}
	s, err := p.state(out, b)
	for i := 0; err == nil && i < len(p.steps); i++ {
		s, err = p.steps[i](ctx, s)
	}
	if err != nil {
		return err
	}
	return results.add(s.values, b.items)
}

// state takes the outputs of a run, each with a row for each element.
func (p *plain) state(out map[string]*tensor.Tensor, b batch) (state, error) {
	s := state{items: len(b.items), rows: b.rows}
	for _, v := range p.wanted {
		t := out[v.Name]
		if t.Check() != nil || t.Type != v.Type {
			return s, fmt.Errorf("pipeline: the model did not give %v", v)
		}
		s.values = append(s.values, t)
	}
	return s, nil
}
