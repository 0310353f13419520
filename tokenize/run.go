package tokenize

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// modelRun gives pieces to the model.
type modelRun struct {
	*work
	model   model
	text    string // of the caller
	offsets bool
	trim    *trimming
	enough  int // tokens after which no further piece is looked at, or 0
	tokens  []token
}

func (m *modelRun) fromStart(pieces []piece) (*encoded, error) {
	e := &encoded{ids: make([]int32, 0, len(pieces)+len(pieces)/4)}
	for _, p := range pieces {
		if err := m.piece(p, e); err != nil {
			return nil, err
		}
		if m.enough > 0 && len(e.ids) >= m.enough && p.id == none {
			break
		}
	}
	return e, nil
}

// fromEnd is for truncation at the beginning: the last pieces come first.
func (m *modelRun) fromEnd(pieces []piece) (*encoded, error) {
	var parts []encoded
	total := 0
	for _, p := range slices.Backward(pieces) {
		var e encoded
		if err := m.piece(p, &e); err != nil {
			return nil, err
		}
		parts = append(parts, e)
		if total += len(e.ids); m.enough > 0 && total >= m.enough && p.id == none {
			break
		}
	}
	all := &encoded{}
	for _, e := range slices.Backward(parts) {
		all.ids = append(all.ids, e.ids...)
		all.spans = append(all.spans, e.spans...)
	}
	return all, nil
}

// piece appends the tokens of one piece.
func (m *modelRun) piece(p piece, e *encoded) (err error) {
	if p.text == "" {
		return nil
	}
	if err := m.look(); err != nil {
		return err
	}
	m.tokens = m.tokens[:0]
	if p.id != none {
		m.tokens = append(m.tokens, token{p.id, 0, int32(len(p.text))})
	} else if m.tokens, err = m.model.tokens(m.work, p, m.tokens); err != nil {
		return err
	}
	for _, t := range m.tokens {
		e.ids = append(e.ids, t.id)
		if m.offsets {
			o := p.origin(int(t.lo), int(t.hi))
			span := Span{int(o.lo), int(o.hi)}
			if m.trim != nil {
				span = m.trim.apply(span, m.text, m.shown(p, t), len(e.ids) == 1)
			}
			e.spans = append(e.spans, span)
		}
	}
	return nil
}

// shown is the text of a token.
func (m *modelRun) shown(p piece, t token) string {
	if p.id != none {
		return p.text
	}
	text, _ := m.model.text(t.id)
	return text
}

// apply takes white space at the ends of a token out of its range. The one space that
// was put before the text, if there was one, is none of its.
func (m trimming) apply(s Span, text, token string, first bool) Span {
	space := func(r rune) bool { return r == byteChar(' ') || unicode.IsSpace(r) }
	lead := utf8.RuneCountInString(token) - utf8.RuneCountInString(strings.TrimLeftFunc(token, space))
	trail := utf8.RuneCountInString(token) - utf8.RuneCountInString(strings.TrimRightFunc(token, space))
	if lead == 1 && m.space && (first || s.Start == 0) {
		lead = 0
	}
	for ; lead > 0 && s.Start < s.End; lead-- {
		s.Start += runeLen(text, s.Start)
	}
	for ; trail > 0 && s.Start < s.End; trail-- {
		_, n := utf8.DecodeLastRuneInString(text[:s.End])
		s.End -= n
	}
	return s
}

// inPackage makes sure that an error says where it comes from.
func inPackage(err error) error {
	if err == nil || strings.HasPrefix(err.Error(), "tokenize: ") {
		return err
	}
	return fmt.Errorf("tokenize: %w", err)
}
