package receipt_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/receipt"
)

// A receipt is opened, compared with the evidence for its key, and with the answer
// that one has. Whether that evidence is genuine, and of a box to trust, is said by
// client.VerifyReceipt.
func ExampleOpen() {
	var file struct {
		Token  string
		Bundle []byte
	}
	text, err := os.ReadFile("../vectors/receipt/001-complete/input.json")
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		panic(err)
	}
	opened, err := receipt.Open(file.Token)
	if err != nil {
		fmt.Println(err)
		return
	}
	bundle, err := attest.ParseBundle(file.Bundle)
	if err != nil {
		fmt.Println(err)
		return
	}
	checks := opened.Bind(bundle)
	answer := []byte("answer\n")
	checks = append(checks, opened.Response.CompareBody("response", int64(len(answer)), sha256.Sum256(answer)))
	fmt.Println(attest.FailureOf(checks))
	fmt.Println(opened.Caller, opened.Decision.Action, opened.Decision.Allowed, opened.Outcome, opened.Box.Simulated)
	// Output:
	// <nil>
	// clinic <é> query true complete true
}
