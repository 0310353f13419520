package pki

import (
	"fmt"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Judge makes a check of a comparison. The code and what was expected are kept
// only if it failed.
func Judge(name string, ok bool, code attest.Code, seen, expected string) attest.Check {
	if ok {
		return attest.Check{Name: name, Status: attest.Pass, Seen: seen}
	}
	return attest.Check{Name: name, Status: attest.Fail, Code: code, Seen: seen, Expected: expected}
}

// Problem is the first rule that a chain breaks. Nothing after it is looked at,
// since what follows would be said of certificates that nobody vouches for.
type Problem struct {
	Code           attest.Code
	Seen, Expected string
}

// Check makes a failed check of the problem.
func (p *Problem) Check(name string) attest.Check {
	return Judge(name, false, p.Code, p.Seen, p.Expected)
}

// Error says what was seen and what was expected.
func (p *Problem) Error() string {
	return fmt.Sprintf("pki: %s: %s, expected %s", p.Code, p.Seen, p.Expected)
}

// Brief quotes a string that a stranger chose, cut to a length that fits a line.
func Brief(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "..."
	}
	return strconv.Quote(s)
}

// Date writes a time as RFC 3339 in UTC.
func Date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
