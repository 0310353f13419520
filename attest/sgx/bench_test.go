package sgx_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sgx"
)

func endorsed(t testing.TB, v *sgx.Verifier, ev attest.Evidence, end attest.Endorsements, c capture) *sgx.Chain {
	t.Helper()
	pck, err := sgx.PCKChain(ev)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := v.Endorse(append(end, pck), c.at)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// BenchmarkVerify verifies a quote of version 3 with full collateral and both
// CRLs. The peer of package tdx reads no quotes of enclaves, so what stands beside
// it is the floor: nine signatures on P-256 cold (three certificates, two
// documents, two CRLs, the quoting enclave's report, the quote), two warm.
func BenchmarkVerify(b *testing.B) {
	var c capture
	for _, each := range captures() {
		if each.name == "v3-qvl" {
			c = each
		}
	}
	v, ev, end := intelVerifier(b), c.evidence(b), c.endorsements(b)
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(ev, end, c.at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		chain := endorsed(b, v, ev, end, c)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chain.Verify(ev, c.at); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSignature is one signature on P-256, as crypto/ecdsa verifies it.
func BenchmarkSignature(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("quote"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
			b.Fatal("not verified")
		}
	}
}
