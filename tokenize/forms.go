package tokenize

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalForm is one of Unicode's normal forms (Unicode Standard Annex 15): NFD, or NFC
// if it composes, of the compatible kind or not.
//
// The tables are those of x/text. Its functions on strings are used to see that a text
// is in the form already, but not to bring it there: they put a joiner into long runs
// of marks, and the library that is followed does not.
type normalForm struct{ compose, compatible bool }

func (f normalForm) table() norm.Form {
	switch {
	case f.compose && f.compatible:
		return norm.NFKC
	case f.compose:
		return norm.NFC
	case f.compatible:
		return norm.NFKD
	}
	return norm.NFD
}

func (f normalForm) normalize(w *work, p piece) (piece, error) {
	if f.table().QuickSpanString(p.text) == len(p.text) {
		return p, nil
	}
	form := former{normalForm: f, decomposed: norm.NFD, out: &aligner{rewriter: rewrite(w, p)}}
	if f.compatible {
		form.decomposed = norm.NFKD
	}
	for _, r := range p.text {
		form.add(r)
	}
	form.flush()
	return form.out.piece()
}

// letter is a character of a run that starts with a base and goes on with marks.
type letter struct {
	r     rune
	class uint8 // combining class; 0: not a mark
	more  int   // characters that it has more than the source: 1 in a decomposition, -1 for each composed
}

// former brings a text into a normal form, a run at a time.
type former struct {
	normalForm
	decomposed norm.Form
	run        []letter
	out        *aligner
}

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
const (
	hangulS, hangulL, hangulV, hangulT = 0xac00, 0x1100, 0x1161, 0x11a7
	hangulLs, hangulVs, hangulTs       = 19, 21, 28
	hangulSs                           = hangulLs * hangulVs * hangulTs
)

// add decomposes a character.
func (f *former) add(r rune) {
	if s := r - hangulS; s >= 0 && s < hangulSs {
		f.put(letter{hangulL + s/(hangulVs*hangulTs), 0, 0})
		f.put(letter{hangulV + s%(hangulVs*hangulTs)/hangulTs, 0, 1})
		if t := s % hangulTs; t != 0 {
			f.put(letter{hangulT + t, 0, 1})
		}
		return
	}
	var buf [utf8.UTFMax]byte
	d := f.decomposed.Properties(buf[:utf8.EncodeRune(buf[:], r)]).Decomposition()
	if d == nil || newComposed.has(r) || newCompatible.has(r) {
		f.put(letter{r, f.class(r), 0})
		return
	}
	for more := 0; len(d) > 0; more = 1 {
		r, n := utf8.DecodeRune(d)
		f.put(letter{r, f.class(r), more})
		d = d[n:]
	}
}

func (f *former) class(r rune) uint8 {
	if r < 0x300 || newAccents.has(r) {
		return 0
	}
	var buf [utf8.UTFMax]byte
	return norm.NFD.Properties(buf[:utf8.EncodeRune(buf[:], r)]).CCC()
}

// put adds a decomposed character. One that is not a mark begins a new run, unless the
// run before is a single character that it composes with.
func (f *former) put(l letter) {
	if l.class == 0 && len(f.run) > 0 {
		f.settle()
		if c, ok := f.both(f.run[0].r, l.r); ok && len(f.run) == 1 && f.run[0].class == 0 {
			f.run[0].r = c
			f.run[0].more += l.more - 1
			return
		}
		f.write()
	}
	f.run = append(f.run, l)
}

// settle brings the marks of the run into order and composes what can be composed.
func (f *former) settle() {
	slices.SortStableFunc(f.run, func(a, b letter) int { return cmp.Compare(a.class, b.class) })
	if !f.compose || f.run[0].class != 0 {
		return
	}
	kept := f.run[:1]
	for _, l := range f.run[1:] {
		blocked := len(kept) > 1 && kept[len(kept)-1].class >= l.class
		if c, ok := f.both(f.run[0].r, l.r); ok && !blocked {
			f.run[0].r = c
			f.run[0].more += l.more - 1
			continue
		}
		kept = append(kept, l)
	}
	f.run = kept
}

func (f *former) write() {
	for _, l := range f.run {
		f.out.put(l.r, l.more)
	}
	f.run = f.run[:0]
}

func (f *former) flush() {
	if len(f.run) > 0 {
		f.settle()
		f.write()
	}
}

// both returns the character that two compose to.
func (f *former) both(a, b rune) (rune, bool) {
	if !f.compose {
		return 0, false
	}
	if l, v := a-hangulL, b-hangulV; l >= 0 && l < hangulLs && v >= 0 && v < hangulVs {
		return hangulS + (l*hangulVs+v)*hangulTs, true
	}
	if s, t := a-hangulS, b-hangulT; s >= 0 && s < hangulSs && s%hangulTs == 0 && t > 0 && t < hangulTs {
		return a + t, true
	}
	var buf [2 * utf8.UTFMax]byte
	second := utf8.AppendRune(buf[:0], b)
	if norm.NFC.Properties(second).BoundaryBefore() {
		return 0, false
	}
	var room [4 * utf8.UTFMax]byte
	both := norm.NFC.Append(room[:0], utf8.AppendRune(utf8.AppendRune(buf[:0], a), b)...)
	c, n := utf8.DecodeRune(both)
	return c, n == len(both) && !newComposed.has(c)
}
