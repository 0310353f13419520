package tokenize

import (
	"fmt"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// token is a token of a piece: of its bytes lo to hi.
type token struct{ id, lo, hi int32 }

// model turns pieces into tokens.
type model interface {
	// tokens appends the tokens of a piece that is not empty.
	tokens(w *work, p piece, out []token) ([]token, error)
	// id returns the token that has this text, or none.
	id(text string) int32
	// text returns the text of a token.
	text(id int32) (string, bool)
	// size is the number of tokens.
	size() int
}

// vocabulary is the tokens of a model, by text and by id.
type vocabulary struct {
	in    *reading
	ids   map[string]int32
	texts []string
	known []bool
}

func (v *vocabulary) id(text string) int32 {
	if id, ok := v.ids[text]; ok {
		return id
	}
	return none
}

func (v *vocabulary) text(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.texts) || !v.known[id] {
		return "", false
	}
	return v.texts[id], true
}

func (v *vocabulary) size() int { return len(v.ids) }

func (v *vocabulary) entries() []entry {
	all := make([]entry, 0, len(v.ids))
	for id, text := range v.texts {
		if v.known[id] {
			all = append(all, entry{text, int32(id)})
		}
	}
	return all
}

// ReadStrictJSON reads {"token": id, ...}.
func (v *vocabulary) ReadStrictJSON(r *strictjson.Reader) error {
	v.ids = map[string]int32{}
	last := -1
	err := r.Object(func(text string) error {
		id, err := r.Uint(32)
		if err != nil {
			return err
		}
		last = max(last, int(id))
		return v.add(text, id)
	})
	if err != nil {
		return err
	}
	return v.index(last + 1)
}

func (v *vocabulary) add(text string, id uint64) error {
	if err := v.in.piece("token", text); err != nil {
		return err
	}
	if len(v.ids) >= v.in.Vocabulary || id >= uint64(v.in.Vocabulary) {
		return fmt.Errorf("tokenize: token number %d with id %d, the limit is %d: %w", len(v.ids)+1, id, v.in.Vocabulary, ErrLimit)
	}
	if err := v.in.keep(1, tokenBytes+int64(len(text))); err != nil {
		return err
	}
	v.ids[text] = int32(id)
	return nil
}

// index lists the tokens by their ids, which are below n and may have gaps.
func (v *vocabulary) index(n int) error {
	if err := v.in.keep(n, 17); err != nil {
		return err
	}
	v.in = nil // nothing of it outlives Parse
	v.texts, v.known = make([]string, n), make([]bool, n)
	for text, id := range v.ids {
		if v.known[id] {
			return fmt.Errorf("tokenize: id %d stands for two tokens", id)
		}
		v.texts[id], v.known[id] = text, true
	}
	return nil
}

// readModel reads the file's member model.
func readModel(p part, lim *reading) (model, error) {
	if p.absent() {
		return nil, fmt.Errorf("tokenize: the file has no model")
	}
	kind, err := p.kind()
	if err != nil {
		return nil, err
	}
	switch kind {
	case "WordPiece":
		return readWordPiece(p, lim)
	case "WordLevel":
		return readWordLevel(p, lim)
	case "BPE":
		return readBPE(p, lim)
	case "Unigram":
		return readUnigram(p, lim)
	}
	return nil, unsupported("model", kind)
}

// wordLevel knows whole words.
type wordLevel struct {
	vocabulary
	unknown int32
}

func readWordLevel(p part, lim *reading) (model, error) {
	f := struct {
		Type    string     `json:"type"`
		Vocab   vocabulary `json:"vocab"`
		Unknown string     `json:"unk_token"`
	}{Vocab: vocabulary{in: lim}}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	return &wordLevel{f.Vocab, f.Vocab.id(f.Unknown)}, nil
}

func (m *wordLevel) tokens(_ *work, p piece, out []token) ([]token, error) {
	id := m.id(p.text)
	if id == none {
		id = m.unknown
	}
	if id == none {
		return nil, errUnknown
	}
	return append(out, token{id, 0, int32(len(p.text))}), nil
}
