package sgx_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestContract runs the suite that every TEE's verifier passes, on forged
// evidence of each form and on real hardware's.
func TestContract(t *testing.T) {
	required := []string{attest.LabelIntelTCBInfo, attest.LabelIntelQEIdentity, attest.LabelIntelTCBChain}
	intel, data := attesttest.NewIntel(), [64]byte{1, 2, 3}
	for _, c := range []struct {
		name    string
		version uint16
	}{{"version 3", 3}, {"version 4", 4}, {"version 5", 5}} {
		t.Run(c.name, func(t *testing.T) {
			ev, end := intel.Make(t, attest.SGX, data, attesttest.QuoteVersion(c.version))
			attesttest.TestVerifier(t, attesttest.Harness{
				Verifier: forgedVerifier(t, intel.Root(t)), Evidence: ev, Endorsements: end, At: attesttest.Epoch(),
				ReportData: data, Required: required, Unsigned: lastByte(ev), Stride: 31,
			})
		})
	}
	t.Run("real", func(t *testing.T) {
		c := captures()[0]
		ev := c.evidence(t)
		attesttest.TestVerifier(t, attesttest.Harness{
			Verifier: intelVerifier(t), Evidence: ev, Endorsements: c.endorsements(t), At: c.at,
			ReportData: [64]byte(ev.Data[48+320:]), Required: required, Unsigned: lastByte(ev), Stride: 31,
		})
	})
}

// lastByte ends the text of the certificates: nothing signs it, and white space
// may stand there too.
func lastByte(ev attest.Evidence) [][2]int { return [][2]int{{len(ev.Data) - 1, len(ev.Data)}} }
