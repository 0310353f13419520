package tokenize

import (
	"context"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Tokenizer turns text into ids and back. It does not change, and may be used by many
// goroutines at once.
type Tokenizer struct {
	lim         Limits
	added       *added
	normalizers normalizers
	cutters     []cutter
	model       model
	after       *processor
	decoder     decoder
	truncation  *truncation
	padding     *padding
	bytes       int64
	track       bool // a step wants to know where in the text a piece begins
}

// Parse is [ParseContext] of a file that is waited for.
func Parse(json []byte, lim Limits) (*Tokenizer, error) {
	return ParseContext(context.Background(), json, lim)
}

// ParseContext reads a tokenizer.json. What the file asks for and is not supported is an
// error, and so is the end of the context, which it looks at every few milliseconds.
func ParseContext(ctx context.Context, json []byte, limits Limits) (*Tokenizer, error) {
	if err := limits.check(); err != nil {
		return nil, err
	}
	lim := &reading{Limits: limits, ctx: ctx}
	limits.Take = nil
	f, err := readFile(json, lim)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{lim: limits, truncation: f.Truncation, padding: f.Padding}
	for _, step := range []func() error{
		func() (err error) { t.model, err = readModel(f.Model, lim); return err },
		func() (err error) { t.normalizers, err = readNormalizer(f.Normalizer, lim); return err },
		func() (err error) { t.cutters, err = readPreTokenizer(f.PreTokenizer, lim); return err },
		func() (err error) { t.after, err = readPostProcessor(f.PostProcessor); return err },
		func() (err error) { t.decoder, err = readDecoder(f.Decoder, lim); return err },
		func() (err error) {
			t.added, err = readAdded(f.AddedTokens.tokens, t.model, t.normalizers, lim)
			return err
		},
		t.check,
		func() error { return t.prepare(lim) },
	} {
		if err := step(); err != nil {
			return nil, inPackage(err)
		}
	}
	t.bytes = lim.kept
	return t, nil
}

// Bytes is how much memory the tokenizer holds, at most.
func (t *Tokenizer) Bytes() int64 { return t.bytes }

func (t *Tokenizer) check() error {
	if t.truncation != nil {
		if err := t.truncation.check(); err != nil {
			return err
		}
	}
	if t.padding != nil {
		return t.padding.check(t.lim)
	}
	return nil
}

// prepare lets the last step before the model hand over bytes instead of the characters
// that stand for them, if the model can take them.
func (t *Tokenizer) prepare(in *reading) error {
	for _, c := range t.cutters {
		if m, ok := c.(metaspace); ok && m.first && len(t.normalizers) > 0 {
			t.track = true
		}
	}
	m, isBPE := t.model.(*bpe)
	if !isBPE || len(t.cutters) == 0 {
		return nil
	}
	last, ok := t.cutters[len(t.cutters)-1].(*toBytes)
	if !ok || m.prefix != "" || m.suffix != "" {
		return nil
	}
	if m.whole {
		if err := in.keep(len(m.ids), byteViewBytes); err != nil {
			return err
		}
	}
	last.raw = m.viewBytes()
	return nil
}

// work is what one call on a text may do.
func (l Limits) work(ctx context.Context, bytes int, track bool) *work {
	steps := math.MaxInt
	if bytes+64 < math.MaxInt/l.Steps {
		steps = (bytes + 64) * l.Steps
	}
	return &work{ctx: ctx, bytes: l.WorkBytes, steps: steps, track: track}
}

// Encode turns a text, which must be UTF-8, into ids.
func (t *Tokenizer) Encode(text string, opt ...Option) (Encoding, error) {
	return t.EncodeContext(context.Background(), text, opt...)
}

// EncodeContext is Encode for as long as a context is there: a long text of a hostile
// tokenizer can take seconds, and it looks every few milliseconds.
func (t *Tokenizer) EncodeContext(ctx context.Context, text string, opt ...Option) (Encoding, error) {
	return t.encode(ctx, []string{text}, opt)
}

// EncodePair turns two texts into the ids of one input, as the file's post-processor
// puts them together.
func (t *Tokenizer) EncodePair(first, second string, opt ...Option) (Encoding, error) {
	return t.encode(context.Background(), []string{first, second}, opt)
}

// EncodeBatch encodes each text and, if the file asks for padding, fills all of them up
// to one length.
func (t *Tokenizer) EncodeBatch(texts []string, opt ...Option) ([]Encoding, error) {
	out, longest := make([]Encoding, len(texts)), 0
	for i, text := range texts {
		e, err := t.encode(context.Background(), []string{text}, append(slices.Clone(opt), WithoutPadding()))
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		out[i], longest = e, max(longest, e.Len())
	}
	o := choose(opt)
	if t.padding == nil || o.unpadded {
		return out, nil
	}
	n := t.padding.length(longest)
	if len(out) > 0 && n > t.lim.WorkBytes/len(out) {
		return nil, fmt.Errorf("tokenize: %d texts filled up to %d tokens each, see Limits.WorkBytes: %w", len(out), n, ErrLimit)
	}
	for i := range out {
		out[i] = t.padding.apply(out[i], n)
	}
	return out, nil
}

func choose(opt []Option) (o options) {
	for _, set := range opt {
		set(&o)
	}
	return o
}

func (t *Tokenizer) encode(ctx context.Context, texts []string, opt []Option) (Encoding, error) {
	o := choose(opt)
	cut, err := t.bound(o)
	if err != nil {
		return Encoding{}, err
	}
	parts := make([]*encoded, len(texts))
	for i, text := range texts {
		if parts[i], err = t.tokens(ctx, text, o.offsets, cut, i == 1); err != nil {
			return Encoding{}, err
		}
	}
	special, second := 0, (*encoded)(nil)
	if !o.bare {
		special = t.after.special(len(parts) == 2)
	}
	if len(parts) == 2 {
		second = parts[1]
	}
	if err := cut.apply(parts[0], second, special); err != nil {
		return Encoding{}, err
	}
	e := t.after.apply(parts, o.bare, o.offsets)
	if t.padding != nil && !o.unpadded {
		e = t.padding.apply(e, t.padding.length(e.Len()))
	}
	return e, nil
}

// bound returns the truncation that a call asks for.
func (t *Tokenizer) bound(o options) (*truncation, error) {
	cut := t.truncation
	if o.whole {
		cut = nil
	}
	if o.most == 0 {
		return cut, nil
	}
	if o.most < 0 {
		return nil, fmt.Errorf("tokenize: %d tokens at most, must be positive", o.most)
	}
	bound := truncation{Direction: "Right", Strategy: "LongestFirst"}
	if cut != nil {
		bound = *cut
	}
	bound.MaxLength, bound.Stride = o.most, 0
	return &bound, nil
}

// tokens does all steps up to the model on one text.
func (t *Tokenizer) tokens(ctx context.Context, text string, offsets bool, cut *truncation, second bool) (*encoded, error) {
	if len(text) > t.lim.TextBytes {
		return nil, fmt.Errorf("tokenize: text of %d bytes, the limit is %d: %w", len(text), t.lim.TextBytes, ErrLimit)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("tokenize: the text is not UTF-8")
	}
	w := t.lim.work(ctx, len(text), offsets || t.track)
	pieces, err := t.pieces(w, text)
	if err != nil {
		return nil, inPackage(err)
	}
	run := modelRun{work: w, model: t.model, text: text, offsets: offsets, trim: t.after.trim, enough: cut.enough(second)}
	if cut != nil && cut.Direction == "Left" {
		return run.fromEnd(pieces)
	}
	return run.fromStart(pieces)
}

// pieces finds added tokens, normalizes the rest and cuts it into words.
func (t *Tokenizer) pieces(w *work, text string) ([]piece, error) {
	var pieces []piece
	found, err := t.added.split(w, t.added.raw, piece{text: text, id: none}, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if err := w.look(); err != nil {
			return nil, err
		}
		if p.text == "" || p.id != none {
			pieces = append(pieces, p)
			continue
		}
		if p, err = t.normalizers.normalize(w, p); err != nil {
			return nil, err
		}
		if pieces, err = t.added.split(w, t.added.normalized, p, pieces); err != nil {
			return nil, err
		}
	}
	for _, c := range t.cutters {
		out := make([]piece, 0, len(pieces)+len(text)/5)
		for _, p := range pieces {
			if err := w.look(); err != nil {
				return nil, err
			}
			if p.text == "" {
				continue
			}
			if p.id != none {
				out = append(out, p)
			} else if out, err = c.cut(w, p, out); err != nil {
				return nil, err
			}
		}
		pieces = out
	}
	return pieces, nil
}

// Vocabulary is the number of tokens, added ones included.
func (t *Tokenizer) Vocabulary() int {
	n := t.model.size()
	for content := range t.added.ids {
		if t.model.id(content) == none {
			n++
		}
	}
	return n
}

// TokenID returns the id of a token.
func (t *Tokenizer) TokenID(token string) (id int64, ok bool) {
	if id, ok := t.added.ids[token]; ok {
		return int64(id), true
	}
	if id := t.model.id(token); id != none {
		return int64(id), true
	}
	return 0, false
}

// Token returns the token of an id, as it stands in the file.
func (t *Tokenizer) Token(id int64) (token string, ok bool) {
	if id < 0 || id > math.MaxInt32 {
		return "", false
	}
	if at, ok := t.added.byID[int32(id)]; ok {
		return t.added.tokens[at].Content, true
	}
	return t.model.text(int32(id))
}
