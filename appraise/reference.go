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
	section := sectionOf(a.claims.Kind)
	var named, current []reference
	for _, ref := range a.trust.accept {
		if v := ref.code[section]; v != nil && v.matches(a.claims) {
			named = append(named, ref)
			if !ref.expired(a.at) {
				current = append(current, ref)
			}
		}
	}
	a.check(checkMeasurement, len(named) != 0, CodeMeasurement, a.machine.code(), a.expectedCode(named))
	if len(named) == 0 {
		return
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
