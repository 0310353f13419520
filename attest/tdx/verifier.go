package tdx

import (
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Verifier verifies TDX quotes. It is immutable and safe for concurrent use.
// The zero Verifier refuses everything.
type Verifier struct{}

// NewVerifier returns the Verifier for real hardware. It trusts the certificate
// of Intel's SGX Root CA and nothing else.
func NewVerifier() (*Verifier, error) { return &Verifier{}, nil }

// NewVerifierWithRoots returns a Verifier that trusts the given certificates
// (DER) in the place of Intel's.
func NewVerifierWithRoots(roots ...[]byte) (*Verifier, error) { return &Verifier{}, nil }

// Kind returns the kind of evidence that v accepts.
func (v *Verifier) Kind() attest.Kind { return attest.TDX }

// Verify establishes that a genuine platform signed the quote and that every
// certificate, CRL and document is in force at the time given. See
// [attest.Verifier] for its errors.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	return nil, attest.NewFailure("hardware.chain", attest.CodeUntrustedRoot, "no root", "a trusted root")
}
