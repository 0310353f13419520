package dcap

import (
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Kind returns the kind of evidence that the TEE's quotes are, 0 if there is none.
func (t TEE) Kind() attest.Kind {
	switch t {
	case SGX:
		return attest.SGX
	case TDX:
		return attest.TDX
	}
	return 0
}

// Verdict is what was found out about one piece of evidence.
type Verdict struct {
	Quote  *Quote // nil if it could not be read
	Facts  *Facts // nil if a check of this package's failed
	Checks []attest.Check
}

// VerifyEvidence is [Engine.Verify] for evidence of that TEE.
func (e *Engine) VerifyEvidence(tee TEE, ev attest.Evidence, end attest.Endorsements, at time.Time) Verdict {
	q, checks := readEvidence(tee, ev)
	facts, more := e.Verify(q, end, at)
	return Verdict{q, facts, append(checks, more...)}
}

// VerifyEvidence is [Chain.Verify] for evidence of that TEE.
func (c *Chain) VerifyEvidence(tee TEE, ev attest.Evidence, at time.Time) Verdict {
	q, checks := readEvidence(tee, ev)
	facts, more := c.Verify(q, at)
	return Verdict{q, facts, append(checks, more...)}
}

// Claims returns the verified facts as describe says them, or all the checks if any
// of them failed. Where none did there are Facts.
func (v Verdict) Claims(describe func(*Facts) *attest.Claims) (*attest.Claims, error) {
	if err := attest.FailureOf(v.Checks); err != nil {
		return nil, err
	}
	claims := describe(v.Facts)
	claims.Kind, claims.Endorsed, claims.Checks = v.Facts.Quote.Header.TEE.Kind(), v.Facts.Endorsed, v.Checks
	return claims, nil
}

// readEvidence returns the quote, nil if the evidence is of another kind or cannot
// be read, and the checks of that. Bytes of another kind are not looked at.
func readEvidence(tee TEE, ev attest.Evidence) (*Quote, []attest.Check) {
	kind := pki.Judge("hardware.kind", ev.Kind == tee.Kind(), attest.CodeKindMismatch, ev.Kind.String(), tee.Kind().String())
	checks := append(make([]attest.Check, 0, maxChecks), kind)
	if kind.Status != attest.Pass {
		return nil, checks
	}
	q, form := ReadQuote(ev.Data, tee)
	return q, append(checks, form)
}

// maxChecks is room for those of one verification.
const maxChecks = 32

// PCKChain returns the PCK certificate's chain in a quote, as an Endorsement for
// [Engine.Endorse].
func PCKChain(tee TEE, ev attest.Evidence) (attest.Endorsement, error) {
	q, checks := readEvidence(tee, ev)
	if err := attest.FailureOf(checks); err != nil {
		return attest.Endorsement{}, err
	}
	if len(q.PCKChain) == 0 {
		return attest.Endorsement{}, fmt.Errorf("%s: the quote holds no PCK certificate", tee.Kind())
	}
	return attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: q.PCKChain}, nil
}

// ParseUnverified reads a quote of that TEE, and what the first certificate of its
// chain says about the processor. Nothing is verified: whoever made the quote chose
// both.
func ParseUnverified(tee TEE, data []byte) (*Quote, *PCK, error) {
	q, err := ParseQuote(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", tee.Kind(), err)
	}
	if q.Header.TEE != tee {
		return nil, nil, fmt.Errorf("%s: a quote of %s, expected %s", tee.Kind(), q.Header.TEE, tee)
	}
	pck, err := q.ReadPCK()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: PCK certificate: %w", tee.Kind(), err)
	}
	return q, pck, nil
}
