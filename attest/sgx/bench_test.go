package sgx_test

import (
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
// CRLs. It stands alone: the peer of package tdx reads no quotes of enclaves.
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
