package sgx_test

import (
	"flag"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/dcaptest"
	"github.com/blindbox/blindbox/attest/sgx"
)

var (
	update  = flag.Bool("update", false, "write the golden files")
	mutants = flag.Int("mutants", 400, "how many changed quotes are verified")
)

// quotes says what of the tests that all quotes share is this package's.
func quotes() dcaptest.Kind[*sgx.Verifier, *sgx.Chain] {
	return dcaptest.Kind[*sgx.Verifier, *sgx.Chain]{
		Kind: attest.SGX, Other: attest.TDX,
		New: sgx.NewVerifier, NewWithRoot: sgx.NewVerifierWithRoot,
		Verifiers: map[string]*sgx.Verifier{"nil": nil, "zero": {}},
		Chains:    map[string]*sgx.Chain{"nil": nil, "zero": {}},
		PCKChain:  sgx.PCKChain,
		Parse:     parse,
		Detail:    detail,
		Captures:  captures(),
		Versions:  []uint16{3, 4, 5}, ReportData: 48 + 320,
		Edit: attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.MRENCLAVE[0] ^= 1 }),
	}
}

func parse(data []byte) (dcaptest.Detail, []byte, error) {
	q, err := sgx.ParseQuote(data)
	if q == nil {
		return dcaptest.Detail{}, nil, err
	}
	return dcaptest.Detail{Version: q.Version, Report: q.Report, PCK: &q.PCK}, q.PCKChain, err
}

func detail(claims *attest.Claims) dcaptest.Detail {
	d := claims.Detail.(*sgx.Claims)
	return dcaptest.Detail{Version: d.QuoteVersion, Report: *d.Report, TCB: &d.TCB, PCK: &d.PCK, RootCRL: &d.RootCRL}
}

func captures() []dcaptest.Capture {
	ice := dcaptest.Capture{Name: "v3-ice-lake", Quote: "quote_v3_ecdsa_p256_pck_chain.bin", Info: "tcb_info_v3_fmspc_00606A000000.json", Identity: "qe_identity_v2.json",
		At: time.Unix(1671497404, 0).UTC(), Status: sgx.SWHardeningNeeded}
	later, nameless := ice, ice
	later.Name, later.At, later.Status = "v3-ice-lake-two-months-later", ice.At.AddDate(0, 2, 0), 0
	nameless.Name, nameless.Quote, nameless.Status = "v3-eppid", "quote_v3_ecdsa_p256_eppid.bin", 0
	return []dcaptest.Capture{
		ice, later, nameless,
		{Name: "v3-qvl", Quote: "sgx_quote", Collateral: "sgx_quote_collateral.json", At: time.Date(2025, 6, 20, 12, 0, 0, 0, time.UTC), Status: sgx.ConfigurationAndSWHardeningNeeded},
	}
}

func TestContract(t *testing.T)            { quotes().TestContract(t) }
func TestRealMachines(t *testing.T)        { quotes().TestRealMachines(t, *update) }
func TestVectors(t *testing.T)             { quotes().TestVectors(t, attesttest.SGXVectors(t), 100) }
func TestMutants(t *testing.T)             { quotes().TestMutants(t, *mutants) }
func TestZeroRefuses(t *testing.T)         { quotes().TestZeroRefuses(t) }
func TestWarm(t *testing.T)                { quotes().TestWarm(t) }
func TestClaimsAreTheCallers(t *testing.T) { quotes().TestClaimsAreTheCallers(t) }
func TestPCKChain(t *testing.T)            { quotes().TestPCKChain(t) }
func TestParseQuote(t *testing.T)          { quotes().TestParseQuote(t) }
func TestParseQuoteRefuses(t *testing.T)   { quotes().TestParseQuoteRefuses(t) }
func FuzzParseQuote(f *testing.F)          { quotes().FuzzParseQuote(f) }
func FuzzVerify(f *testing.F)              { quotes().FuzzVerify(f) }
