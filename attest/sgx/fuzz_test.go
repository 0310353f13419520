package sgx_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// FuzzVerify: whatever comes as a quote, the answer is claims or an error, and a
// quote that is accepted says what the seed said.
func FuzzVerify(f *testing.F) {
	c := captures()[0]
	v, end := intelVerifier(f), c.endorsements(f)
	for _, c := range captures() {
		f.Add(c.evidence(f).Data)
	}
	ev, _ := attesttest.NewIntel().Make(f, attest.SGX, [64]byte{1}, attesttest.QuoteVersion(5))
	f.Add(ev.Data)
	want := [64]byte(c.evidence(f).Data[48+320:])
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := v.Verify(attest.Evidence{Kind: attest.SGX, Data: data}, end, c.at)
		if (claims == nil) == (err == nil) {
			t.Fatalf("claims %v and error %v", claims, err)
		}
		if err == nil && claims.ReportData != want {
			t.Fatal("another quote was accepted")
		}
	})
}
