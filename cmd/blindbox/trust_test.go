package main

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
)

// TestFirstUseSaysWhatItGaveUp shows a box whose host withholds the revocation
// list: the file that comes out does not ask for one, and the user is told.
func TestFirstUseSaysWhatItGaveUp(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	root, err := sim.NewRoot(rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	attester, err := root.NewAttester(sim.Box{Measurement: sim.Measure([]byte("code")), HostData: [32]byte{4}}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	statement := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: attest.Digest{4}, NotBefore: at, NotAfter: at.Add(time.Minute),
	}
	bound, err := statement.Bind()
	if err != nil {
		t.Fatal(err)
	}
	ev, end, err := attester.Attest(t.Context(), bound)
	if err != nil {
		t.Fatal(err)
	}
	end = slices.DeleteFunc(end, func(e attest.Endorsement) bool { return e.Label == attest.LabelSNPARKCRL })
	bundle := attest.Bundle{Evidence: ev, Endorsements: end}
	claims, err := verifyEvidence(nil, bundle, at)
	if err != nil {
		t.Fatal(err)
	}
	trust := appraise.FromClaims(claims, statement, nil, "box", at)
	seen := &presentation{Presented: atls.Presented{Bundle: bundle, Statement: statement, At: at}, claims: claims}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		s := &session{stdout: &out, format: format}
		s.showFirstUse(seen, trust, "trust.yaml")
		if !strings.Contains(strings.ToLower(out.String()), "loosened") || !strings.Contains(out.String(), "revoked") {
			t.Errorf("%s: nothing says that revocation is not asked for:\n%s", format, out.String())
		}
		// The bundle has no policy: that is said, and no claim is made for it.
		if !strings.Contains(out.String(), "None was shown: what the box may do is not known") {
			t.Errorf("%s: nothing about the policy:\n%s", format, out.String())
		}
	}
}
