package sgx_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sgx"
)

// A quote of a real enclave is verified without a network, with Intel's TCB info and
// QE identity of that time beside it.
func Example() {
	quote, err := os.ReadFile("../../vectors/sgx/quote_v3_ecdsa_p256_pck_chain.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence := attest.Evidence{Kind: attest.SGX, Data: quote}
	var endorsements attest.Endorsements
	for label, file := range map[string]string{
		attest.LabelIntelTCBInfo:    "tcb_info_v3_fmspc_00606A000000.json",
		attest.LabelIntelQEIdentity: "qe_identity_v2.json",
		attest.LabelIntelTCBChain:   "tcb_info_v3_fmspc_00606A000000_certs.pem",
	} {
		data, err := os.ReadFile("../../vectors/sgx/" + file)
		if err != nil {
			fmt.Println(err)
			return
		}
		endorsements = append(endorsements, attest.Endorsement{Label: label, Data: data})
	}

	verifier, err := sgx.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(evidence, endorsements, time.Date(2022, 12, 20, 0, 50, 4, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise decides whether they are good enough.
	facts := claims.Detail.(*sgx.Claims)
	fmt.Println(claims.Kind, "quote version", facts.QuoteVersion, "TCB", facts.TCB.Status, facts.TCB.Advisories)
	fmt.Println("attributes:", facts.Report.Attributes)
	fmt.Println("revocation list of the PCK's CA seen:", facts.PCKCRL.Checked)
	fmt.Printf("MRENCLAVE %x...\n", claims.Measurement[:8])
	// Output:
	// sgx quote version 3 TCB SWHardeningNeeded [INTEL-SA-00615 INTEL-SA-00657]
	// attributes: init mode64bit
	// revocation list of the PCK's CA seen: false
	// MRENCLAVE 68823bc62f409ee3...
}

// What a quote says can be read without any collateral: that says which collateral
// to ask Intel for, and proves nothing.
func ExampleParseQuote() {
	data, err := os.ReadFile("../../vectors/sgx/quote_v3_ecdsa_p256_pck_chain.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	quote, err := sgx.ParseQuote(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("version %d, attributes %s\n", quote.Version, quote.Report.Attributes)
	fmt.Printf("FMSPC %X, PCE %x\n", quote.PCK.FMSPC, quote.PCK.PCEID)
	// Output:
	// version 3, attributes init mode64bit
	// FMSPC 00606A000000, PCE 0000
}
