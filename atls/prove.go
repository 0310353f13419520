package atls

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// statementLife is how long a statement says it is good for. Freshness comes
// from the nonce; this only keeps a saved one from being shown years later.
const statementLife = 5 * time.Minute

// Identity is what a client proves itself with in a mutual gate.
type Identity struct {
	Attester attest.Attester
	// Policy is the exact policy document of the box that the client runs in.
	Policy []byte
}

// prover is the proving end, server or client.
type prover struct {
	attester attest.Attester
	policy   []byte
	digest   attest.Digest
	now      func() time.Time
	// quotes bounds how many requests are at the hardware at a time: it is slow,
	// and a stranger decides how often we ask.
	quotes chan struct{}
}

func newProver(attester attest.Attester, policy []byte, quotes int, now func() time.Time) (*prover, error) {
	switch {
	case attester == nil:
		return nil, fmt.Errorf("atls: no attester given")
	case !attester.Kind().Valid():
		return nil, fmt.Errorf("atls: attester of kind %s", attester.Kind())
	case len(policy) == 0 || len(policy) > attest.MaxPolicy:
		return nil, fmt.Errorf("atls: a policy of %d bytes, expected 1 to %d", len(policy), attest.MaxPolicy)
	}
	return &prover{
		attester: attester, policy: append([]byte(nil), policy...), digest: sha256.Sum256(policy),
		now: now, quotes: make(chan struct{}, quotes),
	}, nil
}

// statement is what there is to be said on this connection.
func (p *prover) statement(ch channel, q question, key attest.Digest) (attest.Statement, error) {
	exporter, err := ch.export(q.nonce)
	if err != nil {
		return attest.Statement{}, err
	}
	now := p.now()
	return attest.Statement{
		Purpose: q.purpose, Role: q.role, Nonce: q.nonce, SPKI: ch.own, AttestationKey: key,
		Exporter: exporter, Policy: p.digest, NotBefore: now, NotAfter: now.Add(statementLife),
	}, nil
}

// full has the hardware sign the statement. Every error says that evidence is
// not to be had.
func (p *prover) full(ctx context.Context, s attest.Statement, key ed25519.PublicKey) ([]byte, error) {
	encoded, err := p.quote(ctx, s, key)
	if err != nil {
		return nil, fmt.Errorf("atls: no evidence: %w: %w", attest.ErrUnavailable, err)
	}
	return encoded, nil
}

func (p *prover) quote(ctx context.Context, s attest.Statement, key ed25519.PublicKey) ([]byte, error) {
	statement, noEncoding := s.Encode()
	bound, noBound := s.Bind()
	if err := errors.Join(noEncoding, noBound); err != nil {
		return nil, err
	}
	evidence, endorsements, err := p.attest(ctx, bound)
	if err != nil {
		return nil, err
	}
	if evidence.Kind != p.attester.Kind() {
		return nil, fmt.Errorf("attester of kind %s gave evidence of kind %s", p.attester.Kind(), evidence.Kind)
	}
	return attest.Bundle{
		Evidence: evidence, Endorsements: endorsements, Statement: statement, Policy: p.policy, AttestationKey: key,
	}.Encode()
}

// attest waits for its turn at the hardware.
func (p *prover) attest(ctx context.Context, bound attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	select {
	case p.quotes <- struct{}{}:
	case <-ctx.Done():
		return attest.Evidence{}, nil, fmt.Errorf("waiting for the hardware: %w", context.Cause(ctx))
	}
	defer func() { <-p.quotes }()
	return p.attester.Attest(ctx, bound)
}

// attestationKey signs on the fast path. Its hash is in every statement that
// the hardware signs, so whoever verified one of those knows the key.
type attestationKey struct {
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	hash    attest.Digest
}

// newAttestationKey is ed25519.GenerateKey, whose seed is 32 random bytes.
func newAttestationKey() *attestationKey {
	seed := random32()
	private := ed25519.NewKeyFromSeed(seed[:])
	public := private.Public().(ed25519.PublicKey)
	return &attestationKey{private: private, public: public, hash: sha256.Sum256(public)}
}

// sign returns the fast answer over s.
func (k *attestationKey) sign(s attest.Statement) (fast, error) {
	statement, err := s.Encode()
	if err != nil {
		return fast{}, err
	}
	return fast{statement: statement, signature: ed25519.Sign(k.private, fastMessage(statement))}, nil
}

// newNonce is what makes an answer fresh.
func newNonce() [32]byte { return random32() }

// random32 returns 32 random bytes. crypto/rand does not fail.
func random32() (b [32]byte) {
	rand.Read(b[:])
	return b
}
