package tpm_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/tpm"
)

// A quote of a real TPM, that of an Azure VM, says nothing about whose TPM it is. What
// vouches for its key is pinned here, as after a challenge (EK.Challenge).
func Example() {
	file, err := os.ReadFile("../../vectors/azure/snp-v0-trustee.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	machine, _, err := azure.FromTrusteeJSON(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	parts, err := form.ParseAzure(machine.Data)
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence := attest.Evidence{Kind: attest.TPM, Data: parts.TPM.Encode()}
	at := time.Date(2025, 6, 15, 0, 0, 0, 0, time.UTC)

	verifier, err := tpm.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(evidence, nil, at)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise refuses a key that is not bound.
	facts := claims.Detail.(*tpm.Claims)
	fmt.Println(claims.Kind, "key:", facts.Binding)
	fmt.Printf("PCR 4 %x...\n", facts.PCR(4)[:8])

	verifier, err = tpm.NewVerifierWithRoots(tpm.Trust{Pins: []tpm.Pin{{
		Name: facts.AKName, Validity: attest.Validity{NotBefore: at, NotAfter: at.AddDate(0, 0, 1)},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err = verifier.Verify(evidence, nil, at)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Kind, "key:", claims.Detail.(*tpm.Claims).Binding)
	// Output:
	// tpm key: unbound
	// PCR 4 eee70c86ea856a27...
	// tpm key: activated
}
