package nitro

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Claims are what only a Nitro Enclave's evidence says.
type Claims struct {
	// Document is the signed document. It is the caller's own.
	Document *Document
}

// Verifier verifies attestation documents. It is immutable and safe for
// concurrent use. A nil Verifier and the zero one refuse everything.
type Verifier struct {
	roots []*x509.Certificate
}

// NewVerifier returns the Verifier for real enclaves. It trusts the root of
// AWS's commercial regions and nothing else.
func NewVerifier() (*Verifier, error) { return pinned(awsFiles, awsRootFile, awsRootSHA256) }

// NewVerifierWithRoots returns a Verifier that trusts the given certificates,
// DER, and not AWS's: for tests, and for the partitions in China and for the US
// government, which have roots of their own.
func NewVerifierWithRoots(roots ...[]byte) (*Verifier, error) {
	if len(roots) == 0 {
		return nil, errors.New("nitro: no root to trust")
	}
	v := &Verifier{}
	for _, der := range roots {
		root, err := parseRoot(der)
		if err != nil {
			return nil, err
		}
		v.roots = append(v.roots, root)
	}
	return v, nil
}

// Kind returns Nitro.
func (v *Verifier) Kind() attest.Kind { return attest.Nitro }

// Verify establishes that the Nitro system signed the document and that every
// certificate of its chain is valid at the time given. See [attest.Verifier] for
// its errors. There are no endorsements for Nitro: a document carries its
// certificates, and AWS says not to consult its CRLs (NSM 3.2.4).
func (v *Verifier) Verify(ev attest.Evidence, _ attest.Endorsements, at time.Time) (*attest.Claims, error) {
	doc, checks := read(ev)
	if doc == nil {
		return nil, attest.FailureOf(checks)
	}
	c, finish := v.open(doc)
	// The chain's four signatures and the document's do not depend on each other.
	signature := make(chan attest.Check, 1)
	if c.certs != nil {
		go func() { signature <- c.checkSignature(doc) }()
	}
	finish()
	return c.verify(doc, checks, at, func() attest.Check { return <-signature })
}

// Endorse verifies the certificates of a document alone, so that more documents
// of the same enclave can be verified by [Chain.Verify] at the price of one
// signature each. The Nitro system uses one chain for about three hours.
//
// Every Endorse takes whatever holds the certificates: here the evidence, which
// brings all of them, where those of other kinds come in the Endorsements.
func (v *Verifier) Endorse(ev attest.Evidence, at time.Time) (*Chain, error) {
	doc, checks := read(ev)
	if doc == nil {
		return nil, attest.FailureOf(checks)
	}
	c := v.endorse(doc)
	checks = append(checks, c.checks(at)...)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return c, nil
}

// read parses evidence. Bytes of another kind are not looked at: their meaning
// would be a guess.
func read(ev attest.Evidence) (*Document, []attest.Check) {
	checks := make([]attest.Check, 0, 10)
	checks = append(checks, pki.Judge("hardware.kind", ev.Kind == attest.Nitro, attest.CodeKindMismatch, ev.Kind.String(), attest.Nitro.String()))
	if ev.Kind != attest.Nitro {
		return nil, checks
	}
	doc, p := parse(ev.Data)
	if p != nil {
		return nil, append(checks, pki.Judge("hardware.document", false, p.code, p.text, "an attestation document of a Nitro Enclave"))
	}
	return doc, append(checks, pki.Judge("hardware.document", true, "", fmt.Sprintf("COSE_Sign1, ES384, %d PCRs", len(doc.PCRs)), ""))
}

// endorse runs every check that depends on the certificates alone. The Chain it
// returns may have failed some of them: it must not leave the package without
// its checks being looked at.
func (v *Verifier) endorse(doc *Document) *Chain {
	c, finish := v.open(doc)
	finish()
	return c
}

// open reads the certificates. What it returns beside the Chain verifies their
// signatures, and touches nothing that the check of the document's looks at.
func (v *Verifier) open(doc *Document) (c *Chain, finish func()) {
	c = &Chain{certificate: doc.Certificate, bundle: doc.CABundle}
	root, check := v.checkRoot(doc.CABundle)
	c.fixed = append(c.fixed, check)
	certs, check := parseChain(doc, root)
	c.fixed = append(c.fixed, check)
	if certs == nil {
		return c, func() {}
	}
	c.setCertificates(certs)
	return c, func() {
		if root != nil {
			c.fixed = append(c.fixed, checkPath(root, certs))
		}
	}
}

// checkRoot establishes that the bundle begins with a trusted certificate: the
// order is documented to be fixed, root first (NSM 3.2.3).
func (v *Verifier) checkRoot(bundle [][]byte) (*x509.Certificate, attest.Check) {
	const name, expected = "hardware.root", "a pinned root first in the CA bundle"
	for i, der := range bundle {
		root := v.root(der)
		switch {
		case root != nil && i == 0:
			return root, pki.Judge(name, true, "", pki.Brief(root.Subject.CommonName), "")
		case root != nil:
			return nil, pki.Judge(name, false, attest.CodeBadChain, fmt.Sprintf("the root at place %d of %d", i+1, len(bundle)), expected)
		}
	}
	return nil, pki.Judge(name, false, attest.CodeUntrustedRoot, "another certificate", expected)
}

func (v *Verifier) root(der []byte) *x509.Certificate {
	if v == nil {
		return nil
	}
	for _, r := range v.roots {
		if bytes.Equal(r.Raw, der) {
			return r
		}
	}
	return nil
}
