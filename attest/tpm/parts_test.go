package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/tcg"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

// Rules whose breach no whole quote shows, because something before or behind
// them refuses it as well.

// lateReader fails once and has random bytes from then on.
type lateReader struct{ ready bool }

func (r *lateReader) Read(p []byte) (int, error) {
	if !r.ready {
		r.ready = true
		return 0, errors.New("not ready")
	}
	return rand.Read(p)
}

func TestChallengeParts(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 no parser returns a point that is not on the curve
	noPoint := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	name, secret := nameOf(algSHA256, []byte("area")), make([]byte, 32)
	good := Public{Key: &key.PublicKey, nameAlg: algSHA256, aesBits: 128}
	if _, err := (&EK{public: &good}).Challenge(rand.Reader, name, secret); err != nil {
		t.Fatal(err)
	}
	for what, public := range map[string]Public{
		"AES-64":       {Key: &key.PublicKey, nameAlg: algSHA256, aesBits: 64},
		"no point":     {Key: noPoint, nameAlg: algSHA256, aesBits: 128},
		"no known key": {Key: "key", nameAlg: algSHA256, aesBits: 128},
	} {
		if c, err := (&EK{public: &public}).Challenge(rand.Reader, name, secret); c != nil || err == nil {
			t.Errorf("%s: challenge %v, error %v", what, c, err)
		}
	}
	if out, err := wrap(crypto.SHA256, 64, secret, name, secret); out != nil || err == nil {
		t.Errorf("AES-64: %x, error %v", out, err)
	}
}

// TestSeedIsRandom: no seed is made of bytes that did not come.
func TestSeedIsRandom(t *testing.T) {
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ek := &EK{public: &Public{Key: signer.Public(), nameAlg: algSHA256, aesBits: 128}}
	if seed, encrypted, err := ek.seed(&lateReader{}, crypto.SHA256); seed != nil || encrypted != nil || err == nil {
		t.Errorf("seed %x, error %v", seed, err)
	}
}

// TestSignatureByOtherHash: SHA-1 is no hash, even of a signature that would do.
func TestSignatureByOtherHash(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("quote")
	r, s, err := ecdsa.Sign(rand.Reader, key, digest(crypto.SHA256, message))
	if err != nil {
		t.Fatal(err)
	}
	for hash, want := range map[uint16]bool{algSHA256: true, algSHA1: false, algNull: false} {
		sig := &signature{scheme: algECDSA, hash: hash, r: r.Bytes(), s: s.Bytes()}
		if got := sig.verify(&Public{Key: &key.PublicKey}, message); got != want {
			t.Errorf("hash %#x: %t", hash, got)
		}
	}
}

// TestLogThatContradictsItself is refused even if none of the registers that it
// should lead to was quoted.
func TestLogThatContradictsItself(t *testing.T) {
	log := tpmforge.HealthyLog(tpmforge.SHA256, []byte("image"))
	claims := func() *Claims {
		return &Claims{Bank: tcg.Algorithm(algSHA256), PCRs: map[uint8][]byte{16: make([]byte, 32)}}
	}
	if checks := claims().ReadLog(log.Encode()); attest.FailureOf(checks) != nil {
		t.Fatal(checks)
	}
	for _, e := range log.Events {
		if e.Type == uint32(tcg.Separator) {
			log.Events = append(log.Events, e)
			break
		}
	}
	if checks := claims().ReadLog(log.Encode()); attest.FailureOf(checks) == nil {
		t.Errorf("a second separator: %v", checks)
	}
}
