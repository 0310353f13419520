package tpm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Trust is why an attestation key may be believed. Unlike for processors there is
// no one vendor whose root could be compiled in.
type Trust struct {
	// Roots are certificates, DER, under which clouds and makers certify
	// attestation keys.
	Roots [][]byte
	// Pins are attestation keys that have answered a challenge of ours.
	Pins []Pin
}

// Pin is an attestation key that answered a challenge ([EK.Challenge]), and for how
// long that counts.
type Pin struct {
	Name     []byte // as in [Public.Name]
	Validity attest.Validity
}

// Verifier verifies TPM quotes. It is immutable and safe for concurrent use. A nil
// Verifier and the zero one refuse everything.
type Verifier struct {
	made  bool
	roots []*x509.Certificate
	pins  []Pin
}

// NewVerifier returns a Verifier that knows no maker: it establishes which key
// signed which registers. Its Claims are Unbound, and it is for the appraisal to
// refuse a key that the relying party did not name.
func NewVerifier() (*Verifier, error) { return &Verifier{made: true}, nil }

// NewVerifierWithRoots returns a Verifier that knows whose keys to believe.
func NewVerifierWithRoots(trust Trust) (*Verifier, error) {
	if len(trust.Roots) == 0 && len(trust.Pins) == 0 {
		return nil, errors.New("tpm: neither a root nor a pinned key to trust")
	}
	v := &Verifier{made: true}
	for i, der := range trust.Roots {
		root, err := parseRoot(der)
		if err != nil {
			return nil, fmt.Errorf("tpm: root %d: %w", i, err)
		}
		v.roots = append(v.roots, root)
	}
	for i, p := range trust.Pins {
		if _, err := hashLen(p.Name); err != nil {
			return nil, fmt.Errorf("tpm: pin %d: %w", i, err)
		}
		if p.Validity.NotBefore.IsZero() || !p.Validity.NotAfter.After(p.Validity.NotBefore) {
			return nil, fmt.Errorf("tpm: pin %d: no time in which it counts", i)
		}
		v.pins = append(v.pins, Pin{Name: bytes.Clone(p.Name), Validity: p.Validity})
	}
	return v, nil
}

// hashLen checks that a name has the length of its algorithm.
func hashLen(name []byte) (int, error) {
	if len(name) < 2 {
		return 0, fmt.Errorf("a name of %d bytes", len(name))
	}
	h, ok := hashOf(uint16(name[0])<<8 | uint16(name[1]))
	if !ok || len(name) != 2+h.Size() {
		return 0, fmt.Errorf("a name of %d bytes with algorithm %x, expected SHA-256 or SHA-384", len(name), name[:2])
	}
	return h.Size(), nil
}

func parseRoot(der []byte) (*x509.Certificate, error) {
	root, err := pki.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, err
	case !root.IsCA:
		return nil, errors.New("not a CA certificate")
	case root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature) != nil:
		return nil, errors.New("not signed by itself")
	}
	return root, nil
}

// Kind returns attest.TPM.
func (v *Verifier) Kind() attest.Kind { return attest.TPM }

// Verify establishes that an attestation key signed the registers and, if the
// Verifier knows it or there is a certificate for it, that it is a TPM's. See
// [attest.Verifier] for its errors.
//
// Of the Endorsements it reads tpm/ak-chain, tpm/ak-crl and event-log. All may be
// missing: the Claims say what was not established. There is no Endorse, as other
// kinds have: a pinned key ([Trust]) costs one signature, and nothing else is worth
// remembering.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	if v == nil || !v.made {
		return nil, attest.NewFailure("hardware.kind", attest.CodeKindMismatch, "a verifier that accepts no kind", "one from NewVerifier")
	}
	checks := []attest.Check{pki.Judge("hardware.kind", ev.Kind == attest.TPM, attest.CodeKindMismatch, ev.Kind.String(), attest.TPM.String())}
	m, more := gather(end)
	checks = append(checks, more...)
	if ev.Kind != attest.TPM {
		return nil, attest.FailureOf(checks)
	}
	q, form := parseForm(ev.Data)
	checks = append(checks, form)
	if form.Status != attest.Pass {
		return nil, attest.FailureOf(checks)
	}
	claims, more := Examine(*q)
	checks = append(checks, more...)
	if claims == nil {
		return nil, attest.FailureOf(checks)
	}
	bound, more := v.bind(claims, q, m, at)
	checks = append(checks, more...)
	if m.log != nil {
		checks = append(checks, claims.ReadLog(m.log)...)
	}
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return &attest.Claims{
		Kind: attest.TPM, Nonce: claims.Nonce(), LaunchDigest: claims.LaunchDigest(),
		Endorsed: bound, Detail: claims, Checks: checks,
	}, nil
}

func parseForm(data []byte) (*form.TPM, attest.Check) {
	const name, expected = "hardware.tpm_form", "a quote with its registers"
	if len(data) > attest.MaxEvidence {
		return nil, pki.Judge(name, false, attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(data)), expected)
	}
	q, err := form.ParseTPM(data)
	if err != nil {
		return nil, pki.Judge(name, false, attest.CodeMalformed, err.Error(), expected)
	}
	return &q, pki.Judge(name, true, "", fmt.Sprintf("%d registers", len(q.PCRs)), expected)
}

// material is what came beside the quote.
type material struct {
	chain []*x509.Certificate
	crl   []byte
	log   []byte
}

func gather(end attest.Endorsements) (material, []attest.Check) {
	var m material
	var checks []attest.Check
	get := func(name, label string) []byte {
		data, found, err := end.Get(label)
		switch {
		case err != nil:
			checks = append(checks, pki.Judge(name, false, attest.CodeAmbiguous, err.Error(), "one "+label))
		case len(data) > attest.MaxEndorsement:
			checks = append(checks, pki.Judge(name, false, attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d", attest.MaxEndorsement)))
		case found && len(data) == 0:
			checks = append(checks, pki.Judge(name, false, attest.CodeMalformed, "an empty "+label, "its content, or none"))
		default:
			return data
		}
		return nil
	}
	pem := get("hardware.tpm_ak_chain_form", attest.LabelTPMAKChain)
	m.crl = get("hardware.tpm_ak_crl_form", attest.LabelTPMAKCRL)
	m.log = get("hardware.tpm_event_log_form", attest.LabelEventLog)
	if pem != nil {
		chain, err := pki.ParsePEM(pem, pki.MaxPath)
		if err != nil {
			checks = append(checks, pki.Judge("hardware.tpm_ak_chain_form", false, attest.CodeMalformed, err.Error(), "certificates in PEM"))
		}
		m.chain = chain
	}
	return m, checks
}

// unlimited is the time in which nothing can expire, since nothing was used that
// does (RFC 5280, 4.1.2.5).
func unlimited() attest.Validity {
	return attest.Validity{NotBefore: time.Unix(1, 0).UTC(), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
}

// bind establishes whose key signed. A chain that was given has to be good even if
// the key is pinned.
func (v *Verifier) bind(c *Claims, q *form.TPM, m material, at time.Time) (attest.Validity, []attest.Check) {
	span := unlimited()
	var checks []attest.Check
	if pin := v.pin(c.AKName); pin != nil {
		c.Binding, span = Activated, pin.Validity
		checks = append(checks, pki.Judge("hardware.tpm_ak_pinned", pin.Validity.Contains(at), attest.CodeExpired,
			"pinned from "+pki.Date(pin.Validity.NotBefore)+" to "+pki.Date(pin.Validity.NotAfter), "to contain "+pki.Date(at)))
	}
	if m.chain != nil {
		valid, more := v.certified(c, q, m, at)
		c.Binding, span = Certified, pki.Narrow(span, valid)
		checks = append(checks, more...)
	}
	if c.Binding == Unbound {
		checks = append(checks, v.unbound(at)...)
	}
	// A list that nobody's signature is compared with may be anybody's, and somebody
	// may remember it as the newest.
	if m.crl != nil && m.chain == nil {
		checks = append(checks, pki.Judge("hardware.tpm_ak_crl", false, attest.CodeBadCRL, "a CRL and no certificate", "both"))
	}
	return span, checks
}

func (v *Verifier) pin(name []byte) *Pin {
	for i := range v.pins {
		if bytes.Equal(v.pins[i].Name, name) {
			return &v.pins[i]
		}
	}
	return nil
}

// unbound refuses an unknown key where the Verifier was told which to believe.
func (v *Verifier) unbound(at time.Time) []attest.Check {
	checks := []attest.Check{pki.Judge("hardware.tpm_ak_bound", len(v.roots) == 0 && len(v.pins) == 0, attest.CodeUntrustedRoot,
		"a key with no certificate, not pinned", "a certificate to a trusted root, or a pinned key")}
	checks = append(checks, pki.Judge("hardware.tpm_time", unlimited().Contains(at), attest.CodeExpired, pki.Date(at), "a time"))
	return checks
}

// certified verifies the certificate of the attestation key.
func (v *Verifier) certified(c *Claims, q *form.TPM, m material, at time.Time) (attest.Validity, []attest.Check) {
	problem := v.checkChain(m.chain)
	if problem != nil {
		return attest.Validity{}, []attest.Check{problem.Check("hardware.tpm_ak_chain")}
	}
	checks := []attest.Check{
		pki.Judge("hardware.tpm_ak_chain", true, "", pki.Brief(m.chain[len(m.chain)-1].Subject.CommonName), ""),
		pki.CheckValidity("hardware.tpm_ak_validity", at, m.chain...),
		checkSameKey(m.chain[0], q.AKPublic),
		checkPrimary(c),
	}
	crl, more := pki.ReadCRL("hardware.tpm_ak_crl", m.crl, m.chain[1], m.chain[0].SignatureAlgorithm, m.chain[0])
	checks = append(checks, more...)
	span := pki.Span(m.chain...)
	if crl.Checked {
		checks = append(checks, pki.CheckCRLTime("hardware.tpm_ak_crl", crl, at))
		span = pki.Narrow(span, crl.Span())
		c.AKCRL = crl
	}
	return span, checks
}

// checkChain tries the roots by name only; the bytes decide.
func (v *Verifier) checkChain(chain []*x509.Certificate) *pki.Problem {
	problem := &pki.Problem{Code: attest.CodeUntrustedRoot, Seen: "no root to trust", Expected: "one from whoever vouches for the TPM"}
	for _, root := range v.roots {
		p := pathTo(root, nil)
		if problem = p.Check(chain); problem == nil {
			return nil
		}
	}
	return problem
}

// pathTo is the form of a chain to the root: every key of the root's kind, every
// signature with the root's algorithm.
func pathTo(root *x509.Certificate, critical []asn1.ObjectIdentifier) pki.Path {
	p := pki.Path{Root: root, Algorithm: root.SignatureAlgorithm, Critical: critical}
	switch key := root.PublicKey.(type) {
	case *ecdsa.PublicKey:
		p.Curve = key.Curve
	case *rsa.PublicKey:
		p.RSABits = minRSABits
	}
	return p
}

// checkSameKey compares the certified key with the one that signed.
func checkSameKey(cert *x509.Certificate, area []byte) attest.Check {
	const name = "hardware.tpm_ak_certified"
	p, err := ParsePublic(area)
	same := err == nil && sameKey(cert.PublicKey, p.Key)
	return pki.Judge(name, same, attest.CodeKeyMismatch, "certificate for "+pki.KeyKind(cert), "for the attestation key")
}

// checkPrimary: a certificate names the key and none of its attributes. The TPM's
// word for those is the qualified name, which only that of a primary key shows.
func checkPrimary(c *Claims) attest.Check {
	return pki.Judge("hardware.tpm_ak_primary", c.Hierarchy != HierarchyUnknown, CodeKey, c.Hierarchy.String()+" hierarchy",
		"a primary key, of which the quote holds the qualified name")
}

// sameKey compares two public keys, each RSA or ECDSA.
func sameKey(a, b crypto.PublicKey) bool {
	switch key := a.(type) {
	case *rsa.PublicKey:
		return key.Equal(b)
	case *ecdsa.PublicKey:
		return key.Equal(b)
	}
	return false
}
