package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
	"github.com/blindbox/blindbox/tokenize"
)

// textSource is a textInput ready to run.
type textSource struct {
	tokenizer *tokenize.Tokenizer
	length    int // of a text, in tokens
	batch     int // texts in one run of the model
	columns   []column
	fixed     int   // length of the model's inputs if that is not open, else 0
	pad       int64 // fills texts up to it
}

// column is an input of the model, and what it holds for a token of a text.
type column struct {
	name  string
	typ   tensor.DataType
	value func(e *tokenize.Encoding, i int) int64
}

// columns is the table of inputs that models of text have.
func columns() map[string]func(e *tokenize.Encoding, i int) int64 {
	return map[string]func(e *tokenize.Encoding, i int) int64{
		"input_ids":      func(e *tokenize.Encoding, i int) int64 { return e.IDs[i] },
		"attention_mask": func(e *tokenize.Encoding, i int) int64 { return e.AttentionMask[i] },
		"token_type_ids": func(e *tokenize.Encoding, i int) int64 { return e.TypeIDs[i] },
		"position_ids":   func(_ *tokenize.Encoding, i int) int64 { return int64(i) },
	}
}

func (s *textSource) has(name string) bool {
	return slices.ContainsFunc(s.columns, func(c column) bool { return c.name == name })
}

func (s *textSource) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("text", tensor.String)}
}

// outputs: how many tokens each text had for the model, special ones included.
func (s *textSource) outputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("tokens", tensor.Int64)}
}

// feed goes through the texts in their order. None waits for others, unless the document
// says batch: then texts wait for those with as many tokens.
func (s *textSource) feed(ctx context.Context, in map[string]*tensor.Tensor, run func(batch) error) (map[string]*tensor.Tensor, error) {
	texts := tensor.Data[string](in["text"])
	counts, w := make([]int64, len(texts)), waiting{source: s, run: run, groups: map[int]*group{}}
	for i, text := range texts {
		if err := checkText(text); err != nil {
			return nil, &InputError{"text", i, err}
		}
	}
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := s.encode(ctx, text)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, &InputError{"text", i, err}
		}
		counts[i] = int64(e.Len())
		if err := w.add(e, i); err != nil {
			return nil, err
		}
	}
	return map[string]*tensor.Tensor{"tokens": tensor.List(counts...)}, w.flush(ctx)
}

var errNotUTF8 = errors.New("not UTF-8")

func checkText(text string) error {
	if len(text) > maxTextBytes {
		return fmt.Errorf("%d bytes, expected at most %d", len(text), maxTextBytes)
	}
	if !utf8.ValidString(text) {
		return errNotUTF8
	}
	return nil
}

var errNoTokens = errors.New("no tokens, of which the model needs one")

func (s *textSource) encode(ctx context.Context, text string) (*tokenize.Encoding, error) {
	e, err := s.tokenizer.EncodeContext(ctx, text, tokenize.WithMaxTokens(s.length), tokenize.WithoutPadding())
	if err == nil && e.Len() == 0 {
		err = errNoTokens
	}
	return &e, err
}

// group is texts with the same number of tokens.
type group struct {
	texts []*tokenize.Encoding
	items []int
}

// waiting holds texts until there are enough of one length for a run.
type waiting struct {
	source *textSource
	run    func(batch) error
	groups map[int]*group
}

// busyTokens is from where on more tokens in one run make a model no faster: its weights
// are read once for all of them, and then what it works with is too much for the caches.
const busyTokens = 64

func (w *waiting) add(e *tokenize.Encoding, item int) error {
	n := w.source.width(e)
	g := w.groups[n]
	if g == nil {
		g = &group{}
		w.groups[n] = g
	}
	g.texts, g.items = append(g.texts, e), append(g.items, item)
	if len(g.texts) < w.source.batch && (len(g.texts)+1)*n <= busyTokens {
		return nil
	}
	delete(w.groups, n)
	return w.run(w.source.fill(g))
}

// flush runs what is left, the shortest texts first.
func (w *waiting) flush(ctx context.Context) error {
	lengths := make([]int, 0, len(w.groups))
	for n := range w.groups {
		lengths = append(lengths, n)
	}
	slices.Sort(lengths)
	for _, n := range lengths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.run(w.source.fill(w.groups[n])); err != nil {
			return err
		}
	}
	return nil
}

// width is how many tokens the model sees of a text.
func (s *textSource) width(e *tokenize.Encoding) int {
	if s.fixed > 0 {
		return s.fixed
	}
	return e.Len()
}

// fill makes the model's inputs of texts of one width.
func (s *textSource) fill(g *group) batch {
	b := batch{in: make(map[string]*tensor.Tensor, len(s.columns)), items: g.items, rows: make([]int, len(g.texts))}
	for i, e := range g.texts {
		b.rows[i] = e.Len()
	}
	for _, c := range s.columns {
		if c.typ == tensor.Int32 {
			b.in[c.name] = filled[int32](s, c, g.texts)
		} else {
			b.in[c.name] = filled[int64](s, c, g.texts)
		}
	}
	return b
}

func filled[T int32 | int64](s *textSource, c column, texts []*tokenize.Encoding) *tensor.Tensor {
	width := s.width(texts[0])
	data := make([]T, 0, len(texts)*width)
	for _, e := range texts {
		for i := range width {
			data = append(data, T(s.cell(c, e, i)))
		}
	}
	return tensor.Of(data, int64(len(texts)), int64(width))
}

// cell is what an input holds for a token, or for what fills the text up behind its last.
func (s *textSource) cell(c column, e *tokenize.Encoding, i int) int64 {
	switch {
	case i < e.Len() || c.name == "position_ids":
		return c.value(e, i)
	case c.name == "input_ids":
		return s.pad
	default:
		return 0
	}
}

// sample is a text of as many tokens as are allowed, all of them the last one that the
// tokenizer knows: a model with fewer tokens or positions fails on it.
func (s *textSource) sample() batch {
	n, id := s.length, lastID(s.tokenizer)
	e := &tokenize.Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n), AttentionMask: make([]int64, n)}
	for i := range n {
		e.IDs[i], e.AttentionMask[i] = id, 1
	}
	return s.fill(&group{[]*tokenize.Encoding{e}, []int{0}})
}

// lastID is the highest id of a tokenizer, whose ids may have gaps.
func lastID(t *tokenize.Tokenizer) (last int64) {
	most := int64(tokenize.DefaultLimits().Vocabulary)
	for id, left := int64(0), t.Vocabulary(); id < most && left > 0; id++ {
		if _, ok := t.Token(id); ok {
			last, left = id, left-1
		}
	}
	return last
}
