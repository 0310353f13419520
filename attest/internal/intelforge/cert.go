package intelforge

import (
	"crypto/ecdsa"
	"crypto/sha1"
	"encoding/pem"
	"time"
)

// Name is a distinguished name: Intel's have five parts in this order.
type Name struct{ CN, O, L, ST, C string }

// IntelName returns the name of a thing of Intel's.
func IntelName(cn string) Name {
	return Name{CN: cn, O: "Intel Corporation", L: "Santa Clara", ST: "CA", C: "US"}
}

// Common names (PCK Certificate and CRL Profile, tables 1 to 5).
const (
	RootCN        = "Intel SGX Root CA"
	PlatformCN    = "Intel SGX PCK Platform CA"
	ProcessorCN   = "Intel SGX PCK Processor CA"
	PCKCN         = "Intel SGX PCK Certificate"
	TCBSigningCN  = "Intel SGX TCB Signing"
	rootCRLURL    = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
	pckCRLURLStem = "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca="
)

// Encode returns the name in DER. All parts are UTF-8 strings but the country.
func (n Name) Encode() []byte {
	part := func(arc int, tag byte, value string) []byte {
		return DER(tagSet, Sequence(OID(2, 5, 4, arc), DER(tag, []byte(value))))
	}
	return Sequence(part(3, tagUTF8String, n.CN), part(10, tagUTF8String, n.O), part(7, tagUTF8String, n.L),
		part(8, tagUTF8String, n.ST), part(6, tagPrintableString, n.C))
}

// Extension is one extension of a certificate or CRL.
type Extension struct {
	OID      []int
	Critical bool
	Value    []byte
}

func (x Extension) encode() []byte {
	if x.Critical {
		return Sequence(OID(x.OID...), Boolean(true), Octets(x.Value))
	}
	return Sequence(OID(x.OID...), Octets(x.Value))
}

func encodeExtensions(list []Extension) []byte {
	var parts [][]byte
	for _, x := range list {
		parts = append(parts, x.encode())
	}
	return Sequence(parts...)
}

// Certificate is everything that is in a certificate but its signature.
type Certificate struct {
	Serial              []byte // magnitude, big-endian
	Algorithm           Algorithm
	Issuer, Subject     Name
	NotBefore, NotAfter time.Time
	PublicKey           []byte // SubjectPublicKeyInfo
	Extensions          []Extension
}

// TBS returns what is signed.
func (c Certificate) TBS() []byte {
	return Sequence(
		DER(0xa0, Integer(2)), // version 3
		Integer(c.Serial...),
		c.Algorithm.orDefault().identifier(),
		c.Issuer.Encode(),
		Sequence(when(c.NotBefore), when(c.NotAfter)),
		c.Subject.Encode(),
		c.PublicKey,
		DER(0xa3, encodeExtensions(c.Extensions)),
	)
}

// Sign returns the whole certificate in DER.
func (c Certificate) Sign(key *ecdsa.PrivateKey) ([]byte, error) {
	return c.Algorithm.orDefault().sign(c.TBS(), key)
}

// Key usages (RFC 5280, 4.2.1.3), the bits as they stand in the BIT STRING.
const (
	UsageDigitalSignature = 0x80
	UsageNonRepudiation   = 0x40
	UsageCertSign         = 0x04
	UsageCRLSign          = 0x02
)

// KeyUsage returns that extension, critical as Intel's are.
func KeyUsage(bits byte) Extension {
	unused := byte(0)
	for b := bits; b != 0 && b&1 == 0; b >>= 1 {
		unused++
	}
	return Extension{[]int{2, 5, 29, 15}, true, DER(tagBitString, []byte{unused, bits})}
}

// BasicConstraints returns that extension. A path length below 0 is left out.
func BasicConstraints(ca bool, pathLen int) Extension {
	var parts [][]byte
	if ca {
		parts = append(parts, Boolean(true))
	}
	if pathLen >= 0 {
		parts = append(parts, Integer(byte(pathLen)))
	}
	return Extension{[]int{2, 5, 29, 19}, true, Sequence(parts...)}
}

// AuthorityKeyID returns that extension.
func AuthorityKeyID(id []byte) Extension {
	return Extension{[]int{2, 5, 29, 35}, false, Sequence(DER(0x80, id))}
}

// SubjectKeyID returns that extension.
func SubjectKeyID(id []byte) Extension {
	return Extension{[]int{2, 5, 29, 14}, false, Octets(id)}
}

// CRLDistribution returns that extension with one address.
func CRLDistribution(url string) Extension {
	return Extension{[]int{2, 5, 29, 31}, false, Sequence(Sequence(DER(0xa0, DER(0xa0, DER(0x86, []byte(url))))))}
}

// keyID names a key the way Intel does: SHA-1 over the point.
func keyID(publicKey []byte) []byte {
	point := publicKey
	if len(point) > 65 {
		point = point[len(point)-65:]
	}
	sum := sha1.Sum(point)
	return sum[:]
}

// PEM returns certificates as the service and the quotes hold them.
func PEM(certs ...[]byte) []byte {
	var out []byte
	for _, der := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
