package azure_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
	"github.com/blindbox/blindbox/attest/snp"
)

// TestNewVerifier: kind and hardware fit, or there is no Verifier.
func TestNewVerifier(t *testing.T) {
	hardware, err := snp.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind     attest.Kind
		hardware attest.Verifier
	}{{attest.SNP, hardware}, {attest.KindInvalid, hardware}, {attest.AzureSNP, nil}, {attest.AzureTDX, hardware}} {
		if v, err := azure.NewVerifierWithHardware(c.kind, c.hardware); v != nil || err == nil {
			t.Errorf("a verifier of %s: %v", c.kind, err)
		}
	}
	if v, err := azure.NewVerifierWithHardware(attest.TDX, kindless{hardware}); v != nil || err == nil {
		t.Errorf("a verifier of no kind below one of TDX: %v", err)
	}
	if v, err := azure.NewVerifier(attest.SNP); v != nil || err == nil {
		t.Errorf("a verifier of SNP: %v", err)
	}
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce())
	if _, err := new(azure.Verifier).Verify(ev, end, attesttest.Epoch()); err == nil {
		t.Error("the zero Verifier accepts")
	}
	none := (*azure.Verifier)(nil)
	if claims, err := none.Verify(ev, end, attesttest.Epoch()); claims != nil || err == nil {
		t.Error("no Verifier accepts")
	}
	if c, err := none.Endorse(end, attesttest.Epoch()); c != nil || err == nil || none.Kind() != attest.KindInvalid {
		t.Errorf("no Verifier has kind %s and endorses: %v, %v", none.Kind(), c, err)
	}
	v, err := azure.NewVerifierWithHardware(attest.AzureSNP, wrapped{hardware})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := v.Endorse(end, attesttest.Epoch()); c != nil || err == nil || !strings.Contains(err.Error(), "another package's") {
		t.Errorf("a hardware verifier of a stranger's endorses: %v, %v", c, err)
	}
	if c, err := new(azure.Verifier).Endorse(end, attesttest.Epoch()); c != nil || err == nil {
		t.Errorf("the zero Verifier endorses: %v, %v", c, err)
	}
	if _, err := new(azure.Chain).Verify(ev, attesttest.Epoch()); err == nil || !strings.Contains(err.Error(), "never verified") {
		t.Errorf("the zero Chain: %v", err)
	}
}

// wrapped is a Verifier that package azure cannot look into.
type wrapped struct{ attest.Verifier }

// kindless verifies evidence of no kind.
type kindless struct{ attest.Verifier }

func (kindless) Kind() attest.Kind { return attest.KindInvalid }

// TestEventLogRefused: a log that came beside the evidence is whole, single and not
// too long, cold and warm.
func TestEventLogRefused(t *testing.T) {
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce(), func(p *attesttest.Paravisor) { p.TPM.WithLog = true })
	v := fakeVerifier(t)
	if _, err := v.Verify(ev, end, attesttest.Epoch()); err != nil {
		t.Fatal(err)
	}
	log := end[len(end)-1]
	if log.Label != attest.LabelEventLog {
		t.Fatalf("the last endorsement is %s", log.Label)
	}
	end = end[:len(end)-1]
	for code, more := range map[attest.Code]attest.Endorsements{
		attest.CodeAmbiguous: {log, log},
		attest.CodeTooLarge:  {{Label: log.Label, Data: make([]byte, attest.MaxEndorsement+1)}},
		attest.CodeMalformed: {{Label: log.Label}},
	} {
		all := slices.Concat(end, more)
		_, cold := v.Verify(ev, all, attesttest.Epoch())
		_, warm := v.Endorse(all, attesttest.Epoch())
		for _, err := range []error{cold, warm} {
			var f *attest.Failure
			if !errors.As(err, &f) || !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool {
				return c.Name == "hardware.tpm_event_log_form" && c.Code == code
			}) {
				t.Errorf("error %v, want code %s", err, code)
			}
		}
	}
	if _, err := v.Endorse(nil, attesttest.Epoch()); err == nil {
		t.Error("a chain of no certificates")
	}
}

// TestStopsEarly: what cannot be read is the only thing that is said of it.
func TestStopsEarly(t *testing.T) {
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce())
	big := append(bytes.Clone(ev.Data), make([]byte, attest.MaxEvidence)...)
	onTDX, _ := attesttest.MakeAzure(t, attesttest.TPMNonce(), attesttest.OnTDX())
	for what, data := range map[string][]byte{"hardware.azure_size": big, "hardware.azure_form": ev.Data[:20], "hardware.hcl_kind": onTDX.Data} {
		_, err := fakeVerifier(t).Verify(attest.Evidence{Kind: ev.Kind, Data: data}, end, attesttest.Epoch())
		var f *attest.Failure
		if !errors.As(err, &f) || len(f.Failed()) != 1 || f.Failed()[0].Name != what || f.Checks[len(f.Checks)-1].Name != what {
			t.Errorf("error %v, want only %s, at the end", err, what)
		}
	}
}

// TestTrusteeReasons: a document without one of its parts is refused for that.
func TestTrusteeReasons(t *testing.T) {
	good := string(capture(t, "snp-v1-trustee.json"))
	for what, text := range map[string]string{
		"no quote":    `{"version":1,"hcl_report":"AA=="}`,
		"two quotes":  strings.Replace(good, `"version"`, `"quote":{},"version"`, 1),
		"two reports": strings.Replace(good, `"version"`, `"report":[1],"version"`, 1),
		"no report":   `{"version":1,"tpm_quote":{"message":"","signature":"","pcrs":[]}}`,
	} {
		_, _, err := azure.FromTrusteeJSON([]byte(text))
		if err == nil || !strings.Contains(err.Error(), "exactly one quote and one HCL report") {
			t.Errorf("%s: %v", what, err)
		}
	}
	report := tpmforge.NewHCL([]byte("no JSON")).Encode(make([]byte, snp.ReportSize))
	if _, err := azure.ParseHCL(report); err != nil {
		t.Fatal(err)
	}
	text := `{"version":1,"tpm_quote":{"message":"","signature":"","pcrs":[]},"hcl_report":"` + base64.URLEncoding.EncodeToString(report) + `"}`
	if _, _, err := azure.FromTrusteeJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "runtime claims") {
		t.Errorf("no runtime claims: %v", err)
	}
}
