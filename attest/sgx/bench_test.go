package sgx_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
)

// BenchmarkVerify verifies a quote of version 3 with full collateral and both
// CRLs. The peer of package tdx reads no quotes of enclaves, so what stands beside
// it is the floor: nine signatures on P-256 cold (three certificates, two
// documents, two CRLs, the quoting enclave's report, the quote), two warm.
func BenchmarkVerify(b *testing.B) { quotes().BenchmarkVerify(b, quotes().Capture(b, "v3-qvl")) }

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
