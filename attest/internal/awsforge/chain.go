package awsforge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// Role is a certificate's place in a chain, from the root down.
type Role int

// The places in a chain.
const (
	Root     Role = iota // of the partition
	Regional             // of a region, three weeks
	Zonal                // of a zone, six days
	Instance             // of the parent instance, a day
	Leaf                 // of the enclave, three hours
	roles
)

// Cert is a certificate with its key.
type Cert struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// DER returns the whole certificate.
func (c *Cert) DER() []byte { return c.Cert.Raw }

// Chain is a root and what leads from it to an enclave.
type Chain [roles]*Cert

// Bundle returns the CA bundle of a document: all but the leaf, the root first.
func (c *Chain) Bundle() [][]byte {
	var out [][]byte
	for _, cert := range c[:Leaf] {
		out = append(out, cert.DER())
	}
	return out
}

// ChainOptions say how a Chain differs from AWS's.
type ChainOptions struct {
	// Now is when the leaf was issued.
	Now time.Time
	// Instance, Enclave and Region are in the names: "i-0123", "enc0123", "eu-west-1".
	Instance, Enclave, Region string
	// Top is the root to build below; nil means a new one.
	Top *Cert
	// Curve is that of the key in each place; nil or a nil answer means P-384.
	Curve func(Role) elliptic.Curve
	// Edit may change a certificate before it is signed.
	Edit func(role Role, template *x509.Certificate)
	// Signer may sign a certificate with another key than its issuer's.
	Signer func(role Role, issuer *ecdsa.PrivateKey) *ecdsa.PrivateKey
}

// NewChain makes keys and certificates.
func NewChain(o ChainOptions) (*Chain, error) {
	var c Chain
	c[Root] = o.Top
	for role := Root; role < roles; role++ {
		if c[role] != nil {
			continue
		}
		var issuer *Cert
		if role != Root {
			issuer = c[role-1]
		}
		cert, err := o.Issue(role, issuer)
		if err != nil {
			return nil, err
		}
		c[role] = cert
	}
	return &c, nil
}

// Issue makes one certificate; nil as the issuer makes it sign itself.
func (o ChainOptions) Issue(role Role, issuer *Cert) (*Cert, error) {
	curve := elliptic.P384()
	if o.Curve != nil {
		if other := o.Curve(role); other != nil {
			curve = other
		}
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("awsforge: %w", err)
	}
	template := o.template(role, &key.PublicKey)
	if o.Edit != nil {
		o.Edit(role, template)
	}
	parent, signer := template, key
	if issuer != nil {
		// The library refuses to sign with another key than the parent's, which is
		// just what some tests want; a parent without a key is not compared.
		nameOnly := *issuer.Cert
		nameOnly.PublicKey = nil
		parent, signer = &nameOnly, issuer.Key
	}
	if o.Signer != nil {
		signer = o.Signer(role, signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("awsforge: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("awsforge: %w", err)
	}
	return &Cert{cert, key}, nil
}

// template is AWS's certificate for a place.
func (o ChainOptions) template(role Role, key *ecdsa.PublicKey) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Country: []string{"US"}, Organization: []string{"Amazon"}, OrganizationalUnit: []string{"AWS"}, CommonName: o.name(role)},
		SignatureAlgorithm:    x509.ECDSAWithSHA384,
		BasicConstraintsValid: true,
		IsCA:                  role != Leaf,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	t.NotBefore, t.NotAfter = o.validity(role)
	if role != Leaf {
		t.SubjectKeyId = keyID(key)
	}
	switch role {
	case Root:
		t.MaxPathLen = -1
	case Leaf:
		t.MaxPathLen = -1
		t.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	default:
		t.MaxPathLen = int(Instance - role)
		t.MaxPathLenZero = true
	}
	if role == Instance {
		t.KeyUsage = x509.KeyUsageCertSign
	}
	return t
}

func (o ChainOptions) name(role Role) string {
	switch role {
	case Root:
		return "aws.nitro-enclaves"
	case Regional:
		return "d3c9df74fdeb2ba5." + o.Region + ".aws.nitro-enclaves"
	case Zonal:
		return "db5d852a812a3d1e.zonal." + o.Region + ".aws.nitro-enclaves"
	case Instance:
		return o.Instance + "." + o.Region + ".aws.nitro-enclaves"
	}
	return o.Instance + "-" + o.Enclave + "." + o.Region + ".aws"
}

// validity is how long AWS lets a certificate live, to the minute or so.
func (o ChainOptions) validity(role Role) (from, to time.Time) {
	now := o.Now.Truncate(time.Second)
	switch role {
	case Root:
		return now.AddDate(-6, 0, 0), now.AddDate(24, 0, 0)
	case Regional:
		return now.AddDate(0, 0, -4), now.AddDate(0, 0, 16)
	case Zonal:
		return now.Add(-7 * time.Hour), now.Add(134 * time.Hour)
	case Instance:
		return now.Add(-30 * time.Minute), now.Add(23*time.Hour + 30*time.Minute)
	}
	return now.Add(-3 * time.Second), now.Add(3 * time.Hour)
}

// serial is 127 random bits.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 1
	return new(big.Int).SetBytes(b[:])
}

// keyID is the SHA-1 of the key (RFC 5280, 4.2.1.2).
func keyID(key *ecdsa.PublicKey) []byte {
	point, err := key.Bytes()
	if err != nil {
		return nil
	}
	sum := sha1.Sum(point)
	return sum[:]
}
