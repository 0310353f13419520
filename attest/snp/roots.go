package snp

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Root is what a relying party trusts for one product line: AMD's root (ARK)
// and the CAs below it, each as a whole certificate in DER. At least one CA is
// needed; a Root without ASVK accepts no VLEK, one without ASK no VCEK.
type Root struct {
	Product Product
	ARK     []byte // AMD root key, self-signed
	ASK     []byte // AMD SEV key, issues VCEKs
	ASVK    []byte // AMD SEV VLEK key, issues VLEKs
}

// RSA key sizes in bits. AMD's certificates all have 4096; other roots are those
// of tests and simulations, where the size only has to be a sane one. It has an
// upper end because a simulated root may be a stranger's, and one signature by
// the largest key that fits into an Endorsement takes ten seconds to check.
const (
	amdRSABits = 4096
	minRSABits = 2048
	maxRSABits = 4096
)

// authority is a trusted CA that issues the keys that sign reports.
type authority struct {
	product Product
	signer  Signer
	cert    *x509.Certificate
	ark     *x509.Certificate
	names   string // of both, for people
}

// authorities checks a root once, so that nothing above the leaf has to be
// verified again per report.
func (r Root) authorities(minBits int) ([]*authority, error) {
	if !r.Product.Valid() {
		return nil, errors.New("snp: root without product")
	}
	ark, err := parseCA(r.ARK, minBits)
	if err != nil {
		return nil, fmt.Errorf("snp: ARK of %s: %w", r.Product, err)
	}
	if err := checkIssued(ark, ark); err != nil {
		return nil, fmt.Errorf("snp: ARK of %s: %w", r.Product, err)
	}
	if ark.MaxPathLen == 0 && ark.MaxPathLenZero {
		return nil, fmt.Errorf("snp: ARK of %s: path length 0, expected room for a CA", r.Product)
	}
	var out []*authority
	for _, ca := range []struct {
		signer Signer
		name   string
		der    []byte
	}{{SignerVCEK, "ASK", r.ASK}, {SignerVLEK, "ASVK", r.ASVK}} {
		if len(ca.der) == 0 {
			continue
		}
		cert, err := parseCA(ca.der, minBits)
		if err == nil {
			err = checkIssued(cert, ark)
		}
		if err != nil {
			return nil, fmt.Errorf("snp: %s of %s: %w", ca.name, r.Product, err)
		}
		names := pki.Brief(cert.Subject.CommonName) + ", " + pki.Brief(ark.Subject.CommonName)
		out = append(out, &authority{product: r.Product, signer: ca.signer, cert: cert, ark: ark, names: names})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("snp: root of %s has neither ASK nor ASVK", r.Product)
	}
	return out, nil
}

// parseCA reads a certificate that may issue others.
func parseCA(der []byte, minBits int) (*x509.Certificate, error) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("key is %s, expected RSA", cert.PublicKeyAlgorithm)
	case key.N.BitLen() < minBits:
		return nil, fmt.Errorf("RSA key of %d bits, expected at least %d", key.N.BitLen(), minBits)
	case key.N.BitLen() > maxRSABits:
		return nil, fmt.Errorf("RSA key of %d bits, expected at most %d", key.N.BitLen(), maxRSABits)
	case !cert.IsCA:
		return nil, errors.New("not a CA certificate")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("may not sign certificates (key usage)")
	case len(cert.UnhandledCriticalExtensions) != 0:
		return nil, fmt.Errorf("critical extension %v is not understood", cert.UnhandledCriticalExtensions[0])
	}
	return cert, nil
}

// checkIssued establishes that issuer signed cert the way AMD does: by name,
// with RSA-PSS and SHA-384 (AMD 57230, certificate tables).
func checkIssued(cert, issuer *x509.Certificate) error {
	switch {
	case cert.SignatureAlgorithm != x509.SHA384WithRSAPSS:
		return fmt.Errorf("signed with %s, expected %s", cert.SignatureAlgorithm, x509.SHA384WithRSAPSS)
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("issued by %s, expected %s", pki.Brief(cert.Issuer.CommonName), pki.Brief(issuer.Subject.CommonName))
	}
	if err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("not signed by %s", pki.Brief(issuer.Subject.CommonName))
	}
	return nil
}
