package nvgpu

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// rim is one manifest that was given, with what was found out about it.
type rim struct {
	id       string
	problem  *pki.Problem
	manifest *Manifest
	certs    []*x509.Certificate
	answers  []*ocspAnswer
	endorsed attest.Validity
}

// addRIM reads and verifies the manifest of that id, if it was given.
func (c *Chain) addRIM(root *x509.Certificate, id string, beside *collateral) {
	data, found, err := beside.end.Get(attest.LabelNVIDIARIM + id)
	r := &rim{id: id}
	switch {
	case err != nil:
		r.problem = &pki.Problem{Code: attest.CodeAmbiguous, Seen: err.Error(), Expected: "one manifest"}
	case !found:
		return
	default:
		r.read(data, root, beside)
	}
	c.rims[id] = r
}

func (r *rim) read(data []byte, root *x509.Certificate, beside *collateral) {
	m, s, err := parseManifest(data)
	if err != nil {
		r.problem = &pki.Problem{Code: attest.CodeMalformed, Seen: err.Error(), Expected: "a signed manifest"}
		return
	}
	if r.problem = s.verify(root, beside); r.problem != nil {
		return
	}
	r.manifest, r.certs = m, s.chain
	r.answers = beside.lookUpAll(s.chain)
	r.endorsed = pki.Span(r.certs...)
	for _, a := range r.answers {
		if a.revocation.Status != NotChecked {
			r.endorsed = pki.Narrow(r.endorsed, a.span())
		}
	}
}

// checks judges the manifest apart from any report.
func (r *rim) checks(name string, at time.Time) []attest.Check {
	if r.problem != nil {
		return []attest.Check{r.problem.Check(name)}
	}
	checks := []attest.Check{
		check(name, true, "", r.id+", signed by "+pki.Brief(r.certs[0].Subject.CommonName), ""),
		pki.CheckValidity(name+"_validity", at, r.certs...),
		judgeAnswers(name+"_ocsp", r.answers),
	}
	return append(checks, checkAnswerTimes(name+"_ocsp_time", r.answers, at)...)
}

// use is the manifests that one report is compared with.
type use struct {
	driver, vbios usedRIM
	nvdecOff      bool
}

// usedRIM is one manifest beside what the report says.
type usedRIM struct {
	source  string // "driver", "vbios"
	needed  bool
	id      string // empty if the report names nothing that a manifest is published for
	product string
	version string
	rim     *rim // nil if it was not given
}

// use finds the manifests for a report.
func (c *Chain) use(r *Report) use {
	arch, o := archOf(c.device.chip), r.Opaque
	driverChip := c.device.chip
	if o.Chip != "" {
		driverChip = o.Chip
	}
	u := use{
		driver:   usedRIM{source: "driver", needed: arch != LS10, id: o.driverRIM(arch), product: driverChip, version: o.Driver},
		vbios:    usedRIM{source: "vbios", needed: true, id: o.vbiosRIM(arch), product: c.device.chip, version: o.VBIOS},
		nvdecOff: arch != LS10 && o.NVDEC0 == flagOff,
	}
	u.driver.rim, u.vbios.rim = c.rims[u.driver.id], c.rims[u.vbios.id]
	return u
}

// checks judges both manifests, and that they do not contradict each other.
func (u use) checks(at time.Time) []attest.Check {
	checks := append(u.driver.checks(at), u.vbios.checks(at)...)
	if !u.driver.good() || !u.vbios.good() {
		return checks
	}
	const name, expected = "hardware.rim_conflict", "each measurement in one manifest"
	for _, g := range u.driver.rim.manifest.Golden {
		if g.Active && u.vbios.find(g.Index) != nil {
			return append(checks, check(name, false, CodeRIMConflict, fmt.Sprintf("measurement %d in both", g.Index), expected))
		}
	}
	return append(checks, check(name, true, "", expected, ""))
}

func (u *usedRIM) good() bool { return u.rim != nil && u.rim.problem == nil }

func (u *usedRIM) checks(at time.Time) []attest.Check {
	name := "hardware." + u.source + "_rim"
	switch {
	case !u.needed:
		return nil
	case u.rim == nil:
		seen := "none given"
		if u.id == "" {
			seen = "none published for what the report names"
		}
		return []attest.Check{{Name: name, Status: attest.Skip, Code: CodeNoRIM, Seen: seen, Expected: u.id}}
	}
	checks := u.rim.checks(name, at)
	if !u.good() {
		return checks
	}
	m := u.rim.manifest
	fits := m.Product == u.product && strings.EqualFold(m.Version, u.version)
	return append(checks, check(name+"_version", fits, CodeRIMMismatch, pki.Brief(m.Product)+" "+pki.Brief(m.Version), pki.Brief(u.product)+" "+pki.Brief(u.version)))
}

// find returns the active measurement of that index.
func (u *usedRIM) find(index int) *Golden {
	if u.rim == nil {
		return nil
	}
	for i, g := range u.rim.manifest.Golden {
		if g.Active && g.Index == index {
			return &u.rim.manifest.Golden[i]
		}
	}
	return nil
}

func (u *usedRIM) claim() RIM {
	out := RIM{ID: u.id}
	if u.rim != nil {
		out.Checked, out.Signer = true, u.rim.certs[0].Subject.CommonName
	}
	return out
}

// nvdecIndex is the one measurement that NVIDIA's verifier leaves out when the
// video decoder NVDEC0 is off (nvtrust, verifier.py).
const nvdecIndex = 35

// compare compares every measurement. It returns nil if a manifest is missing:
// half a comparison would look like one.
func (u use) compare(r *Report) []Comparison {
	if u.driver.needed && u.driver.rim == nil || u.vbios.rim == nil {
		return nil
	}
	out := make([]Comparison, 0, len(r.Measurements))
	for i := range u.last(len(r.Measurements)) {
		c := Comparison{Index: i, Outcome: NotListed}
		for _, from := range []*usedRIM{&u.driver, &u.vbios} {
			if g := from.find(i); g != nil {
				c.Source, c.Name, c.Outcome = from.source, g.Name, outcome(g, r, i)
			}
		}
		if i == nvdecIndex && u.nvdecOff && c.Outcome != NotListed {
			c.Outcome = NotUsed
		}
		if c.Outcome != NotListed || i < len(r.Measurements) {
			out = append(out, c)
		}
	}
	return out
}

// last returns the number of places to compare: those of the report and of the
// manifests, which may list one that the report lacks.
func (u use) last(n int) int {
	for _, from := range []*usedRIM{&u.driver, &u.vbios} {
		if from.rim == nil {
			continue
		}
		for _, g := range from.rim.manifest.Golden {
			if g.Active {
				n = max(n, g.Index+1)
			}
		}
	}
	return n
}

func outcome(g *Golden, r *Report, i int) Outcome {
	if i >= len(r.Measurements) {
		return Differs
	}
	value := r.Measurements[i].Value
	if slices.ContainsFunc(g.Values, func(v []byte) bool { return bytes.Equal(v, value) }) {
		return Matches
	}
	return Differs
}
