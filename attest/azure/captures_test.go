package azure_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/tpm"
)

var (
	update  = flag.Bool("update", false, "write the golden files in vectors/azure")
	mutants = flag.Int("mutants", 1000, "changed captures to refuse")
)

// machines are real Azure VMs; vectors/azure says where the captures are from.
var machines = []struct {
	name     string
	kind     attest.Kind
	verified bool // with no more endorsements than the capture brings
}{
	{"snp-v0-trustee", attest.AzureSNP, true},
	{"snp-v1-trustee", attest.AzureSNP, true},
	{"snp-v2-trustee", attest.AzureSNP, true},
	{"tdx-v0-trustee", attest.AzureTDX, false}, // it brings no collateral
}

func pinned() time.Time { return time.Date(2025, 6, 15, 0, 0, 0, 0, time.UTC) }

func capture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "vectors", "azure", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func imported(t testing.TB, name string) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	ev, end, err := azure.FromTrusteeJSON(capture(t, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return ev, end
}

func realVerifier(t testing.TB, k attest.Kind) *azure.Verifier {
	t.Helper()
	v, err := azure.NewVerifier(k)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCaptures holds the verdict on every capture, and every check that led to it.
func TestCaptures(t *testing.T) {
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			ev, end := imported(t, m.name)
			if ev.Kind != m.kind {
				t.Fatalf("kind %s, want %s", ev.Kind, m.kind)
			}
			claims, err := realVerifier(t, m.kind).Verify(ev, end, pinned())
			if (err == nil) != m.verified {
				t.Errorf("error %v, want verified %v", err, m.verified)
			}
			var checks []attest.Check
			var f *attest.Failure
			switch {
			case claims != nil:
				checks = claims.Checks
				testFacts(t, claims)
			case errors.As(err, &f):
				checks = f.Checks
			}
			golden(t, m.name+".checks.txt", checks)
		})
	}
}

// testFacts compares what is the same in all captures.
func testFacts(t *testing.T, c *attest.Claims) {
	d := c.Detail.(*azure.Claims)
	if d.TPM.Binding != tpm.ByHardware || d.TPM.Hierarchy != tpm.HierarchyEndorsement || len(d.TPM.PCRs) != 24 {
		t.Errorf("key %s in hierarchy %s, %d registers", d.TPM.Binding, d.TPM.Hierarchy, len(d.TPM.PCRs))
	}
	vm := d.Runtime.VM
	if vm.ConsoleEnabled == nil || !*vm.ConsoleEnabled || vm.SecureBoot == nil || !*vm.SecureBoot || vm.UniqueID == "" {
		t.Errorf("configuration %+v", vm)
	}
	if c.Nonce != nil {
		t.Errorf("nonce %x from a quote over other bytes than 32", c.Nonce)
	}
	if len(c.Measurement) != 48 || len(c.LaunchDigest) != 32 || c.ReportData != [64]byte{} {
		t.Errorf("measurement %x, launch digest %x, report data %x", c.Measurement, c.LaunchDigest, c.ReportData)
	}
}

func golden(t *testing.T, name string, checks []attest.Check) {
	t.Helper()
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintln(&b, c)
	}
	path := filepath.Join("..", "..", "vectors", "azure", name)
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(capture(t, name)); want != b.String() {
		t.Errorf("checks differ from %s (run with -update):\n%s", name, b.String())
	}
}

// TestCapturesOverTime: outside of the certificates' time a capture is refused.
func TestCapturesOverTime(t *testing.T) {
	ev, end := imported(t, "snp-v1-trustee")
	for _, at := range []time.Time{{}, time.Unix(0, 0), pinned().AddDate(-3, 0, 0), pinned().AddDate(20, 0, 0)} {
		if _, err := realVerifier(t, ev.Kind).Verify(ev, end, at); err == nil {
			t.Errorf("accepted at %s", at)
		}
	}
}

// TestParts: the parts of two real machines do not make one (row G29).
func TestParts(t *testing.T) {
	one, end := imported(t, "snp-v1-trustee")
	two, _ := imported(t, "snp-v2-trustee")
	a, err := form.ParseAzure(one.Data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := form.ParseAzure(two.Data)
	if err != nil {
		t.Fatal(err)
	}
	a.TPM = b.TPM
	_, err = realVerifier(t, attest.AzureSNP).Verify(attest.Evidence{Kind: attest.AzureSNP, Data: a.Encode()}, end, pinned())
	var f *attest.Failure
	if !errors.As(err, &f) || f.Code() != azure.CodeAKMismatch {
		t.Errorf("error %v, want code %s", err, azure.CodeAKMismatch)
	}
}

// TestTDParts: a TD quote of another trust domain is not that of the HCL report.
func TestTDParts(t *testing.T) {
	ev, end := imported(t, "tdx-v0-trustee")
	a, err := form.ParseAzure(ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	// Offsets in a quote of version 4: module, attributes, MRTD, RTMR3, report data.
	for name, at := range map[string]int{"TCB": 48, "module": 64, "attributes": 168, "MRTD": 184, "RTMR3": 48 + 472, "report data": 48 + 583} {
		b := a
		b.TDQuote = bytes.Clone(a.TDQuote)
		b.TDQuote[at] ^= 1
		hasFailed(t, name, b, end, "hardware.hcl_td_quote")
	}
	for name, at := range map[string]int{"type": 32, "version": 34, "reserved": 36, "TCB hash": 32 + 32, "info hash": 32 + 80, "TCB info": 32 + 256, "gap": 32 + 500, "reserved again": 32 + 200, "TD info": 32 + 1023} {
		b := a
		b.HCLReport = bytes.Clone(a.HCLReport)
		b.HCLReport[at] ^= 2
		hasFailed(t, name, b, end, "hardware.hcl_td_report")
	}
	hasPassed(t, a, end, "hardware.hcl_td_quote", "hardware.hcl_td_report", "hardware.hcl_bound", "hardware.hcl_ak", "hardware.hcl_ak_name", "hardware.tpm_signature")
	b := a
	b.HCLReport = bytes.Clone(a.HCLReport)
	b.HCLReport[32+tdReportData+63] = 1
	hasFailed(t, "report data", b, end, "hardware.hcl_bound")
	b = a
	b.TDQuote = nil
	hasFailed(t, "no TD quote", b, end, "hardware.hcl_td_quote")
}

// tdReportData is REPORTDATA in a TDREPORT.
const tdReportData = 128

func checksOf(t *testing.T, a form.Azure, end attest.Endorsements) map[string]attest.Status {
	t.Helper()
	_, err := realVerifier(t, attest.AzureTDX).Verify(attest.Evidence{Kind: attest.AzureTDX, Data: a.Encode()}, end, pinned())
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want a refusal", err)
	}
	out := make(map[string]attest.Status)
	for _, c := range f.Checks {
		out[c.Name] = c.Status
	}
	return out
}

func hasFailed(t *testing.T, what string, a form.Azure, end attest.Endorsements, check string) {
	t.Helper()
	if status, ran := checksOf(t, a, end)[check]; !ran || status != attest.Fail {
		t.Errorf("%s: %s is %s, want it to fail", what, check, status)
	}
}

func hasPassed(t *testing.T, a form.Azure, end attest.Endorsements, checks ...string) {
	t.Helper()
	got := checksOf(t, a, end)
	for _, name := range checks {
		if got[name] != attest.Pass {
			t.Errorf("%s is %s, want it to pass", name, got[name])
		}
	}
}

// TestMutants changes one to three bytes of real captures, and refuses each. Run
// with -mutants 100000 for the whole sweep.
func TestMutants(t *testing.T) {
	v := realVerifier(t, attest.AzureSNP)
	random := rand.New(rand.NewPCG(1, 2))
	var evs []attest.Evidence
	var ends []attest.Endorsements
	for _, m := range machines {
		if m.verified {
			ev, end := imported(t, m.name)
			evs, ends = append(evs, ev), append(ends, end)
		}
	}
	for i := range *mutants {
		n := i % len(evs)
		data := bytes.Clone(evs[n].Data)
		for range 1 + random.IntN(3) {
			data[random.IntN(len(data))] ^= byte(1 + random.IntN(255))
		}
		if bytes.Equal(data, evs[n].Data) {
			continue
		}
		if _, err := v.Verify(attest.Evidence{Kind: attest.AzureSNP, Data: data}, ends[n], pinned()); err == nil {
			t.Fatalf("mutant %d accepted", i)
		}
	}
}

// TestTrusteeJSON: what is not exactly such a document is refused.
func TestTrusteeJSON(t *testing.T) {
	good := string(capture(t, "snp-v1-trustee.json"))
	for name, text := range map[string]string{
		"empty":            "",
		"no object":        "[]",
		"no quote":         `{"version":1,"hcl_report":"AA=="}`,
		"unknown member":   strings.Replace(good, `"version"`, `"extra":1,"version"`, 1),
		"twice the member": strings.Replace(good, `"version"`, `"version":1,"version"`, 1),
		"case variant":     strings.Replace(good, `"hcl_report"`, `"HCL_report"`, 1),
		"two documents":    good + good,
		"not hex":          strings.Replace(good, `"message": "`, `"message": "x`, 1),
		"number over 255":  strings.Replace(good, `"version"`, `"td_quote":[256],"version"`, 1),
		"certificate":      strings.Replace(good, `"vcek": "`, `"vcek": "!`, 1),
		"report cut":       strings.Replace(good, `"hcl_report": "SENM`, `"hcl_report": "SENN`, 1),
		"over the limit":   good + strings.Repeat(" ", attest.MaxEvidence),
		"25 registers":     strings.Replace(good, `"pcrs": [`, `"pcrs": ["00",`, 1),
	} {
		if _, _, err := azure.FromTrusteeJSON([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
