package snp

import (
	"crypto/x509"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Revocation says what is known from one CRL. The zero value says that there was
// no CRL, so nothing is known. A caller that stores the highest Number it has seen
// can refuse older CRLs.
type Revocation = pki.Revocation

// crlKind is one of the two CRLs: who signs it and whose certificates it lists.
type crlKind struct {
	name   string // of its checks, "hardware.ark_crl"
	wanted string // "a CRL of the ARK"
	signs  x509.KeyUsage
}

// The ARK's certificate allows it to sign CRLs. Those of AMD's ASK and ASVK
// allow them to sign certificates only; a CRL of theirs is accepted all the
// same, since whoever holds the key could issue any certificate in its place.
var (
	arkCRL = crlKind{"hardware.ark_crl", "a CRL of the ARK", x509.KeyUsageCRLSign}
	askCRL = crlKind{"hardware.ask_crl", "a CRL of the ASK or ASVK", x509.KeyUsageCRLSign | x509.KeyUsageCertSign}
)

// read looks up certificates in a CRL; see [pki.CRLIssuer.Read]. A CRL that is not
// there is called by its place in the chain rather than by the name of a product.
func (k crlKind) read(checks []attest.Check, der []byte, ca *x509.Certificate, certs ...*x509.Certificate) (Revocation, []attest.Check) {
	if der == nil {
		return Revocation{}, append(checks, attest.Check{Name: k.name, Status: attest.Skip, Code: attest.CodeNoCRL, Seen: "none given", Expected: k.wanted})
	}
	r, more := k.from(ca).Read(k.name, der, certs...)
	return r, append(checks, more...)
}

func (k crlKind) from(ca *x509.Certificate) pki.CRLIssuer {
	return pki.CRLIssuer{Cert: ca, Algorithm: x509.SHA384WithRSAPSS, Usage: k.signs}
}

func (k crlKind) checkTime(r Revocation, at time.Time) attest.Check {
	return pki.CheckCRLTime(k.name, r, at)
}
