package tokenize

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// addedToken is a token that is found in a text before the model sees it.
type addedToken struct {
	ID         uint32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// addedList is the added tokens as the file lists them.
type addedList struct {
	tokens []addedToken
	in     *reading
}

// ReadStrictJSON reads the list.
func (l *addedList) ReadStrictJSON(r *strictjson.Reader) error {
	return r.Array(func() error {
		if len(l.tokens) >= l.in.Vocabulary {
			return fmt.Errorf("tokenize: more than %d added tokens: %w", l.in.Vocabulary, ErrLimit)
		}
		if err := l.in.keep(1, addedBytes); err != nil {
			return err
		}
		text, err := r.Skip()
		if err != nil {
			return err
		}
		var t addedToken
		err = part{text, r.Limits()}.read(&t)
		l.tokens = append(l.tokens, t)
		return err
	})
}

// added is the added tokens of a tokenizer.
type added struct {
	tokens     []addedToken
	ids        map[string]int32
	byID       map[int32]int    // places in tokens
	shown      map[int32]string // what a token decodes to, if not its content
	special    map[string]bool
	raw        *trie // those that are found in the text as it came, or nil
	normalized *trie // those that are found after the normalizer, or nil
}

func readAdded(tokens []addedToken, m model, n normalizers, lim *reading) (*added, error) {
	a := &added{ids: map[string]int32{}, byID: map[int32]int{}, shown: map[int32]string{}, special: map[string]bool{}}
	next := int32(m.size())
	for i, t := range tokens {
		if err := lim.look(i); err != nil {
			return nil, err
		}
		if err := lim.piece("added token", t.Content); err != nil {
			return nil, err
		}
		if t.Content == "" {
			continue
		}
		id, ok := a.ids[t.Content]
		if !ok {
			id = m.id(t.Content)
		}
		if id == none {
			id = next
			next++
		}
		if uint32(id) != t.ID {
			return nil, fmt.Errorf("tokenize: added token %.60q has id %d in the file, and %d by its place: one of the two is wrong", t.Content, t.ID, id)
		}
		if old, ok := a.byID[id]; ok && a.tokens[old].Content != t.Content {
			return nil, fmt.Errorf("tokenize: id %d stands for two added tokens", id)
		}
		a.ids[t.Content], a.byID[id] = id, len(a.tokens)
		a.special[t.Content] = a.special[t.Content] || t.Special
		a.tokens = append(a.tokens, t)
	}
	return a, a.index(n, lim)
}

// index makes the tries.
func (a *added) index(n normalizers, lim *reading) error {
	var raw, normalized []entry
	for at, t := range a.tokens {
		if err := lim.look(at); err != nil {
			return err
		}
		if a.byID[int32(t.ID)] != at {
			continue // it is there again
		}
		if !t.Normalized {
			raw = append(raw, entry{t.Content, int32(t.ID)})
			continue
		}
		p, err := n.normalize(lim.work(lim.ctx, len(t.Content), false), piece{text: t.Content, id: none})
		if err != nil {
			return err
		}
		if err := lim.keep(len(p.text), 2); err != nil {
			return err
		}
		if p.text != t.Content {
			a.shown[int32(t.ID)] = p.text
		}
		if p.text == "" {
			return fmt.Errorf("tokenize: nothing is left of added token %.60q after the normalizer", t.Content)
		}
		normalized = append(normalized, entry{p.text, int32(t.ID)})
	}
	var err error
	if len(raw) > 0 {
		a.raw, err = newTrie(lim, raw)
	}
	if len(normalized) > 0 && err == nil {
		a.normalized, err = newTrie(lim, normalized)
	}
	return err
}

// split cuts a piece at the tokens of a trie: the first in the text, and of those that
// begin at one place the longest.
func (a *added) split(w *work, t *trie, p piece, out []piece) ([]piece, error) {
	if t == nil {
		return append(out, p), nil
	}
	last := 0
	for at := 0; at < len(p.text); {
		if t.root[p.text[at]] == 0 {
			at++
			continue
		}
		if err := w.look(); err != nil {
			return nil, err
		}
		id, n := t.longest(p.text[at:])
		if n == 0 {
			at++
			continue
		}
		lo, hi, ok := a.extent(a.tokens[a.byID[id]], p.text, at, at+n, last)
		if at += n; !ok {
			continue
		}
		if last < lo {
			out = append(out, p.cut(last, lo))
		}
		found := p.cut(lo, hi)
		found.id = id
		out = append(out, found)
		last = hi
	}
	if last == 0 {
		return append(out, p), nil
	}
	if last < len(p.text) {
		out = append(out, p.cut(last, len(p.text)))
	}
	return out, nil
}

// extent returns what of the text a token found at lo to hi takes, or that it is not to
// be found here.
func (a *added) extent(t addedToken, text string, lo, hi, last int) (int, int, bool) {
	if t.SingleWord {
		before, _ := utf8.DecodeLastRuneInString(text[:lo])
		after, _ := utf8.DecodeRuneInString(text[hi:])
		if lo > 0 && isWordStrict(before) || hi < len(text) && isWordStrict(after) {
			return 0, 0, false
		}
	}
	if t.LStrip {
		lo = max(last, len(strings.TrimRightFunc(text[:lo], unicode.IsSpace)))
	}
	if t.RStrip {
		hi = len(text) - len(strings.TrimLeftFunc(text[hi:], unicode.IsSpace))
	}
	return lo, hi, true
}
