package tdx_test

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
	ev, _ := attesttest.NewIntel().Make(f, attest.TDX, [64]byte{1}, attesttest.QuoteVersion(5))
	f.Add(ev.Data)
	want := [64]byte(c.evidence(f).Data[48+520:])
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := v.Verify(attest.Evidence{Kind: attest.TDX, Data: data}, end, c.at)
		if (claims == nil) == (err == nil) {
			t.Fatalf("claims %v and error %v", claims, err)
		}
		if err == nil && claims.ReportData != want {
			t.Fatal("another quote was accepted")
		}
	})
}

// FuzzEventLog: a log is accepted only if it leads to the registers.
func FuzzEventLog(f *testing.F) {
	v := intelVerifier(f)
	var c capture
	for _, each := range captures() {
		if each.name == "v4-cos-113" {
			c = each
		}
	}
	log := vector(f, "tdx", c.log)
	f.Add(log)
	f.Add(vector(f, "tdx", "CCEL_data")[:16<<10])
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := v.Verify(c.evidence(t), attest.Endorsements{{Label: attest.LabelEventLog, Data: data}}, c.at)
		if err == nil {
			t.Fatal("accepted without collateral")
		}
		failure(t, err)
	})
}
