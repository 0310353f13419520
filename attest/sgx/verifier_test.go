package sgx_test

import (
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/sgx"
)

// TestZeroRefuses: nothing that was not made by a constructor accepts anything.
func TestZeroRefuses(t *testing.T) {
	c := captures()[0]
	ev, end := c.evidence(t), c.endorsements(t)
	for name, v := range map[string]*sgx.Verifier{"nil": nil, "zero": {}} {
		if claims, err := v.Verify(ev, end, c.at); claims != nil || failure(t, err).Code() != attest.CodeUntrustedRoot {
			t.Errorf("%s verifier: %v, %v", name, claims, err)
		}
		if chain, err := v.Endorse(end, c.at); chain != nil || failure(t, err).Code() != attest.CodeUntrustedRoot {
			t.Errorf("%s verifier endorses: %v", name, err)
		}
	}
	for name, chain := range map[string]*sgx.Chain{"nil": nil, "zero": {}} {
		if claims, err := chain.Verify(ev, c.at); claims != nil || failure(t, err).Code() != attest.CodeBadChain || len(failure(t, err).Failed()) != 1 {
			t.Errorf("%s chain: %v, %v", name, claims, err)
		}
		if chain.Endorsed() != (attest.Validity{}) {
			t.Errorf("%s chain is in force", name)
		}
	}
	for _, root := range [][]byte{nil, {0x30, 0}, []byte("root")} {
		if v, err := sgx.NewVerifierWithRoot(root); v != nil || err == nil {
			t.Errorf("a verifier with the root %x", root)
		}
	}
}

// TestWarm: a chain that was verified once says of every quote what a whole
// verification says.
func TestWarm(t *testing.T) {
	intel := attesttest.NewIntel()
	v := forgedVerifier(t, intel.Root(t))
	ev, end := intel.Make(t, attest.SGX, [64]byte{1})
	chain := endorsed(t, v, ev, end, capture{at: attesttest.Epoch()})
	for _, c := range []struct {
		name string
		opts []attesttest.IntelOption
		ok   bool
	}{
		{"same", nil, true},
		{"other guest", []attesttest.IntelOption{attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.MRENCLAVE[0] ^= 1 })}, true},
		{"version 5", []attesttest.IntelOption{attesttest.QuoteVersion(5)}, true},
		{"other machine", []attesttest.IntelOption{attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.PPID = []byte("another PPID 002") })}, false},
		{"changed", []attesttest.IntelOption{attesttest.EditSignedQuote(func(q *attesttest.IntelQuote) { q.Body[350] ^= 1 })}, false},
		{"labelled as TDX", []attesttest.IntelOption{attesttest.IntelKind(attest.TDX)}, false},
		{"empty", []attesttest.IntelOption{attesttest.EditQuoteBytes(func([]byte) []byte { return nil })}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, end := intel.Make(t, attest.SGX, [64]byte{2}, c.opts...)
			warm, err := chain.Verify(ev, attesttest.Epoch())
			if (err == nil) != c.ok || (warm == nil) == (err == nil) {
				t.Fatalf("claims %v, error %v", warm, err)
			}
			if !c.ok {
				return
			}
			cold, err := v.Verify(ev, end, attesttest.Epoch())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(warm.Detail, cold.Detail) || warm.ReportData != cold.ReportData || warm.Endorsed != cold.Endorsed {
				t.Errorf("warm %+v, cold %+v", warm.Detail, cold.Detail)
			}
		})
	}
	if _, err := chain.Verify(ev, attesttest.Epoch().AddDate(0, 1, 0)); err == nil {
		t.Error("accepted a month later")
	}
	if chain.Endorsed() == (attest.Validity{}) || !chain.Endorsed().Contains(attesttest.Epoch()) {
		t.Errorf("in force %v", chain.Endorsed())
	}
	if _, err := v.Endorse(end, attesttest.Epoch()); err == nil {
		t.Error("endorsed without a PCK chain")
	}
}

// TestClaimsAreTheCallers: whoever changes claims changes no later ones.
func TestClaimsAreTheCallers(t *testing.T) {
	intel := attesttest.NewIntel()
	v := forgedVerifier(t, intel.Root(t))
	ev, end := intel.Make(t, attest.SGX, [64]byte{1}, attesttest.Platform("OutOfDate", "INTEL-SA-00615"))
	chain := endorsed(t, v, ev, end, capture{at: attesttest.Epoch()})
	detail := func() *sgx.Claims {
		claims, err := chain.Verify(ev, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		return claims.Detail.(*sgx.Claims)
	}
	first, second := detail(), detail()
	first.TCB.Advisories[0], first.TCB.Platform.Advisories[0] = "changed", "changed"
	first.PCK.PlatformID[0] ^= 1
	*first.PCK.Configuration.SMTEnabled = !*first.PCK.Configuration.SMTEnabled
	first.RootCRL.Number.SetInt64(99)
	if third := detail(); !reflect.DeepEqual(second, third) {
		t.Errorf("got %+v, want %+v", third, second)
	}
}

// TestPCKChain takes the chain from quotes alone.
func TestPCKChain(t *testing.T) {
	c := captures()[0]
	if e, err := sgx.PCKChain(c.evidence(t)); err != nil || e.Label != attest.LabelIntelPCKChain || len(e.Data) == 0 {
		t.Errorf("%v, %v", e, err)
	}
	empty, _ := attesttest.NewIntel().Make(t, attest.SGX, [64]byte{1}, attesttest.EditQuote(func(q *attesttest.IntelQuote) { q.CertData = nil }))
	for _, ev := range []attest.Evidence{empty, {}, {Kind: attest.SGX}, {Kind: attest.TDX, Data: c.evidence(t).Data}} {
		if e, err := sgx.PCKChain(ev); err == nil || e.Data != nil {
			t.Errorf("%s: a chain", ev.Kind)
		}
	}
}

func TestAttributesString(t *testing.T) {
	for _, c := range []struct {
		a    sgx.Attributes
		want string
	}{
		{0, "none"},
		{sgx.AttributeInit | sgx.AttributeDebug, "init debug"},
		{sgx.AttributeKSS | 1<<40, "kss 0x10000000000"},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%#x: %q, want %q", uint64(c.a), got, c.want)
		}
	}
}
