package snp_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// A report of a real machine is verified without a network, with the certificate of
// the key that signed it beside it.
func Example() {
	report, err := os.ReadFile("../../vectors/snp/genoa-v5-oak.report.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	vek, err := os.ReadFile("../../vectors/snp/genoa-v5-oak.vek.der")
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence := attest.Evidence{Kind: attest.SNP, Data: report}
	endorsements := attest.Endorsements{{Label: attest.LabelSNPVEK, Data: vek}}
	at := time.Date(2025, 9, 15, 0, 0, 0, 0, time.UTC)

	verifier, err := snp.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(evidence, endorsements, at)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise decides whether they are good enough.
	facts := claims.Detail.(*snp.Claims)
	fmt.Println(claims.Kind, facts.Product, "TCB", facts.CertTCB, "VMPL", facts.Report.VMPL)
	fmt.Println("revocation list of the signing CA seen:", facts.ASKCRL.Checked)
	fmt.Printf("measurement %x...\n", claims.Measurement[:8])

	_, err = verifier.Verify(evidence, nil, at)
	fmt.Println(err)
	// Output:
	// sev-snp Genoa TCB 10/0/25/84 VMPL 0
	// revocation list of the signing CA seen: false
	// measurement c57729018b0a6fb9...
	// attest: refused: hardware.endorsements FAIL unavailable: no VCEK or VLEK certificate, expected one, as snp/vek or in snp/cert-table
}
