package tdx_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/tdx"
)

// captured returns the quote of a real machine and what Intel said of its platform
// at that time, each file as Intel's service gave it out.
func captured() (attest.Evidence, attest.Endorsements, error) {
	quote, err := os.ReadFile("../../vectors/tdx/quote_v4_tdx_ecdsa_p256.bin")
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	var endorsements attest.Endorsements
	for label, file := range map[string]string{
		attest.LabelIntelTCBInfo:    "../../vectors/tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json",
		attest.LabelIntelQEIdentity: "../../vectors/tdx/qe_identity_v2_tdx2.json",
		attest.LabelIntelTCBChain:   "../../vectors/sgx/tcb_info_v3_fmspc_00606A000000_certs.pem",
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			return attest.Evidence{}, nil, err
		}
		endorsements = append(endorsements, attest.Endorsement{Label: label, Data: data})
	}
	return attest.Evidence{Kind: attest.TDX, Data: quote}, endorsements, nil
}

// A quote of a real machine is verified without a network, with Intel's TCB info and
// QE identity of that time beside it.
func Example() {
	evidence, endorsements, err := captured()
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := tdx.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(evidence, endorsements, time.Date(2024, 9, 12, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise decides whether they are good enough.
	facts := claims.Detail.(*tdx.Claims)
	fmt.Println(claims.Kind, "quote version", facts.QuoteVersion, "TCB", facts.TCB.Status, facts.TCB.Advisories)
	fmt.Println("attributes:", facts.Report.Attributes)
	fmt.Println("revocation list of the PCK's CA seen:", facts.PCKCRL.Checked)
	fmt.Printf("MRTD %x...\n", claims.Measurement[:8])
	// Output:
	// tdx quote version 4 TCB UpToDate []
	// attributes: sept_ve_disable
	// revocation list of the PCK's CA seen: false
	// MRTD 91eb2b44d141d4ec...
}

// Certificates, TCB info and QE identity are verified once; then many quotes of the
// machine cost two signatures each.
func ExampleVerifier_Endorse() {
	evidence, endorsements, err := captured()
	if err != nil {
		fmt.Println(err)
		return
	}
	pck, err := tdx.PCKChain(evidence)
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := tdx.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2024, 9, 12, 0, 0, 0, 0, time.UTC)
	machine, err := verifier.Endorse(append(endorsements, pck), at)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("until", machine.Endorsed().NotAfter.Format(time.DateOnly))

	claims, err := machine.Verify(evidence, at)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s MRTD %x...\n", claims.Kind, claims.Measurement[:8])

	_, err = machine.Verify(evidence, at.AddDate(0, 1, 0))
	fmt.Println("refused a month later:", err != nil)
	// Output:
	// until 2024-10-02
	// tdx MRTD 91eb2b44d141d4ec...
	// refused a month later: true
}

// What a quote says can be read without any collateral: that says which collateral
// to ask Intel for, and proves nothing.
func ExampleParseQuote() {
	data, err := os.ReadFile("../../vectors/tdx/quote_v4_tdx_ecdsa_p256.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	quote, err := tdx.ParseQuote(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("version %d, attributes %s\n", quote.Version, quote.Report.Attributes)
	fmt.Printf("FMSPC %X, PCE %x\n", quote.PCK.FMSPC, quote.PCK.PCEID)
	// Output:
	// version 4, attributes sept_ve_disable
	// FMSPC C0806F000000, PCE 0000
}
