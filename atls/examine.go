package atls

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// A CheckFunc decides whether what the peer presented is acceptable: it
// verifies the Evidence, compares what the hardware signed with the Statement,
// and appraises the rest. It must return a result that is not nil, which
// becomes [Session.Result], or an error, best an [*attest.Failure] with every
// check it ran. It is called even if the channel checks have failed, so that
// one refusal can tell everything; the connection is refused in that case
// whatever it returns. It must be safe for concurrent use.
//
// A result may know until when it holds: the day on which the code is no longer
// accepted, say, or the end of a revocation list. If it has a method
//
//	ValidUntil() time.Time
//
// then nothing rests on it any longer than that, however long MaxAge is: no
// fast answer and no live connection. A result whose time lies before
// [Presented.At], as the zero time does, is refused.
type CheckFunc func(ctx context.Context, p Presented) (result any, err error)

// Presented is what a peer showed. Nothing in it has been verified except for
// Checks, and those say nothing about who signed the Statement.
type Presented struct {
	Bundle    attest.Bundle
	Statement attest.Statement
	// Checks hold the Statement against this connection (group "channel").
	Checks []attest.Check
	// At is the time at which to judge.
	At time.Time
}

// question is what the verifying end knows about the answer it must get.
type question struct {
	purpose attest.Purpose
	role    attest.Role
	nonce   [32]byte
}

// proof is what is left when a peer has proven itself.
type proof struct {
	bundle    attest.Bundle
	statement attest.Statement
	checks    []attest.Check
	result    any
	fast      bool
	at        time.Time // when the hardware evidence was verified
	until     time.Time // the end of what the result rests on; zero if it gave none
}

// life is how long a proof counts: maxAge, or less if what the result rests on
// ends before. It is a span from p.at on, so that age finds a clock that was set
// back in the meantime.
func (p *proof) life(maxAge time.Duration) time.Duration {
	if p.until.IsZero() {
		return maxAge
	}
	return min(maxAge, p.until.Round(0).Sub(p.at.Round(0)))
}

// limited is a result that knows until when it holds.
type limited interface{ ValidUntil() time.Time }

// limitOf returns the end that a result gives, and a failed check if that has
// passed already.
func limitOf(result any, at time.Time) (until time.Time, ended []attest.Check) {
	l, ok := result.(limited)
	if !ok {
		return time.Time{}, nil
	}
	until = l.ValidUntil()
	if until.Round(0).Before(at.Round(0)) {
		ended = []attest.Check{{
			Name: "channel.check", Code: attest.CodeExpired,
			Seen: "a result valid until " + until.UTC().Format(time.RFC3339), Expected: "one valid at " + at.UTC().Format(time.RFC3339),
		}}
	}
	return until, ended
}

// examiner is the verifying end, client or server.
type examiner struct {
	check CheckFunc
	kinds []attest.Kind
	skew  time.Duration
	now   func() time.Time
}

// examine judges a full answer. All failed checks are reported together.
func (e *examiner) examine(ctx context.Context, ch channel, q question, encoded []byte) (*proof, error) {
	bundle, err := attest.ParseBundle(encoded)
	if err != nil {
		return nil, attest.NewFailure("channel.bundle", attest.CodeMalformed, err.Error(), "an encoded bundle")
	}
	statement, err := attest.ParseStatement(bundle.Statement)
	if err != nil {
		return nil, attest.NewFailure("channel.statement", attest.CodeMalformed, err.Error(), "an encoded statement")
	}
	at := e.now()
	checks, err := e.compare(ch, q, statement, sha256.Sum256(bundle.Policy), keyHash(bundle.AttestationKey), at)
	if err != nil {
		return nil, err
	}
	checks = append([]attest.Check{e.kindCheck(bundle.Evidence.Kind)}, checks...)
	result, err := e.check(ctx, Presented{Bundle: bundle, Statement: statement, Checks: slices.Clone(checks), At: at})
	var until time.Time
	var ended []attest.Check
	if err == nil {
		until, ended = limitOf(result, at)
	}
	if err := verdict(append(checks, ended...), result, err); err != nil {
		return nil, err
	}
	return &proof{bundle: bundle, statement: statement, checks: checks, result: result, at: at, until: until}, nil
}

// keyHash is zero for a peer that has no attestation key.
func keyHash(key []byte) attest.Digest {
	if len(key) == 0 {
		return attest.Digest{}
	}
	return sha256.Sum256(key)
}

// compare holds a statement against this connection.
func (e *examiner) compare(ch channel, q question, s attest.Statement, policy, key attest.Digest, at time.Time) ([]attest.Check, error) {
	exporter, err := ch.export(q.nonce)
	if err != nil {
		return nil, attest.NewFailure("channel.tls_exporter", attest.CodeNoAttestation, err.Error(), "a connection that can be named")
	}
	want := attest.Expected{
		Purpose: q.purpose, Role: q.role, Nonce: q.nonce, SPKI: ch.peer, Exporter: exporter,
		AttestationKey: key, Policy: policy, At: at, Skew: e.skew,
	}
	checks := s.Compare(want)
	return append(checks, endCheck(s, want), peerCheck(ch)), nil
}

// endCheck says in words what a wrong key or exporter means.
func endCheck(s attest.Statement, want attest.Expected) attest.Check {
	c := attest.Check{Name: "channel.tls_end", Status: attest.Pass, Seen: "TLS ends in the box"}
	switch {
	case s.SPKI != want.SPKI:
		c.Status, c.Code = attest.Fail, attest.CodeKeyMismatch
	case s.Exporter != want.Exporter:
		c.Status, c.Code = attest.Fail, attest.CodeChannelMismatch
	default:
		return c
	}
	c.Seen, c.Expected = textNotInBox, "TLS from here to the box, with nothing that opens it in between"
	return c
}

// textNotInBox is what people read when something on the way ends TLS.
const textNotInBox = "TLS does not end in the box"

// peerCheck refuses a peer that uses our own key: it is our own reflection.
func peerCheck(ch channel) attest.Check {
	c := attest.Check{Name: "channel.peer", Status: attest.Pass, Seen: "another TLS key than ours"}
	if ch.peer == ch.own {
		c = attest.Check{Name: c.Name, Code: attest.CodeKeyMismatch, Seen: "our own TLS key", Expected: c.Seen}
	}
	return c
}

func (e *examiner) kindCheck(kind attest.Kind) attest.Check {
	c := attest.Check{Name: "channel.kind", Seen: kind.String(), Expected: strings.Join(kindNames(e.kinds), " or ")}
	if slices.Contains(e.kinds, kind) {
		c.Status = attest.Pass
	} else {
		c.Code = attest.CodeKindMismatch
	}
	return c
}

// verdict joins our checks with the outcome of the CheckFunc.
func verdict(checks []attest.Check, result any, err error) error {
	var failure *attest.Failure
	switch {
	case err == nil && result != nil:
		return attest.FailureOf(checks)
	case err == nil:
		checks = append(checks, attest.Check{Name: "channel.check", Code: attest.CodeMalformed, Seen: "a check that returned nothing", Expected: "a result"})
		return attest.FailureOf(checks)
	case errors.As(err, &failure):
		return &attest.Failure{Checks: merge(checks, failure.Checks)}
	case attest.FailureOf(checks) != nil:
		return fmt.Errorf("%w; %w", attest.FailureOf(checks), err)
	case errors.Is(err, attest.ErrUnavailable):
		return fmt.Errorf("atls: checking the peer: %w", err)
	}
	failed := attest.NewFailure("channel.check", attest.CodeMalformed, err.Error(), "a check that comes to a verdict")
	return fmt.Errorf("%w: %w", failed, err)
}

// merge adds to the CheckFunc's checks those of ours that it left out. Where
// it reports one of ours by name, ours decides. A CheckFunc that refuses
// without a failed check is still a refusal.
func merge(ours, theirs []attest.Check) []attest.Check {
	all := slices.Clone(ours)
	for _, c := range theirs {
		if !slices.ContainsFunc(ours, func(o attest.Check) bool { return o.Name == c.Name }) {
			all = append(all, c)
		}
	}
	if attest.FailureOf(all) == nil {
		all = append(all, attest.Check{Name: "channel.check", Code: attest.CodeMalformed, Seen: "refused without a failed check", Expected: "a reason"})
	}
	return all
}

// fastLabel separates what the attestation key signs here from anything else
// it might ever sign.
const fastLabel = "blindbox/atls/fast/v1\x00"

func fastMessage(statement []byte) []byte {
	return append([]byte(fastLabel), statement...)
}

// examineFast judges a fast answer by a key from known, the keys that were
// offered on this connection.
func (e *examiner) examineFast(ch channel, q question, f fast, known []*provenKey, maxAge time.Duration) (*proof, error) {
	statement, err := attest.ParseStatement(f.statement)
	if err != nil {
		return nil, attest.NewFailure("channel.statement", attest.CodeMalformed, err.Error(), "an encoded statement")
	}
	at := e.now()
	i := slices.IndexFunc(known, func(k *provenKey) bool { return k.hash == statement.AttestationKey })
	if i < 0 {
		return nil, attest.NewFailure("channel.attestation_age", attest.CodeStaleEvidence,
			"an attestation key that this client did not offer", "hardware evidence")
	}
	key := known[i]
	checks, err := e.compare(ch, q, statement, key.proof.statement.Policy, key.hash, at)
	if err != nil {
		return nil, err
	}
	checks = append(checks, ageCheck(age(at, key.proof.at), key.proof.life(maxAge)), signatureCheck(key.public, f))
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	earlier := key.proof
	return &proof{
		bundle: earlier.bundle, statement: statement, checks: checks, result: earlier.result,
		fast: true, at: earlier.at, until: earlier.until,
	}, nil
}

func ageCheck(age, maxAge time.Duration) attest.Check {
	c := attest.Check{
		Name: "channel.attestation_age", Status: attest.Pass,
		Seen: "hardware evidence verified " + age.Round(time.Second).String() + " ago", Expected: "at most " + maxAge.String(),
	}
	if age >= maxAge {
		c.Status, c.Code = attest.Fail, attest.CodeStaleEvidence
	}
	return c
}

func signatureCheck(key ed25519.PublicKey, f fast) attest.Check {
	c := attest.Check{Name: "channel.signature", Status: attest.Pass, Seen: "by the attestation key", Expected: "by the attestation key"}
	if !ed25519.Verify(key, fastMessage(f.statement), f.signature) {
		c.Status, c.Code, c.Seen = attest.Fail, attest.CodeBadSignature, "not by the attestation key"
	}
	return c
}

// clockStep is how far a clock may be set back before its word on age is
// worth nothing. Time servers move clocks by less.
const clockStep = time.Minute

// age is how long ago then was. The monotonic clock stands still while a
// laptop sleeps and the wall clock can be set, so the larger of both counts, and
// a time well in the future counts as for ever ago.
func age(now, then time.Time) time.Duration {
	wall := now.Round(0).Sub(then.Round(0))
	if wall < -clockStep {
		return 1<<63 - 1
	}
	return max(0, wall, now.Sub(then))
}
