package main

import (
	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

func newExplain(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [BBX-NNN | CODE | CHECK]",
		Short: "Say what an error number, a code or a check means and what to do",
		Long: `Say what an error means and what to do: by its number (BBX-203), by the code in
-o json (tcb_low), or by the name of a check (hardware.chain). Without an argument
all numbers are listed.`,
		Args: atMost(1, "one number or reason"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return s.explainAll()
			}
			e, ok := catalogue.Find(args[0])
			if checks := findChecks(args[0]); !ok && len(checks) > 0 {
				return s.explainChecks(checks)
			}
			if !ok {
				return usage("%q is in no entry; `blindbox explain` lists them all", args[0])
			}
			if s.json() {
				s.writeJSON(entryDocument(e))
			}
			s.printf("%s", e.Text())
			return nil
		},
	}
}

func (s *session) explainAll() error {
	var docs []any
	for _, e := range catalogue.All() {
		docs = append(docs, entryDocument(e))
		s.printf("%s  %s\n", e.ID(), e.Title)
	}
	if s.json() {
		s.writeJSON(docs)
	}
	return nil
}

func entryDocument(e catalogue.Entry) any {
	return struct {
		Code    string        `json:"code"`
		Reasons []attest.Code `json:"reasons"`
		Exit    int           `json:"exit"`
		Title   string        `json:"title"`
		Cause   string        `json:"cause"`
		NotDone string        `json:"not_done"`
		Fix     string        `json:"fix"`
		Page    string        `json:"page"`
	}{e.ID(), e.Codes, int(e.Stage()), e.Title, e.Cause, e.NotDone, e.Fix, e.Page()}
}
