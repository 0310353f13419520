package tpm_test

import (
	"slices"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
	"github.com/blindbox/blindbox/attest/tpm"
)

// TestWholeBankOfSHA1: quote, form and values agree on a bank whose hash anybody
// can collide.
func TestWholeBankOfSHA1(t *testing.T) {
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) {
		m.Bank = tpmforge.SHA1
		for i, v := range m.Registers {
			m.Registers[i] = v[:20]
		}
	})
	if got := examined(t, ev, nil); !slices.Contains(got, "hardware.tpm_bank pcr_bank") {
		t.Errorf("failed %q", got)
	}
}

// TestNoDigestOfNothing: a quote with an empty digest is over no registers, even
// where the signature does not say with which hash they were digested.
func TestNoDigestOfNothing(t *testing.T) {
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) {
		m.Quote = append(m.Quote, func(q *tpmforge.Quote) { q.Digest = nil })
	})
	if got := examined(t, ev, func(q *form.TPM) { q.Signature = nil }); !slices.Contains(got, "hardware.tpm_pcrs pcr_digest") {
		t.Errorf("failed %q", got)
	}
}

// examined returns the checks that fail, as "name code".
func examined(t *testing.T, ev attest.Evidence, edit func(*form.TPM)) []string {
	t.Helper()
	q, err := form.ParseTPM(ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(&q)
	}
	_, checks := tpm.Examine(q)
	var out []string
	for _, c := range checks {
		if c.Status == attest.Fail {
			out = append(out, c.Name+" "+string(c.Code))
		}
	}
	return out
}
