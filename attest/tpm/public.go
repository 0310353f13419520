package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"math/big"
)

// TPM_ALG_ID (TCG Algorithm Registry).
const (
	algRSA    = 0x0001
	algSHA1   = 0x0004
	algAES    = 0x0006
	algSHA256 = 0x000b
	algSHA384 = 0x000c
	algNull   = 0x0010
	algRSASSA = 0x0014
	algRSAPSS = 0x0016
	algECDSA  = 0x0018
	algECC    = 0x0023
	algCFB    = 0x0043
)

// TPM_ECC_CURVE (Part 2, 6.4).
const (
	curveP256 = 0x0003
	curveP384 = 0x0004
)

// Attributes of a key (TPMA_OBJECT, Part 2, 8.3).
type Attributes uint32

// The attributes that are looked at.
const (
	FixedTPM            Attributes = 1 << 1  // never leaves this TPM
	FixedParent         Attributes = 1 << 4  // cannot be moved under another key
	SensitiveDataOrigin Attributes = 1 << 5  // the TPM made it: nobody else ever knew it
	Restricted          Attributes = 1 << 16 // works on nothing but what the TPM made up itself
	Decrypt             Attributes = 1 << 17
	Sign                Attributes = 1 << 18
)

// Has reports whether every one of the attributes in want is set.
func (a Attributes) Has(want Attributes) bool { return a&want == want }

// String returns the attributes in hex.
func (a Attributes) String() string { return hexNumber(uint32(a)) }

// Public is the public area of a key, decoded (TPMT_PUBLIC, Part 2, 12.2.4).
type Public struct {
	// Name is the key's name: the algorithm's number and the hash over the whole
	// area (Part 1, 16). Whoever knows it knows everything below.
	Name       []byte
	Attributes Attributes
	// Key is an *rsa.PublicKey or an *ecdsa.PublicKey.
	Key     crypto.PublicKey
	nameAlg uint16
	scheme  uint16 // algNull, or the only one that the key signs with
	hash    uint16
	aesBits uint16 // of the symmetric key that protects what is below this one; 0 for a signing key
}

// hashOf returns the hash of a TPM_ALG_ID. SHA-1 is none.
func hashOf(alg uint16) (crypto.Hash, bool) {
	switch alg {
	case algSHA256:
		return crypto.SHA256, true
	case algSHA384:
		return crypto.SHA384, true
	}
	return 0, false
}

// digest hashes the parts one after the other, with a hash from hashOf.
func digest(h crypto.Hash, parts ...[]byte) []byte { return appendDigest(nil, h, parts...) }

func appendDigest(out []byte, h crypto.Hash, parts ...[]byte) []byte {
	w := sha256.New()
	if h == crypto.SHA384 {
		w = sha512.New384()
	}
	for _, p := range parts {
		w.Write(p)
	}
	return w.Sum(out)
}

// nameOf returns a name over the bytes given (Part 1, 16), nil for an algorithm
// that is not known.
func nameOf(alg uint16, parts ...[]byte) []byte {
	h, ok := hashOf(alg)
	if !ok {
		return nil
	}
	return appendDigest(binary.BigEndian.AppendUint16(make([]byte, 0, 2+maxHash), alg), h, parts...)
}

// ParsePublic reads a TPMT_PUBLIC of an RSA or ECC key.
func ParsePublic(data []byte) (*Public, error) {
	r := &reader{what: "public area", rest: data}
	kind := r.u16()
	p := &Public{nameAlg: r.u16(), Attributes: Attributes(r.u32())}
	r.sized(maxHash) // authPolicy: who may use the key is the TPM's owner's affair
	p.symmetric(r)
	if p.scheme = r.u16(); p.scheme != algNull {
		p.hash = r.u16()
	}
	switch kind {
	case algRSA:
		p.Key = r.rsaKey()
	case algECC:
		p.Key = r.eccKey()
	default:
		r.fail("a key of type %#x, expected RSA or ECC", kind)
	}
	if p.Name = nameOf(p.nameAlg, data); p.Name == nil {
		r.fail("name algorithm %#x, expected SHA-256 or SHA-384", p.nameAlg)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// symmetric reads a TPMT_SYM_DEF_OBJECT: none, or AES in CFB mode.
func (p *Public) symmetric(r *reader) {
	switch alg := r.u16(); alg {
	case algNull:
	case algAES:
		p.aesBits = r.u16()
		if mode := r.u16(); mode != algCFB || p.aesBits != 128 && p.aesBits != 256 {
			r.fail("AES-%d in mode %#x, expected 128 or 256 in CFB", p.aesBits, mode)
		}
	default:
		r.fail("symmetric algorithm %#x, expected none or AES", alg)
	}
}

// RSA key sizes in bits.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

func (r *reader) rsaKey() crypto.PublicKey {
	bits, exponent := int(r.u16()), r.u32()
	n := new(big.Int).SetBytes(r.sized(maxRSABits / 8))
	if exponent == 0 {
		exponent = 65537 // Part 2, 12.2.3.5
	}
	switch {
	case r.err != nil:
	case bits < minRSABits || n.BitLen() != bits: // n was read up to maxRSABits
		r.fail("an RSA key of %d bits said to have %d, expected %d to %d", n.BitLen(), bits, minRSABits, maxRSABits)
	case exponent != 65537:
		r.fail("RSA exponent %d, expected 65537", exponent)
	}
	return &rsa.PublicKey{N: n, E: int(exponent)}
}

func (r *reader) eccKey() crypto.PublicKey {
	id := r.u16()
	if kdf := r.u16(); kdf != algNull {
		r.fail("key derivation scheme %#x, expected none", kdf)
	}
	x, y := r.sized(maxHash), r.sized(maxHash)
	curve, known := curveOf(id)
	if r.err == nil && !known {
		r.fail("curve %#x, expected P-256 or P-384", id)
	}
	if r.err != nil {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) > size || len(y) > size {
		r.fail("coordinates of %d and %d bytes, expected %d", len(x), len(y), size)
		return nil
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed (SEC 1, 2.3.4)
	copy(point[1+size-len(x):], x)
	copy(point[1+2*size-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		r.fail("a point that is not on the curve")
		return nil
	}
	return key
}

func curveOf(id uint16) (elliptic.Curve, bool) {
	switch id {
	case curveP256:
		return elliptic.P256(), true
	case curveP384:
		return elliptic.P384(), true
	}
	return nil, false
}
