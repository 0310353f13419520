package tokenize

import "unicode/utf8"

// set is a class of characters of a pattern.
type set struct {
	ascii   [2]uint64 // all that is asked about ASCII, negation included
	ranges  []rune    // pairs of first and last
	props   []property
	negated bool
}

// property is a class that has a name in patterns.
type property struct {
	in      func(r rune) bool
	negated bool
	parts   *set // a class inside a class, in place of in
}

// propertyOf returns what \p{name} stands for, or nil.
func propertyOf(name string) func(r rune) bool {
	switch name {
	case "L", "Letter":
		return isLetter
	case "Lu":
		return isUpper
	case "Ll":
		return isLower
	case "Lt":
		return isTitle
	case "Lm":
		return isModifier
	case "Lo":
		return isOther
	case "N", "Number":
		return isNumber
	case "Nd":
		return isDigit
	case "M", "Mark":
		return isMark
	case "P", "Punctuation":
		return isPunct
	case "S", "Symbol":
		return isSymbol
	case "Han":
		return isHan
	}
	return nil
}

// seal fills in what a set says about ASCII. The set must not change afterwards.
func (s *set) seal() *set {
	s.ascii = [2]uint64{}
	for r := range rune(utf8.RuneSelf) {
		if s.slow(r) {
			s.ascii[r>>6] |= 1 << (r & 63)
		}
	}
	return s
}

func (s *set) has(r rune) bool {
	if r < utf8.RuneSelf {
		return s.ascii[r>>6]>>(r&63)&1 != 0
	}
	return s.slow(r)
}

func (s *set) slow(r rune) bool {
	for i := 0; i < len(s.ranges); i += 2 {
		if r >= s.ranges[i] && r <= s.ranges[i+1] {
			return !s.negated
		}
	}
	for _, p := range s.props {
		if p.has(r) {
			return !s.negated
		}
	}
	return s.negated
}

func (p property) has(r rune) bool {
	if p.parts != nil {
		return p.parts.slow(r) != p.negated
	}
	return p.in(r) != p.negated
}

// fold adds the other case of ASCII letters, and the two characters outside of ASCII
// that fold to one.
func (s *set) fold() {
	for i, n := 0, len(s.ranges); i < n; i += 2 {
		lo, hi := s.ranges[i], s.ranges[i+1]
		for _, pair := range [][3]rune{{'A', 'Z', 'a' - 'A'}, {'a', 'z', 'A' - 'a'}} {
			if a, b := max(lo, pair[0]), min(hi, pair[1]); a <= b {
				s.ranges = append(s.ranges, a+pair[2], b+pair[2])
			}
		}
	}
	for _, odd := range [][2]rune{{'s', 0x17f}, {'k', 0x212a}} {
		if s.inRanges(odd[0]) {
			s.ranges = append(s.ranges, odd[1], odd[1])
		}
	}
}

func (s *set) inRanges(r rune) bool {
	for i := 0; i < len(s.ranges); i += 2 {
		if r >= s.ranges[i] && r <= s.ranges[i+1] {
			return true
		}
	}
	return false
}
