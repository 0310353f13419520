package snp

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// crlKind is one of the two CRLs: who signs it and whose certificates it lists.
type crlKind struct {
	name    string // of its checks, "hardware.ark_crl"
	issuer  string // "ARK"
	subject string // what was looked up
	signs   x509.KeyUsage
}

// The ARK's certificate allows it to sign CRLs. Those of AMD's ASK and ASVK
// allow them to sign certificates only; a CRL of theirs is accepted all the
// same, since whoever holds the key could issue any certificate in its place.
var (
	arkCRL = crlKind{"hardware.ark_crl", "ARK", "ASK or ASVK", x509.KeyUsageCRLSign}
	askCRL = crlKind{"hardware.ask_crl", "ASK or ASVK", "VCEK or VLEK", x509.KeyUsageCRLSign | x509.KeyUsageCertSign}
)

// readCRL looks up certificates in a CRL. It returns what the CRL establishes
// and the checks of all but its dates, which are checked at each use. It
// returns the zero Revocation unless everything passed.
func (k crlKind) readCRL(der []byte, ca *x509.Certificate, certs ...*x509.Certificate) (Revocation, []attest.Check) {
	if der == nil {
		return Revocation{}, []attest.Check{{Name: k.name, Status: attest.Skip, Code: attest.CodeNoCRL, Seen: "none given", Expected: "a CRL of the " + k.issuer}}
	}
	list, err := k.parseCRL(der, ca)
	if err != nil {
		return Revocation{}, []attest.Check{judge(k.name, false, attest.CodeBadCRL, err.Error(), "a CRL of the "+k.issuer)}
	}
	checks := []attest.Check{judge(k.name, true, "", "signed by "+brief(ca.Subject.CommonName), "")}
	for _, cert := range certs {
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				seen := fmt.Sprintf("%s, serial %v, revoked %s", brief(cert.Subject.CommonName), e.SerialNumber, date(e.RevocationTime))
				return Revocation{}, append(checks, judge(k.name+"_entries", false, attest.CodeRevoked, seen, k.subject+" not listed"))
			}
		}
	}
	checks = append(checks, judge(k.name+"_entries", true, "", k.subject+" not listed", ""))
	return Revocation{Checked: true, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, Number: list.Number}, checks
}

func (k crlKind) parseCRL(der []byte, ca *x509.Certificate) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(bytes.Clone(der))
	switch {
	case err != nil:
		return nil, fmt.Errorf("malformed: %w", err)
	case len(list.Raw) != len(der): // the library overlooks them
		return nil, fmt.Errorf("malformed: %d bytes after the end", len(der)-len(list.Raw))
	case ca.KeyUsage&k.signs == 0:
		return nil, fmt.Errorf("%s may not sign CRLs (key usage)", brief(ca.Subject.CommonName))
	case !bytes.Equal(list.RawIssuer, ca.RawSubject):
		return nil, fmt.Errorf("issued by %s", brief(list.Issuer.CommonName))
	case list.SignatureAlgorithm != x509.SHA384WithRSAPSS:
		return nil, fmt.Errorf("signed with %s, expected %s", list.SignatureAlgorithm, x509.SHA384WithRSAPSS)
	case ca.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) != nil:
		return nil, fmt.Errorf("not signed by %s", brief(ca.Subject.CommonName))
	}
	return list, noCriticalExtensions(list)
}

// noCriticalExtensions refuses CRLs that list something else than what they
// seem to: changes since another CRL, other issuers' certificates, or some
// reasons only. Each is marked by a critical extension (RFC 5280, 5.2 and 5.3).
func noCriticalExtensions(list *x509.RevocationList) error {
	for _, x := range list.Extensions {
		if x.Critical {
			return fmt.Errorf("critical extension %v is not understood", x.Id)
		}
	}
	for _, e := range list.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return fmt.Errorf("critical extension %v of entry %v is not understood", x.Id, e.SerialNumber)
			}
		}
	}
	return nil
}

// checkTime judges whether a CRL is in force. One without a date of the next
// update never is. One that is not yet was not made
// by a CA that shares our calendar, which is another fault than being old.
func (k crlKind) checkTime(r Revocation, at time.Time) attest.Check {
	c := attest.Check{Name: k.name + "_time", Status: attest.Pass}
	switch {
	case at.Before(r.ThisUpdate):
		c.Status, c.Code = attest.Fail, attest.CodeBadCRL
	case at.After(r.NextUpdate):
		c.Status, c.Code = attest.Fail, attest.CodeStaleCRL
	default:
		return c
	}
	c.Seen = "in force from " + date(r.ThisUpdate) + " to " + date(r.NextUpdate)
	c.Expected = "in force at " + date(at)
	return c
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
