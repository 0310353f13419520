package attesttest

import (
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest/internal/amdforge"
)

// Names for what the forge makes, so that tests outside of attest can say them.
type (
	Line   = amdforge.Line
	TCB    = amdforge.TCB
	Report = amdforge.Report
	Cert   = amdforge.VEKOptions
	CA     = amdforge.CA
	Chain  = amdforge.Chain
	Role   = amdforge.Role
)

// The product lines and the places in a chain.
const (
	Milan = amdforge.Milan
	Genoa = amdforge.Genoa
	Turin = amdforge.Turin

	RoleARK  = amdforge.RoleARK
	RoleASK  = amdforge.RoleASK
	RoleASVK = amdforge.RoleASVK
)

// Epoch is the time for which evidence is made unless [At] says otherwise. Chip
// certificates made for it are valid from a year before to six years after.
func Epoch() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }

// The vendor's own certificates outlive every test.
func rootsValid() (from, to time.Time) {
	return time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2122, 1, 1, 0, 0, 0, 0, time.UTC)
}

// AMD is a vendor: a root key for each product line, CAs below, and the keys of
// any chip on demand. It is safe for concurrent use.
type AMD struct {
	chains map[Line]func() (*Chain, error)
	keys   map[Line]func() (map[Role]*rsa.PrivateKey, error)
}

// RSA keys are slow to make, and no test can tell whose they are.
var (
	newAMD      = sync.OnceValue(func() *AMD { return makeAMD(makeKeys(), nil) })
	newStranger = sync.OnceValue(func() *AMD { return makeAMD(makeKeys(), nil) })
)

// New returns the vendor. It is the same one throughout the process; its keys
// for a product line are made when they are first needed.
func New() *AMD { return newAMD() }

// Stranger returns somebody who has given his own keys the vendor's names.
func Stranger() *AMD { return newStranger() }

// Edited returns the same vendor with the same keys, whose certificates have
// been changed before they were signed.
func (a *AMD) Edited(edit func(role Role, template *x509.Certificate)) *AMD {
	return makeAMD(a.keys, edit)
}

func makeKeys() map[Line]func() (map[Role]*rsa.PrivateKey, error) {
	keys := make(map[Line]func() (map[Role]*rsa.PrivateKey, error))
	for _, line := range amdforge.Lines() {
		keys[line] = sync.OnceValues(func() (map[Role]*rsa.PrivateKey, error) {
			from, to := rootsValid()
			c, err := amdforge.NewChain(amdforge.ChainOptions{Line: line, NotBefore: from, NotAfter: to})
			if err != nil {
				return nil, err
			}
			return map[Role]*rsa.PrivateKey{RoleARK: c.ARK.Key, RoleASK: c.ASK.Key, RoleASVK: c.ASVK.Key}, nil
		})
	}
	return keys
}

func makeAMD(keys map[Line]func() (map[Role]*rsa.PrivateKey, error), edit func(Role, *x509.Certificate)) *AMD {
	a := &AMD{chains: make(map[Line]func() (*Chain, error)), keys: keys}
	for _, line := range amdforge.Lines() {
		a.chains[line] = sync.OnceValues(func() (*Chain, error) {
			k, err := keys[line]()
			if err != nil {
				return nil, err
			}
			from, to := rootsValid()
			return amdforge.NewChain(amdforge.ChainOptions{Line: line, NotBefore: from, NotAfter: to, Keys: k, Edit: edit})
		})
	}
	return a
}

// Chain returns the vendor's certificates and keys for a line.
func (a *AMD) Chain(t testing.TB, l Line) *Chain {
	t.Helper()
	c, err := a.chains[l]()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return c
}

// Roots are the certificates that a verifier would pin for one line.
type Roots struct {
	Line           Line
	ARK, ASK, ASVK *x509.Certificate
}

// Roots returns the vendor's certificates for a line.
func (a *AMD) Roots(t testing.TB, l Line) Roots {
	t.Helper()
	c := a.Chain(t, l)
	return Roots{Line: l, ARK: c.ARK.Cert, ASK: c.ASK.Cert, ASVK: c.ASVK.Cert}
}

// ChipID returns the hardware id of the one chip that every machine of a line
// has unless an option says otherwise: 64 bytes, or 8 for Turin.
func ChipID(l Line) []byte {
	sum := sha512.Sum512([]byte("attesttest chip " + l.String()))
	return sum[:l.HWIDSize()]
}

// Measurement returns the launch digest of the guest that every machine runs
// unless an option says otherwise.
func Measurement() [48]byte { return sha512.Sum384([]byte("attesttest guest")) }
