package nvgpu

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// Names of checks that more than one place makes.
const (
	checkReport = "hardware.report"
	checkChain  = "hardware.chain"
)

// maxChain is the most certificates of a device: NVIDIA's have five.
const maxChain = 6

// Verifier verifies evidence of one kind. It is immutable and safe for
// concurrent use. A nil Verifier and the zero one refuse everything.
type Verifier struct {
	kind        attest.Kind
	device, rim *x509.Certificate
}

// NewVerifier returns the Verifier for real devices of a kind, NVIDIAGPU or
// NVSwitch. It trusts NVIDIA's two roots and nothing else.
func NewVerifier(kind attest.Kind) (*Verifier, error) {
	roots, err := nvidiaRoots()
	if err != nil {
		return nil, err
	}
	return NewVerifierWithRoots(kind, roots)
}

// NewVerifierWithRoots returns a Verifier that trusts the given roots and not
// NVIDIA's.
func NewVerifierWithRoots(kind attest.Kind, roots Roots) (*Verifier, error) {
	if !kind.Device() {
		return nil, fmt.Errorf("nvgpu: no verifier for evidence of kind %s", kind)
	}
	device, err := parseRoot("device", roots.Device)
	if err != nil {
		return nil, err
	}
	rim, err := parseRoot("RIM", roots.RIM)
	if err != nil {
		return nil, err
	}
	return &Verifier{kind: kind, device: device, rim: rim}, nil
}

// Kind returns the kind of evidence that v accepts.
func (v *Verifier) Kind() attest.Kind {
	if v == nil {
		return attest.KindInvalid
	}
	return v.kind
}

// Verify establishes that a genuine device of the kind signed the evidence and
// that every certificate, manifest and OCSP response that is used is in force at
// the time given. See [attest.Verifier] for its errors.
//
// A missing manifest or OCSP response, and a measurement that no manifest
// lists, are no errors: the Claims say so, and package appraise refuses them
// unless it was told otherwise.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	if v == nil || v.device == nil {
		return nil, unmade()
	}
	p := open(ev, v.kind)
	c, signed := &Chain{kind: v.kind}, false
	if p.chain != nil {
		c, signed = v.endorse(p.chain, end, p.rims(), p.report)
	}
	return c.verify(p, signed, at)
}

// Endorse verifies a device's certificates, all manifests and the OCSP
// responses alone, so that many reports of one device can be verified by
// [Chain.Verify] at the price of one signature each. Of the manifests it reads all
// up to the first that is refused: anybody can add some.
//
// Every Endorse takes whatever holds the certificates: here the chain that evidence
// brings ([form.GPU], PEM), and the Endorsements for what comes beside it. Other
// kinds' come in one of the two alone.
func (v *Verifier) Endorse(chain []byte, end attest.Endorsements, at time.Time) (*Chain, error) {
	if v == nil || v.device == nil {
		return nil, unmade()
	}
	rims := labelled(end)
	c, _ := v.endorse(chain, end, rims, nil)
	checks := append(append([]attest.Check(nil), c.fixed...), c.checkTimes(at)...)
	for _, id := range rims {
		if r := c.rims[id]; r != nil {
			checks = append(checks, r.checks("hardware.rim", at)...)
		}
	}
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return c, nil
}

// unmade refuses for a Verifier that trusts nobody.
func unmade() *attest.Failure {
	return attest.NewFailure(checkChain, attest.CodeUntrustedRoot, "a verifier without roots", "one from NewVerifier")
}

// labelled returns the ids of all manifests given, each once, in order. The empty
// one is no manifest's: it stands for what no manifest is published for.
func labelled(end attest.Endorsements) []string {
	var out []string
	for _, e := range end {
		if id, ok := strings.CutPrefix(e.Label, attest.LabelNVIDIARIM); ok && id != "" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// opened is evidence that was read but not verified. The parts that could not be
// read are nil, and the checks say why.
type opened struct {
	checks []attest.Check
	chain  []byte
	report *Report
}

// open reads evidence of the kind. Bytes of another kind are not looked at:
// their meaning would be a guess.
func open(ev attest.Evidence, kind attest.Kind) opened {
	ok := ev.Kind == kind && ev.Kind.Valid()
	p := opened{checks: []attest.Check{check("hardware.kind", ok, attest.CodeKindMismatch, ev.Kind.String(), kind.String())}}
	if !ok {
		return p
	}
	if len(ev.Data) > attest.MaxEvidence {
		p.checks = append(p.checks, check(checkReport, false, attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(ev.Data)), fmt.Sprintf("at most %d", attest.MaxEvidence)))
		return p
	}
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		p.checks = append(p.checks, check(checkReport, false, attest.CodeMalformed, err.Error(), "a report and its certificates"))
		return p
	}
	p.chain = g.Chain
	r, err := ParseReport(g.Report)
	var f *attest.Failure
	if errors.As(err, &f) {
		p.checks = append(p.checks, f.Checks...)
		return p
	}
	p.report = r
	p.checks = append(p.checks, check(checkReport, true, "", fmt.Sprintf("SPDM 1.1, %d measurements", len(r.Measurements)), ""))
	return p
}

// rims returns the ids of the manifests that the report could need. Which
// architecture it is of only the certificates say.
func (p opened) rims() []string {
	if p.report == nil {
		return nil
	}
	var out []string
	for a := Hopper; a <= LS10; a++ {
		out = append(out, p.report.RIMs(a)...)
	}
	return out
}
