package policy

import (
	"slices"
	"strings"
	"time"
)

// Permissions is what one caller may do, for the caller to read before it sends
// anything. The zero Permissions is nothing.
type Permissions struct {
	// Caller is its name, and Kind how it is recognised: see [Caller.Kind].
	Caller, Kind string
	// May and what limits it are those of the [Caller].
	May                    []Action
	Methods, Paths, Models []string
	Rate                   *Budget
	Quota                  *Quota
	Expires                time.Time
	// Request is the largest body in bytes.
	Request int64
	// Cedar are the rules in the Cedar language that could permit or forbid
	// something to this caller besides.
	Cedar []string
	// Line is where the document has the caller.
	Line int

	text string
}

// MayDo returns what a caller may do, by its name. What is not known may do
// nothing.
func (p *Policy) MayDo(caller string) (Permissions, bool) {
	rules := p.rulesOf(caller)
	if rules == nil {
		return Permissions{}, false
	}
	c := rules.caller
	out := Permissions{
		Caller: c.Name, Kind: c.Kind(), May: c.May, Methods: c.Methods, Paths: c.Paths, Models: c.Models,
		Rate: c.Rate, Quota: c.Quota, Expires: c.Expires, Request: p.Limits.Request, Line: c.Line,
		text: "You are " + c.who() + " and may " + c.deeds() + "." + p.addresses(c.May) + c.bounds() + " A request may have " + formatSize(p.Limits.Request) + ".",
	}
	more, forbids := false, false
	for _, r := range p.compiled.rules[p.compiled.short:] {
		for _, a := range Actions() {
			if concerns(r.policy.AST(), rules.uid, actionUID(a)) {
				out.Cedar = append(out.Cedar, string(r.policy.MarshalCedar()))
				more, forbids = more || !r.forbids(), forbids || r.forbids()
				break
			}
		}
	}
	switch {
	case more:
		out.text += " Cedar rules of the policy hold in addition, AND CAN PERMIT MORE."
	case len(out.Cedar) > 0:
		out.text += " Cedar rules of the policy hold in addition."
	}
	if forbids {
		out.text += " One that forbids is asked about a path decoded and without parameters too."
	}
	return out, true
}

// permitsMore reports whether a Cedar rule of the document permits anything: what
// is said of callers is not all that they may do then.
func (p *Policy) permitsMore() bool {
	return p.compiled != nil && slices.ContainsFunc(p.compiled.rules[p.compiled.short:], func(r *rule) bool { return !r.forbids() })
}

// String says it in a sentence.
func (p Permissions) String() string {
	if p.text == "" {
		return "You may do nothing."
	}
	return strings.Replace(p.text, "You are ANYONE who reaches the box, with no key, and", "You count as anyone, and", 1)
}
