package amdforge

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// CRLOptions say what a revocation list holds.
type CRLOptions struct {
	ThisUpdate, NextUpdate time.Time
	// Number is 1 if nil.
	Number  *big.Int
	Revoked []*big.Int
	// Signer is used instead of the CA's own key.
	Signer *rsa.PrivateKey
	// Edit may change the list before it is signed.
	Edit func(template *x509.RevocationList)
}

// CRL returns a revocation list in the CA's name, DER, signed with RSA-PSS and
// SHA-384. In AMD's world the ARK signs the only one there is; the ASK and ASVK
// can sign one here as well, for those who would honour it.
func (ca *CA) CRL(o CRLOptions) ([]byte, error) {
	template := &x509.RevocationList{
		SignatureAlgorithm: x509.SHA384WithRSAPSS,
		Number:             o.Number,
		ThisUpdate:         o.ThisUpdate, NextUpdate: o.NextUpdate,
	}
	if template.Number == nil {
		template.Number = big.NewInt(1)
	}
	for _, serial := range o.Revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: o.ThisUpdate})
	}
	if o.Edit != nil {
		o.Edit(template)
	}
	signer := o.Signer
	if signer == nil {
		signer = ca.Key
	}
	// The library insists on the usage bit, which AMD's ASK does not have.
	issuer := &x509.Certificate{
		RawSubject: ca.Cert.RawSubject, Subject: ca.Cert.Subject,
		SubjectKeyId: ca.Cert.SubjectKeyId, KeyUsage: x509.KeyUsageCRLSign,
	}
	raw, err := x509.CreateRevocationList(rand.Reader, template, issuer, signer)
	if err != nil {
		return nil, fmt.Errorf("amdforge: make CRL of %q: %w", ca.Cert.Subject.CommonName, err)
	}
	return raw, nil
}
