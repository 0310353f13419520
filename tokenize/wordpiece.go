package tokenize

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var errUnknown = errors.New("tokenize: a part of the text has no token, and the tokenizer has none for unknown text")

// wordPiece takes the longest token that a word begins with, then the longest that
// goes on with the rest, and so on. A word that cannot be cut so to its end is unknown
// as a whole.
type wordPiece struct {
	vocabulary
	unknown int32
	longest int   // characters of a word that is tried at all
	begin   *trie // tokens
	rest    *trie // tokens that go on with a word, without their prefix
}

func readWordPiece(p part, lim *reading) (model, error) {
	f := struct {
		Type    string     `json:"type"`
		Vocab   vocabulary `json:"vocab"`
		Unknown string     `json:"unk_token"`
		Prefix  string     `json:"continuing_subword_prefix"`
		Longest int        `json:"max_input_chars_per_word"`
	}{Vocab: vocabulary{in: lim}}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	m := &wordPiece{vocabulary: f.Vocab, unknown: f.Vocab.id(f.Unknown), longest: max(0, f.Longest)}
	err := lim.use(len(m.ids), 2*entryBytes)
	if err != nil {
		return nil, err
	}
	all := m.entries()
	if m.begin, err = newTrie(lim, all); err != nil {
		return nil, err
	}
	var following []entry
	for _, e := range all {
		if text, ok := strings.CutPrefix(e.text, f.Prefix); ok {
			following = append(following, entry{text, e.id})
		}
	}
	m.rest, err = newTrie(lim, following)
	return m, err
}

func (m *wordPiece) tokens(_ *work, p piece, out []token) ([]token, error) {
	if len(p.text) <= m.longest || utf8.RuneCountInString(p.text) <= m.longest {
		if out, ok := m.cut(p.text, out); ok {
			return out, nil
		}
	}
	if m.unknown == none {
		return nil, errUnknown
	}
	return append(out, token{m.unknown, 0, int32(len(p.text))}), nil
}

// cut appends the tokens of a word, or tells that it has none.
func (m *wordPiece) cut(word string, out []token) ([]token, bool) {
	first, t := len(out), m.begin
	for at := 0; at < len(word); {
		id, n := t.longest(word[at:])
		if n == 0 {
			return out[:first], false
		}
		out = append(out, token{id, int32(at), int32(at + n)})
		at += n
		t = m.rest
	}
	return out, true
}
