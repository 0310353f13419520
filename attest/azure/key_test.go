package azure_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

// TestKeyOfAnotherKind: the paravisor names an RSA key; a TPM that quotes with a
// curve is another one.
func TestKeyOfAnotherKind(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce(), func(p *attesttest.Paravisor) { p.TPM.AK = tpmforge.NewAK(key, tpmforge.SHA256) })
	_, err = fakeVerifier(t).Verify(ev, end, attesttest.Epoch())
	var f *attest.Failure
	if !errors.As(err, &f) || !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool {
		return c.Name == "hardware.hcl_ak" && c.Code == azure.CodeAKMismatch
	}) {
		t.Errorf("error %v, want hardware.hcl_ak to fail with %s", err, azure.CodeAKMismatch)
	}
}
