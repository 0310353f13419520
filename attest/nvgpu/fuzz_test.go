package nvgpu_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

func reports(t testing.TB) [][]byte {
	var out [][]byte
	for _, c := range captures {
		for _, ev := range c.evidence(t) {
			g, err := form.ParseGPU(ev.Data)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, g.Report)
		}
	}
	return out
}

func manifests(t testing.TB) [][]byte {
	files, err := filepath.Glob(filepath.Join(vectorDir, "rim", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, f := range files {
		out = append(out, vector(t, "rim/"+filepath.Base(f)))
	}
	return out
}

// forged returns the endorsements of a healthy device whose label has that
// beginning.
func forged(t testing.TB, label string) [][]byte {
	_, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1})
	var out [][]byte
	for _, e := range end {
		if len(e.Label) > len(label) && e.Label[:len(label)] == label {
			out = append(out, e.Data)
		}
	}
	return out
}

// FuzzParseReport holds that what is accepted has one length, and that every
// byte of a measurement's value is in the place that SPDM gives it.
func FuzzParseReport(f *testing.F) {
	for _, r := range reports(f) {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := nvgpu.ParseReport(data)
		if (r == nil) == (err == nil) {
			t.Fatalf("report %v and error %v", r, err)
		}
		if err != nil {
			return
		}
		at := 37 + 8
		for _, m := range r.Measurements {
			if data[at+4] != m.Type || !bytes.Equal(data[at+7:at+7+len(m.Value)], m.Value) {
				t.Fatal("a measurement is not where it stands")
			}
			at += 7 + len(m.Value)
		}
		if !bytes.Equal(data[4:36], r.Nonce[:]) || !bytes.Equal(data[at:at+32], r.ResponderNonce[:]) {
			t.Fatal("a nonce is not where it stands")
		}
		if again, err := nvgpu.ParseReport(append(bytes.Clone(data), 0)); err == nil || again != nil {
			t.Fatal("a byte more is accepted too")
		}
	})
}

func FuzzParseOpaque(f *testing.F) {
	f.Add([]byte{3, 0, 7, 0, '5', '9', '0', '.', '1', '2', 0})
	f.Add([]byte{6, 0, 8, 0, 0, 0xa5, 0, 0x96, 1, 0, 0, 0})
	f.Add([]byte{12, 0, 4, 0, 1, 0, 0, 0, 11, 0, 1, 0, 0x55})
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := nvgpu.ParseOpaque(data)
		if (o == nil) == (err == nil) {
			t.Fatalf("opaque data %v and error %v", o, err)
		}
		if err != nil {
			return
		}
		for _, s := range []string{o.Driver, o.VBIOS, o.Project, o.ProjectSKU, o.ChipSKU, o.Chip} {
			if len(s) > 64 || bytes.ContainsAny([]byte(s), "/\\\x00 \n") {
				t.Fatalf("text %q", s)
			}
		}
	})
}

// FuzzCanonical holds that the canonical form of a document is its own canonical
// form, which is what makes it one.
func FuzzCanonical(f *testing.F) {
	for _, m := range manifests(f)[:3] {
		f.Add(m)
	}
	f.Add([]byte(`<a xmlns="u" b='"&lt;' xmlns:p="v"><p:c p:d="1" d="2"/>x &gt; y</a>`))
	f.Add([]byte(`<a xmlns="u"><b xmlns=""><c xmlns="u"/></b></a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := nvgpu.Canonical(data)
		if err != nil {
			return
		}
		twice, err := nvgpu.Canonical(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("canonical form of the canonical form differs: %v\n%q\n%q", err, once, twice)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	for _, m := range append(manifests(f)[:3], forged(f, attest.LabelNVIDIARIM)...) {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := nvgpu.ParseManifest(data)
		if (m == nil) == (err == nil) {
			t.Fatalf("manifest %v and error %v", m, err)
		}
		if err != nil {
			return
		}
		seen := map[int]bool{}
		for _, g := range m.Golden {
			if seen[g.Index] || len(g.Values) == 0 {
				t.Fatalf("measurement %d twice or without a value", g.Index)
			}
			seen[g.Index] = true
		}
	})
}

func FuzzParseOCSP(f *testing.F) {
	for _, r := range forged(f, attest.LabelNVIDIAOCSP) {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if nvgpu.ParseOCSP(data) == nil && nvgpu.ParseOCSP(append(bytes.Clone(data), 0)) == nil {
			t.Fatal("a byte more is accepted too")
		}
	})
}

func FuzzEvidenceFile(f *testing.F) {
	for _, c := range captures[:6] {
		f.Add(vector(f, c.name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := nvgpu.FromNVIDIAJSON(data)
		if (list == nil) == (err == nil) {
			t.Fatalf("list %v and error %v", list, err)
		}
		for _, ev := range list {
			if !ev.Kind.Device() {
				t.Fatalf("evidence of kind %s", ev.Kind)
			}
		}
	})
}

// FuzzVerify holds that nothing verifies but what a device signed.
func FuzzVerify(f *testing.F) {
	signed := map[string]bool{}
	ev, end := attesttest.NewNVIDIA().MakeGPU(f, [32]byte{1})
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		f.Fatal(err)
	}
	signed[string(g.Report[:len(g.Report)-96])] = true
	for _, r := range reports(f) {
		signed[string(r[:len(r)-96])] = true
	}
	f.Add(ev.Data, end[0].Data, end[2].Data)
	for _, c := range captures[:5] {
		f.Add(c.evidence(f)[0].Data, []byte{}, []byte{})
	}
	real, fake := nvidiaVerifier(f, attest.NVIDIAGPU), forgedVerifier(f, attest.NVIDIAGPU)
	f.Fuzz(func(t *testing.T, data, rim, ocsp []byte) {
		more := attest.Endorsements{}
		for label, d := range map[string][]byte{end[0].Label: rim, end[2].Label: ocsp} {
			if len(d) > 0 {
				more = append(more, attest.Endorsement{Label: label, Data: d})
			}
		}
		for _, v := range []*nvgpu.Verifier{real, fake} {
			claims, err := v.Verify(attest.Evidence{Kind: attest.NVIDIAGPU, Data: data}, more, attesttest.Epoch())
			if (claims == nil) == (err == nil) {
				t.Fatalf("claims %v and error %v", claims, err)
			}
			if err != nil {
				continue
			}
			g, err := form.ParseGPU(data)
			if err != nil || !signed[string(g.Report[:len(g.Report)-96])] {
				t.Fatal("verified what no device signed")
			}
		}
	})
}
