package appraise

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/policy"
)

// policy checks which policy the box has, and what the policy allows.
func (a *appraisal) policy() {
	a.policyDocument()
	a.policyLaunch()
	a.policyReference()
	a.requirements()
}

// policyDocument reads the document and checks that the statement names it.
func (a *appraisal) policyDocument() {
	if len(a.in.Policy) == 0 {
		if !a.in.Offline {
			a.fail(checkPolicyDocument, attest.CodeMalformed, "no document", "the box's policy")
			return
		}
		a.skip(checkPolicyDocument, CodeNotChecked, "no policy document beside the report", "")
		a.skip(checkPolicyStatement, CodeNotChecked, "no policy document beside the report", "")
		return
	}
	a.digest = sha256.Sum256(a.in.Policy)
	document, err := policy.Parse(a.in.Policy)
	if err != nil {
		a.fail(checkPolicyDocument, attest.CodeMalformed, err.Error(), "a policy that this version can read")
	} else {
		a.document = document
		a.check(checkPolicyDocument, true, "", document.Name, "a policy that this version can read")
	}
	if a.offlineStatement {
		a.skip(checkPolicyStatement, CodeNotChecked, "no statement beside the report", "")
		return
	}
	a.check(checkPolicyStatement, a.in.Statement.Policy == a.digest, attest.CodePolicyMismatch,
		"the statement names "+a.in.Statement.Policy.String(), a.digest.String()+", the document")
}

// policyLaunch is the closed door: the digest that the hardware recorded when
// the box was launched (SNP: HOST_DATA, see [launchedWith]) must be that of the
// policy shown now.
func (a *appraisal) policyLaunch() {
	if a.claims == nil {
		a.skip(checkPolicyLaunch, CodeNotChecked, "the hardware was not proven", "")
		return
	}
	want, source := a.digest, "the document"
	if len(a.in.Policy) == 0 {
		want, source = a.reference.policy.digest, "the trust file"
	}
	seen := fmt.Sprintf("launched with %x", a.claims.LaunchDigest)
	if len(a.claims.LaunchDigest) == 0 {
		seen = "launched with none"
	}
	if want.IsZero() {
		a.skip(checkPolicyLaunch, CodeNotChecked, seen, "a policy document to compare with")
		return
	}
	a.check(checkPolicyLaunch, launchedWith(a.claims, want), CodeLaunchPolicy,
		seen, want.String()+", "+source)
}

// policyReference compares the policy with the one that belongs to the code.
func (a *appraisal) policyReference() {
	const name = "policy.digest"
	switch ref := a.reference; {
	case !a.matched:
		a.skip(name, CodeNotChecked, "the code is not in the trust file", "")
	case ref.policy.any:
		a.skip(name, CodeNotRequired, a.digest.String(), wordAny+", says the trust file")
	case a.digest.IsZero():
		a.skip(name, CodeNotChecked, "no policy document beside the report", ref.policy.String())
	default:
		a.check(name, ref.policy.digest == a.digest, attest.CodePolicyMismatch,
			digestPrefix+a.digest.String(), ref.policy.String()+" for "+ref.name)
	}
}

// requirements checks what the trust file asks of any policy.
func (a *appraisal) requirements() {
	want := a.trust.require
	p := a.document
	if p == nil {
		p = &policy.Policy{}
	}
	a.requirement("policy.callers", want.callers != callersAny,
		!slices.ContainsFunc(p.Callers, func(c policy.Caller) bool { return c.Anyone || c.APIKey == nil }),
		callersSeen(p), want.callers.String())
	a.requirement("policy.models", len(want.models) != 0, modelsListed(p, want.models), modelsSeen(p), digests(want.models))
	a.requirement("policy.logs", len(want.logs) != 0, slices.Contains(want.logs, string(p.Logs)),
		string(p.Logs), strings.Join(want.logs, " or "))
	a.requirement("policy.request", want.request != 0, p.Limits.Request <= want.request,
		fmt.Sprintf("%d bytes", p.Limits.Request), fmt.Sprintf("at most %d bytes", want.request))
	a.requirement("policy.concurrent", want.concurrent != 0, p.Limits.Concurrent <= want.concurrent,
		fmt.Sprintf("%d at once", p.Limits.Concurrent), fmt.Sprintf("at most %d", want.concurrent))
}

func (a *appraisal) requirement(name string, wanted, ok bool, seen, expected string) {
	switch {
	case !wanted:
		a.skip(name, CodeNotRequired, "", wordAny)
	case a.document == nil && a.in.Offline && len(a.in.Policy) == 0:
		a.skip(name, CodeNotChecked, "no policy document beside the report", expected)
	case a.document == nil:
		a.fail(name, CodeRequirement, "a policy that cannot be read", expected)
	default:
		a.check(name, ok, CodeRequirement, seen, expected)
	}
}

func callersSeen(p *policy.Policy) string {
	if slices.ContainsFunc(p.Callers, func(c policy.Caller) bool { return c.Anyone }) {
		return "anyone may call"
	}
	return fmt.Sprintf("%d callers with a key", len(p.Callers))
}

// modelsListed reports whether every model is one of those listed. A model
// without a digest is in no list, and a box with an app has no models.
func modelsListed(p *policy.Policy, want []attest.Digest) bool {
	for _, m := range p.Models {
		if !slices.Contains(want, attest.Digest(m.SHA256)) {
			return false
		}
	}
	return len(p.Models) != 0
}

func modelsSeen(p *policy.Policy) string {
	var seen []string
	if p.App != nil {
		seen = append(seen, "an app")
	}
	for _, m := range p.Models {
		if m.SHA256 == [32]byte{} {
			seen = append(seen, m.Name+" without a digest")
			continue
		}
		seen = append(seen, fmt.Sprintf("%s sha256:%x", m.Name, m.SHA256))
	}
	if len(seen) == 0 {
		return "no models"
	}
	return strings.Join(seen, ", ")
}

func digests(list []attest.Digest) string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = digestPrefix + d.String()
	}
	return "only " + strings.Join(out, ", ")
}

// logNames are the values of logs in a policy of this version.
var logNames = []string{string(policy.LogsNone), string(policy.LogsCounters)}
