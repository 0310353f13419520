package tdx_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/dcaptest"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/tdx"
)

var update = flag.Bool("update", false, "write the golden files")

// quotes says what of the tests that all quotes share is this package's.
func quotes() dcaptest.Kind[*tdx.Verifier, *tdx.Chain] {
	return dcaptest.Kind[*tdx.Verifier, *tdx.Chain]{
		Kind: attest.TDX, Other: attest.SGX,
		New: tdx.NewVerifier, NewWithRoot: tdx.NewVerifierWithRoot,
		Verifiers: map[string]*tdx.Verifier{"nil": nil, "zero": {}},
		Chains:    map[string]*tdx.Chain{"nil": nil, "zero": {}},
		PCKChain:  tdx.PCKChain,
		Parse:     parse,
		Detail:    detail,
		Captures:  captures(),
		Versions:  []uint16{4, 5}, ReportData: 48 + 520, Padding: true,
		Edit: attesttest.EditTD(func(r *attesttest.IntelTD) { r.MRTD[0] ^= 1 }),
	}
}

func parse(data []byte) (dcaptest.Detail, []byte, error) {
	q, err := tdx.ParseQuote(data)
	if q == nil {
		return dcaptest.Detail{}, nil, err
	}
	return dcaptest.Detail{Version: q.Version, Report: q.Report, PCK: &q.PCK}, q.PCKChain, err
}

func detail(claims *attest.Claims) dcaptest.Detail {
	d := claims.Detail.(*tdx.Claims)
	return dcaptest.Detail{Version: d.QuoteVersion, Report: *d.Report, TCB: &d.TCB, PCK: &d.PCK, RootCRL: &d.RootCRL}
}

func captures() []dcaptest.Capture {
	const (
		oasis, oasisQE = "tcb_info_v3_tdx_fmspc_C0806F000000.json", "qe_identity_v2_tdx2.json"
		spr, sprQE     = "tcb_info_v3_tdx_fmspc_50806F000000.json", "qe_identity_v2_tdx.json"
	)
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }
	return []dcaptest.Capture{
		{Name: "v4-oasis", Quote: "quote_v4_tdx_ecdsa_p256.bin", Info: oasis, Identity: oasisQE, At: day(2024, 9, 12), Status: tdx.UpToDate},
		{Name: "v4-oasis-trailing", Quote: "quote_v4_tdx_ecdsa_p256_trailing.bin", Info: oasis, Identity: oasisQE, At: day(2024, 9, 12)},
		{Name: "v4-oasis-trailing-in-force", Quote: "quote_v4_tdx_ecdsa_p256_trailing.bin", Info: oasis, Identity: oasisQE, At: day(2024, 9, 21), Status: tdx.UpToDate},
		{Name: "v4-oasis-out-of-date", Quote: "quote_v4_tdx_ecdsa_p256_out_of_date.bin", Info: oasis, Identity: oasisQE, At: day(2024, 9, 12)},
		{Name: "v4-out-of-date-own-fmspc", Quote: "quote_v4_tdx_ecdsa_p256_out_of_date.bin", Info: spr, Identity: sprQE, CRLs: true, At: day(2023, 7, 1)},
		{Name: "v4-spr", Quote: "tdx_prod_quote_SPR_E4.dat", Info: spr, Identity: sprQE, CRLs: true, At: day(2023, 7, 1)},
		{Name: "v4-debug", Quote: "tdx_quote_4.dat", Info: spr, Identity: sprQE, CRLs: true, At: day(2023, 7, 1), Status: tdx.UpToDate},
		{Name: "v4-qvl", Quote: "tdx_quote", Collateral: "tdx_quote_collateral.json", At: day(2025, 6, 20), Status: tdx.UpToDate},
		{Name: "v4-qvl-a-month-later", Quote: "tdx_quote", Collateral: "tdx_quote_collateral.json", At: day(2025, 7, 20)},
		{Name: "v5-qvl-outdated", Quote: "tdx_quote_outdated", Collateral: "tdx_quote_outdated_collateral.json", At: day(2026, 2, 20)},
		{Name: "v5-sample", Quote: "quote_v5_sample.dat", Collateral: "tdx_quote_outdated_collateral.json", Info: "sample_tcbinfo_response_v5", At: day(2026, 2, 20), Status: tdx.UpToDate},
		{Name: "v4-cos-113", Quote: "cos-113-tdx-quote.dat", Log: "cos-113-ccel.bin", At: day(2025, 7, 15)},
		{Name: "v4-cos-113-other-log", Quote: "cos-113-tdx-quote.dat", Log: "CCEL_data", At: day(2025, 7, 15)},
	}
}

// TestConverted: a verifier of enclaves that is called one of trust domains accepts
// neither.
func TestConverted(t *testing.T) {
	v, err := sgx.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	c := captures()[0]
	for _, ev := range []attest.Evidence{
		quotes().Evidence(t, c), {Kind: attest.SGX, Data: dcaptest.File(t, attest.SGX, "quote_v3_ecdsa_p256_pck_chain.bin")},
	} {
		_, err := (*tdx.Verifier)(v).Verify(ev, quotes().Endorsements(t, c), c.At)
		if !slices.ContainsFunc(dcaptest.Failure(t, err).Failed(), func(c attest.Check) bool { return c.Code == attest.CodeKindMismatch }) {
			t.Errorf("%s: %v, want that it is of another kind", ev.Kind, err)
		}
	}
}

func TestContract(t *testing.T)            { quotes().TestContract(t) }
func TestRealMachines(t *testing.T)        { quotes().TestRealMachines(t, *update) }
func TestVectors(t *testing.T)             { quotes().TestVectors(t, attesttest.TDXVectors(t), 120) }
func TestMutants(t *testing.T)             { quotes().TestMutants(t, *mutants) }
func TestZeroRefuses(t *testing.T)         { quotes().TestZeroRefuses(t) }
func TestWarm(t *testing.T)                { quotes().TestWarm(t) }
func TestClaimsAreTheCallers(t *testing.T) { quotes().TestClaimsAreTheCallers(t) }
func TestPCKChain(t *testing.T)            { quotes().TestPCKChain(t) }
func TestParseQuote(t *testing.T)          { quotes().TestParseQuote(t) }
func TestParseQuoteRefuses(t *testing.T)   { quotes().TestParseQuoteRefuses(t) }
func FuzzParseQuote(f *testing.F)          { quotes().FuzzParseQuote(f) }
func FuzzVerify(f *testing.F)              { quotes().FuzzVerify(f) }
