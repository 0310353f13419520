// Package judge judges the evidence of another box. It answers one question: is
// this evidence, of a stranger, that of a box which a line of the policy names?
//
// It puts together what relying parties use, the verifiers of packages attest and
// the appraisal of package appraise, and adds no rule of its own: a caller has to
// pass what a client with a trust file of three lines asks of a box. All of it runs
// in a process of its own, cmd/boxverify, which the box starts for one question,
// gives nothing but the question, and ends after the answer; see docs/rfc/008.
//
// The package stands inside the box and outside of what the box is trusted with:
// it reads what strangers made. [Main] gives up what the process could do besides
// before it reads the first byte.
package judge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/box/peers/wire"
)

// Serve says that it is ready, reads one question, and answers it.
func Serve(r io.Reader, w io.Writer) error {
	if err := wire.WriteReady(w); err != nil {
		return err
	}
	q, err := wire.ReadQuestion(r)
	if err != nil {
		return err
	}
	return wire.WriteAnswer(w, Judge(q))
}

// Judge comes to a verdict. It accepts for the first reference that the caller
// meets, and tells why not for the last that it does not.
func Judge(q wire.Question) wire.Answer {
	bundle, statement, err := read(q)
	if err != nil {
		return refusal(err)
	}
	err = attest.NewFailure("peer.reference", attest.CodeKindMismatch, bundle.Evidence.Kind.String(), "a kind that the policy names")
	for i, ref := range q.References {
		if ref.Kind != bundle.Evidence.Kind {
			continue
		}
		var until time.Time
		if until, err = meets(ref, bundle, statement, q.At); err == nil {
			return wire.Answer{Accepted: true, Reference: i, Until: until}
		}
	}
	return refusal(err)
}

func refusal(err error) wire.Answer {
	var failure *attest.Failure
	if errors.As(err, &failure) {
		return wire.Refused(failure.Checks)
	}
	return wire.Refused([]attest.Check{{Name: "hardware.evidence", Code: attest.CodeMalformed, Seen: err.Error(), Expected: "evidence that can be judged"}})
}

// read takes apart what the caller showed. The statement is the box's own word on
// the connection, and what the caller says its hardware signed has to be that.
func read(q wire.Question) (attest.Bundle, attest.Statement, error) {
	bundle, err := attest.ParseBundle(q.Bundle)
	if err != nil {
		return attest.Bundle{}, attest.Statement{}, attest.NewFailure("channel.bundle", attest.CodeMalformed, err.Error(), "an encoded bundle")
	}
	if !bytes.Equal(bundle.Statement, q.Statement) {
		return attest.Bundle{}, attest.Statement{}, attest.NewFailure("channel.statement", attest.CodeChannelMismatch, "another statement", "that of this connection")
	}
	statement, err := attest.ParseStatement(q.Statement)
	if err != nil {
		return attest.Bundle{}, attest.Statement{}, attest.NewFailure("channel.statement", attest.CodeMalformed, err.Error(), "an encoded statement")
	}
	return bundle, statement, nil
}

// meets appraises a caller by one reference, and returns until when that holds.
func meets(ref wire.Reference, bundle attest.Bundle, statement attest.Statement, at time.Time) (time.Time, error) {
	trust, err := trustIn(ref)
	if err != nil {
		return time.Time{}, err
	}
	verifier, err := verifierFor(ref)
	if err != nil {
		return time.Time{}, err
	}
	in := appraise.Input{Statement: statement, Channel: connection(statement, at), Policy: bundle.Policy}
	in.Claims, in.Err = verifier.Verify(bundle.Evidence, bundle.Endorsements, at)
	result := trust.Appraise(in, at)
	if err := result.Err(); err != nil {
		return time.Time{}, refused(err)
	}
	// The kinds agree already; this is what makes a simulated box one that the
	// policy calls simulated.
	if result.Kind() != ref.Kind || result.Simulated() != ref.Kind.Simulated() {
		return time.Time{}, attest.NewFailure("peer.reference", attest.CodeKindMismatch, result.Kind().String(), ref.Kind.String())
	}
	return result.ValidUntil(), nil
}

// connection holds the statement against the connection. The box has done that
// for what it alone knows, nonce, keys and exporter, and sent the statement that
// came out; what is known here is compared once more.
func connection(s attest.Statement, at time.Time) []attest.Check {
	return s.Compare(attest.Expected{
		Purpose: attest.PurposePeer, Role: attest.RoleClient, At: at, Skew: wire.Skew,
		Nonce: s.Nonce, SPKI: s.SPKI, HPKE: attest.Digest{}, AttestationKey: s.AttestationKey, Exporter: s.Exporter, Policy: s.Policy,
	})
}

// refused makes a failure of a verdict in which something essential was not looked
// at: here that is a refusal, since nobody reads a verdict in part.
func refused(err error) error {
	var partial *appraise.PartialError
	if !errors.As(err, &partial) {
		return err
	}
	checks := make([]attest.Check, len(partial.Skipped))
	for i, c := range partial.Skipped {
		c.Status = attest.Fail
		checks[i] = c
	}
	return &attest.Failure{Checks: checks}
}

// trustIn is a reference as a trust file, with every default that one has.
func trustIn(ref wire.Reference) (*appraise.Trust, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\naccept:\n  - name: peer\n    policy: sha256:%s\n    ", ref.Policy)
	switch ref.Kind {
	case attest.SNP, attest.SimSNP:
		fmt.Fprintf(&b, "sev-snp: {measurement: \"%x\"}\n", ref.Measurement)
	case attest.SGX:
		fmt.Fprintf(&b, "sgx: {mrenclave: \"%x\"}\n", ref.Measurement)
	case attest.Nitro:
		// PCR0 is over the whole image, of which PCR1 and PCR2 are over parts (AWS
		// Nitro Enclaves, "Cryptographic attestation").
		fmt.Fprintf(&b, "nitro: {pcr0: \"%x\", pcr1: any, pcr2: any}\n", ref.Measurement)
	default:
		return nil, attest.NewFailure("peer.reference", attest.CodeKindMismatch, ref.Kind.String(), "a kind whose code one measurement names")
	}
	if ref.Kind.Simulated() {
		fmt.Fprintf(&b, "allow_simulated: true\nsimulated_root: sha256:%s\n", ref.Root)
	}
	return appraise.ParseTrust([]byte(b.String()))
}

func verifierFor(ref wire.Reference) (attest.Verifier, error) {
	switch ref.Kind {
	case attest.SNP:
		return snp.NewVerifier()
	case attest.SimSNP:
		return sim.NewVerifier(ref.Root)
	case attest.SGX:
		return sgx.NewVerifier()
	case attest.Nitro:
		return nitro.NewVerifier()
	}
	return nil, attest.NewFailure("peer.reference", attest.CodeKindMismatch, ref.Kind.String(), "a kind that is judged here")
}
