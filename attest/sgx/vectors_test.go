package sgx_test

import (
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/sgx"
)

func forgedVerifier(t testing.TB, root []byte) *sgx.Verifier {
	t.Helper()
	v, err := sgx.NewVerifierWithRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVectors runs every row of the attack catalogue that speaks of this kind.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range attesttest.SGXVectors(t) {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, forgedVerifier(t, v.Roots[0]), v) })
	}
	if len(seen) < 100 {
		t.Errorf("%d vectors, want 100 or more", len(seen))
	}
}

func testVector(t *testing.T, verifier attest.Verifier, v attesttest.Vector) {
	claims, err := verifier.Verify(v.Evidence, v.Endorsements, v.At)
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, want exactly one", claims, err)
	}
	if v.Stage == attesttest.StageVerify {
		if err == nil {
			t.Fatal("accepted")
		}
		f := failure(t, err)
		if !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool { return c.Name == v.Check && c.Code == v.Code }) {
			t.Errorf("%v, want %s %s", err, v.Check, v.Code)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.Stage == attesttest.StageAppraise {
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
		t.Fatal("not refused")
	}
	if !slices.ContainsFunc(result.Checks(), func(c attest.Check) bool {
		return c.Status == attest.Fail && c.Name == v.Check && c.Code == v.Code
	}) {
		t.Errorf("%v, want %s %s", result.Err(), v.Check, v.Code)
	}
	// The case changes one thing, and one thing is refused for it.
	for _, c := range result.Checks() {
		if c.Status == attest.Fail && c.Name != v.Check {
			t.Logf("also %s", c)
		}
	}
}
