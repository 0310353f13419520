package dcaptest

import (
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestVectors runs the rows of the attack catalogue that speak of this kind, of
// which there must be at least that many.
func (k Kind[V, C]) TestVectors(t *testing.T, vectors []attesttest.Vector, least int) {
	seen := make(map[string]bool)
	for _, v := range vectors {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, k.Forged(t, v.Roots[0]), v) })
	}
	if len(seen) < least {
		t.Errorf("%d vectors, want %d or more", len(seen), least)
	}
}

func testVector(t *testing.T, verifier attest.Verifier, v attesttest.Vector) {
	claims, err := verifier.Verify(v.Evidence, v.Endorsements, v.At)
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, want exactly one", claims, err)
	}
	switch {
	case v.Stage == attesttest.StageVerify && err != nil:
		expect(t, Failure(t, err).Checks, v)
	case v.Stage == attesttest.StageVerify:
		t.Error("accepted")
	case err != nil:
		t.Error(err)
	case v.Stage == attesttest.StageAppraise:
		trust, err := appraise.ParseTrust([]byte(v.Trust))
		if err != nil {
			t.Fatal(err)
		}
		result := trust.Appraise(appraise.Input{Claims: claims, Offline: true}, v.At)
		if result.Trusted() || result.Err() == nil {
			t.Error("not refused")
		}
		expect(t, result.Checks(), v)
	}
}

// expect demands that the vector's check failed with its code.
func expect(t *testing.T, checks []attest.Check, v attesttest.Vector) {
	t.Helper()
	if !slices.ContainsFunc(checks, func(c attest.Check) bool {
		return c.Status == attest.Fail && c.Name == v.Check && c.Code == v.Code
	}) {
		t.Errorf("%v, want %s %s", checks, v.Check, v.Code)
	}
}
