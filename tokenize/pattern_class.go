package tokenize

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// class reads the inside of [...], after the first bracket. A class inside a class is
// a part of it.
func (c *compiler) class(s *set, fold bool, depth int) error {
	if depth > patternDepth {
		return c.errorf("more than %d classes inside each other", patternDepth)
	}
	s.negated = c.next("^")
	for first := true; ; first = false {
		switch {
		case c.pos == len(c.text):
			return c.errorf("'[' without ']'")
		case c.next("]"):
			if first {
				return c.errorf("a class that begins with ']' is not supported")
			}
			if fold {
				s.fold()
			}
			return nil
		case strings.HasPrefix(c.text[c.pos:], "[:"), strings.HasPrefix(c.text[c.pos:], "&&"):
			return c.errorf("%q in a class is not supported", c.text[c.pos:c.pos+2])
		case c.next("["):
			inner := &set{}
			if err := c.class(inner, fold, depth+1); err != nil {
				return err
			}
			s.props = append(s.props, property{parts: inner})
		default:
			if err := c.member(s, fold); err != nil {
				return err
			}
		}
	}
}

// member reads a character, a range or an escape of a class.
func (c *compiler) member(s *set, fold bool) error {
	before := len(s.ranges)
	if err := c.character(s, fold); err != nil {
		return err
	}
	rest := c.text[c.pos:]
	if len(s.ranges) == before || len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
		return nil
	}
	c.pos++
	if rest[1] == '[' {
		return c.errorf("a range that ends in a class is not supported")
	}
	end := &set{}
	if err := c.character(end, fold); err != nil {
		return err
	}
	if len(end.ranges) != 2 || end.ranges[0] < s.ranges[before] {
		return c.errorf("a range must go up, from one character to another")
	}
	s.ranges[before+1] = end.ranges[0]
	return nil
}

func (c *compiler) character(s *set, fold bool) error {
	if c.pos == len(c.text) {
		return c.errorf("'[' without ']'")
	}
	if c.text[c.pos] == '\\' {
		return c.escape(s, fold)
	}
	r, n := utf8.DecodeRuneInString(c.text[c.pos:])
	c.pos += n
	s.ranges = append(s.ranges, r, r)
	return nil
}

// escape reads what begins with a backslash into s.
func (c *compiler) escape(s *set, fold bool) error {
	if c.pos+1 >= len(c.text) {
		return c.errorf("'\\' at the end")
	}
	ch := c.text[c.pos+1]
	c.pos += 2
	if r, ok := map[byte]rune{'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 'f': '\f', 'u': -1, 'x': -1}[ch]; ok {
		if r < 0 {
			var err error
			if r, err = c.hex(ch); err != nil {
				return err
			}
		}
		s.ranges = append(s.ranges, r, r)
		return nil
	}
	if ch < utf8.RuneSelf && !isWord(rune(ch)) {
		s.ranges = append(s.ranges, rune(ch), rune(ch))
		return nil
	}
	p, err := c.named(ch)
	if err != nil {
		return err
	}
	if fold {
		return c.errorf("a class with a name where case does not count is not supported")
	}
	s.props = append(s.props, p)
	return nil
}

// named reads \s, \d, \w, \p{...} and their opposites.
func (c *compiler) named(ch byte) (property, error) {
	switch ch {
	case 's', 'S':
		return property{in: unicode.IsSpace, negated: ch == 'S'}, nil
	case 'd', 'D':
		return property{in: isDigit, negated: ch == 'D'}, nil
	case 'w', 'W':
		return property{in: isWord, negated: ch == 'W'}, nil
	case 'p', 'P':
		name, _, found := strings.Cut(c.text[c.pos:], "}")
		if in := propertyOf(strings.TrimPrefix(name, "{")); found && in != nil && strings.HasPrefix(name, "{") {
			c.pos += len(name) + 1
			return property{in: in, negated: ch == 'P'}, nil
		}
		return property{}, c.errorf("this class \\%c{...} is not supported", ch)
	}
	return property{}, c.errorf("\\%c is not supported", ch)
}

// hex reads the digits of \uHHHH, \xHH and \x{H...}.
func (c *compiler) hex(kind byte) (rune, error) {
	rest := c.text[c.pos:]
	digits, used, highest := "", 0, uint64(unicode.MaxRune)
	switch {
	case kind == 'u' && len(rest) >= 4:
		digits, used = rest[:4], 4
	case kind == 'x' && strings.HasPrefix(rest, "{"):
		digits, _, _ = strings.Cut(rest[1:], "}")
		used = len(digits) + 2
	case kind == 'x' && len(rest) >= 2:
		digits, used, highest = rest[:2], 2, utf8.RuneSelf-1
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || n > highest || !utf8.ValidRune(rune(n)) || used > len(rest) {
		return 0, c.errorf("\\%c is not followed by a character's number", kind)
	}
	c.pos += used
	return rune(n), nil
}
