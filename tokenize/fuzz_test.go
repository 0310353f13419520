package tokenize

import (
	"context"
	"errors"
	"testing"
	"unicode/utf8"
)

// smallLimits keep an attempt short.
func smallLimits() Limits {
	return Limits{FileBytes: 1 << 16, Vocabulary: 4096, PieceBytes: 256, TextBytes: 1 << 12, WorkBytes: 1 << 16, Steps: 64}
}

// FuzzParse reads hostile files, and gives a text to those that are taken.
func FuzzParse(f *testing.F) {
	for _, file := range smallFiles() {
		f.Add([]byte(file), "Héllo  wörld's 123 的\n<s>")
	}
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		tok, err := Parse(file, smallLimits())
		if err != nil {
			return
		}
		use(t, tok, text)
	})
}

// FuzzText gives hostile texts to one tokenizer of each kind.
func FuzzText(f *testing.F) {
	var all []*Tokenizer
	for _, file := range smallFiles() {
		tok, err := Parse([]byte(file), smallLimits())
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, tok)
	}
	for i, s := range append(sentences, oddities...) {
		f.Add(uint8(i), s)
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) { use(t, all[int(which)%len(all)], text) })
}

// use encodes and decodes, and checks what must hold of every answer.
func use(t *testing.T, tok *Tokenizer, text string) {
	e, err := tok.EncodePair(text, text, WithOffsets())
	if err != nil {
		return
	}
	for i := range e.IDs {
		if e.IDs[i] < 0 || e.Offsets[i].Start < 0 || e.Offsets[i].Start > e.Offsets[i].End || e.Offsets[i].End > len(text) {
			t.Fatalf("token %d is %d, of bytes %v of %d", i, e.IDs[i], e.Offsets[i], len(text))
		}
	}
	if n := e.Len(); len(e.TypeIDs) != n || len(e.AttentionMask) != n || len(e.Special) != n || len(e.Offsets) != n {
		t.Fatalf("slices of different lengths: %d ids", n)
	}
	decoded, err := tok.Decode(e.IDs, false)
	if err != nil && !errors.Is(err, ErrLimit) {
		t.Fatal(err)
	}
	if err == nil && !utf8.ValidString(decoded) {
		t.Fatalf("decoded text %q is not UTF-8", decoded)
	}
}

// FuzzPattern holds that patterns end, and that segments cover the text.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{gpt2, `\p{N}{1,3}`, `[^\r\n\p{L}]?\p{L}+|(?i:'s|'ll)?x`, `[^(\s|[.,])]+`, `a*?`, `\s+(?!\S)|\s+`, `(?:a|b)?c{2,}`} {
		f.Add(p, "The 123 quick's\r\n  fox. aabcc")
	}
	f.Fuzz(func(t *testing.T, text, in string) {
		p, err := compile(text)
		if err != nil || !utf8.ValidString(in) {
			return
		}
		w := smallLimits().work(context.Background(), len(in), false)
		segments, err := p.segments(w, in)
		if err != nil {
			return
		}
		at := 0
		for _, g := range segments {
			if g.lo != at || g.hi <= g.lo {
				t.Fatalf("segment %v begins at %d, expected %d", g, g.lo, at)
			}
			at = g.hi
		}
		if at != len(in) {
			t.Fatalf("segments end at %d of %d", at, len(in))
		}
	})
}

// FuzzCharsmap reads hostile tries.
func FuzzCharsmap(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00\x00\x04\x00\x00ab\x00"), "abc")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		c, err := parseCharsmap(data)
		if err != nil || !utf8.ValidString(text) {
			return
		}
		p, err := c.normalize(smallLimits().work(context.Background(), len(text), true), piece{text: text, id: none})
		if err == nil && (!utf8.ValidString(p.text) || p.at != nil && len(p.at) != len(p.text)) {
			t.Fatalf("%q with %d origins", p.text, len(p.at))
		}
	})
}
