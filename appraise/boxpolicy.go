package appraise

import (
	"crypto/sha256"
	"fmt"

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
