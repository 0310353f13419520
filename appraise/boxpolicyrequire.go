package appraise

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/policy"
)

// requirements are what the trust file asks of the box's own policy. A list that
// is nil asks nothing, one that is empty accepts nothing: see [policy.Require],
// which has their words.
type requirements struct {
	callers, egress, logs []string
	images, models        []attest.Digest
	command               []string            // what may replace an image's own
	services              map[string][]string // what may replace those of services, by name
	env                   map[string]string   // what may be added to an image's
	operators             []policy.Operation
	isolation             []policy.Isolation
	request               int64 // most bytes of a request; 0: any
	concurrent            int   // most requests at once; 0: any
}

// requirements checks what the trust file asks of any policy.
func (a *appraisal) requirements() {
	q := &a.trust.require
	a.requirement("policy.callers", q.callers != nil, (&policy.Require{Callers: q.callers}).Check, callersSeen, acceptedCallers(q.callers))
	a.requirement("policy.egress", q.egress != nil, (&policy.Require{Egress: q.egress}).Check, egressSeen, accepted(q.egress))
	a.requirement("policy.logs", q.logs != nil, (&policy.Require{Logs: q.logs}).Check, logsSeen, accepted(q.logs))
	a.requirement("policy.images", q.images != nil, q.runs("images", q.models == nil), imagesSeen, q.acceptedImages())
	a.requirement("policy.models", q.models != nil, q.runs("models", q.images == nil), modelsSeen, accepted(digestWords(q.models)))
	a.requirement("policy.operators", q.operators != nil, (&policy.Require{Operators: q.operators}).Check, operatorsSeen, accepted(q.operators))
	a.requirement("policy.isolation", q.isolation != nil, (&policy.Require{Isolation: q.isolation}).Check, isolationSeen, accepted(q.isolation))
	a.requirement("policy.request", q.request != 0, (&policy.Require{Request: q.request}).Check, requestSeen, "at most "+byteSize(q.request).String())
	a.requirement("policy.concurrent", q.concurrent != 0, (&policy.Require{Concurrent: q.concurrent}).Check, concurrentSeen, fmt.Sprintf("at most %d", q.concurrent))
}

// find returns what in a policy is more than is accepted.
type find func(*policy.Policy) []policy.Violation

// runs finds what is wrong with the code. A box has either an image or models, so
// that one of the two lists alone refuses the other kind too; where the file has
// both, each box is compared with that of its kind.
func (q *requirements) runs(kind string, alone bool) find {
	r := policy.Require{Images: sums(q.images), Models: sums(q.models), Command: q.command, Services: q.services, Env: q.env}
	return func(p *policy.Policy) []policy.Violation {
		ofOther := func(v policy.Violation) bool { return !alone && v.Requirement != kind }
		return slices.DeleteFunc(r.Check(p), ofOther)
	}
}

func (a *appraisal) requirement(name string, wanted bool, find find, seen func(*policy.Policy) string, expected string) {
	switch {
	case !wanted:
		a.skip(name, CodeNotRequired, "", wordAny)
	case a.document == nil && a.in.Offline && len(a.in.Policy) == 0:
		a.skip(name, CodeNotChecked, "no policy document beside the report", expected)
	case a.document == nil:
		a.fail(name, CodeRequirement, "a policy that cannot be read", expected)
	default:
		found := find(a.document)
		text := seen(a.document)
		if len(found) > 0 {
			text = tooMuch(found)
		}
		a.check(name, len(found) == 0, CodeRequirement, text, expected)
	}
}

// mostViolations is how many lines of a policy a check names. A hostile policy
// has as many as it likes.
const mostViolations = 8

// tooMuch says which lines of the policy are too much:
// "egress: line 12: a.example:443; line 13: b.example:443".
func tooMuch(found []policy.Violation) string {
	var parts []string
	for _, v := range found[:min(len(found), mostViolations)] {
		at := "no line"
		if v.Line > 0 {
			at = fmt.Sprintf("line %d", v.Line)
		}
		parts = append(parts, at+": "+v.Seen)
	}
	if more := len(found) - mostViolations; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return found[0].Requirement + ": " + strings.Join(parts, "; ")
}

// accepted says a list behind "expected".
func accepted[T ~string](list []T) string {
	if len(list) == 0 {
		return wordNone
	}
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
		if words[i] == string(policy.IsolationNone) {
			words[i] = wordProcess
		}
	}
	return "only " + strings.Join(words, ", ")
}

func acceptedCallers(list []string) string {
	if slices.Equal(list, authenticated()) {
		return wordAuthenticated
	}
	return accepted(list)
}

// acceptedImages says also what may be changed of an image.
func (q *requirements) acceptedImages() string {
	text := accepted(digestWords(q.images)) + ", as built"
	if q.command != nil {
		text += ", or with the command " + quoted(q.command)
	}
	if q.services != nil {
		text += ", or with the services' commands " + servicesText(q.services)
	}
	if q.env != nil {
		text += ", or with the variables " + envText(q.env)
	}
	return text
}

// callersSeen counts the callers of each kind: "1 by api_key, 2 by oidc".
func callersSeen(p *policy.Policy) string {
	var parts []string
	for _, kind := range callerKinds() {
		n := 0
		for _, c := range p.Callers {
			if c.Kind() == kind {
				n++
			}
		}
		switch {
		case n > 0 && kind == wordAnyone:
			parts = append(parts, "anyone may call")
		case n > 0:
			parts = append(parts, fmt.Sprintf("%d by %s", n, kind))
		}
	}
	return orWord(strings.Join(parts, ", "), "nobody")
}

func egressSeen(p *policy.Policy) string {
	to := make([]string, len(p.Egress.Allow))
	for i, d := range p.Egress.Allow {
		to[i] = d.Reference()
	}
	return orWord(strings.Join(to, ", "), wordNone)
}

func logsSeen(p *policy.Policy) string {
	if p.Audit == policy.AuditHost {
		return string(p.Logs) + ", audit: host"
	}
	return string(p.Logs)
}

// imagesSeen and modelsSeen are about what is accepted, and so has a digest.
func imagesSeen(p *policy.Policy) string {
	if p.App == nil {
		return modelsOnly
	}
	seen := fmt.Sprintf("%s sha256:%x", p.App.Image, p.App.Digest)
	for _, s := range p.Services {
		seen += fmt.Sprintf(", %s %s sha256:%x", s.Name, s.Image, s.Digest)
	}
	return seen
}

const modelsOnly = "models, and no app"

func modelsSeen(p *policy.Policy) string {
	seen := make([]string, len(p.Models))
	for i, m := range p.Models {
		seen[i] = fmt.Sprintf("%s sha256:%x", m.Name, m.SHA256)
	}
	return orWord(strings.Join(seen, ", "), "an app, and no models")
}

func operatorsSeen(p *policy.Policy) string {
	may := p.Operations()
	seen := make([]string, len(may))
	for i, o := range may {
		seen[i] = string(o)
	}
	return orWord(strings.Join(seen, ", "), wordNone)
}

func isolationSeen(p *policy.Policy) string {
	if p.App == nil {
		return modelsOnly
	}
	return orWord(string(p.App.Isolation), wordProcess)
}

func requestSeen(p *policy.Policy) string { return byteSize(p.Limits.Request).String() }

func concurrentSeen(p *policy.Policy) string { return fmt.Sprintf("%d at once", p.Limits.Concurrent) }

func orWord(text, word string) string {
	if text == "" {
		return word
	}
	return text
}

func sums(list []attest.Digest) [][32]byte {
	var out [][32]byte
	for _, d := range list {
		out = append(out, d)
	}
	return out
}

func digestWords(list []attest.Digest) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = digestPrefix + d.String()
	}
	return out
}
