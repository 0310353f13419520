package dcap

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
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

func TestX(t *testing.T) {
	for _, c := range []struct {
		tee   TEE
		quote string
		end   attest.Endorsements
		at    string
	}{
		{TDX, "tdx/tdx_quote", collateralFile(t, "tdx/tdx_quote_collateral.json"), "2025-06-20"},
		{TDX, "tdx/tdx_quote_outdated", collateralFile(t, "tdx/tdx_quote_outdated_collateral.json"), "2026-02-20"},
		{SGX, "sgx/sgx_quote", collateralFile(t, "sgx/sgx_quote_collateral.json"), "2025-06-20"},
	} {
		q, check := ReadQuote(read(t, c.quote), c.tee)
		t.Log(check)
		e, err := NewEngine(c.tee)
		if err != nil {
			t.Fatal(err)
		}
		f, checks := e.Verify(q, c.end, date(t, c.at))
		for _, c := range checks {
			t.Log(c)
		}
		if f != nil {
			t.Logf("%+v", f.TCB)
		}
	}
}
