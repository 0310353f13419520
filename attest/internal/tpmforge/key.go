package tpmforge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
)

// TPM_ALG_ID (TCG Algorithm Registry).
const (
	RSA    = 0x0001
	SHA1   = 0x0004
	SHA256 = 0x000b
	SHA384 = 0x000c
	Null   = 0x0010
	RSASSA = 0x0014
	RSAPSS = 0x0016
	ECDSA  = 0x0018
	ECC    = 0x0023
)

// Healthy are the attributes of an attestation key: fixedTPM, fixedParent,
// sensitiveDataOrigin, userWithAuth, noDA, restricted, sign (Part 2, 8.3).
const Healthy uint32 = 0x00050472

// Endorsement is TPM_RH_ENDORSEMENT.
const Endorsement uint32 = 0x4000000b

// AK is an attestation key.
type AK struct {
	Signer       crypto.Signer // *rsa.PrivateKey or *ecdsa.PrivateKey
	Attributes   uint32
	NameAlg      uint16
	Scheme, Hash uint16
	Parent       uint32 // handle of the hierarchy
}

// NewAK returns a healthy key: RSASSA or ECDSA with the hash given.
func NewAK(signer crypto.Signer, hash uint16) AK {
	ak := AK{Signer: signer, Attributes: Healthy, NameAlg: SHA256, Scheme: RSASSA, Hash: hash, Parent: Endorsement}
	if _, ok := signer.(*ecdsa.PrivateKey); ok {
		ak.Scheme = ECDSA
	}
	return ak
}

func u16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Sized returns a TPM2B.
func Sized(b []byte) []byte { return append(u16(len(b)), b...) }

// Area returns the TPMT_PUBLIC.
func (a AK) Area() []byte {
	head := join(u16(int(a.NameAlg)), binary.BigEndian.AppendUint32(nil, a.Attributes), Sized(nil), u16(Null), u16(int(a.Scheme)))
	if a.Scheme != Null {
		head = append(head, u16(int(a.Hash))...)
	}
	switch key := a.Signer.Public().(type) {
	case *rsa.PublicKey:
		return join(u16(RSA), head, u16(key.N.BitLen()), []byte{0, 0, 0, 0}, Sized(key.N.Bytes()))
	case *ecdsa.PublicKey:
		curve, size := 3, 32
		if key.Params().BitSize == 384 {
			curve, size = 4, 48
		}
		point, err := key.Bytes() // 4, X, Y (SEC 1, 2.3.3)
		if err != nil {
			return nil
		}
		return join(u16(ECC), head, u16(curve), u16(Null), Sized(point[1:1+size]), Sized(point[1+size:]))
	}
	return nil
}

// Sum hashes with a TPM_ALG_ID; SHA-256 for one that is not SHA-384.
func Sum(alg uint16, parts ...[]byte) []byte {
	if alg == SHA384 {
		s := sha512.Sum384(join(parts...))
		return s[:]
	}
	s := sha256.Sum256(join(parts...))
	return s[:]
}

// Name is the key's name.
func (a AK) Name() []byte { return join(u16(int(a.NameAlg)), Sum(a.NameAlg, a.Area())) }

// QualifiedName is that of a primary key.
func (a AK) QualifiedName() []byte {
	return join(u16(int(a.NameAlg)), Sum(a.NameAlg, binary.BigEndian.AppendUint32(nil, a.Parent), a.Name()))
}

// Sign returns a TPMT_SIGNATURE.
func (a AK) Sign(message []byte) ([]byte, error) {
	sum, hash := Sum(a.Hash, message), crypto.SHA256
	if a.Hash == SHA384 {
		hash = crypto.SHA384
	}
	var opts crypto.SignerOpts = hash
	if a.Scheme == RSAPSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	sig, err := a.Signer.Sign(rand.Reader, sum, opts)
	if err != nil {
		return nil, fmt.Errorf("tpmforge: %w", err)
	}
	head := join(u16(int(a.Scheme)), u16(int(a.Hash)))
	if a.Scheme != ECDSA {
		return join(head, Sized(sig)), nil
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return nil, fmt.Errorf("tpmforge: %w", err)
	}
	return join(head, Sized(rs.R.Bytes()), Sized(rs.S.Bytes())), nil
}
