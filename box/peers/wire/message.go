package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

func (q Question) encode() ([]byte, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(q.At.UnixNano()))
	b = appendShort(b, q.Statement)
	b = binary.BigEndian.AppendUint16(b, uint16(len(q.References)))
	for _, ref := range q.References {
		b = appendShort(b, []byte(ref.Kind.String()))
		b = appendShort(b, ref.Measurement)
		b = append(b, ref.Policy[:]...)
		b = append(b, ref.Root[:]...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(q.Bundle)))
	return append(b, q.Bundle...), nil
}

func (q Question) validate() error {
	switch {
	case q.At.UnixNano() <= 0:
		return errors.New("wire: a question without a time")
	case len(q.Statement) == 0 || len(q.Statement) > attest.MaxStatement:
		return fmt.Errorf("wire: a statement of %d bytes, expected 1 to %d", len(q.Statement), attest.MaxStatement)
	case len(q.References) == 0 || len(q.References) > MaxReferences:
		return fmt.Errorf("wire: %d references, expected 1 to %d", len(q.References), MaxReferences)
	case len(q.Bundle) == 0 || len(q.Bundle) > attest.MaxBundle:
		return fmt.Errorf("wire: a bundle of %d bytes, expected 1 to %d", len(q.Bundle), attest.MaxBundle)
	}
	for _, ref := range q.References {
		if err := ref.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (ref Reference) validate() error {
	switch {
	case !ref.Kind.Valid():
		return fmt.Errorf("wire: a reference of kind %s", ref.Kind)
	case len(ref.Measurement) == 0 || len(ref.Measurement) > maxMeasurement:
		return fmt.Errorf("wire: a measurement of %d bytes, expected 1 to %d", len(ref.Measurement), maxMeasurement)
	case ref.Policy.IsZero():
		return errors.New("wire: a reference without a policy")
	case ref.Kind.Simulated() == ref.Root.IsZero():
		return fmt.Errorf("wire: a reference of kind %s with a simulated root %s", ref.Kind, ref.Root)
	}
	return nil
}

func parseQuestion(data []byte) (Question, error) {
	r := reader{rest: data}
	q := Question{At: r.time(), Statement: r.short(attest.MaxStatement)}
	for range r.count16(MaxReferences) {
		q.References = append(q.References, r.reference())
	}
	q.Bundle = r.take(r.count32(attest.MaxBundle))
	if err := r.end(); err != nil {
		return Question{}, err
	}
	if err := q.validate(); err != nil {
		return Question{}, err
	}
	return q, nil
}

func (r *reader) reference() Reference {
	name := string(r.short(maxName))
	kind, err := attest.ParseKind(name)
	if err != nil {
		r.fail(err)
	}
	return Reference{Kind: kind, Measurement: r.short(maxMeasurement), Policy: r.array32(), Root: r.array32()}
}

func (a Answer) encode() ([]byte, error) {
	if err := a.validate(MaxReferences); err != nil {
		return nil, err
	}
	b := []byte{0}
	if a.Accepted {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint16(b, uint16(a.Reference))
	var until int64
	if !a.Until.IsZero() {
		until = a.Until.Unix()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(until))
	b = append(b, byte(len(a.Failed)))
	for _, c := range a.Failed {
		for _, text := range []string{c.Name, string(c.Code), c.Seen, c.Expected} {
			b = appendShort(b, []byte(text))
		}
	}
	return b, nil
}

// validate makes sure that an answer is a yes or a no and nothing between.
func (a Answer) validate(references int) error {
	switch {
	case a.Reference < 0 || a.Reference >= references:
		return fmt.Errorf("wire: reference %d of %d", a.Reference, references)
	case a.Accepted && len(a.Failed) != 0:
		return fmt.Errorf("wire: accepted with %d failed checks", len(a.Failed))
	case !a.Accepted && (len(a.Failed) == 0 || len(a.Failed) > MaxChecks):
		return fmt.Errorf("wire: refused with %d failed checks, expected 1 to %d", len(a.Failed), MaxChecks)
	case !a.Accepted && (a.Reference != 0 || !a.Until.IsZero()):
		return errors.New("wire: refused, with a reference or an end")
	case a.Until.Unix() < 0 && !a.Until.IsZero() || !a.Until.IsZero() && a.Until.Unix() == 0:
		return fmt.Errorf("wire: an end in %d", a.Until.Year())
	}
	for _, c := range a.Failed {
		if c.Status != attest.Fail || !isName(c.Name) || !isName(string(c.Code)) || !isText(c.Seen) || !isText(c.Expected) {
			return errors.New("wire: a check that is not a failed one with a name and a code")
		}
	}
	return nil
}

func parseAnswer(data []byte, references int) (Answer, error) {
	r := reader{rest: data}
	var a Answer
	switch r.byte() {
	case 0:
	case 1:
		a.Accepted = true
	default:
		r.fail(errors.New("wire: a verdict that is neither yes nor no"))
	}
	a.Reference = int(r.uint16())
	if until := r.uint64(); until > maxSeconds {
		r.fail(errors.New("wire: an end that is no time"))
	} else if until != 0 {
		a.Until = time.Unix(int64(until), 0).UTC()
	}
	n := int(r.byte())
	if n > MaxChecks {
		r.fail(fmt.Errorf("wire: %d checks, expected at most %d", n, MaxChecks))
		n = 0
	}
	for range n {
		a.Failed = append(a.Failed, attest.Check{
			Name: string(r.short(maxName)), Code: attest.Code(r.short(maxName)), Seen: string(r.short(MaxText)), Expected: string(r.short(MaxText)),
		})
	}
	if err := r.end(); err != nil {
		return Answer{}, err
	}
	if err := a.validate(references); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// maxSeconds is the end of the year 9999, which is "no end" in certificates
// (RFC 5280, section 4.1.2.5).
const maxSeconds = 253402300799

// isName reports whether s can be the name of a check or a code: both are shown to
// people, and the code of a check leads to its page.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// isText refuses what could do something to a terminal.
func isText(s string) bool {
	return len(s) <= MaxText && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// Refused is the answer that gives those of the checks that failed as reasons. It
// shortens what is too long, and shows only printable ASCII.
func Refused(checks []attest.Check) Answer {
	var a Answer
	for _, c := range checks {
		if c.Status != attest.Fail || len(a.Failed) == MaxChecks {
			continue
		}
		if !isName(c.Name) || !isName(string(c.Code)) {
			c.Name, c.Code = "hardware.evidence", attest.CodeMalformed
		}
		c.Seen, c.Expected = printable(c.Seen), printable(c.Expected)
		a.Failed = append(a.Failed, c)
	}
	if len(a.Failed) == 0 {
		a.Failed = []attest.Check{{Name: "hardware.evidence", Code: attest.CodeMalformed, Seen: "refused without a failed check", Expected: "a reason"}}
	}
	return a
}

func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
	return s[:min(len(s), MaxText)]
}

func appendShort(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(v)))
	return append(b, v...)
}

// reader takes a message apart from the front and remembers the first error.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail(fmt.Errorf("wire: %d bytes wanted, %d left", n, len(r.rest)))
	}
	if r.err != nil {
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) count16(limit int) int { return r.bounded(uint64(r.uint16()), limit) }

func (r *reader) count32(limit int) int {
	if v := r.take(4); v != nil {
		return r.bounded(uint64(binary.BigEndian.Uint32(v)), limit)
	}
	return 0
}

func (r *reader) bounded(n uint64, limit int) int {
	if n > uint64(limit) {
		r.fail(fmt.Errorf("wire: a length of %d, expected at most %d", n, limit))
		return 0
	}
	return int(n)
}

func (r *reader) short(limit int) []byte { return r.take(r.count16(limit)) }

func (r *reader) array32() (v [32]byte) {
	copy(v[:], r.take(32))
	return v
}

// time reads nanoseconds since 1970; those that do not fit are refused by the
// message's own check.
func (r *reader) time() time.Time { return time.Unix(0, int64(r.uint64())).UTC() }

func (r *reader) end() error {
	if r.err == nil && len(r.rest) != 0 {
		r.err = fmt.Errorf("wire: %d bytes after the end", len(r.rest))
	}
	return r.err
}
