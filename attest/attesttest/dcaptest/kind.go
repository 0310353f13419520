package dcaptest

import (
	"errors"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Chain is what Endorse returns.
type Chain interface {
	comparable
	Endorsed() attest.Validity
	Verify(attest.Evidence, time.Time) (*attest.Claims, error)
}

// Verifier is what a package's constructors return.
type Verifier[C Chain] interface {
	attest.Verifier
	Endorse(attest.Endorsements, time.Time) (C, error)
}

// Kind is a package under test.
type Kind[V Verifier[C], C Chain] struct {
	Kind, Other attest.Kind // the package's, and that of the other quotes
	New         func() (V, error)
	NewWithRoot func(root []byte) (V, error)
	// Verifiers and Chains were made by no constructor: all of them refuse.
	Verifiers map[string]V
	Chains    map[string]C
	PCKChain  func(attest.Evidence) (attest.Endorsement, error)
	// Parse is the package's ParseQuote; it returns also the PCK chain. It returns
	// an error or a Detail, which then has a Report.
	Parse func(quote []byte) (Detail, []byte, error)
	// Detail reads the claims.
	Detail   func(*attest.Claims) Detail
	Captures []Capture // the first is accepted without a CRL
	Versions []uint16  // of quotes that a machine of the vendor can make
	// ReportData is where a quote of the first capture has them.
	ReportData int
	// Padding says that zeros may follow a quote.
	Padding bool
	// Edit makes the vendor's machine another guest.
	Edit attesttest.IntelOption
}

// Detail is what claims or an unverified quote say that both kinds have. Pointers
// lead into the claims.
type Detail struct {
	Version uint16
	Report  any // comparable
	TCB     *dcap.TCB
	PCK     *dcap.PCK
	RootCRL *pki.Revocation
}

// Intel returns the verifier of real machines.
func (k Kind[V, C]) Intel(t testing.TB) V {
	t.Helper()
	v, err := k.New()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Forged returns the verifier of the machines of a vendor with that root.
func (k Kind[V, C]) Forged(t testing.TB, root []byte) V {
	t.Helper()
	v, err := k.NewWithRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Endorsed returns the chain of the machine that made the evidence.
func (k Kind[V, C]) Endorsed(t testing.TB, v V, ev attest.Evidence, end attest.Endorsements, at time.Time) C {
	t.Helper()
	pck, err := k.PCKChain(ev)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := v.Endorse(append(end, pck), at)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// make returns a quote of the vendor's machine and the verifier that trusts it.
func (k Kind[V, C]) make(t testing.TB, opts ...attesttest.IntelOption) (V, attest.Evidence, attest.Endorsements) {
	t.Helper()
	intel := attesttest.NewIntel()
	ev, end := intel.Make(t, k.Kind, [64]byte{1}, opts...)
	return k.Forged(t, intel.Root(t)), ev, end
}

// Failure returns the refusal in err, which must be one.
func Failure(t testing.TB, err error) *attest.Failure {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want an *attest.Failure", err)
	}
	return f
}
