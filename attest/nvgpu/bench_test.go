package nvgpu_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

// The benchmarks verify one real H100. There is no Go library to put beside it:
// five ECDSA P-384 signatures (four certificates and the report) are the floor of
// the cold path, one that of the warm path.
func BenchmarkVerifyCold(b *testing.B) {
	v, ev := nvidiaVerifier(b, attest.NVIDIAGPU), captures[0].evidence(b)[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ev, nil, captures[0].at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyWarm(b *testing.B) {
	ev := captures[0].evidence(b)[0]
	chain := endorse(b, ev, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chain.Verify(ev, captures[0].at); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyEverything adds the manifest of a real switch: three certificates
// and a signature more.
func BenchmarkVerifyEverything(b *testing.B) {
	c := captures[4]
	v, ev, end := nvidiaVerifier(b, attest.NVSwitch), c.evidence(b)[0], c.endorsements(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ev, end, c.at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseManifest(b *testing.B) {
	data := vector(b, "rim/"+switchRIM+".xml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nvgpu.ParseManifest(data); err != nil {
			b.Fatal(err)
		}
	}
}

func endorse(t testing.TB, ev attest.Evidence, end attest.Endorsements) *nvgpu.Chain {
	t.Helper()
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := nvidiaVerifier(t, ev.Kind).Endorse(g.Chain, end, captures[4].at)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// TestWarmAllocations holds the warm path to its budget, which a slow machine
// cannot hide.
func TestWarmAllocations(t *testing.T) {
	ev := captures[0].evidence(t)[0]
	chain := endorse(t, ev, nil)
	got := testing.AllocsPerRun(20, func() {
		if _, err := chain.Verify(ev, captures[0].at); err != nil {
			t.Fatal(err)
		}
	})
	if got > 160 {
		t.Errorf("%v allocations, budget 160", got)
	}
}

// TestWarm: a verified chain gives the same claims, again and for the same
// device only, and refuses what it refuses cold.
func TestWarm(t *testing.T) {
	v := forgedVerifier(t, attest.NVIDIAGPU)
	n, at := attesttest.NewNVIDIA(), attesttest.Epoch()
	ev, end := n.MakeGPU(t, [32]byte{1})
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := v.Endorse(g.Chain, end, at)
	if err != nil {
		t.Fatal(err)
	}
	cold, err := v.Verify(ev, end, at)
	if err != nil {
		t.Fatal(err)
	}
	warm, err := chain.Verify(ev, at)
	if err != nil || describe(warm) != describe(cold) {
		t.Errorf("warm differs from cold: %v", err)
	}
	if !chain.Endorsed().Contains(at) {
		t.Errorf("endorsed %v", chain.Endorsed())
	}
	other, _ := n.MakeGPU(t, [32]byte{1}, attesttest.GPUSerial("48B02D0000000009"))
	_, err = chain.Verify(other, at)
	casetest.Refused(t, err, "hardware.chain", attest.CodeBadChain)
	_, err = chain.Verify(attest.Evidence{Kind: attest.NVSwitch, Data: ev.Data}, at)
	casetest.Refused(t, err, "hardware.kind", attest.CodeKindMismatch)
	_, err = chain.Verify(ev, at.AddDate(0, 0, 2))
	casetest.Refused(t, err, "hardware.ocsp_time", nvgpu.CodeStaleOCSP)
	_, err = chain.Verify(ev, at.AddDate(3, 0, 0))
	casetest.Refused(t, err, "hardware.driver_rim_validity", attest.CodeExpired)
	for name, c := range map[string]*nvgpu.Chain{"zero": {}, "nil": nil} {
		claims, err := c.Verify(ev, at)
		if claims != nil {
			t.Errorf("%s chain verified", name)
		}
		if span := c.Endorsed(); span.Contains(at) {
			t.Errorf("%s chain in force: %v", name, span)
		}
		casetest.Refused(t, err, "hardware.chain", attest.CodeBadChain)
	}
}

// TestWarmNamelessManifest: a genuine manifest under no name is none, cold and warm.
// It would stand for firmware that the report does not name, and at a switch for a
// driver, whose version nobody compares there.
func TestWarmNamelessManifest(t *testing.T) {
	for _, c := range []struct {
		kind attest.Kind
		of   string // the manifest that loses its name
		opts []attesttest.GPUOption
	}{
		{attest.NVIDIAGPU, attesttest.GPUVBIOSRIM, []attesttest.GPUOption{attesttest.SetGPUField(17, nil)}},
		{attest.NVSwitch, attesttest.SwitchRIM, []attesttest.GPUOption{attesttest.Switch()}},
	} {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, c.opts...)
		for i := range end {
			if end[i].Label == attest.LabelNVIDIARIM+c.of {
				end[i].Label = attest.LabelNVIDIARIM
			}
		}
		g, err := form.ParseGPU(ev.Data)
		if err != nil {
			t.Fatal(err)
		}
		v := forgedVerifier(t, c.kind)
		chain, err := v.Endorse(g.Chain, end, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		cold, err := v.Verify(ev, end, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		warm, err := chain.Verify(ev, attesttest.Epoch())
		if err != nil || describe(warm) != describe(cold) {
			t.Errorf("%s: warm differs from cold: %v", c.kind, err)
		}
		if d := warm.Detail.(*nvgpu.Claims); d.VBIOS.Checked || c.kind == attest.NVSwitch && d.Driver.Checked {
			t.Errorf("%s: a manifest without a name counts: %+v, %+v", c.kind, d.Driver, d.VBIOS)
		}
	}
}

// TestEndorseRefuses: a chain that was not verified is not given out.
func TestEndorseRefuses(t *testing.T) {
	v := forgedVerifier(t, attest.NVIDIAGPU)
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1})
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append(attest.Endorsements{{Label: attest.LabelNVIDIARIM + "unused", Data: []byte("<a/>")}}, end...)
	if c, err := v.Endorse(g.Chain, damaged, attesttest.Epoch()); err == nil || c != nil {
		t.Error("endorsed with a damaged manifest")
	}
	many := slices.Clone(end)
	for _, id := range []string{"a", "b", "c"} {
		many = append(many, attest.Endorsement{Label: attest.LabelNVIDIARIM + id, Data: []byte("<a/>")})
	}
	_, err = v.Endorse(g.Chain, many, attesttest.Epoch())
	if f := (*attest.Failure)(nil); !errors.As(err, &f) || len(f.Failed()) != 1 {
		t.Errorf("more is verified of a stranger's manifests than the first: %v", err)
	}
	_, err = v.Verify(ev, unreadable(end), attesttest.Epoch()) // a report needs both
	casetest.Refused(t, err, "hardware.driver_rim", attest.CodeMalformed)
	casetest.Refused(t, err, "hardware.vbios_rim", attest.CodeMalformed)
	for range 3 { // each time for the same reasons, in the same order
		again, err := v.Endorse(g.Chain, unreadable(end), attesttest.Epoch())
		other, otherErr := v.Endorse(g.Chain, unreadable(end), attesttest.Epoch())
		if again != nil || other != nil || err == nil || otherErr == nil || err.Error() != otherErr.Error() {
			t.Fatalf("two refusals for one reason:\n%v\n%v", err, otherErr)
		}
	}
	if c, err := v.Endorse(nil, end, attesttest.Epoch()); err == nil || c != nil {
		t.Error("endorsed without certificates")
	}
	if c, err := v.Endorse(g.Chain, end, attesttest.Epoch().AddDate(0, 0, 2)); err == nil || c != nil {
		t.Error("endorsed with stale OCSP responses")
	}
	if chain, err := nvgpu.DeviceChain(attest.Evidence{Kind: ev.Kind, Data: ev.Data[:len(ev.Data)-1]}); err == nil || chain != nil {
		t.Errorf("certificates of evidence that is cut short: %d bytes, %v", len(chain), err)
	}
	for _, v := range []*nvgpu.Verifier{{}, nil} {
		c, err := v.Endorse(g.Chain, end, attesttest.Epoch())
		casetest.Refused(t, err, "hardware.chain", attest.CodeUntrustedRoot)
		claims, verifyErr := v.Verify(ev, end, attesttest.Epoch())
		casetest.Refused(t, verifyErr, "hardware.chain", attest.CodeUntrustedRoot)
		if c != nil || claims != nil || v.Kind() != attest.KindInvalid || !strings.Contains(err.Error(), "without roots") {
			t.Errorf("chain %v, claims %v of %s, or %v", c, claims, v.Kind(), err)
		}
	}
}

// BenchmarkSignature is the floor that P-384 sets: one signature, as
// crypto/ecdsa verifies it.
func BenchmarkSignature(b *testing.B) { casetest.BenchmarkSignatures(b, 1) }

// unreadable returns the endorsements with manifests that are none.
func unreadable(end attest.Endorsements) attest.Endorsements {
	out := slices.Clone(end)
	for i := range out {
		if id, ok := strings.CutPrefix(out[i].Label, attest.LabelNVIDIARIM); ok {
			out[i].Data = []byte("<" + id)
		}
	}
	return out
}
