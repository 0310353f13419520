package tdx_test

import (
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/tdx"
)

// TestZeroRefuses: nothing that was not made by a constructor accepts anything.
func TestZeroRefuses(t *testing.T) {
	c := captures()[0]
	ev, end := c.evidence(t), c.endorsements(t)
	for name, v := range map[string]*tdx.Verifier{"nil": nil, "zero": {}} {
		if claims, err := v.Verify(ev, end, c.at); claims != nil || failure(t, err).Code() != attest.CodeUntrustedRoot {
			t.Errorf("%s verifier: %v, %v", name, claims, err)
		}
		if chain, err := v.Endorse(end, c.at); chain != nil || failure(t, err).Code() != attest.CodeUntrustedRoot {
			t.Errorf("%s verifier endorses: %v", name, err)
		}
	}
	for name, chain := range map[string]*tdx.Chain{"nil": nil, "zero": {}} {
		if claims, err := chain.Verify(ev, c.at); claims != nil || failure(t, err).Code() != attest.CodeBadChain || len(failure(t, err).Failed()) != 1 {
			t.Errorf("%s chain: %v, %v", name, claims, err)
		}
		if chain.Endorsed() != (attest.Validity{}) {
			t.Errorf("%s chain is in force", name)
		}
	}
	for _, root := range [][]byte{nil, {0x30, 0}, []byte("root")} {
		if v, err := tdx.NewVerifierWithRoot(root); v != nil || err == nil {
			t.Errorf("a verifier with the root %x", root)
		}
	}
}

// TestWarm: a chain that was verified once says of every quote what a whole
// verification says.
func TestWarm(t *testing.T) {
	intel := attesttest.NewIntel()
	v := forgedVerifier(t, intel.Root(t))
	ev, end := intel.Make(t, attest.TDX, [64]byte{1})
	chain := endorsed(t, v, ev, end, capture{at: attesttest.Epoch()})
	for _, c := range []struct {
		name string
		opts []attesttest.IntelOption
		ok   bool
	}{
		{"same", nil, true},
		{"other guest", []attesttest.IntelOption{attesttest.EditTD(func(r *attesttest.IntelTD) { r.MRTD[0] ^= 1 })}, true},
		{"version 5", []attesttest.IntelOption{attesttest.QuoteVersion(5)}, true},
		{"other machine", []attesttest.IntelOption{attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.PPID = []byte("another PPID 002") })}, false},
		{"changed", []attesttest.IntelOption{attesttest.EditSignedQuote(func(q *attesttest.IntelQuote) { q.Body[300] ^= 1 })}, false},
		{"labelled as SGX", []attesttest.IntelOption{attesttest.IntelKind(attest.SGX)}, false},
		{"empty", []attesttest.IntelOption{attesttest.EditQuoteBytes(func([]byte) []byte { return nil })}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, end := intel.Make(t, attest.TDX, [64]byte{2}, c.opts...)
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
	ev, end := intel.Make(t, attest.TDX, [64]byte{1}, attesttest.Platform("OutOfDate", "INTEL-SA-00615"))
	chain := endorsed(t, v, ev, end, capture{at: attesttest.Epoch()})
	detail := func() *tdx.Claims {
		claims, err := chain.Verify(ev, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		return claims.Detail.(*tdx.Claims)
	}
	first, second := detail(), detail()
	first.TCB.Advisories[0], first.TCB.Platform.Advisories[0] = "changed", "changed"
	first.PCK.PlatformID[0] ^= 1
	*first.PCK.Configuration.SMTEnabled = !*first.PCK.Configuration.SMTEnabled
	first.TCB.Module.Status = tdx.Revoked
	first.RootCRL.Number.SetInt64(99)
	if third := detail(); !reflect.DeepEqual(second, third) {
		t.Errorf("got %+v, want %+v", third, second)
	}
}

// TestPCKChain takes the chain from quotes alone.
func TestPCKChain(t *testing.T) {
	c := captures()[0]
	if e, err := tdx.PCKChain(c.evidence(t)); err != nil || e.Label != attest.LabelIntelPCKChain || len(e.Data) == 0 {
		t.Errorf("%v, %v", e, err)
	}
	empty, _ := attesttest.NewIntel().Make(t, attest.TDX, [64]byte{1}, attesttest.EditQuote(func(q *attesttest.IntelQuote) { q.CertData = nil }))
	for _, ev := range []attest.Evidence{empty, {}, {Kind: attest.TDX}, {Kind: attest.SGX, Data: c.evidence(t).Data}} {
		if e, err := tdx.PCKChain(ev); err == nil || e.Data != nil {
			t.Errorf("%s: a chain", ev.Kind)
		}
	}
}

// TestEventLog: of the data only what was measured is passed on.
func TestEventLog(t *testing.T) {
	for _, v := range attesttest.TDXVectors(t) {
		if v.Row != "T22" || v.Stage != attesttest.StageNone {
			continue
		}
		claims, err := forgedVerifier(t, v.Roots[0]).Verify(v.Evidence, v.Endorsements, v.At)
		if err != nil {
			t.Fatal(err)
		}
		log := claims.Detail.(*tdx.Claims).EventLog
		if log == nil || len(log.Events) != 5 {
			t.Fatalf("%s: log %+v, want 5 events", v.Name, log)
		}
		for i, want := range []struct {
			rtmr int
			kind string
			data string
		}{{0, "EV_EFI_VARIABLE_DRIVER_CONFIG", "variable"}, {0, "EV_SEPARATOR", "\x00\x00\x00\x00"}, {1, "EV_EFI_ACTION", "boot"}, {2, "EV_IPL", "kernel"}, {3, "EV_EVENT_TAG", "policy"}} {
			e := log.Events[i]
			if v.Name == "log-with-other-data" && want.data == "kernel" {
				want.data = ""
			}
			if e.RTMR != want.rtmr || e.Type != want.kind || string(e.Data) != want.data || e.Digest == [48]byte{} {
				t.Errorf("%s: event %d: %+v, want %+v", v.Name, i, e, want)
			}
		}
	}
}

func TestAttributesString(t *testing.T) {
	for _, c := range []struct {
		a    tdx.Attributes
		want string
	}{
		{0, "none"},
		{tdx.AttributeDebug, "debug"},
		{tdx.AttributeSeptVEDisable | tdx.AttributePerfmon, "sept_ve_disable perfmon"},
		{1 << 3, "0x8"},
		{1<<40 | tdx.AttributeMigratable, "migratable 0x10000000000"},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%#x: %q, want %q", uint64(c.a), got, c.want)
		}
	}
}
