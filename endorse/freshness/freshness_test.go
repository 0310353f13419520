package freshness_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/blindbox/blindbox/endorse/freshness"
	"github.com/blindbox/blindbox/endorse/source"
)

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReal(t *testing.T) {
	for _, c := range []struct {
		form          source.Form
		file          string
		subject       string
		number, until string
	}{
		{source.FormVCEK, "snp/genoa-v5-oak.vek.der", "", "", "2032"},
		{source.FormCRL, "tdx/rootcrl.der", "Intel SGX Root CA", "1", "202"},
		{source.FormCRL, "tdx/pckcrl", "Intel SGX PCK Platform CA", "1", "202"},
		{source.FormTCBInfo, "tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json", "tdx/c0806f000000", "", "202"},
		{source.FormQEIdentity, "tdx/qe_identity_v2_tdx.json", "td_qe", "", "202"},
		{source.FormQEIdentity, "sgx/qe_identity_v2.json", "qe", "", "202"},
	} {
		f, err := freshness.Read(c.form, read(t, c.file))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if f.Subject != c.subject || (c.number != "" && f.Number.String() != c.number) || f.From.IsZero() || !f.Until.After(f.From) || f.Until.Format(time.RFC3339)[:len(c.until)] != c.until {
			t.Errorf("%s: %+v", c.file, f)
		}
		if (f.Series == "") != (c.form == source.FormVCEK) {
			t.Errorf("%s: series %q", c.file, f.Series)
		}
	}
	a, _ := freshness.Read(source.FormCRL, read(t, "tdx/rootcrl.der"))
	b, _ := freshness.Read(source.FormCRL, read(t, "tdx/pckcrl"))
	if a.Series == b.Series {
		t.Error("CRLs of two CAs are one series")
	}
}

func TestRefuses(t *testing.T) {
	good := func() map[string]any {
		return map[string]any{"id": "TDX", "fmspc": "00606a000000", "issueDate": "2026-01-01T00:00:00Z", "nextUpdate": "2026-02-01T00:00:00Z", "tcbEvaluationDataNumber": 5}
	}
	for name, c := range map[string]struct {
		member string
		value  any
	}{
		"no FMSPC": {"fmspc", ""}, "long FMSPC": {"fmspc", "00606a00000000"}, "FMSPC not hex": {"fmspc", "00606a00000z"}, "no id": {"id", ""},
		"no issue date": {"issueDate", ""}, "no next update": {"nextUpdate", "tomorrow"}, "negative": {"tcbEvaluationDataNumber", -1}, "a string": {"tcbEvaluationDataNumber", "5"},
	} {
		doc := good()
		doc[c.member] = c.value
		text, err := json.Marshal(map[string]any{"tcbInfo": doc})
		if err != nil {
			t.Fatal(err)
		}
		if f, err := freshness.Read(source.FormTCBInfo, text); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for form := source.FormVCEK; form <= source.FormOCSP; form++ {
		if _, err := freshness.Read(form, []byte("nonsense")); (err == nil) != (form == source.FormRIM) {
			t.Errorf("%s of nonsense: %v", form, err)
		}
	}
	if _, err := freshness.Read(0, nil); err == nil {
		t.Error("no form accepted")
	}
}

func FuzzRead(f *testing.F) {
	for form, file := range map[source.Form]string{
		source.FormVCEK: "snp/genoa-v5-oak.vek.der", source.FormCRL: "tdx/pckcrl",
		source.FormTCBInfo: "tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json", source.FormQEIdentity: "tdx/qe_identity_v2_tdx.json",
	} {
		f.Add(uint8(form), read(f, file))
	}
	f.Add(uint8(source.FormOCSP), []byte{0x30, 0x03, 0x0a, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, form uint8, data []byte) {
		facts, err := freshness.Read(source.Form(form), data)
		if err != nil && (facts.Series != "" || facts.Number != nil || !facts.Until.IsZero()) {
			t.Fatal("a value and an error")
		}
		if err == nil && facts.Number != nil && (facts.Number.Sign() < 0 || len(facts.Number.Bytes()) > 20) {
			t.Fatalf("number %v", facts.Number)
		}
	})
}
