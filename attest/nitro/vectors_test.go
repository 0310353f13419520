package nitro_test

import (
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nitro"
)

// TestVectors runs every row of the attack catalogue that speaks of this kind.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range attesttest.NitroVectors(t) {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, v) })
	}
	if len(seen) < 50 {
		t.Errorf("%d vectors, want 50 or more", len(seen))
	}
}

func testVector(t *testing.T, v attesttest.Vector) {
	verifier := awsVerifier(t)
	if len(v.Roots) != 0 {
		var err error
		if verifier, err = nitro.NewVerifierWithRoots(v.Roots...); err != nil {
			t.Fatal(err)
		}
	}
	claims, err := verifier.Verify(v.Evidence, v.Endorsements, v.At)
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, want exactly one", claims, err)
	}
	switch v.Stage {
	case attesttest.StageVerify:
		if err == nil {
			t.Fatal("accepted")
		}
		failedWith(t, err, v.Check, v.Code)
	case attesttest.StageNone:
		if err != nil {
			t.Fatal(err)
		}
	case attesttest.StageAppraise:
		if err != nil {
			t.Fatal(err)
		}
		testAppraised(t, v, claims)
	}
}

func testAppraised(t *testing.T, v attesttest.Vector, claims *attest.Claims) {
	trust, err := appraise.ParseTrust([]byte(v.Trust))
	if err != nil {
		t.Fatal(err)
	}
	result := trust.Appraise(appraise.Input{Claims: claims, Offline: true}, v.At)
	if result.Trusted() || result.Err() == nil {
		t.Fatal("trusted")
	}
	if !slices.ContainsFunc(result.Checks(), func(c attest.Check) bool {
		return c.Name == v.Check && c.Code == v.Code && c.Status == attest.Fail
	}) {
		t.Errorf("error %v, want %s to fail with %s", result.Err(), v.Check, v.Code)
	}
}
