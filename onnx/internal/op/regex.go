package op

import (
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// regexFullMatch says of each string whether a regular expression matches all of it.
// The specification asks for RE2's syntax, which is Go's; matching takes time that is
// linear in the string.
type regexFullMatch struct{ pattern *regexp.Regexp }

// A pattern may ask for repetition, which makes it larger than its text: each symbol
// is looked at for each letter of a string.
const (
	maxPattern = 4 << 10
	maxSymbols = 20_000
)

func makeRegexFullMatch(a *Attributes, _ int64) (Operator, error) {
	pattern := a.string("pattern", "")
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf(`attribute "pattern" has %d bytes, at most %d`, len(pattern), maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf(`attribute "pattern": %w`, err)
	}
	if n := symbols(parsed); n > maxSymbols {
		return nil, fmt.Errorf(`attribute "pattern" stands for more than %d symbols`, maxSymbols)
	}
	compiled, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	return regexFullMatch{compiled}, err
}

// symbols is how many symbols an expression stands for with its repetitions written
// out, or more than maxSymbols.
func symbols(e *syntax.Regexp) int {
	n := 1 + len(e.Rune)
	for _, sub := range e.Sub {
		n += symbols(sub)
		if n > maxSymbols {
			return n
		}
	}
	if e.Op == syntax.OpRepeat {
		n *= max(e.Min, e.Max, 1)
	}
	return n
}

func (o regexFullMatch) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.String); err != nil {
		return nil, err
	}
	return []Info{like(in[0], tensor.Bool)}, nil
}

// Dear: a string may take seconds.
func (o regexFullMatch) Dear() {}

func (o regexFullMatch) Run(env *Env, in, out []*tensor.Tensor) error {
	to := tensor.Data[bool](out[0])
	for i, s := range tensor.Data[string](in[0]) {
		text := &letters{on: env.On, rest: strings.NewReader(s)}
		if err := env.On.Err(); err != nil {
			return err
		}
		to[i] = o.pattern.MatchReader(text)
	}
	return env.On.Err()
}

// letters hands out a string until it or the run ends.
type letters struct {
	on   *kernel.On
	rest *strings.Reader
	read int
}

// ReadRune looks at the run's end once in a few hundred letters: one takes up to
// maxSymbols steps.
func (l *letters) ReadRune() (r rune, size int, err error) {
	if l.read++; l.read%256 == 0 && l.on.Err() != nil {
		return 0, 0, io.EOF
	}
	return l.rest.ReadRune()
}
