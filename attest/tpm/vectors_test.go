package tpm_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/tpm"
)

// TestVectors runs every row of the attack catalogue that speaks of a TPM.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range attesttest.TPMVectors(t) {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, v) })
	}
	if len(seen) < 70 {
		t.Errorf("%d vectors, want 70 or more", len(seen))
	}
}

func testVector(t *testing.T, v attesttest.Vector) {
	verifier, err := tpm.NewVerifierWithRoots(tpm.Trust{Roots: v.Roots})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := verifier.Verify(v.Evidence, v.Endorsements, v.At)
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, want exactly one", claims, err)
	}
	if v.Stage != attesttest.StageVerify {
		if err != nil {
			t.Fatal(err)
		}
		if v.Stage == attesttest.StageAppraise {
			testAppraised(t, v, claims)
		}
		return
	}
	var f *attest.Failure
	if !errors.As(err, &f) || !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool { return c.Name == v.Check && c.Code == v.Code }) {
		t.Errorf("error %v, want %s to fail with %s", err, v.Check, v.Code)
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

// TestContract: what holds of every verifier holds of this one.
func TestContract(t *testing.T) {
	ev, end := attesttest.MakeTPM(t, attesttest.TPMNonce())
	verifier, err := tpm.NewVerifierWithRoots(tpm.Trust{Roots: [][]byte{attesttest.NewTPMMaker().Root(t)}})
	if err != nil {
		t.Fatal(err)
	}
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: verifier, Evidence: ev, Endorsements: end, At: attesttest.Epoch(), Nonce: attesttest.TPMNonce(),
		Required: []string{attest.LabelTPMAKChain}, Stride: 3,
	})
}

// TestHealthyIsAppraised: the trust file of the vectors finds nothing wrong with a
// healthy machine, so that each of them fails for its own reason.
func TestHealthyIsAppraised(t *testing.T) {
	ev, end := attesttest.MakeTPM(t, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) { m.WithLog = true })
	verifier, err := tpm.NewVerifierWithRoots(tpm.Trust{Roots: [][]byte{attesttest.NewTPMMaker().Root(t)}})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := verifier.Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	trust, err := appraise.ParseTrust([]byte(attesttest.TPMTrust(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range trust.Appraise(appraise.Input{Claims: claims, Offline: true}, attesttest.Epoch()).Checks() {
		if c.Status == attest.Fail {
			t.Error(c)
		}
	}
	again := appraise.FromClaims(claims, attest.Statement{}, nil, "first use", attesttest.Epoch())
	if _, err := appraise.ParseTrust(again.Marshal()); err != nil {
		t.Errorf("first use writes a file that cannot be read: %v\n%s", err, again.Marshal())
	}
	for _, c := range again.Appraise(appraise.Input{Claims: claims, Offline: true}, attesttest.Epoch()).Checks() {
		if c.Status == attest.Fail {
			t.Error("after first use:", c)
		}
	}
}
