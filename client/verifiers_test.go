package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
)

func trustOf(t *testing.T, doc string) *appraise.Trust {
	t.Helper()
	trust, err := appraise.ParseTrust([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

var (
	hex96   = strings.Repeat("ab", 48)
	snpOnly = "version: 1\naccept:\n  - {name: v1, sev-snp: {measurement: " + hex96 + "}, policy: any}\n"
	snpTDX  = "version: 1\naccept:\n  - name: v1\n    sev-snp: {measurement: " + hex96 + "}\n    tdx: {mrtd: " + hex96 +
		", rtmr0: any, rtmr1: " + hex96 + ", rtmr2: " + hex96 + ", rtmr3: any}\n    policy: any\n"
)

// TestKindsFor: what a box is told, and what then has a verifier, are the same.
func TestKindsFor(t *testing.T) {
	simulated := snpOnly + "allow_simulated: true\nsimulated_root: sha256:" + strings.Repeat("11", 32) + "\n"
	for name, c := range map[string]struct {
		trust *appraise.Trust
		want  string
	}{
		"no trust":        {nil, "[sev-snp tdx sgx nitro tpm azure-sev-snp azure-tdx composite]"},
		"one kind":        {trustOf(t, snpOnly), "[sev-snp]"},
		"two kinds":       {trustOf(t, snpTDX), "[sev-snp tdx]"},
		"simulated":       {trustOf(t, simulated), "[sev-snp sim-sev-snp]"},
		"with GPUs":       {trustOf(t, snpOnly+"hardware: {gpu: {count: 1, architectures: [any], driver: [any], vbios: [any]}}\n"), "[sev-snp composite]"},
		"the empty trust": {&appraise.Trust{}, "[]"},
	} {
		if got := fmt.Sprint(KindsFor(c.trust)); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
		for k := range attest.Kind(255) {
			v, err := VerifierFor(k, c.trust)
			if slices.Contains(KindsFor(c.trust), k) {
				if err != nil || v.Kind() != k {
					t.Errorf("%s: no verifier for %s: %v", name, k, err)
				}
				continue
			}
			var f *attest.Failure
			if v != nil || !errors.As(err, &f) || f.Code() != attest.CodeKindMismatch {
				t.Errorf("%s: verifier for %s, %v", name, k, err)
			}
		}
	}
}

// TestVerifierForRefuses: each gets bytes of no kind, and panics on none.
func TestVerifierForRefuses(t *testing.T) {
	for _, k := range KindsFor(nil) {
		v, err := VerifierFor(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{nil, []byte("x"), make([]byte, 4096)} {
			if c, err := v.Verify(attest.Evidence{Kind: k, Data: data}, nil, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)); c != nil || err == nil {
				t.Errorf("%s: %d bytes accepted", k, len(data))
			}
		}
	}
}
