package tdx

import (
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Verifier verifies TDX quotes. It is immutable and safe for concurrent use.
// The zero Verifier refuses everything.
type Verifier struct {
	engine *dcap.Engine
}

// NewVerifier returns the Verifier for real hardware. It trusts the certificate
// of Intel's SGX Root CA and nothing else.
func NewVerifier() (*Verifier, error) { return newVerifier(dcap.NewEngine(dcap.TDX)) }

// NewVerifierWithRoot returns a Verifier that trusts the given certificate
// (DER) in the place of Intel's.
func NewVerifierWithRoot(root []byte) (*Verifier, error) {
	return newVerifier(dcap.NewEngineWithRoot(dcap.TDX, root))
}

func newVerifier(engine *dcap.Engine, err error) (*Verifier, error) {
	if err != nil {
		return nil, fmt.Errorf("tdx: %w", err)
	}
	return &Verifier{engine}, nil
}

// trusted returns the engine, nil for a Verifier that trusts nothing. A nil
// Engine refuses everything.
func (v *Verifier) trusted() *dcap.Engine {
	if v == nil {
		return nil
	}
	return v.engine
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
	q, checks := readQuote(ev)
	facts, more := v.trusted().Verify(q, end, at)
	checks = append(checks, more...)
	var log *EventLog
	if q != nil {
		log, more = replay(end, q.TD.RTMR)
		checks = append(checks, more...)
	}
	return conclude(facts, log, checks)
}

// Endorse verifies certificates, CRLs, TCB info and QE identity alone, so that
// many quotes of one machine can be verified by [Chain.Verify] at the price of
// two signatures each. The PCK's chain must be among them; [PCKChain] takes it
// from a quote.
func (v *Verifier) Endorse(end attest.Endorsements, at time.Time) (*Chain, error) {
	c, err := v.trusted().Endorse(end, at)
	if err != nil {
		return nil, err
	}
	return &Chain{c}, nil
}

// Chain is a PCK that was verified up to the root, with the collateral that says
// how it stands. It is immutable and safe for concurrent use; each use checks
// again that all of it is in force. The zero Chain refuses everything.
type Chain struct {
	chain *dcap.Chain
}

// verified returns the chain within, an empty one that refuses everything if
// there is none.
func (c *Chain) verified() *dcap.Chain {
	if c == nil || c.chain == nil {
		return &dcap.Chain{}
	}
	return c.chain
}

// Endorsed returns the time span in which all of the chain is in force.
func (c *Chain) Endorsed() attest.Validity { return c.verified().Endorsed() }

// Verify is [Verifier.Verify] for a quote of the chain's machine. It reads no
// event log.
func (c *Chain) Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	q, checks := readQuote(ev)
	facts, more := c.verified().Verify(q, at)
	return conclude(facts, nil, append(checks, more...))
}

// PCKChain returns the PCK certificate's chain in a quote, as an Endorsement for
// [Verifier.Endorse].
func PCKChain(ev attest.Evidence) (attest.Endorsement, error) {
	q, checks := readQuote(ev)
	if err := attest.FailureOf(checks); err != nil {
		return attest.Endorsement{}, err
	}
	if len(q.PCKChain) == 0 {
		return attest.Endorsement{}, errors.New("tdx: the quote holds no PCK certificate")
	}
	return attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: q.PCKChain}, nil
}

// readQuote returns the quote, nil if the evidence is of another kind or cannot
// be read, and the checks of that.
func readQuote(ev attest.Evidence) (*dcap.Quote, []attest.Check) {
	kind := pki.Judge("hardware.kind", ev.Kind == attest.TDX, attest.CodeKindMismatch, ev.Kind.String(), attest.TDX.String())
	checks := append(make([]attest.Check, 0, maxChecks), kind)
	if kind.Status != attest.Pass {
		return nil, checks // bytes of another kind are not looked at
	}
	q, form := dcap.ReadQuote(ev.Data, dcap.TDX)
	checks = append(checks, form)
	if form.Status != attest.Pass {
		return nil, checks
	}
	return q, checks
}

// maxChecks is room for those of one verification.
const maxChecks = 32

// conclude turns what passed into claims. Where no check failed there are facts.
func conclude(facts *dcap.Facts, log *EventLog, checks []attest.Check) (*attest.Claims, error) {
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return newClaims(facts, log, checks), nil
}
