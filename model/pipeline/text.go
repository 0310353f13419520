package pipeline

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

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
}

const (
	maxTokens    = 32 << 10  // of one text
	maxTextBytes = 1 << 20   // of one text
	maxTextTotal = 256 << 20 // of all texts of a request
)

func (t *textInput) check(c *checker, path string) {
	c.file(t.Tokenizer, path+".tokenizer")
	c.between(t.Length, path+".length", 1, maxTokens)
	if given(t.Pad) && t.Pad.Value == "" {
		c.refuse(t.Pad.Pos, path+".pad", `""`, "a token of the tokenizer")
	}
}

func (t *textInput) open(b *binder, m Model, path string) (source, error) {
	file := b.files[t.Tokenizer.Value]
	limits := tokenize.DefaultLimits()
	limits.TextBytes = maxTextBytes
	tok, err := tokenize.Parse(file, limits)
	if err != nil {
		return nil, misfit(t.Tokenizer.Pos, path+".tokenizer", t.Tokenizer.Value+": "+err.Error(), "a tokenizer.json that this box can follow")
	}
	s := &textSource{tokenizer: tok, length: t.Length.Value}
	if err := s.bind(t, m, path); err != nil {
		return nil, err
	}
	b.hold(int64(len(file)) * tokenizerFactor)
	return s, nil
}

// tokenizerFactor is how much memory the tables of a tokenizer take, at most, in sizes of
// its file.
const tokenizerFactor = 8

// textSource is a textInput ready to run.
type textSource struct {
	tokenizer *tokenize.Tokenizer
	length    int
	feeds     []feed
	pad       int64
	fixed     int // length of the model's inputs if that is not open, else 0
}

// feed is an input of the model and how to fill it.
type feed struct {
	name  string
	typ   tensor.DataType
	value func(e *tokenize.Encoding, i int) int64
}

// feeds is the table of inputs of models of text.
func feeds() map[string]func(e *tokenize.Encoding, i int) int64 {
	return map[string]func(e *tokenize.Encoding, i int) int64{
		"input_ids":      func(e *tokenize.Encoding, i int) int64 { return e.IDs[i] },
		"attention_mask": func(e *tokenize.Encoding, i int) int64 { return e.AttentionMask[i] },
		"token_type_ids": func(e *tokenize.Encoding, i int) int64 { return e.TypeIDs[i] },
		"position_ids":   func(_ *tokenize.Encoding, i int) int64 { return int64(i) },
	}
}

// bind finds the inputs of the model.
func (s *textSource) bind(t *textInput, m Model, path string) error {
	known := feeds()
	for _, v := range m.Inputs {
		value, ok := known[v.Name]
		if !ok || v.Type != tensor.Int64 && v.Type != tensor.Int32 || len(v.Shape) != 2 {
			return misfit(t.Pos, path, "a model with the input "+v.String(),
				"input_ids, attention_mask, token_type_ids and position_ids alone, each int64 or int32 with texts and tokens as dimensions")
		}
		if v.Shape[0] >= 0 && v.Shape[0] != 1 {
			return misfit(t.Pos, path, "a model for batches of one size, "+v.String(), "1 or an open number of texts")
		}
		s.feeds = append(s.feeds, feed{v.Name, v.Type, value})
		if v.Shape[1] >= 0 {
			s.fixed = int(v.Shape[1])
		}
	}
	if !slices.ContainsFunc(m.Inputs, func(v onnx.ValueInfo) bool { return v.Name == "input_ids" }) {
		return misfit(t.Pos, path, "a model without the input input_ids", "a model of text")
	}
	return nil
}

func (s *textSource) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("text", tensor.String)}
}

func (s *textSource) outputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("tokens", tensor.Int64)}
}

// feed runs the model for one text at a time: what is said of a text does not depend on
// what else a request holds.
func (s *textSource) feed(ctx context.Context, in map[string]*tensor.Tensor, run func(batch) error) (map[string]*tensor.Tensor, error) {
	texts := tensor.Data[string](in["text"])
	total := 0
	for i, text := range texts {
		total += len(text)
		switch {
		case len(text) > maxTextBytes:
			return nil, &InputError{"text", i, fmt.Errorf("%d bytes, expected at most %d", len(text), maxTextBytes)}
		case total > maxTextTotal:
			return nil, &InputError{"text", -1, fmt.Errorf("more than %d bytes", maxTextTotal)}
		case !utf8.ValidString(text):
			return nil, &InputError{"text", i, errNotUTF8}
		}
	}
	counts := make([]int64, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := s.tokenizer.Encode(text, tokenize.WithMaxTokens(s.length), tokenize.WithoutPadding())
		if err != nil {
			return nil, &InputError{"text", i, err}
		}
		counts[i] = int64(e.Len())
		if e.Len() == 0 {
			return nil, &InputError{"text", i, errNoTokens}
		}
		if err := run(s.batch(&e, i)); err != nil {
			return nil, err
		}
	}
	return map[string]*tensor.Tensor{"tokens": tensor.List(counts...)}, nil
}

func (s *textSource) batch(e *tokenize.Encoding, item int) batch {
	b := batch{in: make(map[string]*tensor.Tensor, len(s.feeds)), items: []int{item}}
	for _, f := range s.feeds {
		if f.typ == tensor.Int32 {
			b.in[f.name] = filled[int32](f, e)
		} else {
			b.in[f.name] = filled[int64](f, e)
		}
	}
	return b
}

func filled[T int32 | int64](f feed, e *tokenize.Encoding) *tensor.Tensor {
	data := make([]T, e.Len())
	for i := range data {
		data[i] = T(f.value(e, i))
	}
	return tensor.Of(data, 1, int64(len(data)))
}
