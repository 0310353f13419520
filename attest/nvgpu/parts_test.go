package nvgpu

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
)

// Rules whose breach no whole piece of evidence shows, because something before
// or behind them refuses it as well.

// TestVerifyRawOnP384 holds that the curve and the length are part of what is
// verified: r and s of a smaller curve fit into the same bytes.
func TestVerifyRawOnP384(t *testing.T) {
	message := []byte("report")
	sum := sha512.Sum384(message)
	for _, curve := range []elliptic.Curve{elliptic.P384(), elliptic.P256()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		half := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 48)) }
		cert := &x509.Certificate{PublicKey: &key.PublicKey}
		if got := verifyRaw(cert, message, slices.Concat(half(r), half(s))); got != (curve == elliptic.P384()) {
			t.Errorf("%s: %t", curve.Params().Name, got)
		}
		for name, signature := range map[string][]byte{"longer": slices.Concat(half(r), []byte{0}, half(s)), "empty": nil} {
			if verifyRaw(cert, message, signature) {
				t.Errorf("%s signature accepted", name)
			}
		}
	}
	if verifyRaw(&x509.Certificate{PublicKey: ed25519.PublicKey(make([]byte, 32))}, message, make([]byte, 96)) {
		t.Error("a key of another kind")
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, der := range map[string][]byte{"nothing": nil, "another type": {2, 1, 1}, "cut": {4, 2, 1}, "two": {4, 1, 1, 4, 1, 1}} {
		var out []byte
		if err := decode(der, &out, ""); err == nil {
			t.Errorf("%s: read as %x", name, out)
		}
	}
}
