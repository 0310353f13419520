package tpmforge

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Issue signs a certificate for key; a nil parent makes it sign itself.
func Issue(template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, fmt.Errorf("tpmforge: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Template is that of a CA or, with a path length below zero, of a leaf.
func Template(name string, serial int64, pathLen int, from, to time.Time) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: to, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if pathLen >= 0 {
		t.IsCA, t.MaxPathLen, t.MaxPathLenZero = true, pathLen, pathLen == 0
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return t
}

// EKCertificate makes a leaf the certificate of an endorsement key (TCG EK
// Credential Profile): its usage, and whose TPM it is.
func EKCertificate(t *x509.Certificate) (*x509.Certificate, error) {
	t.Subject = pkix.Name{}
	t.KeyUsage = x509.KeyUsageKeyEncipherment
	t.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}
	var rdn pkix.RDNSequence
	for i, v := range []string{"id:46414B45", "forged", "id:00010002"} {
		rdn = append(rdn, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, i + 1}, Value: v}})
	}
	name, err := asn1.Marshal(rdn)
	if err != nil {
		return nil, fmt.Errorf("tpmforge: %w", err)
	}
	san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}})
	if err != nil {
		return nil, fmt.Errorf("tpmforge: %w", err)
	}
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san})
	return t, nil
}

// PEM writes certificates in their order.
func PEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
