package appraise

import (
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// code compares the measurement with the reference values.
func (a *appraisal) code() {
	if a.claims == nil {
		a.skip(checkMeasurement, CodeNotChecked, "the hardware was not proven", "")
		return
	}
	named := a.named()
	var current []reference
	for _, ref := range named {
		if !ref.expired(a.at) {
			current = append(current, ref)
		}
	}
	seen := a.machine.code()
	switch {
	case len(named) == 0:
		a.fail(checkMeasurement, CodeMeasurement, seen, a.expectedCode(nil))
		return
	case !named[0].identifies(a.claims.Kind):
		a.skip(checkMeasurement, CodeNotChecked, seen, "a register with a value: "+named[0].name+" accepts everybody's code")
	default:
		a.check(checkMeasurement, true, "", seen, a.expectedCode(named))
	}
	a.reference, a.matched = named[0], true
	if len(current) != 0 {
		a.reference = a.withPolicy(current)
	}
	if keys := a.reference.anyOf(a.claims.Kind); len(keys) != 0 {
		a.skip("code.any", CodeNotRequired, strings.Join(keys, ", "), wordAny+", says the trust file")
	}
	switch {
	case len(current) == 0:
		a.fail("code.expiry", CodeReferenceEnded, a.reference.name+" until "+a.reference.expires.Format(dayLayout), "a reference value that is still accepted")
	case a.reference.expires.IsZero():
		a.skip("code.expiry", CodeNotRequired, "no date in the trust file", "")
	default:
		a.holdsUntil(a.reference.expires)
		a.check("code.expiry", true, "", a.reference.name+" until "+a.reference.expires.Format(dayLayout), "a later day")
	}
}

// named returns the references that the code matches. One that anybody's code
// matches counts only where there is no other.
func (a *appraisal) named() []reference {
	var all, identifying []reference
	for _, ref := range a.trust.accept {
		if v := ref.code[sectionOf(a.claims.Kind)]; v == nil || !v.matches(a.claims) {
			continue
		}
		all = append(all, ref)
		if ref.identifies(a.claims.Kind) {
			identifying = append(identifying, ref)
		}
	}
	if len(identifying) != 0 {
		return identifying
	}
	return all
}

// identifies reports whether the reference values for a kind say which code it is.
func (r reference) identifies(k attest.Kind) bool {
	v := r.code[sectionOf(k)]
	return v != nil && v.identifies()
}

// withPolicy prefers, among references for the same code, one for the policy
// that the box was launched with.
func (a *appraisal) withPolicy(refs []reference) reference {
	for _, ref := range refs {
		if ref.policy.any || launchedWith(a.claims, ref.policy.digest) {
			return ref
		}
	}
	return refs[0]
}

func (a *appraisal) expectedCode(named []reference) string {
	if len(named) != 0 {
		return named[0].name
	}
	var list []string
	for _, ref := range a.trust.accept {
		if v := ref.code[sectionOf(a.claims.Kind)]; v != nil {
			list = append(list, fmt.Sprintf("%s (%s)", v, ref.name))
		}
	}
	if len(list) == 0 {
		return "a reference value, but the trust file has none"
	}
	return strings.Join(list, ", ")
}

// anyOf returns the reference values for a kind in which the trust file says any:
// what nobody looked at is shown.
func (r reference) anyOf(k attest.Kind) []string {
	v := r.code[sectionOf(k)]
	if v == nil {
		return nil
	}
	var keys []string
	for _, f := range v.fields() {
		if f.value == wordAny || strings.Contains(f.value, ": "+wordAny) {
			keys = append(keys, f.key)
		}
	}
	return keys
}
