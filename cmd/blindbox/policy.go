package main

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/policy"
)

func newPolicy(s *session) *cobra.Command {
	group := &cobra.Command{
		Use:   "policy",
		Short: "Look at a box's policy (box.yaml)",
		Args:  exactly(1, "a command: check, explain, test, diff, learn, schema or show"),
		RunE:  func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args[0]) },
	}
	group.AddCommand(newPolicyCheck(s), newPolicyExplain(s), newPolicyTest(s), newPolicyDiff(s), newPolicySchema(s), newPolicyShow(s), newPolicyLearn(s))
	return group
}

func newPolicyCheck(s *session) *cobra.Command {
	cedar := false
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what a policy means, or where it is wrong",
		Args:  exactly(1, "one FILE"),
		RunE:  func(_ *cobra.Command, args []string) error { return s.policyCheck(args[0], cedar) },
	}
	cmd.Flags().BoolVar(&cedar, "cedar", false, "print the rules of callers and cedar in the Cedar language instead")
	return cmd
}

func newPolicyShow(s *session) *cobra.Command {
	timeout := defaultTimeout
	cmd := &cobra.Command{
		Use:   "show URL | FILE",
		Short: "Say what the policy of a box means, live or from a saved bundle",
		Long: `Print in words the policy that a box shows, or that lies in a bundle written by
verify --save. It is shown and not accepted: whether the box is one to trust is
what blindbox verify says.`,
		Args: exactly(1, "one URL or FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usage("--timeout %s, expected more than none", timeout)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return s.policyShow(ctx, args[0])
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", defaultTimeout, "how long to wait for a box")
	return cmd
}

func (s *session) policyShow(ctx context.Context, where string) error {
	doc, err := s.shownPolicy(ctx, where)
	if err != nil {
		return err
	}
	p, err := policy.Parse(doc)
	if err != nil {
		// Not a file of the reader's: there is no line for them to correct.
		return fail(attest.CodeMalformed, "policy", err.Error(), "a policy that this version can read")
	}
	s.writePolicy(p)
	return nil
}

// shownPolicy returns the document that a box, or a bundle, shows.
func (s *session) shownPolicy(ctx context.Context, where string) ([]byte, error) {
	if !isURL(where) {
		data, err := s.readFile(where, attest.MaxBundle)
		if err != nil {
			return nil, err
		}
		b, err := attest.ParseBundle(data)
		if err != nil {
			r := fail(attest.CodeMalformed, "file", where+": "+err.Error(), "a bundle of verify --save")
			r.entry.Fix = "A policy file by itself is read by `blindbox policy check FILE`."
			return nil, r
		}
		return b.Policy, nil
	}
	u, err := boxURL(where)
	if err != nil {
		return nil, err
	}
	arrived := s.waitingFor(u)
	seen, err := s.look(ctx, u)
	arrived()
	if err != nil {
		return nil, err
	}
	return seen.Bundle.Policy, nil
}

func (s *session) policyCheck(file string, cedar bool) error {
	p, err := s.readPolicy(file)
	if err != nil {
		return err
	}
	if cedar && !s.json() {
		for line := range strings.Lines(p.CedarText()) {
			s.printf("%s\n", oneLine(strings.TrimSuffix(line, "\n")))
		}
		return nil
	}
	s.writePolicy(p)
	return nil
}

// writePolicy says what a policy means.
func (s *session) writePolicy(p *policy.Policy) {
	if s.json() {
		digest := p.Digest()
		s.writeJSON(struct {
			Name    string `json:"name"`
			Digest  string `json:"digest"`
			Summary string `json:"summary"`
			Meaning string `json:"meaning"`
			Cedar   string `json:"cedar"`
		}{p.Name, "sha256:" + hex.EncodeToString(digest[:]), p.Summary(), p.Describe(), p.CedarText()})
	}
	for line := range strings.Lines(p.Describe()) {
		s.printf("%s\n", oneLine(strings.TrimSuffix(line, "\n")))
	}
}

func (s *session) readPolicy(file string) (*policy.Policy, error) {
	doc, err := s.readFile(file, policy.MaxSize)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(doc)
	if err != nil {
		return nil, badDocument(catalogue.CodeBadPolicy, "policy", file, err)
	}
	return p, nil
}

// badDocument says where a YAML document is wrong, all places at once.
func badDocument(code attest.Code, area, file string, err error) *refusal {
	r := fail(code, area, file+": "+err.Error(), "")
	var all strictyaml.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		return r
	}
	r.seen = ""
	for _, e := range all {
		r.places = append(r.places, place{File: file, Line: e.Line, Column: e.Column, Problem: e.Error()})
	}
	return r
}

// place is one position in a user's file at which something is wrong.
type place struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Problem string `json:"problem"`
}
