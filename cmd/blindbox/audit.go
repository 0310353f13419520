package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/audit"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/receipt"
)

type auditOptions struct {
	signedOptions
	receipts []string
	heads    []string
}

func newAudit(s *session) *cobra.Command {
	group := &cobra.Command{
		Use:   "audit",
		Short: "Look at the log of what a box decided",
		Args:  exactly(1, "a command: verify"),
		RunE:  func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args[0]) },
	}
	var o auditOptions
	verify := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify the chain of an audit log, and name the first broken record",
		Long: `Verify that every record of an audit log hangs on the one before, that the box
signed the chain, that the evidence in --bundle names the keys, and that the log
reaches the places which you know from elsewhere: the receipts of --receipt and the
signed heads of --head. It uses no network. A log that was cut off behind its last
head looks whole: only a receipt or a head that you kept shows it.

Without a --bundle for each key anybody may have written the log, and the verdict is
PARTIAL at best. So it is if the box itself says that the log is broken somewhere, or
that records are missing, and if the last records are not under a signature yet.`,
		Args: exactly(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return s.auditVerify(args[0], o) },
	}
	o.flags(verify)
	verify.Flags().StringArrayVar(&o.receipts, "receipt", nil, "a receipt whose decision must be in the log; may be repeated")
	verify.Flags().StringArrayVar(&o.heads, "head", nil, "a file with a signed head that the log must reach; may be repeated")
	group.AddCommand(verify)
	return group
}

func (s *session) auditVerify(file string, o auditOptions) error {
	proofs, err := s.prove(o.signedOptions)
	if err != nil {
		return err
	}
	anchors, signers, err := s.anchors(o)
	if err != nil {
		return err
	}
	in := s.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		defer f.Close()
		in = io.Reader(f)
	}
	report, err := audit.Verify(in, anchors...)
	if err != nil {
		return fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	checks, lines, simulated := proofs.judgeRuns(report)
	checks = append(checks, reportChecks(report, signers)...)
	lines = append(lines, reportLines(report)...)
	return s.concludeFile(signedVerdict(checks, lines, simulated, map[string]any{"log": report}))
}

// anchors reads what the log must reach, and who signed it.
func (s *session) anchors(o auditOptions) (list []audit.Anchor, signers []attest.Digest, err error) {
	for _, file := range o.receipts {
		token, err := s.readFile(file, receipt.MaxToken+2)
		if err != nil {
			return nil, nil, err
		}
		r, err := receipt.Open(string(token))
		if err != nil {
			return nil, nil, err
		}
		if r.Audit.Chain.IsZero() {
			return nil, nil, usage("--receipt %s: the box kept no audit log", file)
		}
		list, signers = append(list, r.Audit), append(signers, r.Key)
	}
	for _, file := range o.heads {
		token, err := s.readFile(file, receipt.MaxToken)
		if err != nil {
			return nil, nil, err
		}
		at, key, err := audit.AnchorOf(string(token))
		if err != nil {
			return nil, nil, fail(receipt.CodeUnreadable, "head", file+": "+err.Error(), "a signed head of an audit log")
		}
		list, signers = append(list, at), append(signers, key)
	}
	return list, signers, nil
}

// judgeRuns judges the key of every run. Runs with one key are one.
func (p proofs) judgeRuns(r audit.Report) (checks []attest.Check, lines []appraise.Line, simulated bool) {
	var seen []attest.Digest
	for _, run := range r.Runs {
		simulated = simulated || p.simulated(run.Box)
		key := attest.Digest(run.Key)
		if slices.Contains(seen, key) {
			continue
		}
		seen = append(seen, key)
		one := p
		if _, found := p.naming(key); !found && len(r.Runs) > 1 {
			one = proofs{} // another run's evidence says nothing of this one
		}
		c, l := one.judge(key, func(b proof) []attest.Check {
			return r.Bind(run, b.statement, b.bundle.Evidence)
		})
		checks, lines = append(checks, c...), append(lines, l...)
	}
	return checks, lines, simulated
}

// reportChecks turns what was found into checks.
func reportChecks(r audit.Report, signers []attest.Digest) []attest.Check {
	chain := attest.Check{Name: "audit.chain", Status: attest.Pass, Seen: fmt.Sprintf("records %d to %d", r.First, r.Next)}
	if r.Fault != nil {
		chain.Status, chain.Code = attest.Fail, audit.CodeBroken
		chain.Seen = fmt.Sprintf("line %d, where record %d should be: %s", r.Fault.Line, r.Fault.Sequence, r.Fault.Why)
		chain.Expected = "every record as it was written"
	}
	checks := []attest.Check{chain}
	skip := func(name, format string, args ...any) {
		checks = append(checks, attest.Check{Name: "audit." + name, Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: fmt.Sprintf(format, args...)})
	}
	if r.First > 0 {
		skip("beginning", "records 0 to %d are not here", r.First-1)
	}
	for _, b := range r.Breaks {
		skip("broken", "record %d: the box says that what was there is %s (%d lines)", b.Sequence, b.Reason, b.Lines)
	}
	for _, g := range r.Gaps {
		skip("gap", "records %d to %d never left the box", g.From, g.To)
	}
	if r.Torn {
		skip("torn", "the last line has no end")
	}
	if r.Omitted > 0 {
		skip("more", "%d more findings", r.Omitted)
	}
	for _, run := range r.Runs {
		if run.Tail > 0 {
			skip("tail", "the last %d records of the run from record %d are not signed", run.Tail, run.Sequence)
		}
	}
	for _, key := range signers {
		if !slices.ContainsFunc(r.Runs, func(run audit.Run) bool { return attest.Digest(run.Key) == key }) {
			checks = append(checks, attest.Check{Name: "audit.signer", Code: audit.CodeBroken, Seen: key.String() + " signed the receipt or head", Expected: "a key of the log"})
		}
	}
	if len(r.Runs) == 0 && r.Fault == nil {
		skip("signature", "nothing in it is signed")
	}
	return checks
}

func reportLines(r audit.Report) []appraise.Line {
	line := appraise.Line{Group: "log", Status: attest.Pass, Text: fmt.Sprintf("%d records, %d allowed, %d denied, %d starts", r.Next-r.First, r.Allowed, r.Denied, len(r.Runs))}
	if n := len(r.Breaks) + len(r.Gaps); n > 0 {
		line.Text += fmt.Sprintf(", %d declared breaks and gaps", n)
	}
	if n := len(r.Runs); n > 0 && !r.Runs[n-1].Stopped {
		line.Text += "; the last run has no end: the box runs, was killed, or the log was cut off"
	}
	if r.Anchors > 0 {
		line.Text += fmt.Sprintf("; %d known places reached", r.Anchors)
	}
	if r.Fault != nil {
		line.Status, line.Text = attest.Fail, fmt.Sprintf("broken at record %d, line %d; %s", r.Fault.Sequence, r.Fault.Line, line.Text)
	}
	return []appraise.Line{line}
}
