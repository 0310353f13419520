package pipeline

import (
	"fmt"
	"strconv"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
	"github.com/blindbox/blindbox/tokenize"
)

// textInput makes tokens of texts.
type textInput struct {
	Pos       strictyaml.Pos
	Tokenizer name    `yaml:"tokenizer,required"`
	Length    integer `yaml:"length,required"`
	Pad       word    `yaml:"pad"`
	Batch     integer `yaml:"batch"`
}

const (
	maxTokens = 32 << 10 // of one text
	maxBatch  = 64       // texts in one run of a model
	// maxTextBytes bounds one text. It is more than maxTokens of most texts.
	maxTextBytes = 128 << 10
)

func (t *textInput) check(c *checker, path string) {
	c.file(t.Tokenizer, path+".tokenizer")
	c.between(t.Length, path+".length", 1, maxTokens)
	if given(t.Batch) {
		c.between(t.Batch, path+".batch", 1, maxBatch)
	}
	if given(t.Pad) && t.Pad.Value == "" {
		c.refuse(t.Pad.Pos, path+".pad", `""`, "a token of the tokenizer")
	}
}

func (t *textInput) open(b *binder, m Model, path string) (source, error) {
	o := textOpener{doc: t, path: path, to: &textSource{length: t.Length.Value, batch: max(1, t.Batch.Value)}}
	for _, step := range []func() error{
		func() error { return o.parse(b) },
		func() error { return o.model(m) },
		o.padding, o.room,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return o.to, nil
}

// textOpener compares a textInput with a model and a tokenizer.
type textOpener struct {
	doc   *textInput
	path  string
	to    *textSource
	fixed int64 // tokens that each of the model's inputs has; -1: any number
	one   bool  // the model takes one text at a time
}

func (o *textOpener) misfit(p strictyaml.Pos, key, seen, expected string) error {
	return misfit(p, o.path+key, seen, expected)
}

// parse reads the tokenizer.
func (o *textOpener) parse(b *binder) (err error) {
	o.to.tokenizer, err = b.tokenizer(o.doc.Tokenizer, o.path+".tokenizer")
	return err
}

// tokenizer reads a tokenizer that a key of the document names.
func (b *binder) tokenizer(n name, path string) (*tokenize.Tokenizer, error) {
	limits := tokenize.DefaultLimits()
	limits.TextBytes = maxTextBytes
	var full error
	limits.Take = func(bytes int64) error {
		if b.take != nil {
			full = b.take(bytes)
		}
		return full
	}
	tok, err := tokenize.ParseContext(b.ctx, b.files[n.Value], limits)
	switch {
	case full != nil: // which is no fault of the file's
		return nil, full
	case err != nil:
		return nil, misfit(n.Pos, path, n.Value+": "+err.Error(), "a tokenizer.json that the box can follow")
	}
	b.hold(tok.Bytes())
	return tok, nil
}

// model finds out how the inputs of the model are filled.
func (o *textOpener) model(m Model) error {
	o.fixed = -1
	known := columns()
	for _, v := range m.Inputs {
		value, ok := known[v.Name]
		if !ok || v.Type != tensor.Int64 && v.Type != tensor.Int32 {
			return o.misfit(o.doc.Pos, "", "a model with the input "+v.String(),
				"none but input_ids, attention_mask, token_type_ids and position_ids, each int64 or int32")
		}
		if err := o.shape(v); err != nil {
			return err
		}
		o.to.columns = append(o.to.columns, column{v.Name, v.Type, value})
	}
	if !o.to.has("input_ids") {
		return o.misfit(o.doc.Pos, "", "a model without the input input_ids", "a model that takes tokens")
	}
	if o.one && o.to.batch > 1 {
		return o.misfit(o.doc.Batch.Pos, ".batch", strconv.Itoa(o.to.batch), "1, as many texts as the model takes at a time")
	}
	return nil
}

// shape looks at the dimensions of an input: texts, tokens.
func (o *textOpener) shape(v onnx.ValueInfo) error {
	if v.Shape == nil {
		return nil // any will do
	}
	if len(v.Shape) != 2 || v.Shape[0] >= 0 && v.Shape[0] != 1 {
		return o.misfit(o.doc.Pos, "", "a model with the input "+v.String(), "two dimensions: any number of texts, or 1, and tokens")
	}
	o.one = o.one || v.Shape[0] == 1
	if v.Shape[1] < 0 {
		return nil
	}
	if v.Shape[1] > maxTokens {
		return o.misfit(o.doc.Pos, "", "a model with the input "+v.String(), fmt.Sprintf("at most %d tokens", maxTokens))
	}
	if o.fixed >= 0 && o.fixed != v.Shape[1] {
		return o.misfit(o.doc.Pos, "", "a model with the input "+v.String(), fmt.Sprintf("%d tokens, as its other inputs have", o.fixed))
	}
	o.fixed = v.Shape[1]
	return nil
}

// padding says how texts are filled up for a model that takes one number of tokens.
func (o *textOpener) padding() error {
	pad := o.doc.Pad
	switch {
	case o.fixed < 0 && given(pad):
		return o.misfit(pad.Pos, ".pad", "a model that takes any number of tokens", "no padding")
	case o.fixed < 0:
		return nil
	case int64(o.doc.Length.Value) > o.fixed:
		return o.misfit(o.doc.Length.Pos, ".length", strconv.Itoa(o.doc.Length.Value), fmt.Sprintf("at most %d, the tokens that the model takes", o.fixed))
	case !o.to.has("attention_mask"):
		return o.misfit(o.doc.Pos, "", fmt.Sprintf("a model that takes %d tokens and has no input attention_mask", o.fixed), "one that knows what is filled up")
	case !given(pad):
		return o.misfit(o.doc.Pos, ".pad", "nothing", fmt.Sprintf("the token that fills texts up to the %d tokens that the model takes", o.fixed))
	}
	id, ok := o.to.tokenizer.TokenID(pad.Value)
	if !ok {
		return o.misfit(pad.Pos, ".pad", strictyaml.Quote(pad.Value), "a token of "+o.doc.Tokenizer.Value)
	}
	o.to.pad, o.to.fixed = id, int(o.fixed)
	return nil
}

// room refuses a length that special tokens alone use up.
func (o *textOpener) room() error {
	empty, err := o.to.tokenizer.Encode("", tokenize.WithoutPadding(), tokenize.WithoutTruncation())
	if err != nil {
		return o.misfit(o.doc.Tokenizer.Pos, ".tokenizer", err.Error(), "a tokenizer that takes the empty text")
	}
	if empty.Len() >= o.to.length {
		return o.misfit(o.doc.Length.Pos, ".length", strconv.Itoa(o.to.length), fmt.Sprintf("more than %d, which special tokens take", empty.Len()))
	}
	return nil
}
