// Package dcaptest is for tests only. No program may link it.
//
// It answers one question: does a verifier of Intel's quotes keep the promises that
// quotes of enclaves and of trust domains have in common? Packages sgx and tdx say
// in a [Kind] what is their own, and run the same tests.
//
// It stands outside the trust boundary: it plays the machine and Intel, and
// appraises only to see a refusal.
package dcaptest
