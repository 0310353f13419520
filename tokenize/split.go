package tokenize

import "fmt"

// cutter cuts a piece into pieces, which it appends to out.
type cutter interface {
	cut(w *work, p piece, out []piece) ([]piece, error)
}

// segment is a part of a text that a pattern matched, or that lies between matches.
type segment struct {
	lo, hi  int
	matched bool
}

// finder lists the segments of a text, in order and without gaps.
type finder interface {
	segments(w *work, text string) ([]segment, error)
}

// finds is a finder of single characters.
type finds func(r rune) bool

func (f finds) segments(_ *work, text string) ([]segment, error) {
	var out []segment
	last := 0
	for i, r := range text {
		if !f(r) {
			continue
		}
		if last < i {
			out = append(out, segment{last, i, false})
		}
		last = i + runeLen(text, i)
		out = append(out, segment{i, last, true})
	}
	if last < len(text) {
		out = append(out, segment{last, len(text), false})
	}
	return out, nil
}

// behavior says what becomes of what a pattern matched.
type behavior int

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

func readBehavior(name string) (behavior, error) {
	for i, n := range []string{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"} {
		if n == name {
			return behavior(i), nil
		}
	}
	return 0, fmt.Errorf("tokenize: behavior %q, must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", name)
}

// split is a cutter by a finder.
type split struct {
	by     finder
	how    behavior
	invert bool // what lies between the matches is what was matched
}

func (s split) cut(w *work, p piece, out []piece) ([]piece, error) {
	segments, err := s.by.segments(w, p.text)
	if err != nil {
		return nil, err
	}
	for _, g := range s.join(segments) {
		if g.hi > g.lo && !g.matched {
			if g.lo == 0 && g.hi == len(p.text) {
				out = append(out, p)
			} else {
				out = append(out, p.cut(g.lo, g.hi))
			}
		}
	}
	return out, nil
}

// join puts segments together as the behavior says. Those that are still marked as
// matched are left out.
func (s split) join(segments []segment) []segment {
	if s.invert {
		for i := range segments {
			segments[i].matched = !segments[i].matched
		}
	}
	switch s.how {
	case removed:
		return segments
	case mergedWithNext:
		return joinNext(segments)
	}
	out, previous := segments[:0], false
	for _, g := range segments {
		glue := s.how == contiguous && g.matched == previous || s.how == mergedWithPrevious && g.matched && !previous
		previous = g.matched
		if g.matched = false; glue && len(out) > 0 {
			out[len(out)-1].hi = g.hi
		} else {
			out = append(out, g)
		}
	}
	return out
}

// joinNext glues each match that is followed by something else to that.
func joinNext(segments []segment) []segment {
	out := segments[:0]
	for i := 0; i < len(segments); i++ {
		g := segments[i]
		if g.matched && i+1 < len(segments) && !segments[i+1].matched {
			g.hi = segments[i+1].hi
			i++
		}
		g.matched = false
		out = append(out, g)
	}
	return out
}
