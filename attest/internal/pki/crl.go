package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Revocation is what a CRL established: that the certificates looked up were not
// withdrawn. The zero Revocation says that nothing was checked.
type Revocation struct {
	Checked                bool
	ThisUpdate, NextUpdate time.Time
	Number                 *big.Int // CRL number (RFC 5280, 5.2.3); nil if the CRL has none
}

// Clone returns a copy that shares no memory with r.
func (r Revocation) Clone() Revocation {
	if r.Number != nil {
		r.Number = new(big.Int).Set(r.Number)
	}
	return r
}

// Span returns the time in which the CRL is in force.
func (r Revocation) Span() attest.Validity {
	return attest.Validity{NotBefore: r.ThisUpdate, NotAfter: r.NextUpdate}
}

// maxCRL is the most bytes of a CRL. The largest of the vendors' is near 100 KiB.
const maxCRL = 256 << 10

// ReadCRL looks certificates up in a CRL that issuer must have signed with the
// algorithm given; see [CRLIssuer.Read].
func ReadCRL(name string, der []byte, issuer *x509.Certificate, alg x509.SignatureAlgorithm, certs ...*x509.Certificate) (Revocation, []attest.Check) {
	return CRLIssuer{Cert: issuer, Algorithm: alg}.Read(name, der, certs...)
}

// CRLIssuer is who has to have signed a CRL, and how. The zero CRLIssuer refuses
// every CRL.
type CRLIssuer struct {
	Cert      *x509.Certificate
	Algorithm x509.SignatureAlgorithm
	// Usage is what the issuer's key has to be for, any of the bits; zero means to
	// sign CRLs.
	Usage x509.KeyUsage
}

// Read looks certificates up in a CRL. It returns what the CRL establishes and the
// checks of all but its dates, which [CheckCRLTime] checks at each use. It returns
// the zero Revocation unless everything passed. Without a CRL (nil) the check is
// skipped with code no_crl: whether that is enough is for the appraisal to say.
func (i CRLIssuer) Read(name string, der []byte, certs ...*x509.Certificate) (Revocation, []attest.Check) {
	if der == nil {
		return Revocation{}, []attest.Check{{Name: name, Status: attest.Skip, Code: attest.CodeNoCRL, Seen: "none given", Expected: "a CRL of " + nameOf(i.Cert)}}
	}
	list, err := i.Parse(der)
	if err != nil {
		return Revocation{}, []attest.Check{Judge(name, false, attest.CodeBadCRL, err.Error(), "a CRL of "+nameOf(i.Cert))}
	}
	checks := []attest.Check{Judge(name, true, "", "signed by "+nameOf(i.Cert), "")}
	entries := lookUp(name, list, certs)
	checks = append(checks, entries)
	if entries.Status != attest.Pass {
		return Revocation{}, checks
	}
	return Revocation{Checked: true, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, Number: list.Number}, checks
}

// lookUp fails if there is nothing to look up: a CRL that was held against no
// certificate proves nothing.
func lookUp(name string, list *x509.RevocationList, certs []*x509.Certificate) attest.Check {
	if len(certs) == 0 {
		return Judge(name+"_entries", false, attest.CodeBadCRL, "no certificate to look up", "at least one")
	}
	for _, cert := range certs {
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				seen := fmt.Sprintf("%s, serial %x, revoked %s", nameOf(cert), e.SerialNumber, Date(e.RevocationTime))
				return Judge(name+"_entries", false, attest.CodeRevoked, seen, "not listed")
			}
		}
	}
	return Judge(name+"_entries", true, "", fmt.Sprintf("%d certificates not among the %d listed", len(certs), len(list.RevokedCertificateEntries)), "")
}

// ParseCRL reads a CRL and establishes that issuer signed it. Its dates are not
// compared with any clock.
func ParseCRL(der []byte, issuer *x509.Certificate, alg x509.SignatureAlgorithm) (*x509.RevocationList, error) {
	return CRLIssuer{Cert: issuer, Algorithm: alg}.Parse(der)
}

// Parse is [ParseCRL].
func (i CRLIssuer) Parse(der []byte) (*x509.RevocationList, error) {
	issuer, usage := i.Cert, i.Usage
	if usage == 0 {
		usage = x509.KeyUsageCRLSign
	}
	if len(der) > maxCRL {
		return nil, fmt.Errorf("pki: CRL of %d bytes, the limit is %d", len(der), maxCRL)
	}
	if issuer == nil {
		return nil, fmt.Errorf("pki: no issuer to compare the CRL with")
	}
	list, err := x509.ParseRevocationList(bytes.Clone(der))
	switch {
	case err != nil:
		return nil, fmt.Errorf("pki: malformed CRL: %w", err)
	case len(list.Raw) != len(der): // the library overlooks them
		return nil, fmt.Errorf("pki: malformed CRL: %d bytes after the end", len(der)-len(list.Raw))
	case issuer.KeyUsage&usage == 0:
		return nil, fmt.Errorf("pki: %s may not sign CRLs (key usage)", nameOf(issuer))
	case !bytes.Equal(list.RawIssuer, issuer.RawSubject):
		return nil, fmt.Errorf("pki: CRL issued by %s", Brief(list.Issuer.CommonName))
	case list.SignatureAlgorithm != i.Algorithm || i.Algorithm == x509.UnknownSignatureAlgorithm:
		return nil, fmt.Errorf("pki: CRL signed with %s, expected %s", list.SignatureAlgorithm, i.Algorithm)
	case list.NextUpdate.IsZero():
		return nil, fmt.Errorf("pki: CRL without the date of the next update")
	case list.NextUpdate.Before(list.ThisUpdate):
		return nil, fmt.Errorf("pki: CRL in force from %s to %s", Date(list.ThisUpdate), Date(list.NextUpdate))
	case issuer.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) != nil:
		return nil, fmt.Errorf("pki: CRL not signed by %s", nameOf(issuer))
	}
	if err := noCriticalExtensions(list); err != nil {
		return nil, err
	}
	return list, nil
}

// noCriticalExtensions refuses CRLs that list something else than what they
// seem to: changes since another CRL, other issuers' certificates, or some
// reasons only. Each is marked by a critical extension (RFC 5280, 5.2 and 5.3).
func noCriticalExtensions(list *x509.RevocationList) error {
	for _, x := range list.Extensions {
		if x.Critical {
			return fmt.Errorf("pki: critical extension %v of the CRL is not understood", x.Id)
		}
	}
	for _, e := range list.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return fmt.Errorf("pki: critical extension %v of CRL entry %x is not understood", x.Id, e.SerialNumber)
			}
		}
	}
	return nil
}

// CheckCRLTime judges whether a CRL is in force; one that was not checked never
// is. One that is not in force yet was not made by a CA that shares our
// calendar, which is another fault than being old.
func CheckCRLTime(name string, r Revocation, at time.Time) attest.Check {
	c := attest.Check{Name: name + "_time"}
	switch {
	case !r.Checked:
		c.Code = attest.CodeNoCRL
	case at.Before(r.ThisUpdate):
		c.Code = attest.CodeBadCRL
	case at.After(r.NextUpdate):
		c.Code = attest.CodeStaleCRL
	default:
		c.Status = attest.Pass
		return c
	}
	c.Seen = "in force from " + Date(r.ThisUpdate) + " to " + Date(r.NextUpdate)
	c.Expected = "in force at " + Date(at)
	return c
}

func nameOf(cert *x509.Certificate) string {
	if cert == nil {
		return "nobody"
	}
	return name(cert)
}
