package azure

import "github.com/blindbox/blindbox/attest"

// Codes of refusals that only this format has. The shared ones are in package
// attest.
const (
	CodeAKMismatch attest.Code = "paravisor_key" // the quote is by another key than the paravisor's
	CodeTDMismatch attest.Code = "td_mismatch"   // the TD quote is of another machine than the HCL report
)
