package client

import (
	"errors"
	"slices"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/receipt"
)

// VerifyReceipt verifies a receipt without a connection: that it is as a box signed
// it, that the evidence in bundle names the key, and that trust accepts the box, for
// the time at. The Receipt is returned only if all of that holds. Compare it with
// what was sent and got: its digests say what it is about.
//
// Evidence goes stale: what the vendor stapled to it is in force for weeks. To
// verify an old receipt, give a time at which it was, such as the receipt's own.
func VerifyReceipt(trust *appraise.Trust, token string, bundle attest.Bundle, at time.Time) (receipt.Receipt, appraise.Result, error) {
	opened, err := receipt.Open(token)
	if err != nil {
		return receipt.Receipt{}, appraise.Result{}, err
	}
	result, err := VerifyKey(trust, bundle, at)
	if err != nil {
		return receipt.Receipt{}, result, err
	}
	if err := attest.FailureOf(opened.Bind(bundle)); err != nil {
		return receipt.Receipt{}, result, err
	}
	return opened.Receipt, result, nil
}

// VerifyKey verifies and appraises the evidence for a key that a box signs with
// outside any connection. Which key that is, says the statement in the bundle:
// whoever has something signed compares the two.
func VerifyKey(trust *appraise.Trust, bundle attest.Bundle, at time.Time) (appraise.Result, error) {
	if trust == nil {
		return appraise.Result{}, errors.New("client: no trust given")
	}
	statement, err := attest.ParseStatement(bundle.Statement)
	if err != nil {
		return appraise.Result{}, attest.NewFailure("receipt.statement", attest.CodeMalformed, err.Error(), "the statement of a box")
	}
	in := appraise.Input{Statement: statement, Policy: bundle.Policy, Offline: true}
	v, err := VerifierFor(bundle.Evidence.Kind, trust)
	if err != nil {
		return appraise.Result{}, err
	}
	in.Claims, in.Err = v.Verify(bundle.Evidence, bundle.Endorsements, at)
	result := trust.Appraise(in, at)
	return result, keyError(result)
}

// keyError is nil if nothing is missing but a connection, which a key that signs
// outside of one has no use for.
func keyError(r appraise.Result) error {
	var partial *appraise.PartialError
	err := r.Err()
	if errors.As(err, &partial) && !slices.ContainsFunc(partial.Skipped, func(c attest.Check) bool { return !OfConnection(c) }) {
		return nil
	}
	return err
}

// OfConnection reports whether a check compares evidence with a connection, so that
// it has no meaning for a key that signs outside of one.
func OfConnection(c attest.Check) bool {
	switch c.Name {
	case "channel.purpose", "channel.role", "channel.nonce", "channel.tls_key", "channel.tls_exporter", "channel.hpke_key", "channel.attestation_key":
		return true
	}
	return false
}
