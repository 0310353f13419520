package nitro

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Chain is a document's certificate that was verified up to a trusted root. It
// is immutable and safe for concurrent use, and it is good for as long as its
// owner likes: each use checks again that every certificate is valid. The zero
// Chain refuses everything.
type Chain struct {
	certificate []byte
	bundle      [][]byte
	certs       []*x509.Certificate // leaf first; nil if they could not be read
	key         *ecdsa.PublicKey    // nil unless it is on P-384
	endorsed    attest.Validity
	fixed       []attest.Check // that do not depend on document or time
}

// Endorsed returns the time span in which every certificate of the chain is
// valid.
func (c *Chain) Endorsed() attest.Validity {
	if c == nil {
		return attest.Validity{}
	}
	return c.endorsed
}

// Verify establishes that the chain's key signed the evidence, as
// [Verifier.Verify] does, without verifying the certificates again. It refuses a
// document that comes with other certificates.
func (c *Chain) Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	if c == nil {
		return nil, attest.NewFailure("hardware.chain", attest.CodeBadChain, "a chain that was never verified", "one from Endorse")
	}
	doc, checks := read(ev)
	if doc == nil {
		return nil, attest.FailureOf(checks)
	}
	if !c.same(doc) {
		checks = append(checks, pki.Judge("hardware.chain", false, attest.CodeBadChain, "other certificates", "those that were verified before"))
		return nil, attest.FailureOf(checks)
	}
	return c.verify(doc, checks, at, func() attest.Check { return c.checkSignature(doc) })
}

// same reports whether the document comes with the certificates of the chain. No
// document comes with those of the zero Chain: an empty certificate is refused
// where it is read.
func (c *Chain) same(doc *Document) bool {
	return bytes.Equal(c.certificate, doc.Certificate) && slices.EqualFunc(c.bundle, doc.CABundle, bytes.Equal)
}

// verify adds to the checks so far those of the chain and of the document, whose
// signature is not looked at without certificates.
func (c *Chain) verify(doc *Document, checks []attest.Check, at time.Time, signature func() attest.Check) (*attest.Claims, error) {
	checks = append(checks, c.checks(at)...)
	if c.certs != nil {
		checks = append(checks, c.checkModule(doc), c.checkTimestamp(doc), signature())
	}
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return c.claims(doc, checks), nil
}

// checks returns what the certificates were found to be, now.
func (c *Chain) checks(at time.Time) []attest.Check {
	out := slices.Clone(c.fixed)
	if c.certs != nil {
		out = append(out, pki.CheckValidity("hardware.validity", at, c.certs...))
	}
	return out
}

// claims turns what passed into facts.
func (c *Chain) claims(doc *Document, checks []attest.Check) *attest.Claims {
	pcr0 := doc.PCRs[0]
	out := &attest.Claims{
		Kind:        attest.Nitro,
		Measurement: pcr0[:],
		Endorsed:    c.endorsed,
		Checks:      checks,
		Detail:      &Claims{Document: doc},
	}
	// Anything else than 64 bytes is somebody's own data and proves nothing here.
	if len(doc.UserData) == len(out.ReportData) {
		out.ReportData = [64]byte(doc.UserData)
	}
	if pcr, ok := doc.PCRs[LaunchPCR]; ok {
		out.LaunchDigest = pcr[:]
	}
	return out
}

// LaunchPCR is the register into which a box extends the digest of its policy,
// and which it locks before it serves anybody: the first that an application may
// use (PCR0 to 15 are the Nitro system's).
const LaunchPCR = 16

// parseChain reads the certificates of a document, leaf first. The root, if it is
// there, is a trusted one that was read before.
func parseChain(doc *Document, root *x509.Certificate) ([]*x509.Certificate, attest.Check) {
	const name = "hardware.certificates"
	ders := append([][]byte{doc.Certificate}, doc.CABundle...)
	slices.Reverse(ders[1:])
	certs := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		if root != nil && i == len(ders)-1 {
			certs[i] = root
			break
		}
		cert, err := pki.ParseCertificate(der)
		if err != nil {
			return nil, pki.Judge(name, false, attest.CodeMalformed, err.Error(), "X.509 certificates in DER")
		}
		certs[i] = cert
	}
	return certs, pki.Judge(name, true, "", fmt.Sprintf("%d certificates", len(certs)), "")
}

// checkPath establishes that the root vouches for the leaf. Keys on other curves
// than P-384 are refused before any signature is looked at.
func checkPath(root *x509.Certificate, certs []*x509.Certificate) attest.Check {
	const name = "hardware.chain"
	path := pki.Path{Root: root, Algorithm: x509.ECDSAWithSHA384, Curve: elliptic.P384()}
	if problem := path.Check(certs); problem != nil {
		return problem.Check(name)
	}
	names := make([]string, len(certs))
	for i, cert := range certs {
		names[i] = pki.Brief(cert.Subject.CommonName)
	}
	return pki.Judge(name, true, "", strings.Join(names, ", "), "")
}

func (c *Chain) setCertificates(certs []*x509.Certificate) {
	c.certs = certs
	c.endorsed = pki.Span(certs...)
	if key, ok := certs[0].PublicKey.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P384() {
		c.key = key
	}
}

// checkModule establishes that the certificate was issued for the enclave that
// the document names: its common name is the module id and a region.
func (c *Chain) checkModule(doc *Document) attest.Check {
	cn := c.certs[0].Subject.CommonName
	ok := doc.ModuleID != "" && strings.HasPrefix(cn, doc.ModuleID+".")
	return pki.Judge("hardware.module", ok, CodeModuleMismatch, pki.Brief(doc.ModuleID), "that of the certificate, "+pki.Brief(cn))
}

// checkTimestamp establishes that the key existed when the document says that
// it was made. How old a document may be is for appraisal to say.
func (c *Chain) checkTimestamp(doc *Document) attest.Check {
	leaf := pki.Span(c.certs[0])
	expected := fmt.Sprintf("in the certificate's validity, %s to %s", pki.Date(leaf.NotBefore), pki.Date(leaf.NotAfter))
	return pki.Judge("hardware.timestamp", leaf.Contains(doc.Timestamp), attest.CodeStaleEvidence, doc.Timestamp.Format(time.RFC3339Nano), expected)
}

// checkSignature establishes that the certificate's key signed the document.
func (c *Chain) checkSignature(doc *Document) attest.Check {
	const name = "hardware.signature"
	if c.key == nil {
		return pki.Judge(name, false, pki.CodeBadKey, "a key of "+pki.KeyKind(c.certs[0]), "ECDSA P-384")
	}
	hash := doc.sigHash()
	r, s := doc.rs()
	return pki.Judge(name, ecdsa.Verify(c.key, hash[:], r, s), attest.CodeBadSignature, "ES384", "a signature by the certificate's key")
}
