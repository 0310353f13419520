package tokenize

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// unigram cuts a text so that the sum of its tokens' scores is the largest
// (SentencePiece's unigram model, by Viterbi's algorithm).
type unigram struct {
	pieces  scored
	trie    *trie
	unknown int32
	penalty float64     // score of a character that no token is
	bytes   *[256]int32 // tokens of single bytes, if unknown text becomes these
}

// scored is the tokens of a unigram model; ids are places in it.
type scored struct {
	in     *reading
	texts  []string
	scores []float64
}

// ReadStrictJSON reads [["token", score], ...].
func (s *scored) ReadStrictJSON(r *strictjson.Reader) error {
	return r.Array(func() error {
		if len(s.texts) >= s.in.Vocabulary {
			return fmt.Errorf("tokenize: more than %d tokens: %w", s.in.Vocabulary, ErrLimit)
		}
		return pairOf(r, func() error {
			text, err := r.String()
			if err != nil {
				return err
			}
			if err := s.in.keep(1, scoredBytes+int64(len(text))); err != nil {
				return err
			}
			s.texts = append(s.texts, text)
			return s.in.piece("token", text)
		}, func() error {
			digits, err := r.Number()
			if err != nil {
				return err
			}
			score, err := scoreOf(string(digits))
			s.scores = append(s.scores, score)
			return err
		})
	})
}

func readUnigram(p part, lim *reading) (model, error) {
	f := struct {
		Type     string `json:"type"`
		Unknown  *int   `json:"unk_id"`
		Vocab    scored `json:"vocab"`
		Fallback bool   `json:"byte_fallback"`
	}{Vocab: scored{in: lim}}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	f.Vocab.in = nil // nothing of it outlives Parse
	m := &unigram{pieces: f.Vocab, unknown: none, penalty: math.Inf(1)}
	if f.Unknown != nil {
		if *f.Unknown < 0 || *f.Unknown >= len(m.pieces.texts) {
			return nil, fmt.Errorf("tokenize: unk_id %d, there are %d tokens", *f.Unknown, len(m.pieces.texts))
		}
		m.unknown = int32(*f.Unknown)
	}
	if err := lim.use(len(m.pieces.texts), entryBytes); err != nil {
		return nil, err
	}
	entries := make([]entry, len(m.pieces.texts))
	for i, text := range m.pieces.texts {
		entries[i] = entry{text, int32(i)}
		m.penalty = min(m.penalty, m.pieces.scores[i])
	}
	m.penalty -= 10
	var err error
	if m.trie, err = newTrie(lim, entries); err != nil {
		return nil, err
	}
	if f.Fallback {
		m.bytes = byteTokens(m.trie.find)
	}
	return m, nil
}

// byteTokens returns the tokens of single bytes; of a byte that has none it is none.
func byteTokens(id func(text string) int32) *[256]int32 {
	all := &[256]int32{}
	for b := range all {
		all[b] = id(fmt.Sprintf("<0x%02X>", b))
	}
	return all
}

func (m *unigram) id(text string) int32 {
	if text == "" {
		return none
	}
	return m.trie.find(text)
}

func (m *unigram) text(id int32) (string, bool) {
	if id < 0 || int(id) >= len(m.pieces.texts) {
		return "", false
	}
	return m.pieces.texts[id], true
}

func (m *unigram) size() int { return len(m.pieces.texts) }

// arc is the last token of the best way to a place of the text.
type arc struct {
	score float64
	from  int32 // where it begins, or none
	id    int32
}

func (m *unigram) tokens(w *work, p piece, out []token) ([]token, error) {
	best, err := m.best(w, p.text)
	if err != nil {
		return nil, err
	}
	first := len(out)
	for end := int32(len(p.text)); end > 0; {
		a := best[end]
		for a.id == m.unknown && a.from > 0 && best[a.from].id == m.unknown {
			a.from = best[a.from].from // unknown characters in a row are one
		}
		out = append(out, token{a.id, a.from, end})
		end = a.from
	}
	for i, j := first, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return m.settle(p.text, out, first), nil
}

// best returns the best way to each place of the text.
func (m *unigram) best(w *work, text string) ([]arc, error) {
	best := make([]arc, len(text)+1)
	for i := range best {
		best[i].from = none
	}
	for at := 0; at < len(text); {
		if err := w.look(); err != nil {
			return nil, err
		}
		here, size, single := best[at].score, runeLen(text, at), false
		n := int32(0)
		for i := at; i < len(text); i++ {
			if n = m.trie.step(n, text[i]); n == 0 {
				break
			}
			if id := m.trie.nodes[n].id; id != none {
				best[i+1].offer(here+m.pieces.scores[id], at, id)
				single = single || i+1-at == size
			}
		}
		if !single {
			if m.unknown == none && (best[at+size].from == none || here+m.penalty > best[at+size].score) {
				return nil, errUnknown
			}
			best[at+size].offer(here+m.penalty, at, m.unknown)
		}
		at += size
	}
	return best, nil
}

func (a *arc) offer(score float64, from int, id int32) {
	if a.from == none || score > a.score {
		*a = arc{score, int32(from), id}
	}
}

// settle looks unknown parts up once more, as whole strings, and turns them into bytes
// if the model has those.
func (m *unigram) settle(text string, out []token, first int) []token {
	if m.bytes == nil && m.unknown == none {
		return out
	}
	var done []token
	for i := first; i < len(out); i++ {
		t := out[i]
		whole := none
		if t.id == m.unknown {
			whole = int(m.trie.find(text[t.lo:t.hi]))
		}
		switch {
		case t.id != m.unknown:
		case whole != none:
			t.id = int32(whole)
		case m.hasBytes(text[t.lo:t.hi]):
			if done == nil {
				done = append(make([]token, 0, len(out)+int(t.hi-t.lo)), out[:i]...)
			}
			for j := t.lo; j < t.hi; j++ {
				done = append(done, token{m.bytes[text[j]], t.lo, t.hi})
			}
			continue
		}
		if out[i] = t; done != nil {
			done = append(done, t)
		}
	}
	if done != nil {
		return done
	}
	return out
}

func (m *unigram) hasBytes(s string) bool {
	if m.bytes == nil {
		return false
	}
	for i := range len(s) {
		if m.bytes[s[i]] == none {
			return false
		}
	}
	return true
}

// scoreOf reads a number as the library that is followed reads it: the digits as an
// integer, and then one multiplication or division by a power of ten. The result can be
// the neighbor of the nearest number, and decides between ways of equal length.
func scoreOf(text string) (float64, error) {
	digits, exponent := uint64(0), 0
	rest := strings.TrimPrefix(text, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(rest), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	for i, c := range whole + fraction {
		if d := uint64(c - '0'); digits > (math.MaxUint64-d)/10 {
			if i < len(whole) {
				exponent += len(whole) - i
			}
			break
		} else if digits = digits*10 + d; i >= len(whole) {
			exponent--
		}
	}
	if power != "" {
		n, err := strconv.Atoi(power)
		if err != nil || n < -400 || n > 400 {
			return 0, fmt.Errorf("tokenize: score %.40s is not supported", text)
		}
		exponent += n
	}
	if exponent < -308 || exponent > 308 {
		return 0, fmt.Errorf("tokenize: score %.40s is not supported", text)
	}
	score := float64(digits)
	if exponent < 0 {
		score /= math.Pow10(-exponent)
	} else {
		score *= math.Pow10(exponent)
	}
	if math.IsInf(score, 0) {
		return 0, fmt.Errorf("tokenize: score %.40s is too large", text)
	}
	if rest != text {
		score = -score
	}
	return score, nil
}
