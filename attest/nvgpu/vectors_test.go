package nvgpu_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/snp"
)

// TestVectors runs every case of the catalogue that speaks of GPUs and switches.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range attesttest.NVIDIAVectors(t) {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, v) })
	}
	if len(seen) < 100 {
		t.Errorf("%d vectors, want 100 or more", len(seen))
	}
}

// verifierFor trusts the roots of a vector: NVIDIA's two, and AMD's behind them
// if the evidence has more parts.
func verifierFor(t testing.TB, v attesttest.Vector) attest.Verifier {
	t.Helper()
	kind := v.Evidence.Kind
	if !kind.Device() && kind != attest.Composite {
		kind = attest.NVIDIAGPU
	}
	roots := nvgpu.Roots{Device: v.Roots[0], RIM: v.Roots[1]}
	if kind != attest.Composite {
		return verifierWith(t, kind, roots)
	}
	machine, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: v.Roots[2], ASK: v.Roots[3]})
	if err != nil {
		t.Fatal(err)
	}
	out, err := composite.NewVerifier(machine, verifierWith(t, attest.NVIDIAGPU, roots), verifierWith(t, attest.NVSwitch, roots))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func verifierWith(t testing.TB, kind attest.Kind, roots nvgpu.Roots) *nvgpu.Verifier {
	t.Helper()
	v, err := nvgpu.NewVerifierWithRoots(kind, roots)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testVector(t *testing.T, v attesttest.Vector) {
	claims, err := verifierFor(t, v).Verify(v.Evidence, v.Endorsements, v.At)
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

// failedWith demands a refusal by that check for that reason.
func failedWith(t testing.TB, err error, name string, code attest.Code) {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want an *attest.Failure", err)
	}
	if !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool { return c.Name == name && c.Code == code }) {
		t.Errorf("error %v, want %s to fail with %s", err, name, code)
	}
}
