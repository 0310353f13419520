package endorse_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/source"
)

func cacheEntry(o source.Object, data []byte, at time.Time) cache.Entry {
	return cache.Entry{Key: o.Key(), Data: data, Fetched: at}
}

// pckCA returns the CA of a quote's PCK and the root, PEM, from the quote.
func pckCA(t *testing.T, ev attest.Evidence) []byte {
	t.Helper()
	at := bytes.Index(ev.Data, []byte("-----BEGIN CERTIFICATE-----"))
	if at < 0 {
		t.Fatal("no chain in the quote")
	}
	block, rest := pem.Decode(ev.Data[at:])
	if block == nil {
		t.Fatal("no PCK in the quote")
	}
	end := bytes.LastIndex(rest, []byte("-----END CERTIFICATE-----"))
	return append(bytes.Clone(rest[:end]), "-----END CERTIFICATE-----\n"...)
}

func intel(t *testing.T, v *vendors, kind attest.Kind, opts ...attesttest.IntelOption) (attest.Evidence, []source.Object) {
	t.Helper()
	ev, end := attesttest.NewIntel().Make(t, kind, [64]byte{1}, opts...)
	end = append(end, attest.Endorsement{Label: labelPCKCA, Data: pckCA(t, ev)})
	return ev, v.publish(ev, end)
}

func TestIntel(t *testing.T) {
	for _, kind := range []attest.Kind{attest.TDX, attest.SGX} {
		t.Run(kind.String(), func(t *testing.T) {
			v := newVendors(t)
			ev, objects := intel(t, v, kind)
			end, err := v.fetcher(t.TempDir()).For(t.Context(), ev)
			if err != nil {
				t.Fatal(err)
			}
			for _, label := range []string{attest.LabelIntelTCBInfo, attest.LabelIntelQEIdentity, attest.LabelIntelTCBChain, attest.LabelIntelPCKCRL, attest.LabelIntelRootCRL} {
				if data, found, err := end.Get(label); !found || err != nil || len(data) == 0 {
					t.Errorf("%s is missing: %v", label, err)
				}
			}
			if len(end) != 5 || len(objects) != 4 {
				t.Errorf("%d endorsements of %d objects", len(end), len(objects))
			}
		})
	}
}

// TestIntelProcessorCA: the certificate's issuer decides which CRL is fetched.
func TestIntelProcessorCA(t *testing.T) {
	v := newVendors(t)
	ev, objects := intel(t, v, attest.SGX, attesttest.ByProcessorCA())
	if _, err := v.fetcher("").For(t.Context(), ev); err != nil {
		t.Error(err)
	}
	if o := objects[2]; !strings.Contains(o.Path(), "ca=processor") {
		t.Errorf("asks for %s", o.Path())
	}
}

func TestIntelRefused(t *testing.T) {
	type published map[string]answer
	tdx := func(v *vendors) (attest.Evidence, published, []source.Object) {
		ev, objects := intel(t, v, attest.TDX)
		out := published{}
		for _, o := range objects {
			out[o.Label()] = v.answers[o.Key()]
		}
		return ev, out, objects
	}
	changed := func(a answer, old, text string) answer {
		data := bytes.Replace(a.data, []byte(old), []byte(text), 1)
		if bytes.Equal(data, a.data) {
			t.Fatalf("%q is not there", old)
		}
		return answer{data, a.chain}
	}
	strangerEv, strangerEnd := attesttest.IntelStranger().Make(t, attest.TDX, [64]byte{1})
	strangerChain, _, _ := strangerEnd.Get(attest.LabelIntelTCBChain)
	strangerInfo, _, _ := strangerEnd.Get(attest.LabelIntelTCBInfo)
	strangerRoot, _, _ := strangerEnd.Get(attest.LabelIntelRootCRL)
	sgxSide := newVendors(t)
	_, sgxObjects := intel(t, sgxSide, attest.SGX, attesttest.ByProcessorCA())
	for name, c := range map[string]struct {
		label  string
		change func(published, answer) answer
		want   attest.Code
	}{
		"a changed status":     {attest.LabelIntelTCBInfo, func(_ published, a answer) answer { return changed(a, "UpToDate", "UpToDatE") }, attest.CodeBadSignature},
		"a stranger's":         {attest.LabelIntelTCBInfo, func(_ published, a answer) answer { return answer{strangerInfo, strangerChain} }, attest.CodeUntrustedRoot},
		"a stranger's chain":   {attest.LabelIntelTCBInfo, func(_ published, a answer) answer { return answer{a.data, strangerChain} }, attest.CodeUntrustedRoot},
		"signed by a CA":       {attest.LabelIntelTCBInfo, func(p published, a answer) answer { return answer{a.data, p[attest.LabelIntelPCKCRL].chain} }, attest.CodeBadChain},
		"of SGX":               {attest.LabelIntelTCBInfo, func(published, answer) answer { return sgxSide.answers[sgxObjects[0].Key()] }, endorse.CodeWrongCollateral},
		"identity of the QE":   {attest.LabelIntelQEIdentity, func(published, answer) answer { return sgxSide.answers[sgxObjects[1].Key()] }, endorse.CodeWrongCollateral},
		"CRL of the other CA":  {attest.LabelIntelPCKCRL, func(published, answer) answer { return sgxSide.answers[sgxObjects[2].Key()] }, endorse.CodeWrongCollateral},
		"CRL of the root":      {attest.LabelIntelPCKCRL, func(p published, a answer) answer { return answer{p[attest.LabelIntelRootCRL].data, a.chain} }, attest.CodeBadCRL},
		"CRL of a stranger":    {attest.LabelIntelRootCRL, func(published, answer) answer { return answer{strangerRoot, nil} }, attest.CodeBadCRL},
		"a second signature":   {attest.LabelIntelTCBInfo, func(_ published, a answer) answer { return changed(a, `"signature"`, `"signature":"00","signature"`) }, attest.CodeMalformed},
		"not the right member": {attest.LabelIntelTCBInfo, func(p published, a answer) answer { return p[attest.LabelIntelQEIdentity] }, attest.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendors(t)
			ev, p, objects := tdx(v)
			for _, o := range objects {
				if o.Label() == c.label {
					a := c.change(p, p[c.label])
					v.set(o, a.data, a.chain)
				}
			}
			if end, err := v.fetcher(t.TempDir()).For(t.Context(), ev); end != nil || codeOf(err) != c.want {
				t.Errorf("%v; expected %s", err, c.want)
			}
		})
	}
	_ = strangerEv
}

// TestIntelDates: in force in both directions, to the second.
func TestIntelDates(t *testing.T) {
	for name, c := range map[string]struct {
		pass time.Duration
		want attest.Code
	}{"a year later": {366 * 24 * time.Hour, ""}, "a year before": {-366 * 24 * time.Hour, ""}} {
		v := newVendors(t)
		ev, _ := intel(t, v, attest.TDX)
		v.pass(c.pass)
		end, err := v.fetcher("").For(t.Context(), ev)
		if end != nil || (codeOf(err) != endorse.CodeStaleCollateral && codeOf(err) != attest.CodeStaleCRL && codeOf(err) != attest.CodeBadCRL) {
			t.Errorf("%s: %v, %v", name, end, err)
		}
	}
}

// TestTCBRollback: TCB data with a lower number than some that was seen.
func TestTCBRollback(t *testing.T) {
	v := newVendors(t)
	dir := t.TempDir()
	ev, _ := intel(t, v, attest.TDX, attesttest.EditInfo(func(i *attesttest.IntelTCBInfo) { i.Evaluation = 20 }))
	if _, err := v.fetcher(dir).For(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	intel(t, v, attest.TDX, attesttest.EditInfo(func(i *attesttest.IntelTCBInfo) { i.Evaluation = 19 }))
	if _, err := v.fetcher(dir, refresh).For(t.Context(), ev); codeOf(err) != endorse.CodeTCBRollback {
		t.Errorf("number 19 after 20: %v", err)
	}
	intel(t, v, attest.TDX, attesttest.EditInfo(func(i *attesttest.IntelTCBInfo) { i.Evaluation = 21 }))
	if _, err := v.fetcher(dir, refresh).For(t.Context(), ev); err != nil {
		t.Errorf("number 21 after 20: %v", err)
	}
	intel(t, v, attest.TDX, attesttest.EditIdentity(func(i *attesttest.IntelIdentity) { i.Evaluation = 18 }), attesttest.EditInfo(func(i *attesttest.IntelTCBInfo) { i.Evaluation = 21 }))
	if _, err := v.fetcher(dir, refresh).For(t.Context(), ev); codeOf(err) != endorse.CodeTCBRollback {
		t.Errorf("QE identity 18 after 19: %v", err)
	}
}

// realCollateral is a file of dcap-qvl's, MIT (vectors/tdx/ORIGIN.md).
type realCollateral struct {
	PCKChain   string `json:"pck_crl_issuer_chain"`
	RootCRL    string `json:"root_ca_crl"`
	PCKCRL     string `json:"pck_crl"`
	TCBChain   string `json:"tcb_info_issuer_chain"`
	TCBInfo    string `json:"tcb_info"`
	TCBSig     string `json:"tcb_info_signature"`
	QEChain    string `json:"qe_identity_issuer_chain"`
	QEIdentity string `json:"qe_identity"`
	QESig      string `json:"qe_identity_signature"`
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	if raw, err := hex.DecodeString(text); err == nil {
		return raw
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestIntelReal: what Intel itself signed, under Intel's own root, for a real
// quote of each kind.
func TestIntelReal(t *testing.T) {
	for _, c := range []struct {
		kind attest.Kind
		file string
		at   time.Time
	}{
		{attest.TDX, "tdx/tdx_quote", time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC)},
		{attest.TDX, "tdx/tdx_quote_outdated", time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC)},
		{attest.SGX, "sgx/sgx_quote", time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(c.file, func(t *testing.T) {
			quote, err := os.ReadFile(filepath.Join("../vectors", c.file))
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join("../vectors", c.file+"_collateral.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r realCollateral
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			v := newVendors(t)
			v.pass(c.at.Sub(v.Now()))
			ev := attest.Evidence{Kind: c.kind, Data: quote}
			v.publish(ev, attest.Endorsements{
				{Label: attest.LabelIntelTCBInfo, Data: []byte(`{"tcbInfo":` + r.TCBInfo + `,"signature":"` + hex.EncodeToString(unhex(t, r.TCBSig)) + `"}`)},
				{Label: attest.LabelIntelQEIdentity, Data: []byte(`{"enclaveIdentity":` + r.QEIdentity + `,"signature":"` + hex.EncodeToString(unhex(t, r.QESig)) + `"}`)},
				{Label: attest.LabelIntelTCBChain, Data: []byte(r.TCBChain)},
				{Label: attest.LabelIntelPCKCRL, Data: unhex(t, r.PCKCRL)}, {Label: labelPCKCA, Data: []byte(r.PCKChain)},
				{Label: attest.LabelIntelRootCRL, Data: unhex(t, r.RootCRL)},
			})
			dir := t.TempDir()
			end, err := v.fetcher(dir, func(o *endorse.Options) { o.Roots = endorse.Roots{} }).For(t.Context(), ev)
			if err != nil || len(end) != 5 {
				t.Fatalf("%d endorsements, %v", len(end), err)
			}
			checks := endorse.CheckFloors(v.cache(dir), &attest.Claims{Kind: c.kind}, end)
			if len(checks) != 4 || attest.FailureOf(checks) != nil {
				t.Errorf("floors after the fetch: %v", checks)
			}
			forecast, err := endorse.Look(v.cache(dir), v.Now())
			if err != nil || len(forecast.Items) != 4 || len(forecast.Levels) == 0 {
				t.Errorf("forecast of %d items and %d levels, %v", len(forecast.Items), len(forecast.Levels), err)
			}
			for _, it := range forecast.Items {
				if it.State != endorse.Fresh || it.Until.IsZero() || it.Issuer == "" {
					t.Errorf("%+v", it)
				}
			}
		})
	}
}
