package tokenize

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// span is a range of bytes of the text that the caller gave.
type span struct{ lo, hi int32 }

// piece is a part of a text on its way to the model.
type piece struct {
	text string
	from int32  // where text begins in the caller's text, if at is nil
	at   []span // for each byte of text, the character that it comes from; nil: itself
	id   int32  // the added token that the piece is, or none
	raw  bool   // text stands for its byte-level form (see bytelevel.go)
}

const none = -1

// cut returns a part of a piece.
func (p piece) cut(lo, hi int) piece {
	part := piece{text: p.text[lo:hi], from: p.from + int32(lo), id: none}
	if p.at != nil {
		part.at = p.at[lo:hi:hi]
	}
	return part
}

// start tells where a piece begins in the caller's text.
func (p piece) start() int32 {
	if len(p.at) > 0 {
		return p.at[0].lo
	}
	return p.from
}

// origin returns the range of the caller's text behind bytes lo to hi of a piece.
// Bytes of one character count as the whole character.
func (p piece) origin(lo, hi int) span {
	if hi <= lo {
		return span{p.from, p.from}
	}
	if p.at != nil {
		return span{p.at[lo].lo, p.at[hi-1].hi}
	}
	for lo > 0 && !utf8.RuneStart(p.text[lo]) {
		lo--
	}
	for hi < len(p.text) && !utf8.RuneStart(p.text[hi]) {
		hi++
	}
	return span{p.from + int32(lo), p.from + int32(hi)}
}

// work is what one call may still do.
type work struct {
	ctx   context.Context
	turns int  // of loops, see look
	bytes int  // text to be written
	steps int  // steps of pattern matching
	track bool // rewriters keep the origin of each byte
}

// look looks at the context, at every few dozenth turn of a loop.
func (w *work) look() error {
	if w.turns++; w.turns%64 != 0 {
		return nil
	}
	return w.ctx.Err()
}

func (w *work) spend(bytes int) error {
	if w.bytes -= bytes; w.bytes < 0 {
		return fmt.Errorf("tokenize: the steps of this tokenizer make too much of this text, see Limits.WorkBytes: %w", ErrLimit)
	}
	return nil
}

// rewriter writes a new text for a piece.
type rewriter struct {
	*work
	src piece
	out []byte
	at  []span
}

func rewrite(w *work, src piece) *rewriter {
	r := &rewriter{work: w, src: src, out: make([]byte, 0, len(src.text)+len(src.text)/8+8)}
	if w.track {
		r.at = make([]span, 0, cap(r.out))
	}
	return r
}

// char writes a character that comes from the one at byte i of the source.
func (r *rewriter) char(c rune, i int) {
	before := len(r.out)
	r.out = utf8.AppendRune(r.out, c)
	r.mark(len(r.out)-before, i)
}

// text writes a string that comes from the character at byte i.
func (r *rewriter) text(s string, i int) {
	r.out = append(r.out, s...)
	r.mark(len(s), i)
}

func (r *rewriter) mark(n, i int) {
	if !r.track {
		return
	}
	at := r.src.from
	o := span{at, at}
	if i < len(r.src.text) {
		o = r.src.origin(i, i+1)
	}
	for range n {
		r.at = append(r.at, o)
	}
}

// keep writes bytes lo to hi of the source as they are.
func (r *rewriter) keep(lo, hi int) {
	r.out = append(r.out, r.src.text[lo:hi]...)
	if !r.track {
		return
	}
	for i := lo; i < hi; {
		_, n := utf8.DecodeRuneInString(r.src.text[i:])
		r.mark(n, i)
		i += n
	}
}

// piece returns what was written.
func (r *rewriter) piece() (piece, error) {
	return piece{text: string(r.out), from: r.src.from, at: r.at, id: none}, r.spend(len(r.out))
}

// aligner writes characters and gives each the origin that the library that is followed
// gives it. There a step says of each character it writes how many more characters are
// there by it: 0 if it stands for one of the source, 1 if it was added, -1 if one more
// of the source is gone. Characters of the source count in their order.
type aligner struct {
	*rewriter
	at, last int // bytes of the source: of the next character, and of the one before
	waiting  bool
	char     rune // written once it is clear that nothing after it is gone
	more     int
}

func (a *aligner) put(c rune, more int) {
	a.flush()
	a.waiting, a.char, a.more = true, c, more
}

// gone says that n characters of the source have nothing in their place. At the begin
// of a text this is not noted: so it is in the library.
func (a *aligner) gone(n int) { a.more -= n }

func (a *aligner) flush() {
	if !a.waiting {
		return
	}
	a.waiting = false
	if a.more > 0 {
		a.rewriter.char(a.char, a.last)
		return
	}
	a.rewriter.char(a.char, a.at)
	for range 1 - a.more {
		if a.last = a.at; a.at < len(a.src.text) {
			a.at += runeLen(a.src.text, a.at)
		}
	}
}

func (a *aligner) piece() (piece, error) {
	a.flush()
	return a.rewriter.piece()
}
