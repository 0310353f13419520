package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
)

// Request is what a decision is about.
type Request struct {
	// Caller is the name of a Caller of the policy, as [Policy.Authenticate]
	// or [Policy.Anyone] found it.
	Caller string
	Action Action
	// Method is not decided by in this version.
	Method string
	// Path is the request's path as sent, percent-encoded, without the query.
	Path string
}

// Decision is the answer. The zero Decision denies.
type Decision struct {
	Allowed bool
	// Reason says why in words that hold nothing of the request.
	Reason string
	// Line is the line of the document that decided; 0 if none speaks of it.
	Line int
}

func deny(line int, format string, args ...any) Decision {
	return Decision{Reason: fmt.Sprintf(format, args...), Line: line}
}

// Decide says whether a request is allowed. It always gives the same answer to
// the same question. What no line allows is denied.
func (p *Policy) Decide(r Request) Decision {
	i := slices.IndexFunc(p.Callers, func(c Caller) bool { return c.Name == r.Caller })
	if i < 0 || r.Caller == "" {
		return deny(0, "the policy has no such caller")
	}
	c := p.Callers[i]
	if r.Action != Query && r.Action != Observe || !slices.Contains(c.May, r.Action) {
		return deny(c.Line, "caller %q may only %s", c.Name, list(c.May))
	}
	if r.Action == Observe {
		return Decision{Allowed: true, Reason: fmt.Sprintf("caller %q may observe", c.Name), Line: c.Line}
	}
	return c.decidePath(r.Path)
}

func (c *Caller) decidePath(path string) Decision {
	if err := CheckPath(path); err != nil {
		return deny(c.Line, "%s", strings.TrimPrefix(err.Error(), "policy: "))
	}
	if Reserved(path) {
		return deny(c.Line, "%s is the box's own", ReservedPrefix)
	}
	if len(c.Paths) == 0 {
		return Decision{Allowed: true, Reason: fmt.Sprintf("caller %q may query every path", c.Name), Line: c.Line}
	}
	for _, pattern := range c.Paths {
		if matches(pattern, path) {
			return Decision{Allowed: true, Reason: fmt.Sprintf("caller %q may query %s", c.Name, pattern), Line: c.Line}
		}
	}
	return deny(c.Line, "caller %q may query only %s", c.Name, strings.Join(c.Paths, ", "))
}

const (
	// MinKey is the length of the shortest API key that is ever accepted. The
	// hashes of keys stand in a public document, so a short key could be
	// guessed from its hash.
	MinKey = 16
	maxKey = 512
)

// Authenticate returns the caller whose key this is. It looks at every key of
// the policy, whichever matches, so the time it takes says nothing about them.
func (p *Policy) Authenticate(key string) (Caller, bool) {
	if len(key) < MinKey || len(key) > maxKey {
		return Caller{}, false
	}
	sum := sha256.Sum256([]byte(key))
	found := -1
	for i := range p.Callers {
		want := p.Callers[i].APIKey
		if want == nil {
			continue
		}
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], want[:]), i, found)
	}
	if found < 0 {
		return Caller{}, false
	}
	return p.Callers[found], true
}

// Anyone returns the caller that needs no key, if the policy has one.
func (p *Policy) Anyone() (Caller, bool) {
	i := slices.IndexFunc(p.Callers, func(c Caller) bool { return c.Anyone })
	if i < 0 {
		return Caller{}, false
	}
	return p.Callers[i], true
}
