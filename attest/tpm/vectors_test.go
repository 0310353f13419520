package tpm_test

import (
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/tpm"
)

// TestVectors runs every row of the attack catalogue that speaks of a TPM.
func TestVectors(t *testing.T) {
	casetest.Run(t, attest.TPM, 70, attesttest.TPMVectors(t))
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
