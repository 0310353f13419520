package amdforge

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"math/big"
)

// Sign signs an encoded report in place with ECDSA over SHA-384 of its first
// 672 bytes. A key of another curve works too, if its numbers fit into 72 bytes.
func Sign(report []byte, key *ecdsa.PrivateKey) error {
	if len(report) != ReportSize {
		return fmt.Errorf("amdforge: report of %d bytes, expected %d", len(report), ReportSize)
	}
	sum := sha512.Sum384(report[:SignedSize])
	return SignDigest(report, key, sum[:])
}

// SignDigest puts a signature over any digest into a report.
func SignDigest(report []byte, key *ecdsa.PrivateKey, digest []byte) error {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return fmt.Errorf("amdforge: sign report: %w", err)
	}
	return PutSignature(report, r, s)
}

// PutSignature writes r and s as AMD does: 72 bytes each, little-endian, padded
// with zeros (AMD 56860, table "Signature Format"); the rest of the field is
// zero.
func PutSignature(report []byte, r, s *big.Int) error {
	if len(report) != ReportSize {
		return fmt.Errorf("amdforge: report of %d bytes, expected %d", len(report), ReportSize)
	}
	if r.BitLen() > 576 || s.BitLen() > 576 {
		return fmt.Errorf("amdforge: signature of %d and %d bits, limit 576", r.BitLen(), s.BitLen())
	}
	clear(report[SignatureAt:])
	putLittleEndian(report[SignatureAt:SignatureAt+72], r)
	putLittleEndian(report[SignatureAt+72:SignatureAt+144], s)
	return nil
}

// Signature returns the numbers in a report's signature field.
func Signature(report []byte) (r, s *big.Int, err error) {
	if len(report) != ReportSize {
		return nil, nil, fmt.Errorf("amdforge: report of %d bytes, expected %d", len(report), ReportSize)
	}
	return littleEndian(report[SignatureAt : SignatureAt+72]), littleEndian(report[SignatureAt+72 : SignatureAt+144]), nil
}

func putLittleEndian(dst []byte, n *big.Int) {
	for i, b := range n.Bytes() {
		dst[len(n.Bytes())-1-i] = b
	}
}

func littleEndian(src []byte) *big.Int {
	b := make([]byte, len(src))
	for i, v := range src {
		b[len(src)-1-i] = v
	}
	return new(big.Int).SetBytes(b)
}
