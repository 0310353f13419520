package endorse_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/source"
)

// gpu publishes what one device needs and returns its objects by form.
func gpu(t *testing.T, v *vendors, opts ...attesttest.GPUOption) (attest.Evidence, map[source.Form][]source.Object) {
	t.Helper()
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, opts...)
	out := map[source.Form][]source.Object{}
	for _, o := range v.publish(ev, end) {
		out[o.Form()] = append(out[o.Form()], o)
	}
	if len(out[source.FormRIM]) == 0 || len(out[source.FormOCSP]) < 2 {
		t.Fatalf("objects %v", out)
	}
	return ev, out
}

func TestGPU(t *testing.T) {
	for name, opts := range map[string][]attesttest.GPUOption{"Hopper": nil, "switch": {attesttest.Switch()}} {
		t.Run(name, func(t *testing.T) {
			v := newVendors(t)
			ev, _ := gpu(t, v, opts...)
			end, err := v.fetcher(t.TempDir()).For(t.Context(), ev)
			if err != nil {
				t.Fatal(err)
			}
			verifier := roots(t).GPU
			if ev.Kind == attest.NVSwitch {
				verifier = roots(t).Switch
			}
			if _, err := verifier.Verify(ev, end, v.Now()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBlackwellByItsCertificate: a report that does not name its chip.
func TestBlackwellByItsCertificate(t *testing.T) {
	v := newVendors(t)
	ev, objects := gpu(t, v, attesttest.Blackwell())
	if got := objects[source.FormRIM][0].Label(); got != attest.LabelNVIDIARIM+"NV_GPU_CC_DRIVER_GB100_999.01.02" {
		t.Errorf("asks for %s", got)
	}
	if end, err := v.fetcher("").For(t.Context(), ev); end != nil || codeOf(err) != fetch.CodeUnavailable {
		t.Errorf("a manifest that the vendor does not have: %v", err)
	}
}

func TestGPURefused(t *testing.T) {
	_, strange := attesttest.StrangerNVIDIA().MakeGPU(t, [32]byte{1})
	for name, change := range map[string]func(*vendors, map[source.Form][]source.Object){
		"a changed manifest": func(v *vendors, o map[source.Form][]source.Object) {
			rim := o[source.FormRIM][0]
			v.set(rim, bytes.Replace(v.answers[rim.Key()].data, []byte(`active="True"`), []byte(`active="False"`), 1), nil)
		},
		"no manifest": func(v *vendors, o map[source.Form][]source.Object) { v.set(o[source.FormRIM][0], []byte("<x/>"), nil) },
		"the other manifest": func(v *vendors, o map[source.Form][]source.Object) {
			v.set(o[source.FormRIM][0], v.answers[o[source.FormRIM][1].Key()].data, nil)
		},
		"a stranger's manifest": func(v *vendors, o map[source.Form][]source.Object) {
			data, _, _ := strange.Get(o[source.FormRIM][0].Label())
			v.set(o[source.FormRIM][0], data, nil)
		},
		"status of another certificate": func(v *vendors, o map[source.Form][]source.Object) {
			v.set(o[source.FormOCSP][0], v.answers[o[source.FormOCSP][1].Key()].data, nil)
		},
		"status of a manifest's signer for another": func(v *vendors, o map[source.Form][]source.Object) {
			last := o[source.FormOCSP][len(o[source.FormOCSP])-1]
			v.set(last, v.answers[o[source.FormOCSP][0].Key()].data, nil)
		},
		"no OCSP response": func(v *vendors, o map[source.Form][]source.Object) {
			v.set(o[source.FormOCSP][0], []byte{0x30, 0x03, 0x0a, 0x01, 0x06}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendors(t)
			ev, objects := gpu(t, v)
			change(v, objects)
			if end, err := v.fetcher(t.TempDir()).For(t.Context(), ev); end != nil || codeOf(err) == "" {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}

// TestGPUObjectNeedsEvidence: without a device's certificates nothing says who
// may speak about it.
func TestGPUObjectNeedsEvidence(t *testing.T) {
	v := newVendors(t)
	ev, objects := gpu(t, v)
	f := v.fetcher(t.TempDir())
	for _, form := range []source.Form{source.FormRIM, source.FormOCSP} {
		if _, err := f.Get(t.Context(), objects[form][0], attest.Evidence{}); codeOf(err) != attest.CodeUntrustedRoot {
			t.Errorf("%s without evidence: %v", form, err)
		}
		if it, err := f.Get(t.Context(), objects[form][0], ev); err != nil || len(it.Data) == 0 {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// TestNoRoots: roots that were not given accept nothing.
func TestNoRoots(t *testing.T) {
	v := newVendors(t)
	snpEv, _, _ := genoa(t, v)
	tdxEv, _ := intel(t, v, attest.TDX)
	gpuEv, _ := gpu(t, v)
	r := roots(t)
	for name, c := range map[string]struct {
		ev    attest.Evidence
		roots endorse.Roots
	}{
		"AMD": {snpEv, endorse.Roots{Intel: r.Intel}}, "Intel": {tdxEv, endorse.Roots{AMD: r.AMD}}, "NVIDIA": {gpuEv, endorse.Roots{AMD: r.AMD}},
	} {
		f := v.fetcher("", func(o *endorse.Options) { o.Roots = c.roots })
		if end, err := f.For(t.Context(), c.ev); end != nil || codeOf(err) != attest.CodeUntrustedRoot {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRevokedStatusIsKept: a status that withdraws a certificate is not an error
// of the fetch; the verifier refuses with it.
func TestRevokedStatusIsKept(t *testing.T) {
	v := newVendors(t)
	ev, _ := gpu(t, v, attesttest.EditOCSP("ica", revoked))
	end, err := v.fetcher(t.TempDir()).For(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := roots(t).GPU.Verify(ev, end, v.Now()); codeOf(err) != attest.CodeRevoked {
		t.Errorf("the verifier says %v", err)
	}
}

// revoked edits an answer of the fake vendor, whose type is its own.
func revoked[A any](a *A) {
	v := reflect.ValueOf(a).Elem()
	v.FieldByName("Status").SetUint(1)
	v.FieldByName("Reason").SetInt(1)
}
