package intelforge

import (
	"crypto/ecdsa"
	"time"
)

// Revoked is one entry of a CRL.
type Revoked struct {
	Serial     []byte
	Date       time.Time
	Extensions []Extension
}

// KeyCompromise is the reason that all of Intel's entries give.
func KeyCompromise() Extension {
	return Extension{[]int{2, 5, 29, 21}, false, Enumerated(1)}
}

// CRL is everything that is in a CRL but its signature.
type CRL struct {
	Algorithm  Algorithm
	Issuer     Name
	ThisUpdate time.Time
	NextUpdate time.Time // left out if zero
	Entries    []Revoked
	Extensions []Extension
}

// CRLNumber returns that extension; Intel's is always 1.
func CRLNumber(n byte) Extension {
	return Extension{[]int{2, 5, 29, 20}, false, Integer(n)}
}

// TBS returns what is signed.
func (c CRL) TBS() []byte {
	parts := [][]byte{Integer(1), c.Algorithm.orDefault().identifier(), c.Issuer.Encode(), when(c.ThisUpdate)}
	if !c.NextUpdate.IsZero() {
		parts = append(parts, when(c.NextUpdate))
	}
	if len(c.Entries) != 0 {
		var list [][]byte
		for _, e := range c.Entries {
			list = append(list, e.encode())
		}
		parts = append(parts, Sequence(list...))
	}
	if len(c.Extensions) != 0 {
		parts = append(parts, DER(0xa0, encodeExtensions(c.Extensions)))
	}
	return Sequence(parts...)
}

func (r Revoked) encode() []byte {
	if len(r.Extensions) == 0 {
		return Sequence(Integer(r.Serial...), when(r.Date))
	}
	return Sequence(Integer(r.Serial...), when(r.Date), encodeExtensions(r.Extensions))
}

// Sign returns the whole CRL in DER.
func (c CRL) Sign(key *ecdsa.PrivateKey) ([]byte, error) {
	return c.Algorithm.orDefault().sign(c.TBS(), key)
}
