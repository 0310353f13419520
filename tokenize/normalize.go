package tokenize

import (
	"fmt"
	"strings"
	"unicode"
)

// normalizer rewrites a piece.
type normalizer interface {
	normalize(w *work, p piece) (piece, error)
}

// normalizers are done one after the other.
type normalizers []normalizer

func (s normalizers) normalize(w *work, p piece) (_ piece, err error) {
	for _, n := range s {
		if err := w.ctx.Err(); err != nil {
			return piece{}, err
		}
		if p, err = n.normalize(w, p); err != nil {
			return piece{}, err
		}
	}
	return p, nil
}

// readNormalizer reads the file's member normalizer.
func readNormalizer(p part, lim *reading) (normalizers, error) {
	if p.absent() {
		return nil, nil
	}
	if err := lim.step(); err != nil {
		return nil, err
	}
	kind, err := p.kind()
	if err != nil {
		return nil, err
	}
	if kind == "Sequence" {
		return readNormalizers(p, lim)
	}
	n, err := readOneNormalizer(kind, p, lim)
	return normalizers{n}, err
}

func readNormalizers(p part, lim *reading) (all normalizers, err error) {
	var f struct {
		Type        string `json:"type"`
		Normalizers parts  `json:"normalizers"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	for _, p := range f.Normalizers {
		n, err := readNormalizer(p, lim)
		if err != nil {
			return nil, err
		}
		all = append(all, n...)
	}
	return all, nil
}

func readOneNormalizer(kind string, p part, lim *reading) (normalizer, error) {
	switch kind {
	case "BertNormalizer":
		return readBertNormalizer(p)
	case "Strip":
		return readStrip(p)
	case "Replace":
		return readReplace(p, lim)
	case "Prepend":
		return readPrepend(p, lim)
	case "Precompiled":
		return readPrecompiled(p, lim)
	}
	if err := readBare(p); err != nil {
		return nil, err
	}
	switch kind {
	case "NFC", "NFD", "NFKC", "NFKD":
		return normalForm{compose: strings.HasSuffix(kind, "C"), compatible: len(kind) == 4}, nil
	case "Lowercase":
		return lowercase{}, nil
	case "StripAccents":
		return filter(func(r rune) bool { return !isAccent(r) }), nil
	case "Nmt":
		return normalizers{filter(keptByNmt), mapping(mappedByNmt)}, nil
	case "ByteLevel":
		return byteLevel{}, nil
	}
	return nil, unsupported("normalizer", kind)
}

// readBare reads a part that has a type and nothing else.
func readBare(p part) error {
	var f struct {
		Type string `json:"type"`
	}
	return p.read(&f)
}

// filter keeps some characters.
type filter func(r rune) bool

func (f filter) normalize(w *work, p piece) (piece, error) {
	if strings.IndexFunc(p.text, func(r rune) bool { return !f(r) }) < 0 {
		return p, nil
	}
	out := rewrite(w, p)
	for i, r := range p.text {
		if f(r) {
			out.char(r, i)
		}
	}
	return out.piece()
}

// mapping puts a character in the place of each.
type mapping func(r rune) rune

func (f mapping) normalize(w *work, p piece) (piece, error) {
	if strings.IndexFunc(p.text, func(r rune) bool { return f(r) != r }) < 0 {
		return p, nil
	}
	out := rewrite(w, p)
	for i, r := range p.text {
		out.char(f(r), i)
	}
	return out.piece()
}

// lowercase knows no context: a final sigma is like any other.
type lowercase struct{}

func (lowercase) normalize(w *work, p piece) (piece, error) {
	if strings.IndexFunc(p.text, func(r rune) bool { return r == 0x130 || toLower(r) != r }) < 0 {
		return p, nil
	}
	out := rewrite(w, p)
	for i, r := range p.text {
		out.char(toLower(r), i)
		if r == 0x130 { // the capital I with a dot keeps it
			out.char(0x307, i)
		}
	}
	return out.piece()
}

// keptByNmt and mappedByNmt are the rules of the normalizer Nmt.
func keptByNmt(r rune) bool {
	return !(r >= 1 && r <= 8 || r == 0xb || r >= 0xe && r <= 0x1f || r == 0x7f || r == 0x8f || r == 0x9f)
}

func mappedByNmt(r rune) rune {
	switch r {
	case '\t', '\n', '\f', '\r', 0x1680, 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f:
		return ' '
	}
	return r
}

// strip removes white space at the ends.
type strip struct{ left, right bool }

func readStrip(p part) (normalizer, error) {
	var f struct {
		Type  string `json:"type"`
		Left  bool   `json:"strip_left"`
		Right bool   `json:"strip_right"`
	}
	err := p.read(&f)
	return strip{f.Left, f.Right}, err
}

func (s strip) normalize(_ *work, p piece) (piece, error) {
	lo, hi := 0, len(p.text)
	if s.right {
		hi = len(strings.TrimRightFunc(p.text, unicode.IsSpace))
	}
	if s.left {
		lo = hi - len(strings.TrimLeftFunc(p.text[:hi], unicode.IsSpace))
	}
	return p.cut(lo, hi), nil
}

// replace puts a string in the place of what is found.
type replace struct {
	by      finder
	content string
}

func readReplace(p part, lim *reading) (normalizer, error) {
	var f struct {
		Type    string     `json:"type"`
		Pattern expression `json:"pattern"`
		Content string     `json:"content"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	by, err := f.Pattern.finder(lim)
	if err != nil {
		return nil, err
	}
	return replace{by, f.Content}, lim.piece("content", f.Content)
}

func (s replace) normalize(w *work, p piece) (piece, error) {
	segments, err := s.by.segments(w, p.text)
	if err != nil || len(segments) == 0 || len(segments) == 1 && !segments[0].matched {
		return p, err
	}
	out := rewrite(w, p)
	for _, g := range segments {
		if !g.matched {
			out.keep(g.lo, g.hi)
			continue
		}
		if len(out.out)+len(s.content) > w.bytes {
			return piece{}, w.spend(len(out.out) + len(s.content))
		}
		out.text(s.content, lastRune(p.text[:g.hi]))
	}
	return out.piece()
}

// lastRune returns where the last character of s begins.
func lastRune(s string) int {
	i := max(0, len(s)-1)
	for i > 0 && s[i]&0xc0 == 0x80 {
		i--
	}
	return i
}

// literal is a finder of a string.
type literal string

func (l literal) segments(_ *work, text string) ([]segment, error) {
	var out []segment
	for at := 0; at < len(text); {
		i := strings.Index(text[at:], string(l))
		if i < 0 {
			return append(out, segment{at, len(text), false}), nil
		}
		if i > 0 {
			out = append(out, segment{at, at + i, false})
		}
		out = append(out, segment{at + i, at + i + len(l), true})
		at += i + len(l)
	}
	return out, nil
}

// prepend writes a string before a text that is not empty.
type prepend string

func readPrepend(p part, lim *reading) (normalizer, error) {
	var f struct {
		Type    string `json:"type"`
		Prepend string `json:"prepend"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	return prepend(f.Prepend), lim.piece("prepend", f.Prepend)
}

func (s prepend) normalize(w *work, p piece) (piece, error) {
	if p.text == "" || s == "" {
		return p, nil
	}
	out := rewrite(w, p)
	out.text(string(s), 0)
	out.keep(0, len(p.text))
	return out.piece()
}

// readBertNormalizer returns the steps of BERT's tokenizers.
func readBertNormalizer(p part) (normalizer, error) {
	var f struct {
		Type    string `json:"type"`
		Clean   bool   `json:"clean_text"`
		Chinese bool   `json:"handle_chinese_chars"`
		Accents *bool  `json:"strip_accents"`
		Lower   bool   `json:"lowercase"`
	}
	if err := p.read(&f); err != nil {
		return nil, fmt.Errorf("tokenize: normalizer: %w", err)
	}
	accents := f.Lower
	if f.Accents != nil {
		accents = *f.Accents
	}
	var all normalizers
	if f.Clean {
		all = append(all, filter(keptByBert), mapping(mappedByBert))
	}
	if f.Chinese {
		all = append(all, spaced(isChinese))
	}
	if accents {
		all = append(all, normalForm{}, filter(func(r rune) bool { return !isNonspacing(r) }))
	}
	if f.Lower {
		all = append(all, lowercase{})
	}
	return all, nil
}

// keptByBert leaves out controls, but not those that are white space.
func keptByBert(r rune) bool {
	if r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r < 0x7f {
		return true
	}
	return r != 0xfffd && !isControl(r)
}

func mappedByBert(r rune) rune {
	if unicode.IsSpace(r) {
		return ' '
	}
	return r
}

func isChinese(r rune) bool { return r >= 0x3400 && chinese.has(r) }

// spaced writes a space before and after some characters.
type spaced func(r rune) bool

func (f spaced) normalize(w *work, p piece) (piece, error) {
	if strings.IndexFunc(p.text, f) < 0 {
		return p, nil
	}
	out := rewrite(w, p)
	for i, r := range p.text {
		if !f(r) {
			out.char(r, i)
			continue
		}
		out.char(' ', i)
		out.char(r, i)
		out.char(' ', i)
	}
	return out.piece()
}
