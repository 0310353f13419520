package appraise

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// hardware makes every check on the machine and on the devices beside it. The
// Verifier has shown that the vendor's chain signed the evidence; here it is
// what the evidence says that counts.
func (a *appraisal) hardware() {
	a.genuine()
	a.endorsed("hardware.accepted_time", a.claims)
	a.machine.judge(a)
	a.parts()
}

// genuine refuses simulated evidence unless the trust file says in so many
// words that it is acceptable.
func (a *appraisal) genuine() {
	c := a.claims
	switch {
	case !c.Kind.Simulated() && !c.Simulated:
		a.check("hardware.genuine", true, "", c.Kind.String(), "hardware")
	case a.trust.simulated:
		a.check("hardware.genuine", true, "", "SIMULATED", "allow_simulated: true, says the trust file")
	default:
		a.fail("hardware.genuine", CodeSimulated, "SIMULATED: it proves nothing about hardware", "hardware, or allow_simulated: true in the trust file")
	}
	kinds := a.trust.Kinds()
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	ok := slices.Contains(kinds, c.Kind) && slices.Contains(a.machine.kinds(), c.Kind)
	a.check("hardware.accepted_kind", ok, attest.CodeKindMismatch, c.Kind.String(), strings.Join(names, " or "))
}

// endorsed judges when the vendor's signatures are valid.
func (a *appraisal) endorsed(name string, c *attest.Claims) {
	v := c.Endorsed
	a.holdsUntil(v.NotAfter)
	layout := dayLayout
	if v.NotAfter.Sub(v.NotBefore) < 24*time.Hour {
		layout = time.RFC3339 // Nitro's certificates live for hours
	}
	a.check(name, v.Contains(a.at), attest.CodeExpired,
		fmt.Sprintf("%s to %s", v.NotBefore.UTC().Format(layout), v.NotAfter.UTC().Format(layout)),
		"to contain "+a.at.UTC().Format(layout))
}

// revocation judges whether anything tells that keys were not withdrawn: a list
// was searched (checked) that was made at one time and says until when it holds.
func (a *appraisal) revocation(name string, checked bool, made, until time.Time, required bool) {
	expected := a.trust.hardware.revocation.String()
	switch {
	case !checked && required:
		a.fail(name, attest.CodeNoCRL, "no revocation list", expected)
	case !checked:
		a.skip(name, attest.CodeNoCRL, "no revocation list", expected)
	default:
		if limit := a.trust.hardware.crlMaxAge; limit > 0 && made.Add(limit).Before(until) {
			until = made.Add(limit)
		}
		a.holdsUntil(until)
		a.check(name, !a.at.After(until), attest.CodeStaleCRL,
			"not revoked, list accepted until "+until.UTC().Format(dayLayout), "a list that is accepted on "+a.at.UTC().Format(dayLayout))
	}
}

// bit compares one bit with its rule. A rule that was never set refuses.
func (a *appraisal) bit(name string, code attest.Code, want rule, on bool) {
	switch want {
	case ruleAllow:
		a.skip(name, CodeNotRequired, onOff(on), want.String())
	case ruleRequire:
		a.check(name, on, code, onOff(on), onOff(true))
	case ruleForbid:
		a.check(name, !on, code, onOff(on), onOff(false))
	default:
		a.fail(name, code, onOff(on), "a rule")
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// short shows enough of a digest to recognise it: 7b3f..9c1e.
func short(digest []byte) string {
	switch {
	case len(digest) == 0:
		return "none"
	case len(digest) <= 4:
		return fmt.Sprintf("%x", digest)
	}
	return fmt.Sprintf("%x..%x", digest[:2], digest[len(digest)-2:])
}

// shortOrNone is short for what a report leaves zero where there is nothing.
func shortOrNone(b []byte) string {
	if !slices.ContainsFunc(b, func(v byte) bool { return v != 0 }) {
		return "none"
	}
	return short(b)
}
