package nvgpu

import (
	"bytes"
	"cmp"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Chain is a device's certificate that was verified up to a trusted root, with
// the manifests and OCSP responses that came with it. It is immutable and safe
// for concurrent use, and it is good for as long as its owner likes: each use
// checks again that everything is in force. The zero Chain refuses everything.
type Chain struct {
	kind     attest.Kind
	pem      []byte
	certs    []*x509.Certificate // nil unless they verified
	device   *device
	fixed    []attest.Check // that do not depend on report or time
	answers  []*ocspAnswer
	rims     map[string]*rim
	endorsed attest.Validity // of the device's certificates and the answers about them
}

// Endorsed returns the time span in which the device's certificates and what
// is known of their revocation are in force.
func (c *Chain) Endorsed() attest.Validity {
	if c == nil {
		return attest.Validity{}
	}
	return c.endorsed
}

func check(name string, ok bool, code attest.Code, seen, expected string) attest.Check {
	return pki.Judge(name, ok, code, seen, expected)
}

// endorse runs every check that depends neither on the report nor on the time,
// and says whether the leaf's key signed r, if there is one. The Chain it returns
// may have failed some checks: it must not leave the package without those being
// looked at.
func (v *Verifier) endorse(pem []byte, end attest.Endorsements, rims []string, r *Report) (c *Chain, signed bool) {
	c = &Chain{kind: v.kind, pem: bytes.Clone(pem)}
	if big := oversize(end); big != nil {
		c.fixed = append(c.fixed, big.Check("hardware.endorsements")) // nothing else is read
		return c, false
	}
	certs, err := pki.ParsePEM(pem, maxChain)
	if err != nil {
		c.fixed = append(c.fixed, check(checkChain, false, attest.CodeMalformed, err.Error(), "the device's certificates in PEM"))
		return c, false
	}
	problem, signed := checkPath(v.device, certs, r.signedBy)
	if problem != nil {
		c.fixed = append(c.fixed, problem.Check(checkChain))
		return c, false
	}
	c.certs = certs
	c.fixed = append(c.fixed, check(checkChain, true, "", names(certs), ""))
	c.endorsed = pki.Span(certs...)
	c.readDevice()
	beside := newCollateral(end)
	c.revocation(beside)
	c.rims = make(map[string]*rim)
	for _, id := range rims {
		if _, done := c.rims[id]; !done {
			c.addRIM(v.rim, id, beside)
		}
		if m := c.rims[id]; r == nil && m != nil && m.problem != nil {
			break // no report needs them: whoever added one may have made many
		}
	}
	return c, signed
}

// checkPath verifies a chain of NVIDIA's up to the root, and what the leaf's key
// signed. No signature waits for the outcome of another: those on the leaf and by it
// are verified while the ones above are. A chain that is refused has signed nothing,
// whatever its leaf's key says.
func checkPath(root *x509.Certificate, certs []*x509.Certificate, signed func(leaf *x509.Certificate) bool) (*pki.Problem, bool) {
	// All of NVIDIA's chains are of this form.
	path := pki.Path{Root: root, Algorithm: x509.ECDSAWithSHA384, Curve: elliptic.P384()}
	if problem := path.CheckForm(certs); problem != nil {
		return problem, false // no key was used
	}
	good, leaf := false, make(chan *pki.Problem, 1)
	go func() {
		good = signed(certs[0])
		leaf <- path.CheckSignatures(certs[:2])
	}()
	above, below := path.CheckSignatures(certs[1:]), <-leaf
	if problem := cmp.Or(above, below); problem != nil {
		return problem, false
	}
	return nil, good
}

// signedBy reports whether the certificate's key signed the report. No key signed
// one that could not be read.
func (r *Report) signedBy(cert *x509.Certificate) bool {
	return r != nil && verifyRaw(cert, r.signed, r.signature)
}

// oversize finds an endorsement of ours that is over its limit.
func oversize(end attest.Endorsements) *pki.Problem {
	for _, e := range end {
		limit := len(e.Data)
		switch {
		case strings.HasPrefix(e.Label, attest.LabelNVIDIARIM):
			limit = maxRIM
		case strings.HasPrefix(e.Label, attest.LabelNVIDIAOCSP):
			limit = maxOCSP
		}
		if len(e.Data) > limit {
			return &pki.Problem{Code: attest.CodeTooLarge, Seen: fmt.Sprintf("%s of %d bytes", pki.Brief(e.Label), len(e.Data)), Expected: fmt.Sprintf("at most %d", limit)}
		}
	}
	return nil
}

func names(certs []*x509.Certificate) string {
	out := make([]string, len(certs))
	for i, cert := range certs {
		out[i] = pki.Brief(cert.Subject.CommonName)
	}
	return strings.Join(out, ", ")
}

// readDevice reads what the leaf says of the device.
func (c *Chain) readDevice() {
	leaf, issuer := c.certs[0], c.certs[1]
	d, err := readDevice(leaf, issuer)
	if err != nil {
		c.fixed = append(c.fixed, check("hardware.device", false, attest.CodeMalformed, err.Error(), "a device's certificate"))
		return
	}
	arch := archOf(d.chip)
	seen := "a chip " + pki.Brief(d.chip)
	switch {
	case arch == 0:
		c.fixed = append(c.fixed, check("hardware.device", false, CodeUnknownChip, seen, "Hopper, Blackwell or LS10"))
		return
	case arch.kind() != c.kind:
		c.fixed = append(c.fixed, check("hardware.device", false, attest.CodeKindMismatch, seen+", "+arch.kind().String(), c.kind.String()))
		return
	}
	c.device = d
	c.fixed = append(c.fixed, check("hardware.device", true, "", arch.String()+" "+d.chip, ""))
	if d.parent != nil { // Blackwell's extension does not say
		c.fixed = append(c.fixed, checkDerived(d, issuer))
	}
}

// checkDerived establishes that the leaf means the device that issued it.
func checkDerived(d *device, issuer *x509.Certificate) attest.Check {
	of := "derived from the key of " + pki.Brief(issuer.Subject.CommonName)
	if !bytes.Equal(d.parent, issuer.RawSubjectPublicKeyInfo) {
		return check("hardware.device_key", false, CodeInconsistent, "derived from another device's key", of)
	}
	return check("hardware.device_key", true, "", of, "")
}

// revocation reads the answers about the device's certificates, but not about
// the leaf: its device issued it, and no responder knows it.
func (c *Chain) revocation(beside *collateral) {
	c.answers = beside.lookUpAll(c.certs[1:])
	c.fixed = append(c.fixed, judgeAnswers("hardware.ocsp", c.answers))
	for _, a := range c.answers {
		if a.revocation.Status != NotChecked {
			c.endorsed = pki.Narrow(c.endorsed, a.span())
		}
	}
}

// judgeAnswers says the worst that is known. A hold and a missing answer are no
// failures here: package appraise decides.
func judgeAnswers(name string, answers []*ocspAnswer) attest.Check {
	var list []Revocation
	for _, a := range answers {
		if a.problem != nil {
			return a.problem.Check(name)
		}
		list = append(list, a.revocation)
	}
	var missing, held []string
	for _, r := range list {
		switch r.Status {
		case NotChecked:
			missing = append(missing, pki.Brief(r.Subject))
		case Held:
			held = append(held, pki.Brief(r.Subject))
		}
	}
	switch worst(list) {
	case Good:
		return check(name, true, "", fmt.Sprintf("%d certificates, all good", len(list)), "")
	case Held:
		return attest.Check{Name: name, Status: attest.Skip, Code: CodeHold, Seen: "suspended: " + strings.Join(held, ", "), Expected: "all good"}
	}
	return attest.Check{Name: name, Status: attest.Skip, Code: CodeNoOCSP, Seen: "no answer about " + strings.Join(missing, ", "), Expected: "an OCSP response for each certificate"}
}

// checkTimes runs at every use, cold or warm.
func (c *Chain) checkTimes(at time.Time) []attest.Check {
	if c.certs == nil {
		return nil
	}
	checks := []attest.Check{pki.CheckValidity("hardware.validity", at, c.certs...)}
	return append(checks, checkAnswerTimes("hardware.ocsp_time", c.answers, at)...)
}

// checkAnswerTimes judges the answers that were given.
func checkAnswerTimes(name string, answers []*ocspAnswer, at time.Time) []attest.Check {
	given := 0
	for _, a := range answers {
		if a.problem != nil || a.revocation.Status == NotChecked {
			continue
		}
		given++
		if problem := a.checkTime(at); problem != nil {
			return []attest.Check{problem.Check(name)}
		}
	}
	if given == 0 {
		return nil
	}
	return []attest.Check{check(name, true, "", fmt.Sprintf("%d responses in force", given), "")}
}

// Verify establishes that the chain's device signed the evidence, as
// [Verifier.Verify] does, without verifying certificates and manifests again.
func (c *Chain) Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	if c == nil || c.certs == nil {
		return nil, attest.NewFailure(checkChain, attest.CodeBadChain, "a chain that was never verified", "one from Endorse")
	}
	p := open(ev, c.kind)
	if p.chain != nil && !bytes.Equal(p.chain, c.pem) {
		p.checks = append(p.checks, check(checkChain, false, attest.CodeBadChain, "other certificates", "those that Endorse verified"))
	}
	return c.verify(p, p.report.signedBy(c.certs[0]), at)
}

func (c *Chain) verify(p opened, signed bool, at time.Time) (*attest.Claims, error) {
	checks := append(append([]attest.Check(nil), p.checks...), c.fixed...)
	checks = append(checks, c.checkTimes(at)...)
	u := use{}
	if p.report != nil && c.device != nil {
		checks = append(checks, c.checkReport(p.report, signed)...)
		u = c.use(p.report)
		checks = append(checks, u.checks(at)...)
	}
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return c.claims(p.report, u, checks), nil
}

// checkReport compares the report with the certificate of its signer.
func (c *Chain) checkReport(r *Report, signed bool) []attest.Check {
	const name = "hardware.firmware_id"
	firmware := attest.Check{Name: name, Status: attest.Skip, Code: CodeNoFirmwareID, Seen: "the report names none", Expected: hex.EncodeToString(c.device.fwid)}
	if r.Opaque.FWID != nil {
		firmware = check(name, bytes.Equal(r.Opaque.FWID, c.device.fwid), CodeFirmwareMismatch, hex.EncodeToString(r.Opaque.FWID), hex.EncodeToString(c.device.fwid))
	}
	const scheme = "ECDSA P-384 over SHA-384"
	signature := check("hardware.signature", true, "", scheme, "")
	if !signed {
		signature = check("hardware.signature", false, attest.CodeBadSignature, "not signed by the certified key", scheme)
	}
	return []attest.Check{firmware, signature}
}

// claims turns what passed into facts.
func (c *Chain) claims(r *Report, u use, checks []attest.Check) *attest.Claims {
	d := &Claims{
		Arch:             archOf(c.device.chip),
		Chip:             c.device.chip,
		DeviceID:         c.device.ueid,
		DeviceKey:        c.device.key,
		Report:           r.clone(),
		FirmwareID:       bytes.Clone(c.device.fwid),
		FirmwareCompared: r.Opaque.FWID != nil,
		Driver:           u.driver.claim(),
		VBIOS:            u.vbios.claim(),
		Measurements:     u.compare(r),
	}
	endorsed := c.endorsed
	answers := slices.Clone(c.answers)
	for _, used := range []*usedRIM{&u.driver, &u.vbios} {
		if used.rim != nil {
			answers = append(answers, used.rim.answers...)
			endorsed = pki.Narrow(endorsed, used.rim.endorsed)
		}
	}
	for _, a := range answers {
		if !slices.Contains(d.Revocation, a.revocation) {
			d.Revocation = append(d.Revocation, a.revocation)
		}
	}
	return &attest.Claims{Kind: c.kind, Nonce: bytes.Clone(r.Nonce[:]), Endorsed: endorsed, Detail: d, Checks: checks}
}

// clone returns a report that shares no memory with the evidence. The measurements,
// 64 of them as a rule, lie in one piece.
func (r *Report) clone() *Report {
	out := *r
	out.Measurements = slices.Clone(r.Measurements)
	size := 0
	for _, m := range r.Measurements {
		size += len(m.Value)
	}
	values := make([]byte, 0, size)
	for i, m := range r.Measurements {
		values = append(values, m.Value...)
		out.Measurements[i].Value = values[len(values)-len(m.Value) : len(values) : len(values)]
	}
	for _, b := range []*[]byte{&out.Opaque.Board, &out.Opaque.FWID, &out.Opaque.PDI} {
		*b = bytes.Clone(*b)
	}
	out.signed, out.signature = nil, nil
	return &out
}

// DeviceChain returns the device's certificates in evidence, PEM, for
// [Verifier.Endorse]. The result shares memory with the evidence.
func DeviceChain(ev attest.Evidence) ([]byte, error) {
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		return nil, err
	}
	return g.Chain, nil
}

// Encode returns evidence in the form that the Verifier reads.
func Encode(kind attest.Kind, report, chain []byte) attest.Evidence {
	return attest.Evidence{Kind: kind, Data: form.GPU{Report: report, Chain: chain}.Encode()}
}
