package dcaptest

import (
	"bytes"
	"reflect"
	"sync"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestContract runs the suite that every TEE's verifier passes, on forged evidence
// of each form and on a real machine's.
func (k Kind[V, C]) TestContract(t *testing.T) {
	required := []string{attest.LabelIntelTCBInfo, attest.LabelIntelQEIdentity, attest.LabelIntelTCBChain}
	// The last byte ends the text of the certificates: nothing signs it, and white
	// space may stand there too.
	last := func(ev attest.Evidence) [][2]int { return [][2]int{{len(ev.Data) - 1, len(ev.Data)}} }
	for _, version := range k.Versions {
		t.Run("version "+string('0'+rune(version)), func(t *testing.T) {
			v, ev, end := k.make(t, attesttest.QuoteVersion(version))
			attesttest.TestVerifier(t, attesttest.Harness{
				Verifier: v, Evidence: ev, Endorsements: end, At: attesttest.Epoch(),
				ReportData: [64]byte{1}, Required: required, Unsigned: last(ev), Padding: k.Padding, Stride: 31,
			})
		})
	}
	t.Run("real", func(t *testing.T) {
		c := k.Captures[0]
		ev := k.Evidence(t, c)
		attesttest.TestVerifier(t, attesttest.Harness{
			Verifier: k.Intel(t), Evidence: ev, Endorsements: k.Endorsements(t, c), At: c.At,
			ReportData: [64]byte(ev.Data[k.ReportData:]), Required: required, Unsigned: last(ev), Padding: k.Padding, Stride: 31,
		})
	})
}

// TestZeroRefuses: nothing that was not made by a constructor accepts anything.
func (k Kind[V, C]) TestZeroRefuses(t *testing.T) {
	c := k.Captures[0]
	ev, end := k.Evidence(t, c), k.Endorsements(t, c)
	var none C
	for name, v := range k.Verifiers {
		if claims, err := v.Verify(ev, end, c.At); claims != nil || Failure(t, err).Code() != attest.CodeUntrustedRoot {
			t.Errorf("%s verifier: %v, %v", name, claims, err)
		}
		if chain, err := v.Endorse(end, c.At); chain != none || Failure(t, err).Code() != attest.CodeUntrustedRoot {
			t.Errorf("%s verifier endorses: %v", name, err)
		}
		if v.Kind() != k.Kind {
			t.Errorf("%s verifier of %s", name, v.Kind())
		}
	}
	for name, chain := range k.Chains {
		if claims, err := chain.Verify(ev, c.At); claims != nil || Failure(t, err).Code() != attest.CodeBadChain || len(Failure(t, err).Failed()) != 1 {
			t.Errorf("%s chain: %v, %v", name, claims, err)
		}
		if chain.Endorsed() != (attest.Validity{}) {
			t.Errorf("%s chain is in force", name)
		}
	}
	for _, root := range [][]byte{nil, {0x30, 0}, []byte("root")} {
		if _, err := k.NewWithRoot(root); err == nil {
			t.Errorf("a verifier with the root %x", root)
		}
	}
}

// TestWarm: a chain that was verified once says of every quote what a whole
// verification says.
func (k Kind[V, C]) TestWarm(t *testing.T) {
	v, ev, end := k.make(t)
	chain := k.Endorsed(t, v, ev, end, attesttest.Epoch())
	for _, c := range []struct {
		name string
		opts []attesttest.IntelOption
		ok   bool
	}{
		{"same", nil, true},
		{"other guest", []attesttest.IntelOption{k.Edit}, true},
		{"version 5", []attesttest.IntelOption{attesttest.QuoteVersion(5)}, true},
		{"other machine", []attesttest.IntelOption{attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.PPID = []byte("another PPID 002") })}, false},
		{"changed", []attesttest.IntelOption{attesttest.EditSignedQuote(func(q *attesttest.IntelQuote) { q.Body[350] ^= 1 })}, false},
		{"other label", []attesttest.IntelOption{attesttest.IntelKind(k.Other)}, false},
		{"empty", []attesttest.IntelOption{attesttest.EditQuoteBytes(func([]byte) []byte { return nil })}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ev, end := k.make(t, c.opts...)
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

// TestClaimsAreTheCallers: one verifier and one chain serve many at once, and
// whoever changes claims changes nobody else's.
func (k Kind[V, C]) TestClaimsAreTheCallers(t *testing.T) {
	v, ev, end := k.make(t, attesttest.Platform("OutOfDate", "INTEL-SA-00615"))
	chain := k.Endorsed(t, v, ev, end, attesttest.Epoch())
	want, err := chain.Verify(ev, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			claims, err := chain.Verify(ev, attesttest.Epoch())
			if i%4 == 0 {
				claims, err = v.Verify(ev, end, attesttest.Epoch())
			}
			if err != nil {
				t.Error(err)
				return
			}
			if !reflect.DeepEqual(claims.Detail, want.Detail) {
				t.Errorf("got %+v, want %+v", claims.Detail, want.Detail)
			}
			k.spoil(claims)
		})
	}
	all.Wait()
}

// spoil changes everything in the claims that is behind a pointer.
func (k Kind[V, C]) spoil(claims *attest.Claims) {
	d := k.Detail(claims)
	d.TCB.Advisories[0], d.TCB.Platform.Advisories[0] = "changed", "changed"
	if d.TCB.Module != nil {
		d.TCB.Module.Status++
	}
	d.PCK.PlatformID[0] ^= 1
	*d.PCK.Configuration.SMTEnabled = !*d.PCK.Configuration.SMTEnabled
	d.RootCRL.Number.SetInt64(99)
}

// TestPCKChain takes the chain from quotes alone.
func (k Kind[V, C]) TestPCKChain(t *testing.T) {
	c := k.Captures[0]
	if e, err := k.PCKChain(k.Evidence(t, c)); err != nil || e.Label != attest.LabelIntelPCKChain || !bytes.Contains(File(t, k.Kind, c.Quote), e.Data) {
		t.Errorf("%v, %v", e, err)
	}
	_, empty, _ := k.make(t, attesttest.EditQuote(func(q *attesttest.IntelQuote) { q.CertData = nil }))
	for _, ev := range []attest.Evidence{empty, {}, {Kind: k.Kind}, {Kind: k.Other, Data: k.Evidence(t, c).Data}} {
		if e, err := k.PCKChain(ev); err == nil || e.Data != nil {
			t.Errorf("%s: a chain", ev.Kind)
		}
	}
}

// BenchmarkVerify verifies a capture with all that stands beside it.
func (k Kind[V, C]) BenchmarkVerify(b *testing.B, c Capture) {
	v, ev, end := k.Intel(b), k.Evidence(b, c), k.Endorsements(b, c)
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(ev, end, c.At); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		chain := k.Endorsed(b, v, ev, end, c.At)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chain.Verify(ev, c.At); err != nil {
				b.Fatal(err)
			}
		}
	})
}
