package tdx_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/tdx"
)

var update = flag.Bool("update", false, "write the golden files")

// capture is a quote of a real trust domain with what Intel said about its
// platform; vectors/tdx/ORIGIN.md says whose.
type capture struct {
	name       string // of the golden file
	quote      string
	collateral string // in the form of dcap-qvl, with everything
	info, qe   string // or single files of Intel's service
	crls       bool
	log        string
	at         time.Time
	status     tdx.Status // 0: refused
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }

func captures() []capture {
	return []capture{
		{name: "v4-oasis", quote: "quote_v4_tdx_ecdsa_p256.bin", info: "tcb_info_v3_tdx_fmspc_C0806F000000.json", qe: "qe_identity_v2_tdx2.json", at: day(2024, 9, 12), status: tdx.UpToDate},
		{name: "v4-oasis-trailing", quote: "quote_v4_tdx_ecdsa_p256_trailing.bin", info: "tcb_info_v3_tdx_fmspc_C0806F000000.json", qe: "qe_identity_v2_tdx2.json", at: day(2024, 9, 12)},
		{name: "v4-oasis-out-of-date", quote: "quote_v4_tdx_ecdsa_p256_out_of_date.bin", info: "tcb_info_v3_tdx_fmspc_C0806F000000.json", qe: "qe_identity_v2_tdx2.json", at: day(2024, 9, 12)},
		{name: "v4-out-of-date-own-fmspc", quote: "quote_v4_tdx_ecdsa_p256_out_of_date.bin", info: "tcb_info_v3_tdx_fmspc_50806F000000.json", qe: "qe_identity_v2_tdx.json", crls: true, at: day(2023, 7, 1)},
		{name: "v4-spr", quote: "tdx_prod_quote_SPR_E4.dat", info: "tcb_info_v3_tdx_fmspc_50806F000000.json", qe: "qe_identity_v2_tdx.json", crls: true, at: day(2023, 7, 1)},
		{name: "v4-debug", quote: "tdx_quote_4.dat", info: "tcb_info_v3_tdx_fmspc_50806F000000.json", qe: "qe_identity_v2_tdx.json", crls: true, at: day(2023, 7, 1), status: tdx.UpToDate},
		{name: "v4-qvl", quote: "tdx_quote", collateral: "tdx_quote_collateral.json", at: day(2025, 6, 20), status: tdx.UpToDate},
		{name: "v4-qvl-a-month-later", quote: "tdx_quote", collateral: "tdx_quote_collateral.json", at: day(2025, 7, 20)},
		{name: "v5-qvl-outdated", quote: "tdx_quote_outdated", collateral: "tdx_quote_outdated_collateral.json", at: day(2026, 2, 20)},
		{name: "v5-sample", quote: "quote_v5_sample.dat", info: "sample_tcbinfo_response_v5", qe: "outdated", at: day(2026, 2, 20), status: tdx.UpToDate},
		{name: "v4-cos-113", quote: "cos-113-tdx-quote.dat", log: "cos-113-ccel.bin", at: day(2025, 7, 15)},
		{name: "v4-cos-113-other-log", quote: "cos-113-tdx-quote.dat", log: "CCEL_data", at: day(2025, 7, 15)},
	}
}

func vector(t testing.TB, kind, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "vectors", kind, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// collateral turns one file with everything into Endorsements.
func collateral(t testing.TB, file string) attest.Endorsements {
	t.Helper()
	var c map[string]string
	if err := json.Unmarshal(vector(t, "tdx", file), &c); err != nil {
		t.Fatal(err)
	}
	bin := func(name string) []byte {
		b, err := hex.DecodeString(c[name])
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}
	return attest.Endorsements{
		{Label: attest.LabelIntelTCBInfo, Data: []byte(`{"tcbInfo":` + c["tcb_info"] + `,"signature":"` + c["tcb_info_signature"] + `"}`)},
		{Label: attest.LabelIntelQEIdentity, Data: []byte(`{"enclaveIdentity":` + c["qe_identity"] + `,"signature":"` + c["qe_identity_signature"] + `"}`)},
		{Label: attest.LabelIntelTCBChain, Data: []byte(c["tcb_info_issuer_chain"])},
		{Label: attest.LabelIntelRootCRL, Data: bin("root_ca_crl")},
		{Label: attest.LabelIntelPCKCRL, Data: bin("pck_crl")},
	}
}

func (c capture) evidence(t testing.TB) attest.Evidence {
	return attest.Evidence{Kind: attest.TDX, Data: vector(t, "tdx", c.quote)}
}

func (c capture) endorsements(t testing.TB) attest.Endorsements {
	t.Helper()
	var end attest.Endorsements
	switch {
	case c.collateral != "":
		end = collateral(t, c.collateral)
	case c.qe == "outdated":
		end = collateral(t, "tdx_quote_outdated_collateral.json")
		end[0].Data = vector(t, "tdx", c.info)
	case c.info != "":
		end = attest.Endorsements{
			{Label: attest.LabelIntelTCBInfo, Data: vector(t, "tdx", c.info)},
			{Label: attest.LabelIntelQEIdentity, Data: vector(t, "tdx", c.qe)},
			{Label: attest.LabelIntelTCBChain, Data: vector(t, "sgx", "tcb_info_v3_fmspc_00606A000000_certs.pem")},
		}
	}
	if c.crls {
		end = append(end,
			attest.Endorsement{Label: attest.LabelIntelRootCRL, Data: vector(t, "tdx", "rootcrl.der")},
			attest.Endorsement{Label: attest.LabelIntelPCKCRL, Data: vector(t, "tdx", "pckcrl")})
	}
	if c.log != "" {
		// The area is up to 1 MiB, of which all but the first pages are padding.
		log := vector(t, "tdx", c.log)
		end = append(end, attest.Endorsement{Label: attest.LabelEventLog, Data: log[:min(len(log), 64<<10)]})
	}
	return end
}

func intelVerifier(t testing.TB) *tdx.Verifier {
	t.Helper()
	v, err := tdx.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// failure returns the refusal in err, which must be one.
func failure(t testing.TB, err error) *attest.Failure {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want an *attest.Failure", err)
	}
	return f
}

// TestRealMachines: each capture gives the verdict that its origin states, and
// the whole list of checks is a golden file.
func TestRealMachines(t *testing.T) {
	v := intelVerifier(t)
	for _, c := range captures() {
		t.Run(c.name, func(t *testing.T) {
			claims, err := v.Verify(c.evidence(t), c.endorsements(t), c.at)
			var checks []attest.Check
			if err != nil {
				checks = failure(t, err).Checks
				if c.status != 0 {
					t.Error(err)
				}
			} else {
				d := claims.Detail.(*tdx.Claims)
				checks = claims.Checks
				if d.TCB.Status != c.status || !claims.Endorsed.Contains(c.at) {
					t.Errorf("status %s, want %s; endorsed %v", d.TCB.Status, c.status, claims.Endorsed)
				}
			}
			golden(t, c.name, checks)
		})
	}
}

func golden(t *testing.T, name string, checks []attest.Check) {
	t.Helper()
	var text strings.Builder
	for _, c := range checks {
		text.WriteString(c.String() + "\n")
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}
