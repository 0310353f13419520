package sim

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// Verifier verifies simulated evidence under one pinned root. It is immutable
// and safe for concurrent use; the zero Verifier refuses everything.
type Verifier struct {
	fingerprint attest.Digest
}

// NewVerifier returns a Verifier that trusts the root certificate with this
// SHA-256 (over the whole DER) and no other.
func NewVerifier(fingerprint attest.Digest) (*Verifier, error) {
	if fingerprint.IsZero() {
		return nil, errors.New("sim: no fingerprint of a simulated root to trust")
	}
	return &Verifier{fingerprint}, nil
}

// Kind returns SimSNP.
func (v *Verifier) Kind() attest.Kind { return attest.SimSNP }

// Verify does what package snp's Verifier does, under the pinned root instead
// of AMD's. Its Claims are Simulated.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	if ev.Kind != attest.SimSNP {
		return nil, attest.NewFailure("hardware.kind", attest.CodeKindMismatch, ev.Kind.String(), attest.SimSNP.String())
	}
	root, ask, checks := v.roots(end)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	inner, err := snp.NewVerifierWithRoots(attest.SimSNP, snp.Root{Product: snp.Genoa, ARK: root, ASK: ask})
	if err != nil {
		return nil, &attest.Failure{Checks: append(checks, attest.Check{
			Name: "hardware.sim_chain", Code: attest.CodeBadChain, Seen: err.Error(), Expected: "a root and the intermediate it issued",
		})}
	}
	claims, err := inner.Verify(ev, end, at)
	var failure *attest.Failure
	if errors.As(err, &failure) {
		return nil, &attest.Failure{Checks: append(checks, failure.Checks...)}
	}
	if err != nil {
		return nil, err
	}
	claims.Checks = append(checks, claims.Checks...)
	claims.Simulated = true
	return claims, nil
}

// roots picks the two certificates that real hardware's verifier would have
// built in.
func (v *Verifier) roots(end attest.Endorsements) (root, ask []byte, checks []attest.Check) {
	root, rootCheck := pick(end, "hardware.sim_root", attest.LabelSimRoot)
	if rootCheck.Status == attest.Pass {
		rootCheck = v.checkPinned(root)
	}
	ask, askCheck := pick(end, "hardware.sim_ask", attest.LabelSimASK)
	return root, ask, []attest.Check{rootCheck, askCheck}
}

// checkPinned compares the whole certificate. Comparing its key would accept
// another certificate for that key.
func (v *Verifier) checkPinned(root []byte) attest.Check {
	got := attest.Digest(sha256.Sum256(root))
	c := attest.Check{Name: "hardware.sim_root", Seen: mark + " root " + got.String(), Expected: v.fingerprint.String() + ", as pinned"}
	if v.fingerprint.IsZero() || got != v.fingerprint {
		c.Code = attest.CodeUntrustedRoot
		return c
	}
	c.Status = attest.Pass
	return c
}

// pick returns the only endorsement with that label.
func pick(end attest.Endorsements, name, label string) ([]byte, attest.Check) {
	data, found, err := end.Get(label)
	c := attest.Check{Name: name, Expected: "one " + label}
	switch {
	case err != nil:
		c.Code, c.Seen = attest.CodeAmbiguous, "more than one"
	case !found:
		c.Code, c.Seen = attest.CodeUnavailable, "none"
	case len(data) == 0 || len(data) > attest.MaxEndorsement:
		c.Code, c.Seen = attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(data))
		c.Expected = fmt.Sprintf("1 to %d bytes", attest.MaxEndorsement)
	default:
		c.Status, c.Seen = attest.Pass, fmt.Sprintf("%d bytes", len(data))
	}
	return data, c
}
