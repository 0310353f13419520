package snp_test

import (
	"crypto/x509"
	"testing"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// The benchmarks verify one real Genoa report, beside go-sev-guest in the same
// run. Both sides have parsed their roots before the clock starts.
//
// Cold is a report and a VCEK never seen before: parse the certificate, check
// the ASK's signature on it, check the report's signature.
//
// Warm is another report of a machine whose certificate chain was verified
// before. go-sev-guest has no such thing as a verified chain: its cheapest way
// to verify a report is the whole of SnpAttestation with the parsed report and
// parsed roots reused. Its SnpReportSignature takes a certificate and checks
// nothing but one signature, so it is no verification; it is shown because it is
// the floor that P-384 sets for both sides.
func BenchmarkVerifyCold(b *testing.B) {
	m := benchMachine()
	b.Run("ours", func(b *testing.B) {
		v, ev, end := amdVerifier(b), m.evidence(b), m.endorsements(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(ev, end, m.at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("go-sev-guest", func(b *testing.B) {
		raw, opts := m.evidence(b).Data, m.peerOptions(b)
		chain := m.peerChain(b)
		b.ReportAllocs()
		for b.Loop() {
			report, err := abi.ReportToProto(raw)
			if err != nil {
				b.Fatal(err)
			}
			if err := verify.SnpAttestation(&spb.Attestation{Report: report, CertificateChain: chain}, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyWarm(b *testing.B) {
	m := benchMachine()
	b.Run("ours", func(b *testing.B) {
		chain, ev := m.chain(b, amdVerifier(b)), m.evidence(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chain.Verify(ev, m.at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("go-sev-guest", func(b *testing.B) {
		report, err := abi.ReportToProto(m.evidence(b).Data)
		if err != nil {
			b.Fatal(err)
		}
		att, opts := &spb.Attestation{Report: report, CertificateChain: m.peerChain(b)}, m.peerOptions(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := verify.SnpAttestation(att, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("go-sev-guest-signature-only", func(b *testing.B) {
		raw := m.evidence(b).Data
		cert, err := x509.ParseCertificate(m.endorsements(b)[0].Data)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := verify.SnpReportSignature(raw, cert); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestAllocations holds both paths to their budgets, which a slow machine cannot
// hide. go-sev-guest takes 472 and 460.
func TestAllocations(t *testing.T) {
	m := benchMachine()
	v, ev, end := amdVerifier(t), m.evidence(t), m.endorsements(t)
	chain := m.chain(t, v)
	for name, c := range map[string]struct {
		budget float64
		verify func() (*attest.Claims, error)
	}{
		"cold": {215, func() (*attest.Claims, error) { return v.Verify(ev, end, m.at) }},
		"warm": {40, func() (*attest.Claims, error) { return chain.Verify(ev, m.at) }},
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

func benchMachine() machine {
	for _, m := range machines {
		if m.name == "genoa-v5-oak" {
			return m
		}
	}
	return machine{}
}

func (m machine) chain(t testing.TB, v *snp.Verifier) *snp.Chain {
	t.Helper()
	chain, err := v.Endorse(m.endorsements(t), m.at)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// peerChain is the certificate as go-sev-guest takes it.
func (m machine) peerChain(t testing.TB) *spb.CertificateChain {
	vek := m.endorsements(t)[0].Data
	if m.signer == snp.SignerVLEK {
		return &spb.CertificateChain{VlekCert: vek}
	}
	return &spb.CertificateChain{VcekCert: vek}
}

// peerOptions are go-sev-guest's, offline, at the pin time, with AMD's roots
// parsed beforehand.
func (m machine) peerOptions(t testing.TB) *verify.Options {
	t.Helper()
	line := m.product.String()
	root, err := trust.GetDefaultRootCerts(line)
	if err != nil {
		t.Fatal(err)
	}
	if m.signer == snp.SignerVLEK {
		// The default roots have no ASVK; the embedded file does.
		root = trust.AMDRootCertsProduct(line)
		if err := root.FromKDSCertBytes(trust.AskArkMilanVlekBytes); err != nil {
			t.Fatal(err)
		}
	}
	opts := &verify.Options{
		DisableCertFetching: true,
		Now:                 m.at,
		TrustedRoots:        map[string][]*trust.AMDRootCerts{line: {root}},
	}
	if m.version == 2 {
		if opts.Product, err = kds.ParseProductName("Milan-B0", abi.VcekReportSigner); err != nil {
			t.Fatal(err)
		}
	}
	return opts
}
