package tokenize

import (
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// bpe begins with the characters of a word and merges, again and again, the two tokens
// side by side whose merge comes first in the file (byte pair encoding).
type bpe struct {
	vocabulary
	merges   map[pair]merge
	unknown  int32
	prefix   string      // of tokens that go on with a word
	suffix   string      // of tokens that end one
	fuse     bool        // unknown characters in a row are one
	whole    bool        // a word that is a token stays so, whatever the merges say
	fallback *[256]int32 // tokens of single bytes
	byBytes  *byteView   // for pieces that stand for their byte-level form
}

type pair struct{ left, right int32 }

// merge is the rank of a merge, and the token it makes.
type merge struct{ rank, id int32 }

// byteView is a vocabulary of byte-level tokens, by the bytes they stand for.
type byteView struct {
	ids   map[string]int32
	bytes [256]int32
}

// mergeList reads ["a b", ...] or [["a", "b"], ...].
type mergeList struct {
	in    *reading
	pairs [][2]string
}

// ReadStrictJSON reads the list.
func (l *mergeList) ReadStrictJSON(r *strictjson.Reader) error {
	return r.Array(func() error {
		if len(l.pairs) >= l.in.Vocabulary {
			return fmt.Errorf("tokenize: more than %d merges: %w", l.in.Vocabulary, ErrLimit)
		}
		if err := l.in.use(1, mergeBytes); err != nil {
			return err
		}
		var p [2]string
		if r.Kind() == strictjson.Array {
			err := pairOf(r, func() (err error) { p[0], err = r.String(); return err }, func() (err error) { p[1], err = r.String(); return err })
			l.pairs = append(l.pairs, p)
			return err
		}
		line, err := r.String()
		if err != nil || strings.HasPrefix(line, "#version") {
			return err
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("tokenize: merge %d is %.60q, must be two tokens with a space between", len(l.pairs)+1, line)
		}
		l.pairs = append(l.pairs, [2]string{left, right})
		return nil
	})
}

// bpeFile is the form of the model in the file.
type bpeFile struct {
	Type     string     `json:"type"`
	Dropout  *float64   `json:"dropout"`
	Unknown  *string    `json:"unk_token"`
	Prefix   *string    `json:"continuing_subword_prefix"`
	Suffix   *string    `json:"end_of_word_suffix"`
	Fuse     *bool      `json:"fuse_unk"`
	Fallback *bool      `json:"byte_fallback"`
	Whole    *bool      `json:"ignore_merges"`
	Vocab    vocabulary `json:"vocab"`
	Merges   mergeList  `json:"merges"`
}

func readBPE(p part, lim *reading) (model, error) {
	f := bpeFile{Vocab: vocabulary{in: lim}, Merges: mergeList{in: lim}}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	if f.Dropout != nil && *f.Dropout != 0 {
		return nil, fmt.Errorf("tokenize: dropout %g: the ids would be random, only 0 is supported", *f.Dropout)
	}
	m := &bpe{vocabulary: f.Vocab, unknown: none, prefix: orZero(f.Prefix), suffix: orZero(f.Suffix), fuse: orZero(f.Fuse), whole: orZero(f.Whole)}
	for _, s := range []string{m.prefix, m.suffix} {
		if err := lim.piece("prefix or suffix", s); err != nil {
			return nil, err
		}
	}
	if orZero(f.Fallback) {
		m.fallback = byteTokens(m.id)
	}
	if f.Unknown != nil {
		if m.unknown = m.id(*f.Unknown); m.unknown == none {
			return nil, fmt.Errorf("tokenize: unk_token %.60q is not in the vocabulary", *f.Unknown)
		}
	}
	return m, m.addMerges(lim, f.Merges.pairs)
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (m *bpe) addMerges(in *reading, pairs [][2]string) error {
	if err := in.keep(len(pairs), mergeMapBytes); err != nil {
		return err
	}
	m.merges = make(map[pair]merge, len(pairs))
	for i, p := range pairs {
		if err := in.look(i); err != nil {
			return err
		}
		if len(p[1]) < len(m.prefix) {
			return fmt.Errorf("tokenize: merge %d: %.60q is shorter than the prefix of tokens that go on with a word", i+1, p[1])
		}
		left, right, id := m.id(p[0]), m.id(p[1]), m.id(p[0]+p[1][len(m.prefix):])
		if left == none || right == none || id == none {
			return fmt.Errorf("tokenize: merge %d of %.60q and %.60q, or what it makes, is not in the vocabulary", i+1, p[0], p[1])
		}
		m.merges[pair{left, right}] = merge{int32(i), id}
	}
	return nil
}

// viewBytes prepares the model for pieces that stand for their byte-level form. It
// tells whether that is possible: each byte must have a token.
func (m *bpe) viewBytes() bool {
	v := &byteView{ids: map[string]int32{}}
	for b := range v.bytes {
		if v.bytes[b] = m.id(string(byteChar(byte(b)))); v.bytes[b] == none {
			return false
		}
	}
	if m.whole {
		for text, id := range m.ids {
			if b, ok := bytesOf(text); ok {
				v.ids[string(b)] = id
			}
		}
	}
	m.byBytes = v
	return true
}

func (m *bpe) tokens(w *work, p piece, out []token) ([]token, error) {
	if m.whole {
		if id := m.wholeWord(p); id != none {
			return append(out, token{id, 0, int32(len(p.text))}), nil
		}
	}
	var room [32]symbol
	word := room[:0]
	if p.raw {
		for i := range len(p.text) {
			word = add(word, m.byBytes.bytes[p.text[i]], 1)
		}
	} else {
		word = m.symbols(p.text, word)
	}
	word, err := m.mergeAll(w, word)
	if err != nil {
		return nil, err
	}
	at := int32(0)
	for _, s := range word {
		if s.length > 0 {
			out = append(out, token{s.id, at, at + s.length})
			at += s.length
		}
	}
	return out, nil
}

func (m *bpe) wholeWord(p piece) int32 {
	ids := m.ids
	if p.raw {
		ids = m.byBytes.ids
	}
	if id, ok := ids[p.text]; ok {
		return id
	}
	return none
}

// symbols returns the tokens of a word's characters.
func (m *bpe) symbols(text string, word []symbol) []symbol {
	unknown := int32(0) // bytes of unknown characters that were not written yet
	for i := 0; i < len(text); {
		n := runeLen(text, i)
		char := text[i : i+n]
		if i > 0 {
			char = m.prefix + char
		}
		if i += n; i == len(text) {
			char += m.suffix
		}
		if id, ok := m.ids[char]; ok {
			if unknown > 0 {
				word = add(word, m.unknown, unknown)
			}
			word, unknown = add(word, id, int32(n)), 0
			continue
		}
		if m.hasBytes(char) {
			for _, b := range []byte(char) {
				word = add(word, m.fallback[b], 1)
			}
			continue
		}
		if m.unknown == none {
			continue
		}
		if unknown > 0 && !m.fuse {
			word, unknown = add(word, m.unknown, unknown), 0
		}
		unknown += int32(n)
	}
	if unknown > 0 {
		word = add(word, m.unknown, unknown)
	}
	return word
}

func (m *bpe) hasBytes(s string) bool {
	if m.fallback == nil {
		return false
	}
	for i := range len(s) {
		if m.fallback[s[i]] == none {
			return false
		}
	}
	return true
}
