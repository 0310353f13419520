package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

func newTrust(s *session) *cobra.Command {
	group := &cobra.Command{
		Use:   "trust",
		Short: "Write, show and compare trust files (trust.yaml)",
		Args:  exactly(1, "a command: init, show, diff or import"),
		RunE:  func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args[0]) },
	}
	group.AddCommand(newTrustInit(s), newTrustShow(s), newTrustDiff(s), newTrustImport(s))
	return group
}

type initOptions struct {
	out, name string
	force     bool
	simulated bool
	timeout   time.Duration
	file      verifyOptions // of a FILE
}

func newTrustInit(s *session) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init URL | FILE",
		Short: "Write a trust file from what a box shows, or showed: trust on first use",
		Long: `Write a trust file that accepts the box at https://HOST[:PORT], or the one whose
evidence is in FILE: a bundle that was written with --save, or raw evidence, as
"verify" reads it and with the same flags.

This is trust on first use. Nobody has compared anything with anything: the evidence
is genuine, and that is all. A file proves less than a box does: it can be anybody's,
and of any day since its hardware was made.`,
		Args: exactly(1, "one URL or FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.timeout <= 0:
				return usage("--timeout %s, expected more than none", o.timeout)
			case isURL(args[0]):
				return s.trustInit(cmd.Context(), args[0], o)
			case isBareAddress(args[0]):
				return fail(catalogue.CodeAddress, "address", args[0]+", which is no file here", "https://"+args[0])
			}
			return s.trustInitFile(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", defaultTrust, "file to write; - is standard output")
	f.StringVar(&o.name, "name", "", "name of this version (default: the name in the box's policy)")
	f.BoolVar(&o.force, "force", false, "overwrite the file")
	f.BoolVar(&o.simulated, "allow-simulated", false, "write a trust file for a simulated box too")
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, "how long to wait for the box")
	addFileFlags(cmd, &o.file)
	return cmd
}

func (s *session) trustInit(ctx context.Context, address string, o initOptions) error {
	if o.file.forFiles() {
		return usage("--at, --fetch, --kind and what is given beside evidence are for files: a box is looked at now, with what it staples")
	}
	u, err := boxURL(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	arrived := s.waitingFor(u)
	seen, err := s.look(ctx, u)
	arrived()
	if err != nil {
		return err
	}
	trust, err := firstTrust(seen, o)
	if err != nil {
		return contacted(refusalOf(err))
	}
	return s.writeFirstTrust(seen, trust, o)
}

// writeFirstTrust writes the file and shows what it rests on.
func (s *session) writeFirstTrust(seen *presentation, trust *appraise.Trust, o initOptions) error {
	if o.out == "-" {
		if _, err := s.stdout.Write(trust.Marshal()); err != nil {
			return fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		printFirstUse(s.stderr, seen, trust, "standard output")
		return nil
	}
	if err := s.writeFile(o.out, trust.Marshal(), 0o644, o.force); err != nil {
		return err
	}
	s.showFirstUse(seen, trust, o.out)
	return nil
}

// policyMeaning says in words what a policy document allows.
func policyMeaning(doc []byte) string {
	if len(doc) == 0 {
		return "None was shown: what the box may do is not known.\n"
	}
	p, err := policy.Parse(doc)
	if err != nil {
		return "It cannot be read by this version: " + err.Error() + "\n"
	}
	return p.Describe()
}

// policyName returns the name that a policy gives itself.
func policyName(doc []byte) string {
	p, err := policy.Parse(doc)
	if err != nil {
		return "unnamed"
	}
	return p.Name
}

// firstTrust makes a trust file from what was seen.
func firstTrust(seen *presentation, o initOptions) (*appraise.Trust, error) {
	if seen.claims.Simulated && !o.simulated {
		return nil, fail(appraise.CodeSimulated, "hardware", "SIMULATED", "hardware, or --allow-simulated if this box is your own")
	}
	name := o.name
	if name == "" {
		name = policyName(seen.Bundle.Policy)
	}
	trust := appraise.FromClaims(seen.claims, seen.Statement, seen.Bundle.Policy, name, seen.At)
	if len(trust.Values()) == 0 {
		return nil, fail(attest.CodeKindMismatch, "hardware", seen.claims.Kind.String(), "a kind of which this version can write a trust file")
	}
	if !seen.claims.Simulated {
		return trust, nil
	}
	root, err := shownRoot(seen.Bundle)
	if err != nil {
		return nil, err
	}
	return trust.WithSimulatedRoot(root), nil
}

func (s *session) showFirstUse(seen *presentation, trust *appraise.Trust, file string) {
	if !s.json() {
		printFirstUse(s.stdout, seen, trust, file)
		return
	}
	measurement := hex.EncodeToString(seen.claims.Measurement)
	values := make(map[string]string)
	for _, v := range trust.Values() {
		values[v.Key] = v.Value
	}
	s.writeJSON(map[string]any{
		"kind": seen.claims.Kind.String(), "values": values,
		"written": file, "trust_on_first_use": true, "from_file": seen.file, "simulated": seen.claims.Simulated,
		"names": trust.Names(), "measurement": measurement, "policy": shownPolicy(seen),
		"meaning":  policyMeaning(seen.Bundle.Policy),
		"loosened": append([]string{}, trust.Loosened()...),
	})
}

// shownPolicy is the policy that the new file accepts.
func shownPolicy(seen *presentation) string {
	if seen.Statement.Policy.IsZero() {
		return "any"
	}
	return "sha256:" + seen.Statement.Policy.String()
}

// printFirstUse shows what the new file rests on: two values to compare, and
// what the box may do, which a digest does not tell.
func printFirstUse(w io.Writer, seen *presentation, trust *appraise.Trust, file string) {
	fmt.Fprintf(w, "TRUST ON FIRST USE   nobody has confirmed that this box is the right one\n")
	if seen.file {
		fmt.Fprintf(w, "FROM A FILE          no box was asked: whose evidence this is, and whether it is of today, nobody has shown\n")
	}
	if seen.claims.Simulated {
		fmt.Fprintf(w, "SIMULATED            the box proves nothing about hardware\n")
	}
	for _, what := range trust.Loosened() {
		fmt.Fprintf(w, "LOOSENED             %s\n", oneLine(what))
	}
	values := trust.Values()
	for _, v := range values {
		fmt.Fprintf(w, "  %-11s  %s\n", v.Key, oneLine(v.Value))
	}
	fmt.Fprintf(w, "  policy       %s\n  written to   %s\n", shownPolicy(seen), file)
	fmt.Fprintf(w, "  the policy in words\n")
	printIndented(w, policyMeaning(seen.Bundle.Policy))
	which, then := "both values", "read whether the policy is one that you want"
	if seen.Statement.Policy.IsZero() {
		which, then = "the measurement", "write the digest of the policy that you want in the place of any"
	}
	if len(values) > 1 {
		which = "these values"
	}
	fmt.Fprintf(w, "Compare %s with what the publisher of the code gives you by another way,\nand %s.\n", which, then)
}

// printIndented writes text that a stranger had a part in below a heading.
func printIndented(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "    %s\n", oneLine(strings.TrimSuffix(line, "\n")))
	}
}

func newTrustShow(s *session) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show what a trust file accepts",
		Args:  atMost(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				file = args[0]
			}
			trust, err := s.loadTrust(file, false)
			if err != nil {
				return err
			}
			root, simulated := trust.SimulatedRoot()
			if s.json() {
				doc := map[string]any{"names": trust.Names(), "simulated": simulated, "max_age_seconds": int(trust.MaxAge().Seconds()), "document": string(trust.Marshal())}
				if simulated {
					doc["simulated_root"] = "sha256:" + root.String()
				}
				s.writeJSON(doc)
				return nil
			}
			if simulated {
				s.printf("# SIMULATED boxes are accepted\n")
			}
			s.printf("%s", trust.Marshal())
			return nil
		},
	}
	addTrustFlag(cmd, &file)
	return cmd
}

func newTrustDiff(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "diff A B",
		Short: "Show what changed from one trust file to another; exit 0 even if something did",
		Args:  exactly(2, "two FILES"),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := s.loadTrust(args[0], false)
			if err != nil {
				return err
			}
			b, err := s.loadTrust(args[1], false)
			if err != nil {
				return err
			}
			changes := appraise.Diff(a, b)
			if s.json() {
				if changes == nil {
					changes = []appraise.Change{}
				}
				s.writeJSON(map[string]any{"changes": changes})
				return nil
			}
			for _, c := range changes {
				s.printf("%s\n", oneLine(c.String()))
			}
			if len(changes) == 0 {
				s.printf("no difference\n")
			}
			return nil
		},
	}
}
