package appraise

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/policy"
)

// Input is everything that an appraisal looks at.
type Input struct {
	// Claims are what the Verifier established, nil if it refused.
	Claims *attest.Claims
	// Err is what the Verifier returned instead of Claims.
	Err error
	// Statement is what the evidence is said to be over. The zero Statement
	// says that there is none: a raw report from a file.
	Statement attest.Statement
	// Channel are the checks of the Statement against the connection, as
	// [attest.Statement.Compare] returns them. For a file they may be empty.
	Channel []attest.Check
	// Policy is the box's policy document, nil if there is none: a raw report.
	Policy []byte
	// Offline says that this comes from a file, so that there is no connection
	// to compare with. Such a Result is never trusted, at best partial.
	Offline bool
}

// Appraise compares what was established about a box with the trust file, for
// the time at. Every check is made that can be made, whatever failed before.
func (t *Trust) Appraise(in Input, at time.Time) Result {
	a := appraisal{trust: t, in: in, at: at}
	a.offlineStatement = in.Offline && in.Statement == attest.Statement{}
	a.evidence()
	if a.claims != nil {
		a.hardware()
	}
	a.code()
	a.channel()
	a.policy()
	return a.result()
}

// appraisal is one run over one Input.
type appraisal struct {
	trust *Trust
	in    Input
	at    time.Time
	// offlineStatement says that there is no statement to look at, and that
	// this is a file, so that there need not be one.
	offlineStatement bool
	// claims and machine are set if the Verifier accepted the evidence and what
	// it says is complete.
	claims    *attest.Claims
	machine   machine
	reference reference
	matched   bool // reference is one of the trust file's
	document  *policy.Policy
	digest    attest.Digest
	checks    []attest.Check
	until     time.Time // the earliest end of what the checks rest on
}

// holdsUntil notes the end of something that a passed check rests on.
func (a *appraisal) holdsUntil(end time.Time) {
	if a.until.IsZero() || end.Before(a.until) {
		a.until = end
	}
}

// The four ways to record a check. There is no way to record a pass without
// naming the condition.

func (a *appraisal) add(c attest.Check) { a.checks = append(a.checks, c) }

func (a *appraisal) check(name string, ok bool, code attest.Code, seen, expected string) {
	c := attest.Check{Name: name, Status: attest.Pass, Seen: seen, Expected: expected}
	if !ok {
		c.Status, c.Code = attest.Fail, code
	}
	a.add(c)
}

func (a *appraisal) fail(name string, code attest.Code, seen, expected string) {
	a.check(name, false, code, seen, expected)
}

func (a *appraisal) skip(name string, code attest.Code, seen, expected string) {
	a.add(attest.Check{Name: name, Status: attest.Skip, Code: code, Seen: seen, Expected: expected})
}

// evidence takes over what the Verifier found.
func (a *appraisal) evidence() {
	const name = "hardware.evidence"
	switch c := a.in.Claims; {
	case a.in.Err != nil:
		a.verifierError(a.in.Err)
	case c == nil:
		a.fail(name, CodeNotChecked, "nothing was verified", "claims from a verifier")
	default:
		a.checks = append(a.checks, c.Checks...)
		a.take(name, c)
	}
}

// verifierError records a refusal by the Verifier. Claims that came with an
// error are not looked at.
func (a *appraisal) verifierError(err error) {
	var refused *attest.Failure
	switch {
	case errors.As(err, &refused) && len(refused.Failed()) != 0:
		a.checks = append(a.checks, refused.Checks...)
	case errors.Is(err, attest.ErrUnavailable):
		a.fail("hardware.evidence", attest.CodeUnavailable, err.Error(), "evidence and its endorsements")
	default:
		a.fail("hardware.evidence", attest.CodeMalformed, err.Error(), "evidence that can be read")
	}
}

// take accepts Claims if all their parts are there and say the same.
func (a *appraisal) take(name string, c *attest.Claims) {
	m := machineOf(c)
	if m == nil {
		a.fail(name, attest.CodeMalformed, fmt.Sprintf("claims with details of type %T", c.Detail), "a report")
		return
	}
	a.claims, a.machine = c, m
	same := m.consistent() && c.Simulated == c.Kind.Simulated()
	a.check(name, same, snp.CodeInconsistent, "claims and report", "to say the same")
}

// result adds up. A verdict is given here and nowhere else.
func (a *appraisal) result() Result {
	r := Result{
		at: a.at, offline: a.in.Offline, checks: a.checks,
		reference: a.reference,
		digest:    a.digest, policy: a.document, claims: a.claims, machine: a.machine,
	}
	if a.claims != nil {
		r.kind, r.simulated = a.claims.Kind, a.claims.Simulated || a.claims.Kind.Simulated()
	}
	switch {
	case attest.FailureOf(r.checks) != nil:
		r.verdict = Refused
	case a.in.Offline || len(r.essentialSkips()) != 0:
		r.verdict = Partial
	default:
		r.verdict, r.until = Trusted, a.until
	}
	return r
}

// essential returns the checks without which nothing is known about a box:
// those that its kind of hardware needs, that its code is accepted, that the
// hardware signed this statement, and each device beside it too, that the
// statement is about this connection, and that its policy is the one shown.
func (r Result) essential() []string {
	var names []string
	parts := 0
	if r.machine != nil {
		names, parts = r.machine.essential(), len(r.claims.Parts)
	}
	names = append(names, checkMeasurement, checkBound)
	for i := range parts {
		names = append(names, partCheck(GroupChannel, i, "bound"))
	}
	names = append(names, connectionChecks()...)
	return append(names, checkPolicyDocument, checkPolicyStatement, checkPolicyLaunch)
}

// essentialSkips returns the essential checks that did not pass. Where nothing
// failed, these were skipped or not made at all.
func (r Result) essentialSkips() []attest.Check {
	var out []attest.Check
	for _, name := range r.essential() {
		i := slices.IndexFunc(r.checks, func(c attest.Check) bool { return c.Name == name })
		switch {
		case i < 0:
			out = append(out, attest.Check{Name: name, Status: attest.Skip, Code: CodeNotChecked})
		case r.checks[i].Status != attest.Pass:
			out = append(out, r.checks[i])
		}
	}
	return out
}

const (
	checkMeasurement     = "code.measurement"
	checkBound           = "channel.bound"
	checkPolicyDocument  = "policy.document"
	checkPolicyStatement = "policy.statement"
	checkPolicyLaunch    = "policy.launch"
)
