package appraise

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

func text(r Result) string {
	var b strings.Builder
	for _, l := range r.Lines() {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

func TestLines(t *testing.T) {
	trusted := newFixture(t)
	simulated := newFixture(t)
	simulated.claims.Kind, simulated.claims.Simulated = attest.SimSNP, true
	changed := newFixture(t)
	changed.report.Measurement[0] ^= 1
	changed.report.Policy |= 1 << 19
	changed.report.VMPL = 0
	saved := newFixture(t)
	saved.in.Offline = true
	unproven := newFixture(t)
	unproven.in.Err = &attest.Failure{Checks: []attest.Check{{Name: "hardware.signature", Code: attest.CodeBadSignature, Seen: "other bytes"}}}
	for _, tc := range []struct {
		name  string
		f     *fixture
		trust string
		want  string
	}{
		{"trusted", trusted, strictTrust, `hardware   AMD SEV-SNP, Genoa, TCB 10/1/27/86 >= floor, chain to AMD root ok (not revoked, list 3 h old)
code       measurement aaaa..aaaa = demo v1
channel    bound to this TLS session, nonce fresh
policy     callers: 1 api key · logs: none · request <= 1 MiB · 16 at once · egress: none
`},
		{"simulated", simulated, strings.Replace(simTrust, "demo v1", "demo v2", 1), `hardware   SIMULATED - proves nothing about hardware (AMD SEV-SNP, Genoa, TCB 10/1/27/86 >= floor, chain to the pinned simulated root ok (not revoked, list 3 h old))
code       measurement aaaa..aaaa = demo v2
channel    bound to this TLS session, nonce fresh
policy     callers: 1 api key · logs: none · request <= 1 MiB · 16 at once · egress: none · any policy accepted
`},
		{"refused", changed, strictTrust, `hardware   FAIL debug: on, expected off (and 1 more)
code       FAIL measurement abaa..aaaa is not in your trust file
channel    bound to this TLS session, nonce fresh
policy     callers: 1 api key · logs: none · request <= 1 MiB · 16 at once · egress: none
`},
		{"partial", saved, strictTrust, `hardware   AMD SEV-SNP, Genoa, TCB 10/1/27/86 >= floor, chain to AMD root ok (not revoked, list 3 h old)
code       measurement aaaa..aaaa = demo v1
channel    SKIP statement is the one the hardware signed; no connection to compare it with
policy     callers: 1 api key · logs: none · request <= 1 MiB · 16 at once · egress: none
`},
		{"refused by the verifier", unproven, strictTrust, `hardware   FAIL bad_signature: other bytes
code       SKIP not compared
channel    SKIP not compared: the hardware was not proven
policy     SKIP callers: 1 api key · logs: none · request <= 1 MiB · 16 at once · egress: none
`},
	} {
		tc.f.sync()
		if tc.f.in.Err != nil {
			tc.f.in.Claims = nil
		}
		r := parseTest(t, tc.trust).Appraise(tc.f.in, tc.f.at)
		if got := text(r); got != tc.want {
			t.Errorf("%s:\n%swant\n%s", tc.name, got, tc.want)
		}
	}
}

// TestWhatIsNotKnown: a line says that something is missing, and nothing in its place.
func TestWhatIsNotKnown(t *testing.T) {
	proven := Result{claims: &attest.Claims{}, machine: snpMachine{}}
	for want, got := range map[string]string{
		"nothing was verified":                           Result{}.hardwareText(),
		"not compared":                                   Result{reference: reference{name: "demo"}}.codeText(),
		"not compared ":                                  proven.codeText() + " ",
		"what the registers measured":                    Result{claims: &attest.Claims{}}.codeName(),
		"not revoked":                                    revocationText(true, time.Time{}, time.Now()),
		"what the device says that it runs":              missingRIMs(&nvgpu.Claims{}),
		"a reference value, but the trust file has none": (&appraisal{trust: &Trust{}, claims: &attest.Claims{}}).expectedCode(nil),
	} {
		if got != want {
			t.Errorf("got %q, expected %q", got, want)
		}
	}
}

// The members of the JSON form are a promise to programs.
func TestResultJSON(t *testing.T) {
	f := newFixture(t)
	f.report.VMPL = 0
	f.sync()
	raw, err := json.Marshal(parseTest(t, strictTrust).Appraise(f.in, f.at))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Verdict   string
		Simulated bool
		At        string
		Offline   bool
		Codes     []string
		Hardware  struct {
			Kind, Product, Signer string
			ReportVersion         int            `json:"report_version"`
			TCB                   map[string]int `json:"tcb"`
			Firmware              string
			ChipID                string `json:"chip_id"`
		}
		Code   struct{ Measurement, Reference string }
		Policy struct{ Digest, Name, Summary string }
		Lines  []struct{ Group, Status, Text string }
		Checks []attest.Check
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.Verdict != "refused" || got.At != "2026-11-22T12:00:00Z" || len(got.Codes) != 1 || got.Codes[0] != "vmpl" ||
		got.Hardware.Product != "Genoa" || got.Hardware.Signer != "VCEK" || got.Hardware.TCB["snp"] != 27 || got.Hardware.ReportVersion != 5 ||
		got.Code.Reference != "demo v1" || got.Code.Measurement != hexAA || !strings.HasPrefix(got.Policy.Digest, "sha256:") ||
		len(got.Lines) != 4 || got.Lines[0].Status != "FAIL" || len(got.Checks) < 60 || got.Hardware.ChipID != chipC {
		t.Errorf("%s", raw)
	}
	empty, err := json.Marshal(Result{})
	if err != nil || !strings.Contains(string(empty), `"verdict":"refused"`) || !strings.Contains(string(empty), `"checks":[]`) {
		t.Errorf("zero result: %s, %v", empty, err)
	}
}

// A span within a day is shown with its times, else it would read as none.
func TestAcceptedTimeShown(t *testing.T) {
	for _, tc := range []struct {
		from, until string
		seen, want  string
	}{
		{"2026-11-22T11:00:00Z", "2026-11-23T10:59:59Z", "2026-11-22T11:00:00Z to 2026-11-23T10:59:59Z", "to contain 2026-11-22T12:00:00Z"},
		{"2026-11-22T11:00:00Z", "2026-11-23T11:00:00Z", "2026-11-22 to 2026-11-23", "to contain 2026-11-22"},
	} {
		f := newFixture(t)
		for text, field := range map[string]*time.Time{tc.from: &f.claims.Endorsed.NotBefore, tc.until: &f.claims.Endorsed.NotAfter} {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			*field = at
		}
		f.sync()
		c := checkNamed(parseTest(t, strictTrust).Appraise(f.in, f.at), "hardware.accepted_time")
		if c.Status != attest.Pass || c.Seen != tc.seen || c.Expected != tc.want {
			t.Errorf("%s, %q, expected %q; %q, expected %q", c.Status, c.Seen, tc.seen, c.Expected, tc.want)
		}
	}
}
