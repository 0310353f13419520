package snp

import (
	"bytes"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// material is what was picked from the Endorsements; nil means not given.
type material struct {
	vek, arkCRL, askCRL []byte
	table               []CertTableEntry
}

// gather picks this package's items. Each object may come under its own label
// or in the certificate table, but if it comes twice the two must be identical:
// otherwise two readers could judge by different ones. It appends to checks.
func gather(end attest.Endorsements, checks []attest.Check) (material, []attest.Check) {
	g := gatherer{end: end, checks: checks}
	if len(end) > attest.MaxEndorsements {
		g.fail(attest.CodeTooLarge, fmt.Sprintf("%d items", len(end)), fmt.Sprintf("at most %d", attest.MaxEndorsements))
		return material{}, g.checks
	}
	m := material{table: g.table()}
	m.vek = g.one("VCEK or VLEK", g.labelled(attest.LabelSNPVEK), entry(m.table, guidVCEK), entry(m.table, guidVLEK))
	m.arkCRL = g.one("ARK CRL", g.labelled(attest.LabelSNPARKCRL), entry(m.table, guidCRL))
	m.askCRL = g.labelled(attest.LabelSNPASKCRL)
	if m.vek == nil && !g.failed {
		g.fail(attest.CodeUnavailable, "no VCEK or VLEK certificate", "one, as "+attest.LabelSNPVEK+" or in "+attest.LabelSNPCertTable)
	}
	if !g.failed {
		g.checks = append(g.checks, judge(checkEndorsements, true, "", m.String(), ""))
	}
	return m, g.checks
}

const checkEndorsements = "hardware.endorsements"

// String lists what was found.
func (m material) String() string {
	found := "VCEK or VLEK"
	if m.table != nil {
		found += fmt.Sprintf(", table of %d", len(m.table))
	}
	if m.arkCRL != nil {
		found += ", ARK CRL"
	}
	if m.askCRL != nil {
		found += ", ASK CRL"
	}
	return found
}

// gatherer collects failures while the items are picked one by one.
type gatherer struct {
	end    attest.Endorsements
	checks []attest.Check
	failed bool
}

func (g *gatherer) fail(code attest.Code, seen, expected string) {
	g.checks, g.failed = append(g.checks, judge(checkEndorsements, false, code, seen, expected)), true
}

func (g *gatherer) labelled(label string) []byte {
	data, found, err := g.end.Get(label)
	switch {
	case err != nil:
		g.fail(attest.CodeAmbiguous, label+" given twice", "once")
		return nil
	case len(data) > attest.MaxEndorsement:
		g.fail(attest.CodeTooLarge, fmt.Sprintf("%s of %d bytes", label, len(data)), fmt.Sprintf("at most %d", attest.MaxEndorsement))
		return nil
	case found && len(data) == 0:
		g.fail(attest.CodeMalformed, label+" is empty", "data")
		return nil
	}
	return data
}

func (g *gatherer) table() []CertTableEntry {
	data := g.labelled(attest.LabelSNPCertTable)
	if data == nil {
		return nil
	}
	table, failure := parseCertTable(data)
	if failure != nil {
		g.checks, g.failed = append(g.checks, failure.Checks...), true
	}
	return table
}

// one returns the object that all sources agree on.
func (g *gatherer) one(what string, sources ...[]byte) []byte {
	var first []byte
	for _, s := range sources {
		switch {
		case s == nil:
		case first == nil:
			first = s
		case !bytes.Equal(first, s):
			g.fail(attest.CodeAmbiguous, "two that differ: "+what, "one")
			return nil
		}
	}
	return first
}
