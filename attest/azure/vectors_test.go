package azure_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/snp"
)

// fakeVerifier trusts the fake AMD.
func fakeVerifier(t testing.TB) *azure.Verifier {
	t.Helper()
	roots := attesttest.AzureRoots(t)
	hardware, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: roots[0], ASK: roots[1], ASVK: roots[2]})
	if err != nil {
		t.Fatal(err)
	}
	v, err := azure.NewVerifierWithRoots(attest.AzureSNP, hardware)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVectors runs every row of the attack catalogue that speaks of Azure VMs.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range attesttest.AzureVectors(t) {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, v) })
	}
	if len(seen) < 45 {
		t.Errorf("%d vectors, want 45 or more", len(seen))
	}
}

func testVector(t *testing.T, v attesttest.Vector) {
	claims, err := fakeVerifier(t).Verify(v.Evidence, v.Endorsements, v.At)
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
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce())
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: fakeVerifier(t), Evidence: ev, Endorsements: end, At: attesttest.Epoch(), Nonce: attesttest.TPMNonce(),
		Required: []string{attest.LabelSNPVEK}, Stride: 5,
	})
}

// TestHealthyIsAppraised: the trust file of the vectors finds nothing wrong with a
// healthy machine, so that each of them fails for its own reason.
func TestHealthyIsAppraised(t *testing.T) {
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce())
	claims, err := fakeVerifier(t).Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	trust, err := appraise.ParseTrust([]byte(attesttest.AzureTrust(t)))
	if err != nil {
		t.Fatal(err)
	}
	first := appraise.FromClaims(claims, attest.Statement{}, nil, "first use", attesttest.Epoch())
	if _, err := appraise.ParseTrust(first.Marshal()); err != nil {
		t.Errorf("first use writes a file that cannot be read: %v\n%s", err, first.Marshal())
	}
	for name, trust := range map[string]*appraise.Trust{"vectors": trust, "first use": first} {
		for _, c := range trust.Appraise(appraise.Input{Claims: claims, Offline: true}, attesttest.Epoch()).Checks() {
			if c.Status == attest.Fail {
				t.Errorf("%s: %s", name, c)
			}
		}
	}
}
