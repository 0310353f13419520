package tpm

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// EK is an endorsement key: the one key of a TPM that its maker certified.
type EK struct {
	// Manufacturer is the maker's four characters as a number, "id:494E5443"; Model
	// and Version are its own words (TCG EK Credential Profile, 3.2.9).
	Manufacturer, Model, Version string
	Endorsed                     attest.Validity
	public                       *Public
}

// endorsementKey is what every endorsement key is (EK Credential Profile, B.3).
const endorsementKey = FixedTPM | FixedParent | SensitiveDataOrigin | Restricted | Decrypt

// VerifyEK establishes that one of the roots, DER, certified the endorsement key of
// that public area (TPMT_PUBLIC) as a TPM's. The chain is PEM, the key's
// certificate first. The error is an [*attest.Failure].
func VerifyEK(area, chain []byte, roots [][]byte, at time.Time) (*EK, error) {
	public, err := ParsePublic(area)
	if err != nil {
		return nil, attest.NewFailure("hardware.tpm_ek", attest.CodeMalformed, err.Error(), "the public area of an endorsement key")
	}
	certs, err := pki.ParsePEM(chain, pki.MaxPath)
	if err != nil {
		return nil, attest.NewFailure("hardware.tpm_ek_chain", attest.CodeMalformed, err.Error(), "certificates in PEM")
	}
	ek := &EK{public: public, Endorsed: pki.Span(certs...)}
	template := public.Attributes.Has(endorsementKey) && !public.Attributes.Has(Sign) && public.aesBits != 0
	checks := []attest.Check{
		pki.Judge("hardware.tpm_ek_attributes", template, CodeKey, public.Attributes.String(), "restricted, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin, not sign"),
		checkEKChain(certs, roots),
		pki.CheckValidity("hardware.tpm_ek_validity", at, certs...),
		pki.Judge("hardware.tpm_ek_certified", sameKey(certs[0].PublicKey, public.Key), attest.CodeKeyMismatch, "certificate for "+pki.KeyKind(certs[0]), "for the endorsement key"),
		checkEKUsage(certs[0]),
		ek.checkSubject(certs[0]),
	}
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return ek, nil
}

// Extensions of an endorsement key's certificate that are read here: of both, a
// maker may say that they are critical.
var (
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidEKU = asn1.ObjectIdentifier{2, 5, 29, 37}
)

func checkEKChain(certs []*x509.Certificate, roots [][]byte) attest.Check {
	const name = "hardware.tpm_ek_chain"
	problem := &pki.Problem{Code: attest.CodeUntrustedRoot, Seen: "no root to trust", Expected: "the TPM maker's"}
	for _, der := range roots {
		root, err := parseRoot(der)
		if err != nil {
			problem = &pki.Problem{Code: attest.CodeUntrustedRoot, Seen: err.Error(), Expected: "a root certificate"}
			continue
		}
		p := pathTo(root, []asn1.ObjectIdentifier{oidSAN, oidEKU})
		p.LeafUsage = x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement
		if problem = p.Check(certs); problem == nil {
			return pki.Judge(name, true, "", pki.Brief(root.Subject.CommonName), "")
		}
	}
	return problem.Check(name)
}

// oidEKCertificate is tcg-kp-EKCertificate (EK Credential Profile, 3.2.16).
const oidEKCertificate = "2.23.133.8.1"

func checkEKUsage(cert *x509.Certificate) attest.Check {
	found := false
	for _, id := range cert.UnknownExtKeyUsage {
		found = found || id.String() == oidEKCertificate
	}
	return pki.Judge("hardware.tpm_ek_usage", found, CodeEKProfile, fmt.Sprint(cert.UnknownExtKeyUsage), oidEKCertificate)
}

// The attributes of the directory name in the subject alternative name (EK
// Credential Profile, 3.2.9).
const (
	oidManufacturer = "2.23.133.2.1"
	oidModel        = "2.23.133.2.2"
	oidVersion      = "2.23.133.2.3"
)

// checkSubject reads whose TPM it is from the subject alternative name.
func (ek *EK) checkSubject(cert *x509.Certificate) attest.Check {
	for _, x := range cert.Extensions {
		if x.Id.Equal(oidSAN) {
			ek.readSAN(x.Value)
		}
	}
	ok := ek.Manufacturer != "" && ek.Model != "" && ek.Version != ""
	return pki.Judge("hardware.tpm_ek_subject", ok, CodeEKProfile,
		fmt.Sprintf("manufacturer %s, model %s, version %s", pki.Brief(ek.Manufacturer), pki.Brief(ek.Model), pki.Brief(ek.Version)),
		"all three in the subject alternative name")
}

// readSAN reads GeneralNames (RFC 5280, 4.2.1.6), of which only directoryName, with
// tag 4, counts here.
func (ek *EK) readSAN(der []byte) {
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &names); err != nil || len(rest) != 0 {
		return
	}
	for _, n := range names {
		if n.Class != asn1.ClassContextSpecific || n.Tag != 4 {
			continue
		}
		var list []asn1.RawValue
		if rest, err := asn1.Unmarshal(n.Bytes, &list); err != nil || len(rest) != 0 {
			return
		}
		for _, set := range list {
			ek.readAttributes(set.Bytes)
		}
	}
}

// readAttributes reads the members of one RelativeDistinguishedName.
func (ek *EK) readAttributes(der []byte) {
	for len(der) > 0 {
		var a struct {
			ID    asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		rest, err := asn1.Unmarshal(der, &a)
		if err != nil {
			return
		}
		der = rest
		value := strings.ToValidUTF8(string(a.Value.Bytes), "?")
		switch a.ID.String() {
		case oidManufacturer:
			ek.Manufacturer = value
		case oidModel:
			ek.Model = value
		case oidVersion:
			ek.Version = value
		}
	}
}
