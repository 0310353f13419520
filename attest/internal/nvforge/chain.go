package nvforge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// CA is a certificate and its key.
type CA struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// Cert is what goes into one certificate.
type Cert struct {
	Name      string
	CA        bool
	Curve     elliptic.Curve
	NotBefore time.Time
	NotAfter  time.Time
	Serial    *big.Int
	Responder bool // extended key usage of an OCSP responder
	Extra     []pkix.Extension
	// Edit changes the template before it is signed.
	Edit func(*x509.Certificate)
}

// Issue makes a certificate signed by issuer, or by itself if that is nil.
func Issue(c Cert, issuer *CA) (*CA, error) {
	curve := c.Curve
	if curve == nil {
		curve = elliptic.P384()
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("nvforge: make a key: %w", err)
	}
	return IssueFor(c, issuer, key)
}

// IssueFor is Issue for a key that exists.
func IssueFor(c Cert, issuer *CA, key *ecdsa.PrivateKey) (*CA, error) {
	template := c.template()
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.Key
	}
	template.SignatureAlgorithm = x509.ECDSAWithSHA384
	if c.Edit != nil {
		c.Edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("nvforge: issue %s: %w", c.Name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("nvforge: read back %s: %w", c.Name, err)
	}
	return &CA{Cert: cert, Key: key}, nil
}

func (c Cert) template() *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Subject:               pkix.Name{CommonName: c.Name, Organization: []string{"Fake NVIDIA"}},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: c.CA, IsCA: c.CA,
		ExtraExtensions: c.Extra,
	}
	if c.CA {
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if c.Responder {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	}
	if t.SerialNumber == nil {
		t.SerialNumber = serialOf(c.Name)
	}
	return t
}

// serialOf makes certificates of one name have one serial number, so that
// vectors can be told apart by what they are about.
func serialOf(name string) *big.Int {
	n := big.NewInt(0x4e)
	for _, c := range []byte(name) {
		n.Mul(n, big.NewInt(31)).Add(n, big.NewInt(int64(c)))
	}
	return n.Rem(n, new(big.Int).Lsh(big.NewInt(1), 120))
}

// PEM returns the certificates as text.
func PEM(chain ...*CA) []byte {
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Cert.Raw})...)
	}
	return out
}

// Object identifiers of the extensions of a device's leaf.
var (
	oidSAN       = asn1.ObjectIdentifier{2, 5, 29, 17}
	OIDComposite = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 1}
	OIDTCBInfo   = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 1, 1}
)

// UEID is the subject's alternative name with the device's name.
func UEID(name string) pkix.Extension {
	oid := []byte{6, 10, 0x2b, 6, 1, 4, 1, 0x83, 0x1c, 0x82, 0x12, 1}
	return pkix.Extension{Id: oidSAN, Value: der(0x30, der(0xa0, oid, der(0xa0, der(0x0c, []byte(name)))))}
}

var oidSHA384 = []byte{6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2}

func fwidOf(sum []byte) []byte { return der(0x30, oidSHA384, der(0x04, sum)) }

// Composite is the extension by which Hopper and LS10 name the device's key and
// the firmware.
func Composite(parent *CA, fwid []byte) pkix.Extension {
	return pkix.Extension{Id: OIDComposite, Value: der(0x30, der(0x02, []byte{1}), parent.Cert.RawSubjectPublicKeyInfo, fwidOf(fwid))}
}

// TCBInfo is the extension by which Blackwell names the firmware.
func TCBInfo(fwids ...[]byte) pkix.Extension {
	var list [][]byte
	for _, f := range fwids {
		list = append(list, fwidOf(f))
	}
	return pkix.Extension{Id: OIDTCBInfo, Value: der(0x30,
		der(0x80, []byte("NVIDIA")), der(0x81, []byte("GB100 A01 GSP")), der(0x82, []byte("01")), der(0x83, []byte{1}),
		der(0x84, []byte{1}), der(0x85, []byte{1}), der(0xa6, list...), der(0x87, []byte{0, 0x80, 0, 0, 1}))}
}

// der returns tag, length and the parts (X.690, 8.1).
func der(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, content...)
}
