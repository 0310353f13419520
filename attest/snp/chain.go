package snp

import (
	"bytes"
	"crypto/x509"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Chain is a VCEK or VLEK that was verified up to a trusted root, with what the
// CRLs say about it. It is immutable and safe for concurrent use, and it is
// good for as long as its owner likes: each use checks again that every
// certificate and CRL is in force. The zero Chain refuses everything.
type Chain struct {
	kind      attest.Kind
	vek       *endorsementKey
	authority *authority
	ark, ask  Revocation
	fixed     []attest.Check // that do not depend on report or time
	validity  attest.Validity
	endorsed  attest.Validity // validity, narrowed by the CRLs
	span      string          // validity, for people
}

// Endorsed returns the time span in which every certificate and CRL of the
// chain is in force.
func (c *Chain) Endorsed() attest.Validity {
	if c == nil {
		return attest.Validity{}
	}
	return c.endorsed
}

// Verify establishes that the chain's key signed the evidence, as
// [Verifier.Verify] does, without verifying the certificates again.
func (c *Chain) Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	if c == nil || c.vek == nil {
		return nil, attest.NewFailure("hardware.chain", attest.CodeBadChain, "a chain that was never verified", "one from Endorse")
	}
	return c.verify(ev, at)
}

func (c *Chain) verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	return c.conclude(ev, c.read(ev), at)
}

// reading is a report, nil if it could not be read, and the checks of it.
type reading struct {
	report *Report
	checks []attest.Check
}

// read makes the checks that depend on the report and its key, but not on whether
// the key is AMD's. Bytes of another kind are not looked at: their meaning would be
// a guess.
func (c *Chain) read(ev attest.Evidence) reading {
	if ev.Kind != c.kind {
		return reading{}
	}
	r, checks := readReport(ev.Data)
	if r != nil {
		checks = c.compare(checks, r, ev.Data)
	}
	return reading{r, checks}
}

// conclude puts all checks together.
func (c *Chain) conclude(ev attest.Evidence, got reading, at time.Time) (*attest.Claims, error) {
	checks := make([]attest.Check, 0, len(c.fixed)+len(got.checks)+4)
	checks = append(checks, judge("hardware.kind", ev.Kind == c.kind && ev.Kind.Valid(), attest.CodeKindMismatch, ev.Kind.String(), c.kind.String()))
	checks = append(checks, c.fixed...)
	checks = c.checkTimes(checks, at)
	checks = append(checks, got.checks...)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return c.claims(got.report, checks), nil
}

// claims turns what passed into facts.
func (c *Chain) claims(r *Report, checks []attest.Check) *attest.Claims {
	return &attest.Claims{
		Kind:         c.kind,
		Simulated:    c.kind.Simulated(),
		ReportData:   r.ReportData,
		Measurement:  bytes.Clone(r.Measurement[:]),
		LaunchDigest: bytes.Clone(r.HostData[:]),
		Endorsed:     c.endorsed,
		Checks:       checks,
		Detail: &Claims{
			Product:      c.authority.product,
			Report:       r,
			Signer:       c.vek.ext.signer,
			CertTCB:      c.vek.ext.tcb,
			ChipID:       bytes.Clone(c.vek.ext.hwid),
			ChipIDMasked: r.ChipIDMasked(),
			CSP:          c.vek.ext.csp,
			ARKCRL:       c.ark.Clone(),
			ASKCRL:       c.ask.Clone(),
		},
	}
}

// checkKeyKind establishes that everybody means the same kind of key: the CA
// that issued it, its name (AMD 57230: SEV-VCEK or SEV-VLEK) and its extensions.
func (c *Chain) checkKeyKind() attest.Check {
	const name = "hardware.key_kind"
	want := "SEV-VCEK"
	if c.authority.signer == SignerVLEK {
		want = "SEV-VLEK"
	}
	got := c.vek.cert.Subject.CommonName
	if c.vek.ext != nil && c.vek.ext.signer != c.authority.signer {
		return judge(name, false, attest.CodeBadChain, "extensions of a "+c.vek.ext.signer.String(), "of a "+c.authority.signer.String()+", as the CA issues")
	}
	expected := pki.Brief(want)
	if got != want {
		return judge(name, false, CodeSignerMismatch, pki.Brief(got), expected)
	}
	return judge(name, true, "", expected, expected)
}

// revocation looks the chain's certificates up in the CRLs.
func (c *Chain) revocation(m material) {
	c.ark, c.fixed = arkCRL.read(c.fixed, m.arkCRL, c.authority.ark, c.authority.cert, c.authority.ark)
	c.ask, c.fixed = askCRL.read(c.fixed, m.askCRL, c.authority.cert, c.vek.cert)
}

func (c *Chain) certificates() []*x509.Certificate {
	if c.authority == nil {
		return []*x509.Certificate{c.vek.cert}
	}
	return []*x509.Certificate{c.vek.cert, c.authority.cert, c.authority.ark}
}

// setValidity computes when everything in the chain is in force.
func (c *Chain) setValidity() {
	c.validity = pki.Span(c.certificates()...)
	c.span = pki.Date(c.validity.NotBefore) + " to " + pki.Date(c.validity.NotAfter)
	c.endorsed = c.validity
	for _, r := range [...]Revocation{c.ark, c.ask} {
		if r.Checked {
			c.endorsed = pki.Narrow(c.endorsed, r.Span())
		}
	}
}

// checkTimes runs at every use, cold or warm. It appends to checks.
func (c *Chain) checkTimes(checks []attest.Check, at time.Time) []attest.Check {
	if c.vek == nil {
		return checks
	}
	checks = append(checks, c.checkValidity(at))
	if c.ark.Checked {
		checks = append(checks, arkCRL.checkTime(c.ark, at))
	}
	if c.ask.Checked {
		checks = append(checks, askCRL.checkTime(c.ask, at))
	}
	return checks
}

// checkValidity names every certificate that is not valid at the time given.
func (c *Chain) checkValidity(at time.Time) attest.Check {
	const name = "hardware.validity"
	if c.validity.Contains(at) {
		return judge(name, true, "", c.span, "") // which pki would write anew
	}
	bad := pki.CheckValidity(name, at, c.certificates()...)
	return judge(name, false, attest.CodeExpired, bad.Seen, bad.Expected)
}
