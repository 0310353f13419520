package amdforge

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"
)

// DefaultBits is the size of RSA keys. AMD's have 4096 bits, which take seconds
// to make; the format does not depend on the size.
const DefaultBits = 2048

// CA is a certificate of a chain with the key that signs below it.
type CA struct {
	Cert *x509.Certificate
	Key  *rsa.PrivateKey
}

// DER returns the whole certificate.
func (c *CA) DER() []byte { return c.Cert.Raw }

// Chain is what AMD has for each product line: a self-signed root (ARK), and
// below it the CA of chip keys (ASK) and that of cloud provider keys (ASVK).
type Chain struct {
	Line           Line
	ARK, ASK, ASVK *CA
}

// Role names a certificate's place in a chain.
type Role string

// The places in a chain.
const (
	RoleARK  Role = "ARK"
	RoleASK  Role = "ASK"
	RoleASVK Role = "ASVK"
)

// ChainOptions say how a Chain differs from AMD's. The zero value of a field
// other than Line and the two times is AMD's way.
type ChainOptions struct {
	Line                Line
	NotBefore, NotAfter time.Time
	// Rand is the randomness, crypto/rand if nil. Since Go 1.26 the library
	// ignores any other when it makes keys, unless told otherwise by GODEBUG.
	Rand io.Reader
	// Bits of the RSA keys, DefaultBits if zero.
	Bits int
	// NoASVK leaves out the CA of cloud provider keys.
	NoASVK bool
	// Organization and OrganizationalUnit of every subject.
	Organization, OrganizationalUnit string
	// NoDistributionPoint leaves out AMD's address for CRLs.
	NoDistributionPoint bool
	// NamePrefix goes before every common name.
	NamePrefix string
	// Keys are used instead of making new ones, for the roles they are given.
	Keys map[Role]*rsa.PrivateKey
	// Edit may change a certificate before it is signed.
	Edit func(role Role, template *x509.Certificate)
}

// NewChain makes keys and certificates.
func NewChain(o ChainOptions) (*Chain, error) {
	ark, err := o.issue(RoleARK, nil)
	if err != nil {
		return nil, err
	}
	ask, err := o.issue(RoleASK, ark)
	if err != nil {
		return nil, err
	}
	if o.NoASVK {
		return &Chain{Line: o.Line, ARK: ark, ASK: ask}, nil
	}
	asvk, err := o.issue(RoleASVK, ark)
	if err != nil {
		return nil, err
	}
	return &Chain{Line: o.Line, ARK: ark, ASK: ask, ASVK: asvk}, nil
}

func (o ChainOptions) issue(role Role, parent *CA) (*CA, error) {
	key, err := o.key(role)
	if err != nil {
		return nil, err
	}
	template := o.template(role)
	template.SubjectKeyId = keyID(&key.PublicKey)
	if o.Edit != nil {
		o.Edit(role, template)
	}
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.Key, parent.Cert
	}
	return Issue(template, issuer, key, signer)
}

// Issue signs a CA certificate with RSA-PSS and SHA-384, whoever the issuer
// says it is: the issuer's key need not be signer's.
func Issue(template, issuer *x509.Certificate, key, signer *rsa.PrivateKey) (*CA, error) {
	raw, err := create(template, issuer, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("amdforge: read back certificate: %w", err)
	}
	return &CA{Cert: cert, Key: key}, nil
}

// create makes a certificate without the library's check that the issuer's key
// is the signer's, which the bad cases need.
func create(template, issuer *x509.Certificate, public any, signer *rsa.PrivateKey) ([]byte, error) {
	name := &x509.Certificate{RawSubject: issuer.RawSubject, Subject: issuer.Subject, SubjectKeyId: issuer.SubjectKeyId}
	if template.SignatureAlgorithm == x509.UnknownSignatureAlgorithm {
		template.SignatureAlgorithm = x509.SHA384WithRSAPSS
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, name, public, signer)
	if err != nil {
		return nil, fmt.Errorf("amdforge: make certificate %q: %w", template.Subject.CommonName, err)
	}
	return raw, nil
}

func (o ChainOptions) key(role Role) (*rsa.PrivateKey, error) {
	if key := o.Keys[role]; key != nil {
		return key, nil
	}
	bits := o.Bits
	if bits == 0 {
		bits = DefaultBits
	}
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	key, err := rsa.GenerateKey(random, bits)
	if err != nil {
		return nil, fmt.Errorf("amdforge: make %s key: %w", role, err)
	}
	return key, nil
}

// serial numbers follow AMD's: the line in the third byte, VLEK CAs in the second.
func serial(l Line, role Role) *big.Int {
	n := int64(l) << 16
	switch role {
	case RoleASK:
		n |= 1
	case RoleASVK:
		n |= 0x101
	}
	return big.NewInt(n)
}

func (o ChainOptions) template(role Role) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: serial(o.Line, role),
		NotBefore:    o.NotBefore, NotAfter: o.NotAfter,
		BasicConstraintsValid: true, IsCA: true,
		KeyUsage:              x509.KeyUsageCertSign,
		CRLDistributionPoints: []string{"https://kdsintf.amd.com/vcek/v1/" + o.Line.String() + "/crl"},
	}
	name := "ARK-" + o.Line.String()
	switch role {
	case RoleARK:
		t.KeyUsage |= x509.KeyUsageCRLSign
	case RoleASK:
		t.MaxPathLenZero, name = true, "SEV-"+o.Line.String()
	case RoleASVK:
		t.MaxPathLenZero, name = true, "SEV-VLEK-"+o.Line.String()
		t.CRLDistributionPoints = []string{"https://kdsintf.amd.com/vlek/v1/" + o.Line.String() + "/crl"}
	}
	if o.NoDistributionPoint {
		t.CRLDistributionPoints = nil
	}
	setSubject(t, o.Organization, o.OrganizationalUnit, o.NamePrefix+name)
	return t
}

// setSubject writes a name with AMD's attributes in AMD's order, which is not
// the one crypto/x509/pkix would choose (AMD 57230, table 8).
func setSubject(t *x509.Certificate, organization, unit, common string) {
	if organization == "" {
		organization = "Advanced Micro Devices"
	}
	if unit == "" {
		unit = "Engineering"
	}
	t.Subject = pkix.Name{Organization: []string{organization}, OrganizationalUnit: []string{unit}, CommonName: common}
	t.RawSubject = der(tagSequence,
		attribute(11, tagUTF8String, unit), attribute(6, tagPrintableString, "US"),
		attribute(7, tagUTF8String, "Santa Clara"), attribute(8, tagUTF8String, "CA"),
		attribute(10, tagUTF8String, organization), attribute(3, tagUTF8String, common))
}

// attribute is one part of a name, in a SET of its own: the OID 2.5.4.arc and
// the value. The string type is spelled out because AMD writes UTF8String where
// Go prefers PrintableString.
func attribute(arc, kind byte, value string) []byte {
	return der(tagSet, der(tagSequence, der(tagOID, []byte{0x55, 0x04, arc}), der(kind, []byte(value))))
}

// keyID is the SHA-1 of the public key, method 1 of RFC 5280, 4.2.1.2; an
// identifier, nobody relies on it.
func keyID(public *rsa.PublicKey) []byte {
	sum := sha1.Sum(x509.MarshalPKCS1PublicKey(public))
	return sum[:]
}
