package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/seal"
	"github.com/blindbox/blindbox/internal/catalogue"
)

type logsOptions struct {
	signedOptions
	identity string
}

func newLogs(s *session) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs --identity KEY FILE...",
		Short: "Open the sealed logs of a box",
		Long: `Open what a box with "logs: sealed:age1..." gave out: decrypt the segments with the
identity (a file of age-keygen), check that each follows the one before, and print
them. Files are read in the order given. What is printed before an error is right;
nothing behind a segment that is missing, changed or out of place is printed.

With --bundle the key that signed the segments is judged by its evidence. Without it
anybody who knows the recipient may have written them, and the verdict is PARTIAL.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageOf(cmd, "logs needs one or more FILE, got none")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return s.openLogs(args, o) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.identity, "identity", "", "a file with an age identity (required)")
	return cmd
}

func (s *session) openLogs(files []string, o logsOptions) error {
	ids, err := s.identities(o.identity)
	if err != nil {
		return err
	}
	proofs, err := s.prove(o.signedOptions)
	if err != nil {
		return err
	}
	r, err := seal.NewReader(ids...)
	if err != nil {
		return fail(catalogue.CodeIdentity, "identity", err.Error(), "an identity")
	}
	var entries []map[string]any
	var broken error
	for _, file := range files {
		if broken = s.openLog(r, file, &entries); broken != nil {
			break
		}
	}
	var unusable *refusal
	if errors.As(broken, &unusable) {
		return broken
	}
	return s.concludeLogs(r, proofs, broken, entries)
}

// identities reads a file of age-keygen. Only keys of the kinds that a policy can
// name are of use.
func (s *session) identities(file string) ([]age.Identity, error) {
	if file == "" {
		return nil, usage("logs needs --identity FILE")
	}
	data, err := s.readFile(file, 64<<10)
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		// The error of the parser could hold a part of a key.
		return nil, fail(catalogue.CodeIdentity, "identity", file+" is not a file of identities", "AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1..., as age-keygen writes it")
	}
	return ids, nil
}

func (s *session) openLog(r *seal.Reader, file string, entries *[]map[string]any) error {
	f, err := os.Open(file)
	if err != nil {
		return fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	defer f.Close()
	err = r.Each(f, func(one seal.Segment) error {
		for _, e := range one.Entries {
			s.printEntry(e)
			if s.json() {
				*entries = append(*entries, map[string]any{"time": e.Time, "stream": e.Stream.String(), "lost": e.Lost(), "data": e.Data, "segment": one.Number, "log": one.Log})
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, seal.ErrIdentity):
		return fail(catalogue.CodeIdentity, "identity", file+" is sealed to somebody else", "the identity of the policy's recipient")
	case err != nil:
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// printEntry prints what an app printed, a line at a time. It may hold anything.
func (s *session) printEntry(e seal.Entry) {
	at := e.Time.Format(time.RFC3339Nano)
	if e.Stream == seal.Dropped {
		s.printf("%s dropped  %d bytes were left out here\n", at, e.Lost())
		return
	}
	for line := range strings.Lines(string(e.Data)) {
		s.printf("%s %-7s  %s\n", at, e.Stream, oneLine(strings.TrimRight(line, "\r\n")))
	}
}

func (s *session) concludeLogs(r *seal.Reader, p proofs, broken error, entries []map[string]any) error {
	var checks []attest.Check
	var lines []appraise.Line
	simulated := false
	for _, l := range r.Logs() {
		simulated = simulated || p.simulated(l.Box)
		key := attest.Digest(l.Key)
		c, ls := p.judge(key, func(b proof) []attest.Check {
			return l.Bind(b.statement, b.bundle.Evidence)
		})
		checks, lines = append(checks, c...), append(lines, ls...)
		checks = append(checks, logChecks(l)...)
		lines = append(lines, appraise.Line{Group: "log", Status: attest.Pass, Text: fmt.Sprintf("%s, segments %d to %d, %d bytes dropped by the box", l.ID, l.First, l.Next-1, l.Dropped)})
	}
	if broken != nil {
		checks = append(checks, attest.Check{Name: "logs.segments", Code: seal.CodeSealed, Seen: broken.Error(), Expected: "every segment as the box sealed it, in order"})
		lines = append(lines, appraise.Line{Group: "log", Status: attest.Fail, Text: "broken: " + broken.Error()})
	}
	v := signedVerdict(checks, lines, simulated, map[string]any{"logs": r.Logs(), "entries": entries})
	if s.json() {
		return s.concludeFile(v)
	}
	// What was printed above is for people or a pipe; the verdict goes beside it.
	for _, line := range lines {
		s.note("  %s\n", oneLine(abridge(line.String())))
	}
	s.note("%s\n", v.conclusion(0))
	if v.err != nil {
		r := refusalOf(v.err)
		r.contacted = false
		return r
	}
	return nil
}

// logChecks says what a log does not hold.
func logChecks(l seal.Chain) []attest.Check {
	checks := []attest.Check{{Name: "logs.segments", Status: attest.Pass, Seen: fmt.Sprintf("%d to %d", l.First, l.Next-1)}}
	skip := func(name, seen string) {
		checks = append(checks, attest.Check{Name: "logs." + name, Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: seen})
	}
	if l.First > 0 {
		skip("beginning", fmt.Sprintf("segments 0 to %d are not here", l.First-1))
	}
	if !l.Ended {
		skip("end", "the last segment is not here: the box runs, was killed, or the end was cut off")
	}
	return checks
}
