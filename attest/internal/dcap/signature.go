package dcap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
)

// verifyRaw verifies a signature given as r and s, 32 bytes each and big-endian.
// crypto/ecdsa refuses r and s that are 0 or not below the order of the curve.
func verifyRaw(key *ecdsa.PublicKey, hash, sig []byte) bool {
	if key == nil || key.Curve != elliptic.P256() || len(sig) != signatureSize {
		return false
	}
	var buf [2 + 2*(2+33)]byte
	der := appendInteger(buf[:2], sig[:32])
	der = appendInteger(der, sig[32:])
	der[0], der[1] = tagSequence, byte(len(der)-2)
	return ecdsa.VerifyASN1(key, hash, der)
}

// appendInteger appends the DER INTEGER of a big-endian magnitude.
func appendInteger(out, magnitude []byte) []byte {
	for len(magnitude) > 1 && magnitude[0] == 0 {
		magnitude = magnitude[1:]
	}
	n := len(magnitude)
	if magnitude[0] >= 0x80 {
		out = append(out, tagInteger, byte(n+1), 0)
	} else {
		out = append(out, tagInteger, byte(n))
	}
	return append(out, magnitude...)
}

// readKey reads a P-256 key given as x and y. It refuses what is not a point of
// the curve.
func readKey(xy []byte) (*ecdsa.PublicKey, error) {
	if len(xy) != publicKeySize {
		return nil, fmt.Errorf("%d bytes, expected %d", len(xy), publicKeySize)
	}
	var point [1 + publicKeySize]byte
	point[0] = 4 // uncompressed (SEC 1, 2.3.3)
	copy(point[1:], xy)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point[:])
}
