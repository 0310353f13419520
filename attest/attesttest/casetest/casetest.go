// Package casetest holds this library to the cases that attesttest makes and to
// those that are files.
//
// It answers one question: is the answer to a case the one that it expects, for the
// reason that it names? It is linked by tests alone. The verifiers are made by
// internal/vector, as for a stranger who reads the files.
package casetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/internal/vector"
)

// Run answers all cases of a group, of which there must be so many at least. The
// kind is what the relying party expects where a case does not say.
func Run(t *testing.T, kind attest.Kind, least int, vectors []attesttest.Vector) {
	t.Helper()
	seen := make(map[string]bool)
	for _, v := range vectors {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Hold(t, Case(kind, v), v.Stage, v.Check, v.Code)
		})
	}
	if len(seen) < least {
		t.Errorf("%d vectors, want %d or more", len(seen), least)
	}
}

// Case returns a case as it would be read from a file.
func Case(kind attest.Kind, v attesttest.Vector) *vector.Case {
	c := &vector.Case{Evidence: v.Evidence, Verifier: v.Verifier, Endorsements: v.Endorsements, Roots: v.Roots, Pins: v.Pins, At: v.At, Trust: v.Trust}
	if !c.Verifier.Valid() {
		c.Verifier = Expected(kind, v.Evidence.Kind)
	}
	return c
}

// Expected is the kind that the relying party of a case expects.
func Expected(group, evidence attest.Kind) attest.Kind {
	switch {
	case group == attest.NVIDIAGPU && (evidence == attest.NVSwitch || evidence == attest.Composite),
		group == attest.AzureSNP && evidence == attest.AzureTDX:
		return evidence
	}
	return group
}

// Hold demands the answer to a case. A case that comes with a trust file is accepted
// or refused by the appraisal.
func Hold(t testing.TB, c *vector.Case, stage attesttest.Stage, check string, code attest.Code) {
	t.Helper()
	claims, err := c.Verify()
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, want exactly one", claims, err)
	}
	if stage != attesttest.StageVerify && err != nil {
		t.Fatalf("refused by the verifier: %v", err)
	}
	if err == nil && c.Trust != "" {
		err = appraised(t, c, claims)
	}
	if stage != attesttest.StageNone {
		Refused(t, err, check, code)
	} else if err != nil {
		t.Fatal(err)
	}
}

// appraised is what the case's trust file refuses.
func appraised(t testing.TB, c *vector.Case, claims *attest.Claims) error {
	t.Helper()
	trust, err := appraise.ParseTrust([]byte(c.Trust))
	if err != nil {
		t.Fatal(err)
	}
	result := trust.Appraise(appraise.Input{Claims: claims, Offline: true}, c.At)
	if result.Trusted() {
		t.Fatal("trusted, although a file shows nothing of a connection")
	}
	var f *attest.Failure
	if errors.As(result.Err(), &f) && len(f.Failed()) != 0 {
		return f
	}
	return nil // nothing that could be checked failed
}

// Refused demands a refusal by that check, any if there is no name, for that reason.
func Refused(t testing.TB, err error, check string, code attest.Code) {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want an *attest.Failure", err)
	}
	if !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool { return c.Code == code && (check == "" || c.Name == check) }) {
		t.Errorf("error %v, want %s to fail with %s", err, check, code)
	}
}
