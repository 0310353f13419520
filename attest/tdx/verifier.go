package tdx

import (
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
)

// Verifier verifies TDX quotes. It is immutable and safe for concurrent use.
// The zero Verifier refuses everything.
type Verifier dcap.Engine

// NewVerifier returns the Verifier for real hardware. It trusts the certificate
// of Intel's SGX Root CA and nothing else.
func NewVerifier() (*Verifier, error) {
	e, err := dcap.NewEngine(dcap.TDX)
	return (*Verifier)(e), err
}

// NewVerifierWithRoot returns a Verifier that trusts the given certificate
// (DER) in the place of Intel's.
func NewVerifierWithRoot(root []byte) (*Verifier, error) {
	e, err := dcap.NewEngineWithRoot(dcap.TDX, root)
	return (*Verifier)(e), err
}

// Kind returns the kind of evidence that v accepts.
func (v *Verifier) Kind() attest.Kind { return attest.TDX }

// Verify establishes that a genuine platform signed the quote, that Intel's TDX
// module made the report in it, and that every certificate, CRL and document is
// in force at the time given. An event log among the Endorsements
// (event-log) must lead to the quote's registers. See [attest.Verifier] for its errors.
//
// Of the Endorsements it reads intel/tcb-info, intel/qe-identity and
// intel/tcb-chain, without which it refuses, since any enclave could have signed;
// intel/root-crl and intel/pck-crl, of which a missing one is no error: the Claims
// say what was not checked; and intel/pck-chain, which must be the quote's own.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	got := (*dcap.Engine)(v).VerifyEvidence(dcap.TDX, ev, end, at)
	var log *EventLog
	if got.Quote != nil {
		var checks []attest.Check
		log, checks = replay(end, got.Quote.TD.RTMR)
		got.Checks = append(got.Checks, checks...)
	}
	return got.Claims(func(f *dcap.Facts) *attest.Claims { return newClaims(f, log) })
}

// Endorse verifies certificates, CRLs, TCB info and QE identity alone, so that
// many quotes of one machine can be verified by [Chain.Verify] at the price of
// two signatures each. The PCK's chain must be among them; [PCKChain] takes it
// from a quote.
func (v *Verifier) Endorse(end attest.Endorsements, at time.Time) (*Chain, error) {
	c, err := (*dcap.Engine)(v).Endorse(end, at)
	return (*Chain)(c), err
}

// Chain is a PCK that was verified up to the root, with the collateral that says
// how it stands. It is immutable and safe for concurrent use; each use checks
// again that all of it is in force. The zero Chain refuses everything.
type Chain dcap.Chain

// Endorsed returns the time span in which all of the chain is in force.
func (c *Chain) Endorsed() attest.Validity { return (*dcap.Chain)(c).Endorsed() }

// Verify is [Verifier.Verify] for a quote of the chain's machine that comes without
// an event log, and says so in the same words.
func (c *Chain) Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	got := (*dcap.Chain)(c).VerifyEvidence(dcap.TDX, ev, at)
	if got.Quote != nil {
		_, checks := replay(nil, got.Quote.TD.RTMR)
		got.Checks = append(got.Checks, checks...)
	}
	return got.Claims(func(f *dcap.Facts) *attest.Claims { return newClaims(f, nil) })
}

// PCKChain returns the PCK certificate's chain in a quote, as an Endorsement for
// [Verifier.Endorse].
func PCKChain(ev attest.Evidence) (attest.Endorsement, error) { return dcap.PCKChain(dcap.TDX, ev) }
