package dcap

import (
	"errors"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Engine verifies quotes of one TEE under one root. It is immutable and safe for
// concurrent use. The zero Engine refuses everything.
type Engine struct {
	tee TEE
}

// NewEngine returns an Engine that trusts Intel's SGX Root CA.
func NewEngine(tee TEE) (*Engine, error) { return nil, errors.New("dcap: not available") }

// NewEngineWithRoot returns an Engine that trusts the given root (DER) and not
// Intel's.
func NewEngineWithRoot(tee TEE, root []byte) (*Engine, error) {
	return nil, errors.New("dcap: not available")
}

// ReadQuote reads a quote of the given TEE and returns it with the check of its
// form, nil if it could not be read.
func ReadQuote(data []byte, tee TEE) (*Quote, attest.Check) {
	return nil, pki.Judge("hardware.quote", false, attest.CodeMalformed, "not read", "a quote")
}

// Verify establishes that genuine hardware signed the quote. It returns every
// check, and Facts only if none failed. With a nil quote only what does not
// depend on one is checked.
func (e *Engine) Verify(q *Quote, end attest.Endorsements, at time.Time) (*Facts, []attest.Check) {
	return nil, []attest.Check{pki.Judge("hardware.pck_chain", false, attest.CodeBadChain, "not verified", "")}
}

// Endorse verifies what does not depend on a quote, so that many quotes of one
// machine can be verified by [Chain.Verify] at the price of two signatures each.
// The PCK chain must be given under [attest.LabelIntelPCKChain]
// ([Quote.PCKChain] is one).
func (e *Engine) Endorse(end attest.Endorsements, at time.Time) (*Chain, error) {
	return nil, attest.NewFailure("hardware.pck_chain", attest.CodeBadChain, "not verified", "")
}

// Chain is a PCK that was verified up to the root, with the collateral that says
// how it stands. It is immutable and safe for concurrent use; each use checks
// again that all of it is in force. The zero Chain refuses everything.
type Chain struct{}

// Endorsed returns the time span in which all of the chain is in force.
func (c *Chain) Endorsed() attest.Validity { return attest.Validity{} }

// Verify is [Engine.Verify] for a quote of the chain's machine.
func (c *Chain) Verify(q *Quote, at time.Time) (*Facts, []attest.Check) {
	return nil, []attest.Check{pki.Judge("hardware.pck_chain", false, attest.CodeBadChain, "not verified", "")}
}
