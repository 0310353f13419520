package pcs_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/pcs"
	"github.com/blindbox/blindbox/attest/tdx"
)

// TestCollateral: what cannot be read in one way is refused.
func TestCollateral(t *testing.T) {
	for name, doc := range map[string]string{
		"no JSON":          "x",
		"two documents":    "{}{}",
		"a member twice":   `{"tcb_info": "a", "tcb_info": "b"}`,
		"number":           `{"tcb_info": 1}`,
		"list not hex":     `{"pck_crl": "zz"}`,
		"root list odd":    `{"root_ca_crl": "303"}`,
		"nothing known":    `{"tcbInfo": {}, "signature": "00"}`, // an answer of Intel's service, not this form
		"no member":        "{}",
		"different chains": `{"tcb_info_issuer_chain": "a", "qe_identity_issuer_chain": "b"}`,
	} {
		if list, err := pcs.FromCollateralJSON([]byte(doc)); err == nil || list != nil {
			t.Errorf("%s: %d endorsements", name, len(list))
		}
	}
	list, err := pcs.FromCollateralJSON([]byte(`{"tcb_info": "{\"a\":1}", "tcb_info_signature": "00", "pck_crl": "3000", "unknown": []}`))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if got := string(list[0].Data); list[0].Label != attest.LabelIntelTCBInfo || got != `{"tcbInfo":{"a":1},"signature":"00"}` {
		t.Errorf("%s %s", list[0].Label, got)
	}
}

// A quote is verified with collateral that a public tool kept in one file.
func ExampleFromCollateralJSON() {
	quote, err := os.ReadFile("../../vectors/tdx/tdx_quote")
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := os.ReadFile("../../vectors/tdx/tdx_quote_collateral.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	endorsements, err := pcs.FromCollateralJSON(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := tdx.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(attest.Evidence{Kind: attest.TDX, Data: quote}, endorsements, time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	facts := claims.Detail.(*tdx.Claims)
	fmt.Println(len(endorsements), "endorsements, TCB", facts.TCB.Status, "revocation list of the PCK's CA seen:", facts.PCKCRL.Checked)
	// Output: 5 endorsements, TCB UpToDate revocation list of the PCK's CA seen: true
}
