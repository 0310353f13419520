// Package signing answers one question: with which key does the box sign what has
// to hold after the connection is gone: receipts, heads of its audit log, the ends
// of its sealed logs?
//
// The key is ECDSA on P-256, made in the box and kept in memory only. The hardware
// is asked once for evidence over a statement that names it (attest.PurposeKeys);
// that evidence, with the statement and the policy, is a bundle that anyone can
// verify for as long as they keep it. The TLS and attestation keys of a connection
// are others: what is signed here can never be an answer in a handshake.
//
// The package stands inside the box.
package signing

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/receipt"
)

// DefaultLife is how long a key may sign. Its evidence is as old as the key, so a
// relying party that wants fresher evidence than this asks for it in a connection.
const DefaultLife = 30 * 24 * time.Hour

// Config is what a key is made of. All but Life and Boot is required.
type Config struct {
	Attester attest.Attester
	// Policy is the exact document that the box runs under.
	Policy []byte
	Now    func() time.Time
	// Life is how long the key signs, [DefaultLife] if zero.
	Life time.Duration
	// Boot is that of an earlier key, if this one follows it in the same run of the
	// box; drawn if empty.
	Boot string
}

// Key signs for one run of a box.
type Key struct {
	signer *jws.Signer
	box    receipt.Box
	bundle []byte
	until  time.Time
}

// New makes a key and has the hardware name it.
func New(ctx context.Context, cfg Config) (*Key, error) {
	switch {
	case cfg.Attester == nil || !cfg.Attester.Kind().Valid():
		return nil, errors.New("signing: no attester")
	case cfg.Now == nil:
		return nil, errors.New("signing: no clock")
	case cfg.Life < 0:
		return nil, fmt.Errorf("signing: a life of %s", cfg.Life)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	signer, err := jws.NewSigner(private)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	k := &Key{signer: signer}
	if err := k.prove(ctx, cfg); err != nil {
		return nil, err
	}
	return k, nil
}

// prove gets the evidence that makes the key worth something.
func (k *Key) prove(ctx context.Context, cfg Config) error {
	if cfg.Life == 0 {
		cfg.Life = DefaultLife
	}
	now := cfg.Now().UTC().Truncate(time.Second)
	s := attest.Statement{
		Purpose: attest.PurposeKeys, Role: attest.RoleServer, SPKI: k.signer.KeyID(),
		Policy: sha256.Sum256(cfg.Policy), NotBefore: now, NotAfter: now.Add(cfg.Life),
	}
	// Nobody asks, so nobody chose a nonce. It only keeps two statements apart.
	rand.Read(s.Nonce[:])
	statement, noEncoding := s.Encode()
	bound, noBound := s.Bind()
	if err := errors.Join(noEncoding, noBound); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	ev, endorsements, err := cfg.Attester.Attest(ctx, bound)
	switch {
	case err != nil:
		return fmt.Errorf("signing: no evidence (%w): %w", attest.ErrUnavailable, err)
	case ev.Kind != cfg.Attester.Kind() || len(ev.Data) == 0:
		return fmt.Errorf("signing: the attester of kind %s gave %d bytes of kind %s: %w", cfg.Attester.Kind(), len(ev.Data), ev.Kind, attest.ErrUnavailable)
	}
	k.bundle, err = attest.Bundle{Evidence: ev, Endorsements: endorsements, Statement: statement, Policy: cfg.Policy}.Encode()
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	k.until = s.NotAfter
	k.box = receipt.Box{
		Policy: receipt.Digest(s.Policy), Kind: ev.Kind.String(), Evidence: sha256.Sum256(ev.Data),
		Simulated: ev.Kind.Simulated(), Boot: cfg.Boot,
	}
	if cfg.Boot == "" {
		k.box.Boot = RandomID()
	}
	return nil
}

// RandomID returns 16 random bytes in hex.
func RandomID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Signer signs with the key.
func (k *Key) Signer() *jws.Signer { return k.signer }

// Box is what receipts and logs say about the box.
func (k *Key) Box() receipt.Box { return k.box }

// Bundle returns the evidence for the key, encoded. It is for everybody to see.
func (k *Key) Bundle() []byte { return append([]byte(nil), k.bundle...) }

// Until is when the key must sign no more.
func (k *Key) Until() time.Time { return k.until }
