package nitro_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nitro"
)

// A document of a real enclave brings its own certificates: nothing is fetched.
func Example() {
	file, err := os.ReadFile("../../vectors/nitro/dstack-nsm-qvl.cose")
	if err != nil {
		fmt.Println(err)
		return
	}
	document, rest, err := nitro.Split(file) // whoever saved it wrote something behind the document
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := nitro.NewVerifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2025, 12, 25, 13, 15, 37, 578e6, time.UTC)
	claims, err := verifier.Verify(attest.Evidence{Kind: attest.Nitro, Data: document}, nil, at)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise decides whether they are good enough.
	facts := claims.Detail.(*nitro.Claims)
	fmt.Println(claims.Kind, facts.Document.ModuleID)
	fmt.Println("certificate until", claims.Endorsed.NotAfter.Format(time.RFC3339))
	fmt.Printf("PCR0 %x...\n", claims.Measurement[:8])

	_, err = verifier.Verify(attest.Evidence{Kind: attest.Nitro, Data: file}, nil, at)
	fmt.Println("refused with", len(rest), "bytes that nobody signed:", err != nil)
	// Output:
	// nitro i-0827e799ec9232d44-enc019b55a68bd2ed4b
	// certificate until 2025-12-25T16:15:37Z
	// PCR0 5cb702954321826d...
	// refused with 151 bytes that nobody signed: true
}
