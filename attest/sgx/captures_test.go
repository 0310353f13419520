package sgx_test

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
	"github.com/blindbox/blindbox/attest/sgx"
)

var update = flag.Bool("update", false, "write the golden files")

// capture is a quote of a real enclave with what Intel said about its
// platform; vectors/sgx/ORIGIN.md says whose.
type capture struct {
	name       string // of the golden file
	quote      string
	collateral string // in the form of dcap-qvl, with everything
	info, qe   string // or single files of Intel's service
	at         time.Time
	status     sgx.Status // 0: refused
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }

func captures() []capture {
	ice := capture{name: "v3-ice-lake", quote: "quote_v3_ecdsa_p256_pck_chain.bin", info: "tcb_info_v3_fmspc_00606A000000.json", qe: "qe_identity_v2.json",
		at: time.Unix(1671497404, 0).UTC(), status: sgx.SWHardeningNeeded}
	later := ice
	later.name, later.at, later.status = "v3-ice-lake-two-months-later", ice.at.AddDate(0, 2, 0), 0
	return []capture{
		ice, later,
		{name: "v3-qvl", quote: "sgx_quote", collateral: "sgx_quote_collateral.json", at: day(2025, 6, 20), status: sgx.ConfigurationAndSWHardeningNeeded},
		{name: "v3-eppid", quote: "quote_v3_ecdsa_p256_eppid.bin", info: "tcb_info_v3_fmspc_00606A000000.json", qe: "qe_identity_v2.json", at: ice.at},
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
	if err := json.Unmarshal(vector(t, "sgx", file), &c); err != nil {
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
	return attest.Evidence{Kind: attest.SGX, Data: vector(t, "sgx", c.quote)}
}

func (c capture) endorsements(t testing.TB) attest.Endorsements {
	t.Helper()
	var end attest.Endorsements
	switch {
	case c.collateral != "":
		end = collateral(t, c.collateral)
	case c.info != "":
		end = attest.Endorsements{
			{Label: attest.LabelIntelTCBInfo, Data: vector(t, "sgx", c.info)},
			{Label: attest.LabelIntelQEIdentity, Data: vector(t, "sgx", c.qe)},
			{Label: attest.LabelIntelTCBChain, Data: vector(t, "sgx", "tcb_info_v3_fmspc_00606A000000_certs.pem")},
		}
	}
	return end
}

func intelVerifier(t testing.TB) *sgx.Verifier {
	t.Helper()
	v, err := sgx.NewVerifier()
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
				d := claims.Detail.(*sgx.Claims)
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
