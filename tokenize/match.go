package tokenize

import (
	"fmt"
	"unicode/utf8"
)

// choice is a way of matching that was not taken yet: go on at pc with the text from
// pos. If pos is above least, the run before pc can give back more.
type choice struct{ pc, pos, least int }

// matcher runs a pattern over one text.
type matcher struct {
	*work
	p    *pattern
	text string
	todo []choice
}

// segments implements finder.
func (p *pattern) segments(w *work, text string) ([]segment, error) {
	m := matcher{work: w, p: p, text: text, todo: make([]choice, 0, 16)}
	out := make([]segment, 0, len(text)/6+4)
	last := 0
	for at := 0; at < len(text); {
		r, n := rune(text[at]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(text[at:])
		}
		end := none
		if p.first.has(r) {
			end = m.match(at)
		}
		if err := m.look(); err != nil {
			return nil, err
		}
		if m.steps--; m.steps < 0 {
			if err := m.ctx.Err(); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("tokenize: a pattern of this tokenizer takes too long on this text, see Limits.Steps: %w", ErrLimit)
		}
		if end <= at {
			at += n
			continue
		}
		if last < at {
			out = append(out, segment{last, at, false})
		}
		out = append(out, segment{at, end, true})
		at, last = end, end
	}
	if last < len(text) {
		out = append(out, segment{last, len(text), false})
	}
	return out, nil
}

// match returns where the match that begins at pos ends, or none.
func (m *matcher) match(pos int) int {
	m.todo = append(m.todo[:0], choice{0, pos, pos})
	for len(m.todo) > 0 && m.steps >= 0 {
		if m.look() != nil {
			m.steps = none
			break
		}
		last := len(m.todo) - 1
		c := m.todo[last]
		if c.pos > c.least {
			_, n := utf8.DecodeLastRuneInString(m.text[:c.pos])
			m.todo[last].pos -= n
			c.pos -= n
			if c.pos <= c.least {
				m.todo = m.todo[:last]
			}
		} else {
			m.todo = m.todo[:last]
		}
		if end := m.run(c.pc, c.pos); end >= 0 {
			return end
		}
	}
	return none
}

// run goes on until the pattern matched, and returns where, or failed.
func (m *matcher) run(pc, pos int) int {
	for {
		in := &m.p.code[pc]
		m.steps--
		switch in.op {
		case opMatch:
			return pos
		case opRun:
			end, least := m.repeat(in, pos)
			if end < 0 {
				return none
			}
			pc++
			if pos = end; end > least && !in.keep {
				m.todo = append(m.todo, choice{pc, end, least})
			}
		case opSplit:
			m.todo = append(m.todo, choice{in.or, pos, pos})
			pc = in.to
		case opJump:
			pc = in.to
		default:
			if m.ahead(in, pos) != (in.op == opAhead) {
				return none
			}
			pc++
		}
	}
}

// repeat takes as many characters of a set as there are. It returns where they end,
// or none if there are too few, and how far back matching may go.
func (m *matcher) repeat(in *instruction, pos int) (end, least int) {
	count := 0
	if in.min == 0 {
		least = pos
	}
	end = pos
	for end < len(m.text) && count < in.max {
		r, n := rune(m.text[end]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(m.text[end:])
		}
		if !in.set.has(r) {
			break
		}
		end += n
		if count++; count == in.min {
			least = end
		}
	}
	m.steps -= count
	if count < in.min {
		return none, 0
	}
	return end, least
}

func (m *matcher) ahead(in *instruction, pos int) bool {
	if pos >= len(m.text) {
		return false
	}
	r, _ := utf8.DecodeRuneInString(m.text[pos:])
	return in.set.has(r)
}
