package intelforge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	_ "crypto/sha256" // for Algorithm
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// NewKey returns the P-256 key of that name, the same each time.
func NewKey(name string) (*ecdsa.PrivateKey, error) { return NewKeyOn(elliptic.P256(), name) }

// NewKeyOn returns the key of that name on another curve, where Intel has none.
func NewKeyOn(curve elliptic.Curve, name string) (*ecdsa.PrivateKey, error) {
	order := curve.Params().N
	size := (order.BitLen() + 7) / 8
	sum := sha512.Sum512([]byte("intelforge key " + name))
	// Any number from 1 to order-1 is a key; these are no secrets.
	d := new(big.Int).SetBytes(sum[:])
	d.Mod(d, new(big.Int).Sub(order, big.NewInt(1))).Add(d, big.NewInt(1))
	key, err := ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, size)))
	if err != nil {
		return nil, fmt.Errorf("intelforge: key %q: %w", name, err)
	}
	return key, nil
}

// Algorithm is a signature algorithm of certificates.
type Algorithm struct {
	OID  []int
	Hash crypto.Hash
}

// ECDSAWithSHA256 is Intel's only algorithm.
func ECDSAWithSHA256() Algorithm {
	return Algorithm{[]int{1, 2, 840, 10045, 4, 3, 2}, crypto.SHA256}
}

// ECDSAWithSHA384 is one that Intel does not use.
func ECDSAWithSHA384() Algorithm {
	return Algorithm{[]int{1, 2, 840, 10045, 4, 3, 3}, crypto.SHA384}
}

func (a Algorithm) orDefault() Algorithm {
	if a.OID == nil {
		return ECDSAWithSHA256()
	}
	return a
}

func (a Algorithm) identifier() []byte { return Sequence(OID(a.OID...)) }

// sign wraps what is signed as certificates and CRLs do: the content, the
// algorithm, the signature.
func (a Algorithm) sign(tbs []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	h := a.Hash.New()
	h.Write(tbs)
	sig, err := key.Sign(nil, h.Sum(nil), a.Hash) // without randomness: RFC 6979
	if err != nil {
		return nil, fmt.Errorf("intelforge: sign: %w", err)
	}
	return Sequence(tbs, a.identifier(), bitString(sig)), nil
}

// RawSign returns the signature of SHA-256 over data as r and s, 32 bytes each
// and big-endian, the form that quotes and the service's documents have.
func RawSign(key *ecdsa.PrivateKey, data []byte) ([]byte, error) {
	h := crypto.SHA256.New()
	h.Write(data)
	sig, err := key.Sign(nil, h.Sum(nil), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("intelforge: sign: %w", err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return nil, fmt.Errorf("intelforge: sign: %w", err)
	}
	out := make([]byte, 64)
	rs.R.FillBytes(out[:32])
	rs.S.FillBytes(out[32:])
	return out, nil
}

// RawPublic returns a P-256 key as x and y, 32 bytes each and big-endian, as
// quotes hold the attestation key.
func RawPublic(key *ecdsa.PrivateKey) ([]byte, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil || len(point) != 65 {
		return nil, fmt.Errorf("intelforge: key is no P-256 key: %w", err)
	}
	return point[1:], nil
}

func spki(key *ecdsa.PrivateKey) ([]byte, error) {
	out, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("intelforge: public key: %w", err)
	}
	return out, nil
}
