package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
)

// signature is a TPMT_SIGNATURE (Part 2, 11.3.4).
type signature struct {
	scheme, hash uint16
	rsa          []byte
	r, s         []byte
}

func parseSignature(data []byte) (*signature, error) {
	r := &reader{what: "signature", rest: data}
	s := &signature{scheme: r.u16(), hash: r.u16()}
	switch s.scheme {
	case algRSASSA, algRSAPSS:
		s.rsa = r.sized(maxRSABits / 8)
	case algECDSA:
		s.r, s.s = r.sized(maxHash), r.sized(maxHash)
	default:
		r.fail("scheme %#x, expected RSASSA, RSAPSS or ECDSA", s.scheme)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return s, nil
}

// fits compares the signature's scheme and hash with the key's. A restricted
// signing key has exactly one scheme (Part 1, 27.5), so a signature with another
// one is not by such a key.
func (s *signature) fits(p *Public) error {
	if s.scheme != p.scheme || s.hash != p.hash {
		return fmt.Errorf("signature with %#x and hash %#x, key with %#x and hash %#x", s.scheme, s.hash, p.scheme, p.hash)
	}
	h, ok := hashOf(s.hash)
	if !ok {
		return fmt.Errorf("hash %#x, expected SHA-256 or SHA-384", s.hash)
	}
	switch key := p.Key.(type) {
	case *rsa.PublicKey:
		if s.rsa == nil {
			return errors.New("a signature with ECDSA, a key of RSA")
		}
	case *ecdsa.PublicKey:
		if s.r == nil {
			return errors.New("a signature with RSA, a key of ECDSA")
		}
		if key.Params().BitSize != 8*h.Size() {
			return fmt.Errorf("%s with a hash of %d bits", key.Params().Name, 8*h.Size())
		}
	}
	return nil
}

// verify checks the signature over message by a key that it fits.
func (s *signature) verify(p *Public, message []byte) bool {
	h, ok := hashOf(s.hash)
	if !ok {
		return false
	}
	sum := digest(h, message)
	switch key := p.Key.(type) {
	case *rsa.PublicKey:
		if s.scheme == algRSASSA {
			return rsa.VerifyPKCS1v15(key, h, sum, s.rsa) == nil
		}
		return rsa.VerifyPSS(key, h, sum, s.rsa, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.Hash(h)}) == nil
	case *ecdsa.PublicKey:
		return ecdsa.Verify(key, sum, new(big.Int).SetBytes(s.r), new(big.Int).SetBytes(s.s))
	}
	return false
}
