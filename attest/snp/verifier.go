package snp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Verifier verifies evidence of one kind. It is immutable and safe for
// concurrent use. The zero Verifier, and none at all, refuse everything.
type Verifier struct {
	kind        attest.Kind
	authorities []*authority
}

// NewVerifier returns the Verifier for real hardware. It trusts AMD's
// certificates for Milan, Genoa and Turin and nothing else.
func NewVerifier() (*Verifier, error) {
	var roots []Root
	for _, a := range amdPins() {
		r, err := a.load()
		if err != nil {
			return nil, err
		}
		roots = append(roots, r)
	}
	return newVerifier(attest.SNP, amdRSABits, roots)
}

// NewVerifierWithRoots returns a Verifier that trusts the given roots and not
// AMD's. With kind SimSNP its Claims say that the hardware is simulated.
func NewVerifierWithRoots(kind attest.Kind, roots ...Root) (*Verifier, error) {
	return newVerifier(kind, minRSABits, roots)
}

func newVerifier(kind attest.Kind, minBits int, roots []Root) (*Verifier, error) {
	if kind != attest.SNP && kind != attest.SimSNP {
		return nil, fmt.Errorf("snp: no verifier for evidence of kind %s", kind)
	}
	if len(roots) == 0 {
		return nil, errors.New("snp: no root to trust")
	}
	v := &Verifier{kind: kind}
	for _, r := range roots {
		authorities, err := r.authorities(minBits)
		if err != nil {
			return nil, err
		}
		for _, a := range authorities {
			if v.authority(a.cert.RawSubject) != nil {
				return nil, fmt.Errorf("snp: two trusted CAs are called %s", pki.Brief(a.cert.Subject.CommonName))
			}
			v.authorities = append(v.authorities, a)
		}
	}
	return v, nil
}

// Kind returns the kind of evidence that v accepts.
func (v *Verifier) Kind() attest.Kind {
	if v == nil {
		return 0
	}
	return v.kind
}

// trusted returns the CAs that v was made with.
func (v *Verifier) trusted() []*authority {
	if v == nil {
		return nil
	}
	return v.authorities
}

// Verify establishes that a processor of a trusted line signed the evidence and
// that every certificate and CRL is in force at the time given. See
// [attest.Verifier] for its errors.
//
// Of the Endorsements it reads snp/vek or, instead, snp/cert-table, without which it
// refuses, and snp/ark-crl and snp/ask-crl. A missing CRL is no error: the Claims
// say what was not checked.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	c, m := v.open(end)
	// The CA's signature on the key and the key's on the report take about as long
	// and do not depend on each other.
	read := make(chan reading, 1)
	go func() { read <- c.read(ev) }()
	v.finish(c, m)
	return c.conclude(ev, <-read, at)
}

// Endorse verifies the certificates and CRLs alone, so that many reports of one
// machine can be verified by [Chain.Verify] at the price of one signature each.
func (v *Verifier) Endorse(end attest.Endorsements, at time.Time) (*Chain, error) {
	c := v.endorse(end)
	checks := c.checkTimes(slices.Clone(c.fixed), at)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return c, nil
}

// authority returns the trusted CA of that name. A name proves nothing; the
// caller has to check the signature.
func (v *Verifier) authority(rawName []byte) *authority {
	for _, a := range v.trusted() {
		if bytes.Equal(a.cert.RawSubject, rawName) {
			return a
		}
	}
	return nil
}

// endorse runs every check that depends neither on the report nor on the time.
// The Chain it returns may have failed some of them: it must not leave the
// package without its checks being looked at.
func (v *Verifier) endorse(end attest.Endorsements) *Chain {
	c, m := v.open(end)
	v.finish(c, m)
	return c
}

// open reads the certificate of the key. [Verifier.finish] makes the rest of
// endorse's checks, and touches nothing that [Chain.read] looks at.
func (v *Verifier) open(end attest.Endorsements) (*Chain, material) {
	m, checks := gather(end, make([]attest.Check, 0, maxFixedChecks))
	c := &Chain{kind: v.Kind()}
	if m.vek != nil {
		c.vek, checks = readVEK(m.vek, checks)
	}
	c.fixed = checks
	if c.vek != nil {
		c.authority = v.authority(c.vek.cert.RawIssuer)
	}
	return c, m
}

// maxFixedChecks is room for the checks that depend neither on report nor on time.
const maxFixedChecks = 12

func (v *Verifier) finish(c *Chain, m material) {
	if c.vek == nil {
		return
	}
	c.fixed = append(c.fixed, v.checkChain(c.vek.cert, c.authority))
	if c.authority != nil {
		c.fixed = append(c.fixed, c.checkKeyKind())
		c.fixed = v.checkTableCAs(c.fixed, m.table, c.authority)
		c.revocation(m)
	}
	c.setValidity()
}

// checkChain establishes that a trusted CA signed the leaf. Everything above
// the leaf was verified when the Verifier was made.
func (v *Verifier) checkChain(leaf *x509.Certificate, a *authority) attest.Check {
	const name, expected = "hardware.chain", "issued by an ASK or ASVK of a trusted root"
	if a == nil {
		code := attest.CodeUntrustedRoot
		if v.isRoot(leaf.RawIssuer) {
			code = attest.CodeBadChain
		}
		return judge(name, false, code, "issued by "+pki.Brief(leaf.Issuer.CommonName), expected)
	}
	if leaf.SignatureAlgorithm != x509.SHA384WithRSAPSS {
		return judge(name, false, attest.CodeBadChain, "signed with "+leaf.SignatureAlgorithm.String(), x509.SHA384WithRSAPSS.String())
	}
	if err := checkIssued(leaf, a.cert); err != nil {
		return judge(name, false, attest.CodeUntrustedRoot, err.Error(), "signed by the trusted "+pki.Brief(a.cert.Subject.CommonName))
	}
	return judge(name, true, "", pki.Brief(leaf.Subject.CommonName)+", "+a.names, "")
}

// isRoot reports whether a trusted ARK has that name.
func (v *Verifier) isRoot(rawName []byte) bool {
	for _, a := range v.trusted() {
		if bytes.Equal(a.ark.RawSubject, rawName) {
			return true
		}
	}
	return false
}

// checkTableCAs compares the CA certificates in the certificate table with the
// trusted ones. They are not used; but a table that brings a root of its own is
// an attempt to be trusted by it. It appends to checks.
func (v *Verifier) checkTableCAs(checks []attest.Check, table []CertTableEntry, a *authority) []attest.Check {
	const name, expected = "hardware.cert_table_ca", "the pinned certificates"
	ark, ca := entry(table, guidARK), entry(table, guidASK)
	switch {
	case ark == nil && ca == nil:
		return checks
	case ark != nil && !bytes.Equal(ark, a.ark.Raw):
		return append(checks, judge(name, false, attest.CodeUntrustedRoot, "another ARK", expected))
	case ca != nil && !v.trusts(a.product, ca):
		return append(checks, judge(name, false, attest.CodeUntrustedRoot, "another ASK or ASVK", expected))
	}
	return append(checks, judge(name, true, "", expected, expected))
}

// trusts reports whether der is a CA certificate of the product. One GUID holds
// the ASK on some hosts and the ASVK on others.
func (v *Verifier) trusts(p Product, der []byte) bool {
	for _, a := range v.trusted() {
		if a.product == p && bytes.Equal(a.cert.Raw, der) {
			return true
		}
	}
	return false
}
