package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Request is what a decision is about.
type Request struct {
	// Caller is the name of a Caller of the policy, as whoever authenticates
	// found it.
	Caller string
	Action Action
	Method string
	// Path is the request's path as sent, percent-encoded, without the query.
	Path string
	// Model is the name of the model that the request is for, "" for none. A
	// caller that is limited to models may do nothing without one.
	Model string
}

// Decision is the answer. The zero Decision denies.
type Decision struct {
	Allowed bool
	// Reason says why in words that hold nothing of the request.
	Reason string
	// Line is the line of the document that decided; 0 if none speaks of it.
	Line int
}

// Decide says whether a request is allowed. It always gives the same answer to
// the same question. What no line allows is denied.
//
// A path that the box and the app could understand differently, and the box's
// own paths, are denied whatever the policy says. The rest is Cedar's decision
// over the caller's rules: allowed if a permit applies and no forbid does. Two
// things are stricter than in Cedar: a forbid that cannot be evaluated, since it
// compares a string with a number, forbids. And a forbid is asked about the path as
// it was sent and as an app could read it: with characters decoded, and without
// parameters (";x").
//
// Methods, paths and models of a caller do not limit Observe, which is about the
// box's own addresses and none of the app's.
func (p *Policy) Decide(r Request) Decision {
	if p.compiled == nil {
		return p.decide(r)
	}
	if d, known := p.compiled.memory.recall(&r); known {
		return d
	}
	d := p.decide(r)
	p.compiled.memory.keep(r, d)
	return d
}

// decide is Decide without what it remembers.
func (p *Policy) decide(r Request) Decision {
	rules := p.rulesOf(r.Caller)
	if rules == nil {
		return Decision{Reason: "the policy has no such caller"}
	}
	c := rules.caller
	s := rules.slices[r.Action]
	switch {
	case r.Action == Ambiguous:
		return Decision{Reason: "the app could read the path as another action", Line: c.Line}
	case s == nil:
		return Decision{Reason: "there is no such action", Line: c.Line}
	}
	if r.Action != Observe {
		if why := unservable(r.Path); why != "" {
			return Decision{Reason: why, Line: c.Line}
		}
	}
	var buffer [16]*rule
	if asked := s.candidates(buffer[:0], r.Path); len(asked) > 0 {
		if d, decided := p.compiled.ask(asked, rules.uid, &r); decided {
			if no, forbidden := p.compiled.forbidden(s, rules.uid, r); d.Allowed && forbidden {
				return no
			}
			return d
		}
	}
	return c.unpermitted(&r)
}

func (p *Policy) rulesOf(caller string) *callerRules {
	if p.compiled == nil {
		return nil
	}
	return p.compiled.callers[caller]
}

// unservable says why a path is never the app's, or "".
func unservable(path string) string {
	if err := CheckPath(path); err != nil {
		return strings.TrimPrefix(err.Error(), "policy: ")
	}
	if Reserved(path) {
		return ReservedPrefix + " is the box's own"
	}
	return ""
}

// asked are rules in the form that Cedar takes them.
type asked []*rule

// All implements [cedar.PolicyIterator].
func (a asked) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range a {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

// ask lets Cedar decide. Nothing is decided if no rule applies.
func (c *compiled) ask(rules asked, caller cedar.EntityUID, r *Request) (Decision, bool) {
	allowed, why := cedar.Authorize(rules, c.entities, cedar.Request{
		Principal: caller,
		Action:    actionUID(r.Action),
		Resource:  cedar.NewEntityUID(pathType, cedar.String(r.Path)),
		Context: cedar.NewRecord(cedar.RecordMap{
			"path": cedar.String(r.Path), "method": cedar.String(r.Method), "model": cedar.String(r.Model),
		}),
	})
	first := len(c.rules)
	for _, reason := range why.Reasons {
		first = min(first, index(reason.PolicyID))
	}
	broken := false
	for _, e := range why.Errors {
		// Beside a permit, or after a forbid that applies, it makes a difference
		// only if it forbids.
		if i := index(e.PolicyID); c.rules[i].forbids() && (bool(allowed) || i < first) {
			first, broken, allowed = i, true, cedar.Deny
		}
	}
	switch {
	case broken:
		return Decision{Reason: "a Cedar policy that forbids cannot be evaluated", Line: c.rules[first].line}, true
	case first == len(c.rules):
		return Decision{}, false
	}
	return Decision{Allowed: bool(allowed), Reason: c.rules[first].reason, Line: c.rules[first].line}, true
}

// forbidden asks the forbids about the other forms of the path.
func (c *compiled) forbidden(s *slice, caller cedar.EntityUID, r Request) (Decision, bool) {
	for _, r.Path = range otherForms(r.Path) {
		var buffer [16]*rule
		asked := slices.DeleteFunc(s.candidates(buffer[:0], r.Path), func(one *rule) bool { return !one.forbids() })
		if d, decided := c.ask(asked, caller, &r); decided {
			d.Reason += ", for the path as the app could read it"
			return d, true
		}
	}
	return Decision{}, false
}

// index returns the place of a rule in the document. The rules with the ids were
// made by compile.
func index(id cedar.PolicyID) int {
	i, _ := strconv.Atoi(string(id))
	return i
}

// unpermitted says why no rule permits a request.
func (c *Caller) unpermitted(r *Request) Decision {
	no := func(format string, args ...any) Decision {
		return Decision{Reason: fmt.Sprintf("caller %q may ", c.Name) + fmt.Sprintf(format, args...), Line: c.Line}
	}
	switch {
	case len(c.May) == 0:
		return no("do only what a Cedar policy permits")
	case !slices.Contains(c.May, r.Action):
		return no("only %s", list(c.May))
	case len(c.Methods) > 0 && !slices.Contains(c.Methods, r.Method):
		return no("%s only with %s", r.Action, strings.Join(c.Methods, ", "))
	case len(c.Models) > 0 && !slices.Contains(c.Models, r.Model):
		return no("%s only the models %s", r.Action, strings.Join(c.Models, ", "))
	default:
		return no("%s only %s", r.Action, strings.Join(c.Paths, ", "))
	}
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
