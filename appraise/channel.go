package appraise

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// channel compares the statement with what the hardware signed, and takes over
// the comparison with the connection.
func (a *appraisal) channel() {
	a.bound()
	if a.in.Offline {
		a.offlineChannel()
		return
	}
	for _, name := range connectionChecks() {
		made := func(c attest.Check) bool { return c.Name == name && c.Status != attest.Skip }
		if !slices.ContainsFunc(a.in.Channel, made) {
			a.fail(name, CodeNotChecked, "not compared with the connection", "")
		}
	}
	a.checks = append(a.checks, a.in.Channel...)
}

// bound checks everything that the hardware can sign: that it is this
// statement, for the machine and for each device beside it.
func (a *appraisal) bound() {
	if a.offlineStatement {
		a.skip(checkBound, CodeNotChecked, "no statement beside the report", "")
		return
	}
	want, err := a.in.Statement.Bind()
	switch {
	case err != nil:
		a.fail(checkBound, attest.CodeMalformed, err.Error(), "a complete statement")
	case a.claims == nil:
		a.skip(checkBound, CodeNotChecked, "the hardware was not proven", "")
	default:
		a.proves(checkBound, a.claims, want)
		for i, part := range a.claims.Parts {
			a.proves(partCheck(GroupChannel, i, "bound"), part, want)
		}
	}
}

func (a *appraisal) proves(name string, c *attest.Claims, want attest.Bound) {
	if c == nil {
		a.fail(name, attest.CodeMalformed, "no claims", "claims of every part")
		return
	}
	signed, sum := c.ReportData[:], want.Bytes()
	expected := sum[:]
	if c.Kind.SignsNonce() {
		nonce := want.Nonce(c.Kind)
		signed, expected = c.Nonce, nonce[:]
	}
	a.check(name, c.Proves(want), attest.CodeNotBound, fmt.Sprintf("%x", signed), fmt.Sprintf("%x, the hash of the statement", expected))
}

// connectionChecks are those that only somebody on the connection can make.
func connectionChecks() []string {
	return []string{
		"channel.purpose", "channel.role", "channel.nonce", "channel.tls_key", "channel.tls_exporter",
		"channel.hpke_key", "channel.attestation_key", "channel.policy", "channel.time",
	}
}

// offlineChannel makes the two comparisons that need no connection.
func (a *appraisal) offlineChannel() {
	for _, name := range connectionChecks() {
		switch {
		case a.offlineStatement:
			a.skip(name, CodeNotChecked, "no statement beside the report", "")
		case name == "channel.policy" && a.in.Policy != nil:
			sum := sha256.Sum256(a.in.Policy)
			a.check(name, a.in.Statement.Policy == sum, attest.CodePolicyMismatch,
				a.in.Statement.Policy.String(), attest.Digest(sum).String())
		case name == "channel.time":
			a.offlineTime()
		default:
			a.skip(name, CodeNotChecked, "a file has no connection to compare with", "")
		}
	}
}

func (a *appraisal) offlineTime() {
	s := a.in.Statement
	ok := !a.at.Before(s.NotBefore.Add(-a.trust.skew)) && !a.at.After(s.NotAfter.Add(a.trust.skew))
	a.check("channel.time", ok, attest.CodeStaleEvidence,
		s.NotBefore.Format(time.RFC3339)+" to "+s.NotAfter.Format(time.RFC3339),
		"to contain "+a.at.UTC().Format(time.RFC3339))
}
