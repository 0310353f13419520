package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// Rules whose breach no whole quote shows, because something before or behind
// them refuses it as well.

func TestTakeRefuses(t *testing.T) {
	for _, n := range []int{-1, 5} {
		r := &reader{data: make([]byte, 8), off: 2, end: 6}
		if b := r.take("field", n); b != nil || r.err == nil {
			t.Errorf("%d bytes: %v, %v", n, b, r.err)
		}
	}
}

func TestReadKeyRefuses(t *testing.T) {
	key, err := intelforge.NewKey("attestation")
	if err != nil {
		t.Fatal(err)
	}
	public, err := intelforge.RawPublic(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readKey(public); err != nil || !got.Equal(&key.PublicKey) {
		t.Fatalf("%v, %v", got, err)
	}
	for name, xy := range map[string][]byte{
		"empty": nil, "one short": public[:63], "one long": append(bytes.Clone(public), 0), "no point": bytes.Repeat([]byte{1}, 64),
	} {
		if got, err := readKey(xy); got != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestVerifyRawOnP256 holds that the curve is part of what is verified: r and s
// of a smaller one fit into the same bytes.
func TestVerifyRawOnP256(t *testing.T) {
	hash := sha256.Sum256([]byte("quote"))
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P224()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		if got := verifyRaw(&key.PublicKey, hash[:], rawSignature(r, s)); got != (curve == elliptic.P256()) {
			t.Errorf("%s: %t", curve.Params().Name, got)
		}
	}
}

func rawSignature(r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func TestModuleWithoutSigner(t *testing.T) {
	if _, problem := (&TCBInfo{TEE: TDX}).checkModule(&TDReport{}); problem == nil || problem.Code != CodeTDXModule {
		t.Errorf("%v, expected %s", problem, CodeTDXModule)
	}
}

// TestUnknownStatus holds that no machine stands in a way that has no name.
func TestUnknownStatus(t *testing.T) {
	f := newForged(t, SGX)
	facts, checks := f.verify(t)
	if facts == nil {
		t.Fatal(failed(checks))
	}
	end := f.collateral(t)
	info, err := ParseTCBInfo(end[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := ParseQEIdentity(end[1].Data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range info.Levels {
		info.Levels[i].Status = StatusUnknown
	}
	if _, checks := info.evaluate(&facts.PCK, facts.Quote, identity); !slices.Equal(failed(checks), []string{"hardware.tcb_level no_tcb_level"}) {
		t.Errorf("failed %q", failed(checks))
	}
}
