package tokenize

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// pattern is a regular expression as tokenizer files have them: of Oniguruma's syntax,
// which Go's regexp does not know. It has alternatives, groups, classes, greedy
// repetition and a look ahead at one character. The first alternative that matches
// counts, as in every engine that goes back.
type pattern struct {
	code  []instruction
	first *set // every match begins with one of these
}

// instruction is a step of a pattern's program.
type instruction struct {
	op       operation
	set      *set
	min, max int  // repetitions of opRun
	keep     bool // opRun gives nothing back
	to, or   int  // where opSplit and opJump go on; or is tried if to fails
}

type operation byte

const (
	opRun   operation = iota // characters of set, min to max times, as many as there are
	opSplit                  // go on at to, and if that fails at or
	opJump
	opAhead // the next character is of set
	opNotAhead
	opMatch
)

// endless is a repetition without a bound.
const endless = 1 << 30

const (
	patternDepth = 16   // groups inside groups
	patternCode  = 2048 // instructions
)

// compile reads a pattern.
func compile(text string) (*pattern, error) {
	c := compiler{text: text}
	err := c.alternatives(0, false)
	if err == nil && c.pos < len(text) {
		err = c.errorf("')' without '('")
	}
	if err != nil {
		return nil, err
	}
	c.emit(instruction{op: opMatch})
	p := &pattern{code: c.code, first: &set{}}
	if !p.begin(0, make([]bool, len(c.code))) {
		return nil, fmt.Errorf("tokenize: pattern %q can match nothing at all, which is not supported", text)
	}
	p.first.seal()
	return p, nil
}

// begin collects what matches can begin with, and tells whether all begin with something.
func (p *pattern) begin(pc int, seen []bool) bool {
	if seen[pc] {
		return true
	}
	seen[pc] = true
	switch in := p.code[pc]; in.op {
	case opMatch:
		return false
	case opRun:
		p.first.props = append(p.first.props, property{parts: in.set})
		return in.min > 0 || p.begin(pc+1, seen)
	case opSplit:
		return p.begin(in.to, seen) && p.begin(in.or, seen)
	case opJump:
		return p.begin(in.to, seen)
	}
	return p.begin(pc+1, seen)
}

type compiler struct {
	text string
	pos  int
	code []instruction
}

func (c *compiler) errorf(format string, args ...any) error {
	return fmt.Errorf("tokenize: pattern %q, byte %d: %s", c.text, c.pos, fmt.Sprintf(format, args...))
}

func (c *compiler) emit(in instruction) int {
	c.code = append(c.code, in)
	return len(c.code) - 1
}

func (c *compiler) next(s string) bool {
	if !strings.HasPrefix(c.text[c.pos:], s) {
		return false
	}
	c.pos += len(s)
	return true
}

// alternatives reads a|b|c up to a ')' or the end.
func (c *compiler) alternatives(depth int, fold bool) error {
	if depth > patternDepth {
		return c.errorf("more than %d groups inside each other", patternDepth)
	}
	var ends []int
	for {
		start := c.emit(instruction{op: opSplit})
		if err := c.sequence(depth, fold); err != nil {
			return err
		}
		if len(c.code) > patternCode {
			return c.errorf("pattern has more than %d instructions", patternCode)
		}
		if !c.next("|") {
			c.code[start] = instruction{op: opJump, to: start + 1}
			break
		}
		ends = append(ends, c.emit(instruction{op: opJump}))
		c.code[start].to, c.code[start].or = start+1, len(c.code)
	}
	for _, at := range ends {
		c.code[at].to = len(c.code)
	}
	return nil
}

// sequence reads items up to a '|', a ')' or the end.
func (c *compiler) sequence(depth int, fold bool) error {
	var before byte // the literal before, in a part where case does not count
	for c.pos < len(c.text) && c.text[c.pos] != '|' && c.text[c.pos] != ')' {
		letter := c.text[c.pos] | 0x20
		if fold && letter > 0x60 && strings.Contains("ss st ff fi fl", string([]byte{before, letter})) {
			return c.errorf("case does not count for %q, which is also one character: not supported", string([]byte{before, letter}))
		}
		before = letter
		if err := c.item(depth, fold); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) item(depth int, fold bool) error {
	for _, look := range []struct {
		prefix string
		op     operation
	}{{"(?!", opNotAhead}, {"(?=", opAhead}} {
		if c.next(look.prefix) {
			return c.look(look.op, fold)
		}
	}
	if c.next("(") {
		return c.group(depth, fold)
	}
	s, err := c.one(fold)
	if err != nil {
		return err
	}
	in := instruction{op: opRun, set: s, min: 1, max: 1}
	if in.min, in.max, in.keep, err = c.repetition(); err != nil {
		return err
	}
	c.emit(in)
	return nil
}

func (c *compiler) look(op operation, fold bool) error {
	s, err := c.one(fold)
	if err != nil {
		return err
	}
	if !c.next(")") {
		return c.errorf("looking ahead at more than one character is not supported")
	}
	c.emit(instruction{op: op, set: s})
	return nil
}

func (c *compiler) group(depth int, fold bool) error {
	switch {
	case c.next("?i:"):
		fold = true
	case c.next("?:"):
	case c.next("?"):
		return c.errorf("groups of this kind are not supported")
	}
	split := c.emit(instruction{op: opSplit})
	if err := c.alternatives(depth+1, fold); err != nil {
		return err
	}
	if !c.next(")") {
		return c.errorf("'(' without ')'")
	}
	least, largest, keep, err := c.repetition()
	if err != nil {
		return err
	}
	switch {
	case keep, largest != 1:
		return c.errorf("only '?' can follow a group")
	case least == 1:
		c.code[split] = instruction{op: opJump, to: split + 1}
	default:
		c.code[split].to, c.code[split].or = split+1, len(c.code)
	}
	return nil
}

// repetition reads what may follow an item.
func (c *compiler) repetition() (least, most int, keep bool, err error) {
	least, most = 1, 1
	switch {
	case c.next("?"):
		least = 0
	case c.next("*"):
		least, most = 0, endless
	case c.next("+"):
		most = endless
	case strings.HasPrefix(c.text[c.pos:], "{"):
		if least, most, err = c.counts(); err != nil {
			return 0, 0, false, err
		}
		if c.pos < len(c.text) && strings.IndexByte("?*+{", c.text[c.pos]) >= 0 {
			return 0, 0, false, c.errorf("a repetition of a repetition is not supported")
		}
		return least, most, false, nil
	default:
		return 1, 1, false, nil
	}
	keep = c.next("+")
	if c.pos < len(c.text) && strings.IndexByte("?*+{", c.text[c.pos]) >= 0 {
		return 0, 0, false, c.errorf("as few as possible, or a repetition of a repetition: not supported")
	}
	return least, most, keep, nil
}

// counts reads {m}, {m,}, {,n} and {m,n}.
func (c *compiler) counts() (least, most int, err error) {
	inside, _, found := strings.Cut(c.text[c.pos+1:], "}")
	a, b, comma := strings.Cut(inside, ",")
	if !found || inside == "" || inside == "," {
		return 0, 0, c.errorf("'{' without counts")
	}
	if least, err = c.count(a, 0); err != nil {
		return 0, 0, err
	}
	if most = least; comma {
		if most, err = c.count(b, endless); err != nil {
			return 0, 0, err
		}
	}
	if most < least || most == 0 {
		return 0, 0, c.errorf("counts {%s} are not in order", inside)
	}
	c.pos += len(inside) + 2
	return least, most, nil
}

func (c *compiler) count(digits string, empty int) (int, error) {
	if digits == "" {
		return empty, nil
	}
	n := 0
	for _, d := range []byte(digits) {
		if n = n*10 + int(d-'0'); d < '0' || d > '9' || n > 1000 {
			return 0, c.errorf("count %q, must be a number up to 1000", digits)
		}
	}
	return n, nil
}

// one reads something that matches one character.
func (c *compiler) one(fold bool) (*set, error) {
	if c.pos == len(c.text) {
		return nil, c.errorf("the pattern ends where a character is expected")
	}
	s := &set{}
	switch ch := c.text[c.pos]; ch {
	case '.':
		c.pos++
		s.negated, s.ranges = true, []rune{'\n', '\n'}
		return s.seal(), nil
	case '[':
		c.pos++
		if err := c.class(s, fold, 0); err != nil {
			return nil, err
		}
		return s.seal(), nil
	case '\\':
		if err := c.escape(s, fold); err != nil {
			return nil, err
		}
	case '*', '+', '?', '^', '$', '(', ')', '|', '{':
		return nil, c.errorf("'%c' here is not supported", ch)
	default:
		r, n := utf8.DecodeRuneInString(c.text[c.pos:])
		c.pos += n
		s.ranges = append(s.ranges, r, r)
	}
	if fold {
		s.fold()
	}
	return s.seal(), nil
}
