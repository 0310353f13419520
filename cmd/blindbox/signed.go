package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/receipt"
)

// What receipts, audit logs and sealed logs have in common: they are signed with a
// key of the box that evidence in a bundle names.

// signedOptions say by what the key of a box is judged.
type signedOptions struct {
	bundles []string
	trust   string
	at      string
}

func (o *signedOptions) flags(cmd *cobra.Command) {
	addTrustFlag(cmd, &o.trust)
	cmd.Flags().StringArrayVar(&o.bundles, "bundle", nil, "the evidence for the box's signing key, from /.well-known/blindbox/receipts/evidence; may be repeated")
	cmd.Flags().StringVar(&o.at, "at", "", "the time to verify the evidence for, 2026-11-21 or RFC 3339")
}

// proofs are bundles with what came of appraising them.
type proofs struct {
	list  []proof
	trust *appraise.Trust
}

type proof struct {
	bundle    attest.Bundle
	statement attest.Statement
	verdict   verdict
}

// prove reads and appraises every bundle that was given.
func (s *session) prove(o signedOptions) (proofs, error) {
	at, err := s.parseTime(o.at)
	if err != nil {
		return proofs{}, err
	}
	trust, err := s.loadTrust(o.trust, true)
	if err != nil {
		return proofs{}, err
	}
	p := proofs{trust: trust}
	for _, file := range o.bundles {
		one, err := s.proveOne(file, trust, at)
		if err != nil {
			return proofs{}, err
		}
		p.list = append(p.list, one)
	}
	return p, nil
}

func (s *session) proveOne(file string, trust *appraise.Trust, at time.Time) (proof, error) {
	data, err := s.readFile(file, attest.MaxBundle)
	if err != nil {
		return proof{}, err
	}
	b, err := attest.ParseBundle(data)
	if err != nil {
		return proof{}, fail(attest.CodeMalformed, "bundle", file+": "+err.Error(), "the evidence that a box gives for its signing key")
	}
	statement, err := attest.ParseStatement(b.Statement)
	if err != nil {
		return proof{}, fail(attest.CodeMalformed, "bundle", file+": "+err.Error(), "the statement of a box")
	}
	in := appraise.Input{Statement: statement, Policy: b.Policy, Offline: true}
	in.Claims, in.Err = verifyEvidence(trust, b, at)
	return proof{b, statement, appraisal(trust, in, at)}, nil
}

// naming returns the proof whose statement names a key.
func (p proofs) naming(key attest.Digest) (proof, bool) {
	for _, one := range p.list {
		if one.statement.SPKI == key {
			return one, true
		}
	}
	return proof{}, false
}

// judge puts the checks on a key together: those on its evidence, which are skipped
// if there is none, and those that bind it. A bundle for another key is no evidence
// for this one, and is shown to be that.
func (p proofs) judge(key attest.Digest, bind func(proof) []attest.Check) (checks []attest.Check, lines []appraise.Line) {
	one, found := p.naming(key)
	switch {
	case !found && len(p.list) == 0:
		text := "signed with a key that nothing here proves to be a box's"
		return []attest.Check{{Name: "receipt.key", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: key.String() + ": no --bundle with evidence for it"}},
			[]appraise.Line{{Group: "key", Status: attest.Skip, Text: text}}
	case !found:
		one = p.list[0]
	}
	for _, c := range one.verdict.checks {
		if c.Status != attest.Skip || !client.OfConnection(c) {
			checks = append(checks, c)
		}
	}
	for _, line := range one.verdict.lines {
		if line.Group != appraise.GroupChannel {
			lines = append(lines, line)
		}
	}
	bound := bind(one)
	line := appraise.Line{Group: "key", Status: attest.Pass, Text: "named by the evidence, from " + one.statement.NotBefore.Format(time.RFC3339) + " to " + one.statement.NotAfter.Format(time.RFC3339)}
	if attest.FailureOf(bound) != nil {
		line.Status, line.Text = attest.Fail, "the evidence is for another key, or for another time or policy"
	}
	return append(checks, bound...), append(lines, line)
}

// signedVerdict is the verdict on something that a box signed.
func signedVerdict(checks []attest.Check, lines []appraise.Line, simulated bool, full map[string]any) verdict {
	v := verdict{outcome: appraise.Trusted, simulated: simulated, lines: lines, checks: checks}
	if left := skipped(checks); len(left) > 0 {
		v.outcome, v.err = appraise.Partial, &appraise.PartialError{Skipped: left}
	}
	if err := attest.FailureOf(checks); err != nil {
		v.outcome, v.err = appraise.Refused, err
	}
	full["verdict"], full["simulated"], full["lines"], full["checks"], full["codes"] = v.outcome, v.simulated, v.lines, v.checks, codes(v.checks)
	v.full = document(full)
	return v
}

// document is a verdict's JSON.
type document map[string]any

// MarshalJSON is there because a json.Marshaler is what a verdict holds.
func (d document) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]any(d)) }

// simulated says whether a box says it is simulated, or its evidence does.
func (p proofs) simulated(box receipt.Box) bool {
	for _, one := range p.list {
		if one.bundle.Evidence.Kind.Simulated() {
			return true
		}
	}
	return box.Simulated
}
