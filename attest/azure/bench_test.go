package azure_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"
)

// The benchmarks verify one real Azure VM. There is no library in Go that verifies
// the whole; the peer is go-sev-guest for the report in it, and a bare RSA
// verification for the quote: no more than the two signatures and the chain.

// BenchmarkVerifyCold verifies a report, a VCEK and a quote never seen before.
func BenchmarkVerifyCold(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		ev, end := imported(b, "snp-v1-trustee")
		v := realVerifier(b, ev.Kind)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(ev, end, pinned()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("go-sev-guest+rsa", func(b *testing.B) { benchPeer(b) })
}

// BenchmarkVerifyWarm verifies another quote of a machine whose VCEK was verified
// before.
func BenchmarkVerifyWarm(b *testing.B) {
	ev, chain := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chain.Verify(ev, pinned()); err != nil {
			b.Fatal(err)
		}
	}
}

func warm(t testing.TB) (attest.Evidence, *azure.Chain) {
	t.Helper()
	ev, end := imported(t, "snp-v1-trustee")
	chain, err := realVerifier(t, ev.Kind).Endorse(end, pinned())
	if err != nil {
		t.Fatal(err)
	}
	return ev, chain
}

// TestWarm: the warm path says what the cold one does, and nothing else.
func TestWarm(t *testing.T) {
	ev, chain := warm(t)
	claims, err := chain.Verify(ev, pinned())
	if err != nil {
		t.Fatal(err)
	}
	_, end := imported(t, "snp-v1-trustee")
	cold, err := realVerifier(t, ev.Kind).Verify(ev, end, pinned())
	if err != nil || len(cold.Checks) != len(claims.Checks) {
		t.Errorf("%d checks warm, cold %v, %v", len(claims.Checks), cold, err)
	}
	if got := chain.Endorsed(); got != claims.Endorsed || got.NotAfter.IsZero() {
		t.Errorf("endorsed for %v, the claims for %v", got, claims.Endorsed)
	}
	if got := (*azure.Chain)(nil).Endorsed(); got != (attest.Validity{}) {
		t.Errorf("no chain, endorsed for %v", got)
	}
	other, _ := imported(t, "snp-v2-trustee")
	if _, err := chain.Verify(other, pinned()); err == nil {
		t.Error("another machine's report accepted under this one's certificate")
	}
	if _, err := chain.Verify(ev, pinned().AddDate(20, 0, 0)); err == nil {
		t.Error("accepted after the certificate's end")
	}
	if _, err := (*azure.Chain)(nil).Verify(ev, pinned()); err == nil {
		t.Error("accepted without a chain")
	}
	if _, err := realVerifier(t, attest.AzureTDX).Endorse(end, pinned()); err == nil {
		t.Error("a chain for TDX")
	}
}

// TestAllocations holds both paths to their budgets. Two RSA verifications and one
// on P-384 take 170 of them.
func TestAllocations(t *testing.T) {
	ev, end := imported(t, "snp-v1-trustee")
	v := realVerifier(t, ev.Kind)
	_, chain := warm(t)
	for name, c := range map[string]struct {
		budget float64
		verify func() (*attest.Claims, error)
	}{
		"cold": {310, func() (*attest.Claims, error) { return v.Verify(ev, end, pinned()) }},
		"warm": {165, func() (*attest.Claims, error) { return chain.Verify(ev, pinned()) }},
	} {
		got := testing.AllocsPerRun(20, func() {
			if _, err := c.verify(); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.budget {
			t.Errorf("%s: %v allocations, budget %v", name, got, c.budget)
		}
	}
}

func benchPeer(b *testing.B) {
	ev, end := imported(b, "snp-v1-trustee")
	a, err := form.ParseAzure(ev.Data)
	if err != nil {
		b.Fatal(err)
	}
	hcl, err := azure.ParseHCL(a.HCLReport)
	if err != nil {
		b.Fatal(err)
	}
	root, err := trust.GetDefaultRootCerts("Milan")
	if err != nil {
		b.Fatal(err)
	}
	opts := &verify.Options{DisableCertFetching: true, Now: pinned(), TrustedRoots: map[string][]*trust.AMDRootCerts{"Milan": {root}}}
	b.ReportAllocs()
	for b.Loop() {
		report, err := abi.ReportToProto(hcl.Hardware)
		if err != nil {
			b.Fatal(err)
		}
		att := &spb.Attestation{Report: report, CertificateChain: &spb.CertificateChain{VcekCert: end[0].Data}}
		if err := verify.SnpAttestation(att, opts); err != nil {
			b.Fatal(err)
		}
		runtime, err := azure.ParseRuntime(hcl.Runtime)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.Sum256(a.TPM.Quote)
		if err := rsa.VerifyPKCS1v15(runtime.AK, crypto.SHA256, sum[:], a.TPM.Signature[6:]); err != nil {
			b.Fatal(err)
		}
	}
}
