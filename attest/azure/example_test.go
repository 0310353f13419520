package azure_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/snp"
)

// The evidence of a real Azure VM is verified without a network: the hardware vouches
// for the paravisor, and the paravisor's TPM for what was started.
func Example() {
	file, err := os.ReadFile("../../vectors/azure/snp-v0-trustee.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence, endorsements, err := azure.FromTrusteeJSON(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := azure.NewVerifier(attest.AzureSNP)
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(evidence, endorsements, time.Date(2025, 6, 15, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise decides whether they are good enough.
	facts := claims.Detail.(*azure.Claims)
	hardware := facts.Hardware.Detail.(*snp.Claims)
	fmt.Println(claims.Kind, hardware.Product, "TCB", hardware.CertTCB)
	fmt.Printf("paravisor %x...\n", claims.Measurement[:8])
	fmt.Println("attestation key:", facts.TPM.Binding)
	fmt.Printf("PCR 4 %x...\n", facts.TPM.PCR(4)[:8])
	// Output:
	// azure-sev-snp Milan TCB 4/0/24/219
	// paravisor 6a063be9dd79f637...
	// attestation key: by hardware
	// PCR 4 eee70c86ea856a27...
}
