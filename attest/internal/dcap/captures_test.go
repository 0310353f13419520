package dcap

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "vectors", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// collateralFile reads the form in which the captures of one project keep the
// collateral of a quote: documents and signatures apart, CRLs in hex.
func collateralFile(t testing.TB, name string) attest.Endorsements {
	t.Helper()
	var c struct {
		PCKCRLChain string `json:"pck_crl_issuer_chain"`
		RootCRL     string `json:"root_ca_crl"`
		PCKCRL      string `json:"pck_crl"`
		TCBChain    string `json:"tcb_info_issuer_chain"`
		TCBInfo     string `json:"tcb_info"`
		TCBInfoSig  string `json:"tcb_info_signature"`
		QEChain     string `json:"qe_identity_issuer_chain"`
		QE          string `json:"qe_identity"`
		QESig       string `json:"qe_identity_signature"`
	}
	if err := json.Unmarshal(read(t, name), &c); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if c.TCBChain != c.QEChain {
		t.Fatal("two TCB signing chains")
	}
	return attest.Endorsements{
		{Label: attest.LabelIntelTCBChain, Data: []byte(c.TCBChain)},
		{Label: attest.LabelIntelTCBInfo, Data: []byte(`{"tcbInfo":` + c.TCBInfo + `,"signature":"` + c.TCBInfoSig + `"}`)},
		{Label: attest.LabelIntelQEIdentity, Data: []byte(`{"enclaveIdentity":` + c.QE + `,"signature":"` + c.QESig + `"}`)},
		{Label: attest.LabelIntelRootCRL, Data: unhex(c.RootCRL)},
		{Label: attest.LabelIntelPCKCRL, Data: unhex(c.PCKCRL)},
	}
}

func date(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// serviceFiles are files of the service as they came, with the chain of their
// signing key and, if given, two CRLs.
func serviceFiles(t testing.TB, info, identity string, crls ...string) attest.Endorsements {
	t.Helper()
	end := attest.Endorsements{
		{Label: attest.LabelIntelTCBInfo, Data: read(t, info)},
		{Label: attest.LabelIntelQEIdentity, Data: read(t, identity)},
		{Label: attest.LabelIntelTCBChain, Data: read(t, "sgx/tcb_info_v3_fmspc_00606A000000_certs.pem")},
	}
	for i, name := range crls {
		end = append(end, attest.Endorsement{Label: []string{attest.LabelIntelRootCRL, attest.LabelIntelPCKCRL}[i], Data: read(t, name)})
	}
	return end
}

// with replaces or adds one item.
func with(end attest.Endorsements, label string, data []byte) attest.Endorsements {
	return append(without(label)(end), attest.Endorsement{Label: label, Data: data})
}

type capture struct {
	quote  string
	tee    TEE
	end    attest.Endorsements
	at     time.Time
	status Status   // of an accepted quote
	failed []string // of a refused one
}

func captures(t testing.TB) map[string]capture {
	outdated := collateralFile(t, "tdx/tdx_quote_outdated_collateral.json")
	old := serviceFiles(t, "tdx/tcb_info_v3_tdx_fmspc_50806F000000.json", "tdx/qe_identity_v2_tdx.json", "tdx/rootcrl.der", "tdx/pckcrl")
	noLevel := []string{"hardware.tcb_level no_tcb_level"}
	return map[string]capture{
		"SGX v3, Ice Lake": {"sgx/quote_v3_ecdsa_p256_pck_chain.bin", SGX,
			serviceFiles(t, "sgx/tcb_info_v3_fmspc_00606A000000.json", "sgx/qe_identity_v2.json"), time.Unix(1671497404, 0), SWHardeningNeeded, nil},
		"SGX v3": {"sgx/sgx_quote", SGX, collateralFile(t, "sgx/sgx_quote_collateral.json"), date(t, "2025-06-20"), ConfigurationAndSWHardeningNeeded, nil},
		"SGX v3 without a chain": {"sgx/quote_v3_ecdsa_p256_eppid.bin", SGX, collateralFile(t, "sgx/sgx_quote_collateral.json"), date(t, "2025-06-20"), 0,
			[]string{"hardware.quote no_pck_chain", "hardware.pck_chain no_pck_chain"}},
		"TDX v4": {"tdx/quote_v4_tdx_ecdsa_p256.bin", TDX,
			serviceFiles(t, "tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json", "tdx/qe_identity_v2_tdx2.json"), date(t, "2024-09-12"), UpToDate, nil},
		"TDX v4, below every level": {"tdx/quote_v4_tdx_ecdsa_p256_out_of_date.bin", TDX, old, date(t, "2023-07-01"), 0, noLevel},
		// Its padding is fine; its PCK was issued eight days later.
		"TDX v4, not valid yet": {"tdx/quote_v4_tdx_ecdsa_p256_trailing.bin", TDX,
			serviceFiles(t, "tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json", "tdx/qe_identity_v2_tdx2.json"), date(t, "2024-09-12"), 0, []string{"hardware.validity expired"}},
		"TDX v4, padded": {"tdx/quote_v4_tdx_ecdsa_p256_trailing.bin", TDX,
			serviceFiles(t, "tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json", "tdx/qe_identity_v2_tdx2.json"), date(t, "2024-09-21"), UpToDate, nil},
		"TDX v4, text behind it": {"tdx/tdx_prod_quote_SPR_E4.dat", TDX, old, date(t, "2023-07-01"), 0,
			[]string{"hardware.quote malformed", "hardware.pck_chain no_pck_chain"}},
		"TDX v4, debug":   {"tdx/tdx_quote_4.dat", TDX, old, date(t, "2023-07-01"), UpToDate, nil},
		"TDX v4, another": {"tdx/tdx_quote", TDX, collateralFile(t, "tdx/tdx_quote_collateral.json"), date(t, "2025-06-20"), UpToDate, nil},
		"TDX v4 without collateral": {"tdx/cos-113-tdx-quote.dat", TDX, nil, date(t, "2025-07-15"), 0,
			[]string{"hardware.endorsements no_collateral", "hardware.endorsements no_collateral", "hardware.endorsements no_collateral"}},
		"TDX v5, below every level": {"tdx/tdx_quote_outdated", TDX, outdated, date(t, "2026-02-20"), 0, noLevel},
		"TDX v5":                    {"tdx/quote_v5_sample.dat", TDX, with(outdated, attest.LabelIntelTCBInfo, read(t, "tdx/sample_tcbinfo_response_v5")), date(t, "2026-02-20"), UpToDate, nil},
	}
}

// TestCaptures: each quote from real hardware gets its verdict.
func TestCaptures(t *testing.T) {
	for name, c := range captures(t) {
		t.Run(name, func(t *testing.T) {
			e, err := NewEngine(c.tee)
			if err != nil {
				t.Fatal(err)
			}
			facts, checks := verify(t, e, c.tee, read(t, c.quote), c.end, c.at)
			if got := failed(checks); !slices.Equal(got, c.failed) {
				t.Fatalf("failed %q, expected %q\n%v", got, c.failed, checks)
			}
			if facts != nil && facts.TCB.Status != c.status {
				t.Errorf("%s, expected %s: %+v", facts.TCB.Status, c.status, facts.TCB)
			}
			if name == "TDX v4 without collateral" {
				return
			}
			if want := len(c.end) == 5; facts != nil && facts.PCKCRL.Checked != want {
				t.Errorf("CRL checked: %t, expected %t", facts.PCKCRL.Checked, want)
			}
		})
	}
}

// TestCapturesMutated: no single changed byte of a signed part passes.
func TestCapturesMutated(t *testing.T) {
	for _, name := range []string{"SGX v3", "TDX v4, another", "TDX v5"} {
		c := captures(t)[name]
		e, err := NewEngine(c.tee)
		if err != nil {
			t.Fatal(err)
		}
		whole := read(t, c.quote)
		q, _ := ReadQuote(whole, c.tee)
		end := len(whole) - q.Padding - len(q.PCKChain)
		for at := 0; at < end; at += 7 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << (at % 8)
			if facts, _ := verify(t, e, c.tee, b, c.end, c.at); facts != nil {
				t.Errorf("%s: accepted with byte %d changed", name, at)
			}
		}
	}
}

// TestConcurrent: one engine and one chain serve many at once.
func TestConcurrent(t *testing.T) {
	c := captures(t)["TDX v4, another"]
	e, err := NewEngine(c.tee)
	if err != nil {
		t.Fatal(err)
	}
	quote := read(t, c.quote)
	q, _ := ReadQuote(quote, c.tee)
	chain, err := e.Endorse(with(c.end, attest.LabelIntelPCKChain, q.PCKChain), c.at)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			q, _ := ReadQuote(quote, c.tee)
			if facts, checks := e.Verify(q, c.end, c.at); facts == nil {
				t.Error(failed(checks))
			}
			if facts, checks := chain.Verify(q, c.at); facts == nil {
				t.Error(failed(checks))
			} else {
				facts.TCB.Platform.Advisories = append(facts.TCB.Platform.Advisories, "mine")
				*facts.PCK.PlatformID = [16]byte{}
			}
		})
	}
	wg.Wait()
}
