package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// MaxItems is how many texts, images or recordings one request may hold.
const MaxItems = 2048

// Model is what a session tells of itself.
type Model struct{ Inputs, Outputs []onnx.ValueInfo }

// Ask runs one of the models: all of its outputs from all of its inputs.
type Ask func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error)

// Pipeline is a document with its models and files, ready to run. It does not change.
type Pipeline struct {
	runner          runner
	inputs, outputs []onnx.ValueInfo
	bytes           int64
}

// task is a whole pipeline.
type task interface {
	// check looks at the values of the document, and names its models and files.
	check(c *checker)
	// open looks at them beside the models and files.
	open(b *binder) (runner, error)
}

// runner is a task that is ready to run.
type runner interface {
	inputs() []onnx.ValueInfo
	outputs() []onnx.ValueInfo
	// run gets each of its inputs with the type and rank that it has told, and with as
	// many elements as the others.
	run(ctx context.Context, in map[string]*tensor.Tensor, ask Ask) (map[string]*tensor.Tensor, error)
}

// binder holds what a document refers to while its parts are made ready.
type binder struct {
	ctx    context.Context
	take   func(bytes int64) error // asked before memory is taken; may be nil
	models map[string]Model
	files  map[string][]byte
	bytes  int64
}

// hold counts memory that the pipeline keeps.
func (b *binder) hold(bytes int64) { b.bytes += bytes }

// New makes a pipeline of a document, the models and the files that it names. The
// error says which line of the document does not fit them. It keeps nothing of files.
//
// It ends with its context, and asks take, if that is not nil, before it takes memory that
// a small file can make large: that of a tokenizer, see Limits in package tokenize. What it has taken
// beside [Pipeline.Bytes] is free when it returns.
func New(ctx context.Context, d *Document, models map[string]Model, files map[string][]byte, take func(bytes int64) error) (*Pipeline, error) {
	for _, n := range d.models {
		if _, ok := models[n]; !ok {
			return nil, fmt.Errorf("pipeline.yaml: there is no model %s", n)
		}
	}
	for _, n := range d.files {
		if _, ok := files[n]; !ok {
			return nil, fmt.Errorf("pipeline.yaml: there is no file %s", n)
		}
	}
	b := &binder{ctx: ctx, take: take, models: models, files: files}
	r, err := d.task.open(b)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return &Pipeline{runner: r, inputs: r.inputs(), outputs: r.outputs(), bytes: b.bytes}, nil
}

// Inputs lists what a caller sends. An open dimension is -1; the first one is how many
// texts, images or recordings there are. The caller owns the list.
func (p *Pipeline) Inputs() []onnx.ValueInfo { return slices.Clone(p.inputs) }

// Outputs lists what a caller gets, in the order in which a person would read it.
func (p *Pipeline) Outputs() []onnx.ValueInfo { return slices.Clone(p.outputs) }

// Bytes is the memory that the pipeline holds beside its models: tokenizer, labels.
func (p *Pipeline) Bytes() int64 { return p.bytes }

// Run answers for each element of the inputs. It is safe for concurrent use, and uses
// its caller's goroutine alone. What a caller sent wrongly is an *InputError; an error of
// ask is returned as it is, and the context's error when it ends.
func (p *Pipeline) Run(ctx context.Context, in map[string]*tensor.Tensor, ask Ask) (map[string]*tensor.Tensor, error) {
	if err := p.checkInputs(in); err != nil {
		return nil, err
	}
	return p.runner.run(ctx, in, ask)
}

// trier is a runner that can try its models.
type trier interface {
	try(ctx context.Context, ask Ask) error
}

// Try asks the models for the most that one element of a request can be, as far as the
// pipeline knows it, such as a text of full length with the last token of the tokenizer.
// Whoever loads a pipeline calls it once: a model that cannot take what the document
// promises fails then, and not with a caller's request.
func (p *Pipeline) Try(ctx context.Context, ask Ask) error {
	if t, ok := p.runner.(trier); ok {
		return t.try(ctx, ask)
	}
	return nil
}

func (p *Pipeline) checkInputs(in map[string]*tensor.Tensor) error {
	for name := range in {
		if !slices.ContainsFunc(p.inputs, func(v onnx.ValueInfo) bool { return v.Name == name }) {
			return &InputError{name, -1, fmt.Errorf("not an input of this pipeline; its inputs are %v", p.inputs)}
		}
	}
	items := -1
	for _, want := range p.inputs {
		t := in[want.Name]
		if t == nil {
			return &InputError{want.Name, -1, fmt.Errorf("missing, expected %v", want)}
		}
		if err := t.Check(); err != nil {
			return &InputError{want.Name, -1, err}
		}
		if !fits(t, want) {
			return &InputError{want.Name, -1, fmt.Errorf("%v%v, expected %v%v", t.Type, t.Shape, want.Type, want.Shape)}
		}
		switch n := t.Len(); {
		case n < 1 || n > MaxItems:
			return &InputError{want.Name, -1, fmt.Errorf("%d elements, expected 1 to %d", n, MaxItems)}
		case items >= 0 && n != items:
			return &InputError{want.Name, -1, fmt.Errorf("%d elements, other inputs have %d", n, items)}
		default:
			items = n
		}
	}
	return nil
}

// fits says whether a tensor has the type and the shape of a value.
func fits(t *tensor.Tensor, want onnx.ValueInfo) bool {
	return t.Type == want.Type && slices.EqualFunc(t.Shape, want.Shape, func(have, open int64) bool { return open < 0 || have == open })
}
