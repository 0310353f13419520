package tokenize

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// readPreTokenizer reads the file's member pre_tokenizer.
func readPreTokenizer(p part, lim *reading) ([]cutter, error) {
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
		return readPreTokenizers(p, lim)
	}
	c, err := readCutter(kind, p, lim)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func readPreTokenizers(p part, lim *reading) (all []cutter, err error) {
	var f struct {
		Type          string `json:"type"`
		PreTokenizers parts  `json:"pretokenizers"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	for _, p := range f.PreTokenizers {
		c, err := readPreTokenizer(p, lim)
		if err != nil {
			return nil, err
		}
		all = append(all, c...)
	}
	return all, nil
}

func readCutter(kind string, p part, lim *reading) ([]cutter, error) {
	var c cutter
	var err error
	switch kind {
	case "ByteLevel":
		c, err = readToBytes(p, lim)
	case "Metaspace":
		c, err = readMetaspace(p)
	case "Split":
		c, err = readSplit(p, lim)
	case "Punctuation":
		c, err = readPunctuation(p)
	case "Digits":
		c, err = readDigits(p)
	case "CharDelimiterSplit":
		c, err = readDelimiter(p)
	case "FixedLength":
		c, err = readFixedLength(p)
	default:
		return readBareCutter(kind, p)
	}
	return []cutter{c}, err
}

func readBareCutter(kind string, p part) ([]cutter, error) {
	if err := readBare(p); err != nil {
		return nil, err
	}
	spaces := split{by: finds(unicode.IsSpace), how: removed}
	switch kind {
	case "BertPreTokenizer":
		return []cutter{spaces, split{by: finds(isSeparator), how: isolated}}, nil
	case "WhitespaceSplit":
		return []cutter{spaces}, nil
	case "Whitespace":
		return []cutter{words{}}, nil
	}
	return nil, unsupported("pre_tokenizer", kind)
}

func readSplit(p part, lim *reading) (cutter, error) {
	var f struct {
		Type     string     `json:"type"`
		Pattern  expression `json:"pattern"`
		Behavior string     `json:"behavior"`
		Invert   bool       `json:"invert"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	how, err := readBehavior(f.Behavior)
	if err != nil {
		return nil, err
	}
	by, err := f.Pattern.finder(lim)
	return split{by, how, f.Invert}, err
}

func readPunctuation(p part) (cutter, error) {
	f := struct {
		Type     string `json:"type"`
		Behavior string `json:"behavior"`
	}{Behavior: "Isolated"}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	how, err := readBehavior(f.Behavior)
	return split{by: finds(isSeparator), how: how}, err
}

func readDigits(p part) (cutter, error) {
	var f struct {
		Type       string `json:"type"`
		Individual bool   `json:"individual_digits"`
	}
	err := p.read(&f)
	how := contiguous
	if f.Individual {
		how = isolated
	}
	return split{by: finds(isNumeric), how: how}, err
}

func readDelimiter(p part) (cutter, error) {
	var f struct {
		Type      string    `json:"type"`
		Delimiter character `json:"delimiter"`
	}
	err := p.read(&f)
	return split{by: finds(func(r rune) bool { return r == rune(f.Delimiter) }), how: removed}, err
}

// words is the pre-tokenizer Whitespace: runs of word characters, and runs of what is
// neither that nor white space.
type words struct{}

func (words) cut(_ *work, p piece, out []piece) ([]piece, error) {
	kind := func(r rune) int {
		switch {
		case isWordStrict(r):
			return 1
		case unicode.IsSpace(r):
			return 0
		}
		return 2
	}
	for lo := 0; lo < len(p.text); {
		r, n := utf8.DecodeRuneInString(p.text[lo:])
		k := kind(r)
		hi := lo + n
		for hi < len(p.text) {
			r, n := utf8.DecodeRuneInString(p.text[hi:])
			if kind(r) != k {
				break
			}
			hi += n
		}
		if k != 0 {
			out = append(out, p.cut(lo, hi))
		}
		lo = hi
	}
	return out, nil
}

// fixedLength cuts a text into parts of some characters.
type fixedLength int

func readFixedLength(p part) (cutter, error) {
	f := struct {
		Type   string `json:"type"`
		Length int    `json:"length"`
	}{Length: 5}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	if f.Length < 1 {
		return nil, fmt.Errorf("tokenize: FixedLength of %d characters, must be at least 1", f.Length)
	}
	return fixedLength(f.Length), nil
}

func (n fixedLength) cut(_ *work, p piece, out []piece) ([]piece, error) {
	lo, count := 0, 0
	for i := range p.text {
		if count == int(n) {
			out = append(out, p.cut(lo, i))
			lo, count = i, 0
		}
		count++
	}
	return append(out, p.cut(lo, len(p.text))), nil
}

// metaspace puts a visible character in the place of spaces, and cuts before it.
type metaspace struct {
	char   string
	always bool // before each text that does not begin with it
	first  bool // only before the one at the beginning of the caller's text
	split  bool
}

// metaspaceFile is the form of the pre-tokenizer and of the decoder.
type metaspaceFile struct {
	Type        string    `json:"type"`
	Replacement character `json:"replacement"`
	Space       *bool     `json:"add_prefix_space"`
	Scheme      *string   `json:"prepend_scheme"`
	Split       *bool     `json:"split"`
	Text        *string   `json:"str_rep"`
}

func (f metaspaceFile) metaspace() (metaspace, error) {
	scheme := "always"
	if f.Scheme != nil {
		scheme = *f.Scheme
	}
	if f.Space != nil && !*f.Space {
		if scheme != "never" {
			return metaspace{}, fmt.Errorf("tokenize: Metaspace with add_prefix_space false and prepend_scheme %q, must be \"never\"", scheme)
		}
	}
	m := metaspace{char: string(rune(f.Replacement)), always: scheme == "always", first: scheme == "first", split: f.Split == nil || *f.Split}
	if !m.always && !m.first && scheme != "never" {
		return metaspace{}, fmt.Errorf("tokenize: Metaspace with prepend_scheme %.20q, must be always, first or never", scheme)
	}
	if f.Replacement == 0 {
		return metaspace{}, fmt.Errorf("tokenize: Metaspace without a replacement")
	}
	return m, nil
}

func readMetaspace(p part) (cutter, error) {
	var f metaspaceFile
	if err := p.read(&f); err != nil {
		return nil, err
	}
	return f.metaspace()
}

func (m metaspace) cut(w *work, p piece, out []piece) ([]piece, error) {
	p, err := replace{literal(" "), m.char}.normalize(w, p)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.text, m.char) && (m.always || m.first && p.start() == 0) {
		if p, err = prepend(m.char).normalize(w, p); err != nil {
			return nil, err
		}
	}
	if !m.split {
		return append(out, p), nil
	}
	return split{by: literal(m.char), how: mergedWithNext}.cut(w, p, out)
}
