package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
	"github.com/blindbox/blindbox/policy/schema"
)

const requestForm = "CALLER [ACTION] METHOD PATH [MODEL], or CALLER observe"

func newPolicyExplain(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "explain FILE CALLER [ACTION] METHOD PATH [MODEL]",
		Short: "Say what a policy decides about a request, and which line does",
		Long: `Ask the code that decides inside the box. CALLER is a name that the policy has,
or made up for a caller without one: blindbox policy check shows them. ACTION is
the one that the box takes the request for, unless another is said. The exit code
is 0 whatever is decided; to insist on a decision, use blindbox policy test.`,
		Example: "  blindbox policy explain box.yaml ci POST /v1/embeddings minilm\n  blindbox policy explain box.yaml ci observe",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly(2, "a FILE and a request")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			words := strings.Fields(strings.Join(args[1:], " "))
			if _, err := parseRequest(&policy.Policy{}, words); err != nil {
				return usageOf(cmd, "%s", err)
			}
			return s.policyExplain(args[0], words)
		},
	}
}

// parseRequest reads a request as people write it. Without an action it is the one that
// a box under the policy takes the request for.
func parseRequest(p *policy.Policy, words []string) (policy.Request, error) {
	var r policy.Request
	bad := fmt.Errorf("a request %q, expected %s", strings.Join(words, " "), requestForm)
	if len(words) < 2 {
		return policy.Request{}, bad
	}
	r.Caller, words = words[0], words[1:]
	if a := policy.Action(words[0]); slices.Contains(policy.Actions(), a) {
		r.Action, words = a, words[1:]
	}
	if r.Action == policy.Observe && len(words) == 0 {
		return r, nil
	}
	if len(words) < 2 || len(words) > 3 {
		return policy.Request{}, bad
	}
	r.Method, r.Path = words[0], words[1]
	if len(words) == 3 {
		r.Model = words[2]
	}
	if r.Action == "" {
		r.Action = p.ActionOf(r.Method, r.Path)
	}
	return r, nil
}

// decision is one answer in JSON.
type decision struct {
	Caller   string        `json:"caller"`
	Action   policy.Action `json:"action"`
	Method   string        `json:"method,omitempty"`
	Path     string        `json:"path,omitempty"`
	Model    string        `json:"model,omitempty"`
	Decision string        `json:"decision"`
	Reason   string        `json:"reason"`
	Line     int           `json:"line"`
	Expected string        `json:"expected,omitempty"`
}

func decide(p *policy.Policy, r policy.Request) decision {
	d := p.Decide(r)
	return decision{r.Caller, r.Action, r.Method, r.Path, r.Model, verdictWord(d.Allowed), d.Reason, d.Line, ""}
}

func verdictWord(allowed bool) string {
	if allowed {
		return "allow"
	}
	return "deny"
}

func (s *session) policyExplain(file string, words []string) error {
	p, err := s.readPolicy(file)
	if err != nil {
		return err
	}
	r, err := parseRequest(p, words)
	if err != nil {
		return usage("%s", err)
	}
	d := decide(p, r)
	if s.json() {
		s.writeJSON(d)
		return nil
	}
	word := map[string]string{"allow": "ALLOWED", "deny": "DENIED"}[d.Decision]
	s.printf("%s  %s\n", word, oneLine(d.Reason))
	if text := lineOfPolicy(p, d.Line); text != "" {
		s.printf("  line %-4d %s\n", d.Line, oneLine(text))
	}
	if is := p.ActionOf(r.Method, r.Path); r.Path != "" && is != r.Action {
		s.printf("  but       a box takes this request for the action %s, not %s\n", is, r.Action)
	}
	if may, ok := p.MayDo(r.Caller); ok && d.Decision == "deny" {
		s.printf("  allowed   %s\n", oneLine(may.String()))
	}
	return nil
}

// lineOfPolicy returns one line of the document, cut to fit on a terminal.
func lineOfPolicy(p *policy.Policy, n int) string {
	lines := strings.Split(string(p.Bytes()), "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	const most = 100
	text := []rune(strings.TrimSpace(lines[n-1]))
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}

func newPolicyTest(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE TABLE",
		Short: "Compare a policy's decisions with a table of those that are expected",
		Long: `Every line of TABLE is a decision and a request; # begins a comment:

  allow  ci  POST /v1/embeddings minilm
  deny   ci  DELETE /v1/models/minilm
  deny   ci  upload PUT /v2/repository/models/x
  allow  ops observe

The exit code is 0 if all decisions are as expected, and 1 if one is not.`,
		Args: exactly(2, "a FILE and a TABLE"),
		RunE: func(_ *cobra.Command, args []string) error { return s.policyTest(args[0], args[1]) },
	}
}

// maxTable is the largest table of expected decisions in bytes.
const maxTable = 1 << 20

func (s *session) policyTest(file, table string) error {
	p, err := s.readPolicy(file)
	if err != nil {
		return err
	}
	text, err := s.readFile(table, maxTable)
	if err != nil {
		return err
	}
	asked, wrong, err := decideTable(p, table, string(text))
	if err != nil {
		return err
	}
	if s.json() {
		exit := exitOK
		if len(wrong) > 0 {
			exit = exitUsage
		}
		s.writeJSON(struct {
			Requests int        `json:"requests"`
			Wrong    []decision `json:"wrong"`
			Exit     int        `json:"exit"`
		}{asked, append([]decision{}, wrong...), exit})
		if exit != exitOK {
			return shown{&refusal{exit: exit}}
		}
		return nil
	}
	if len(wrong) == 0 {
		s.printf("ok  %d requests are decided as expected\n", asked)
		return nil
	}
	first := wrong[0]
	r := fail(catalogue.CodePolicyTest, "policy", fmt.Sprintf("%s %s %s %s %s: %s, %s (line %d)", first.Caller, first.Action, first.Method, first.Path, first.Model, first.Decision, first.Reason, first.Line), first.Expected)
	for _, d := range wrong {
		s.printf("WRONG  %s\n", oneLine(fmt.Sprintf("%s %s %s %s %s: %s, expected %s: %s (line %d)", d.Caller, d.Action, d.Method, d.Path, d.Model, d.Decision, d.Expected, d.Reason, d.Line)))
	}
	return r
}

// decideTable decides every request of a table and returns those that are
// decided otherwise than it says. A table without requests tests nothing.
func decideTable(p *policy.Policy, file, text string) (asked int, wrong []decision, err error) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] != "allow" && words[0] != "deny" {
			return 0, nil, fail(catalogue.CodeUsage, "table", fmt.Sprintf("%s:%d: %q", file, i+1, words[0]), "allow or deny, then "+requestForm)
		}
		r, err := parseRequest(p, words[1:])
		if err != nil {
			return 0, nil, fail(catalogue.CodeUsage, "table", fmt.Sprintf("%s:%d: %s", file, i+1, err), "")
		}
		asked++
		if d := decide(p, r); d.Decision != words[0] {
			d.Expected = words[0]
			wrong = append(wrong, d)
		}
	}
	if asked == 0 {
		return 0, nil, fail(catalogue.CodeUsage, "table", file+" has no request", "lines of allow or deny, then "+requestForm)
	}
	return asked, wrong, nil
}

// Exit codes of policy diff, apart from those of every command.
const (
	exitNarrowed = 10 // something is newly denied, nothing newly allowed
	exitWidened  = 11 // something is newly allowed, nothing newly denied
	exitBoth     = 12 // both, or what cannot be compared
)

func newPolicyDiff(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Say what a second policy newly allows, and newly denies",
		Long: `Compare what two policies mean; comments and order make no difference. What
cannot be compared, such as another image or other Cedar rules, counts as newly
allowed.

Exit codes: 0 both mean the same, 10 narrowed (AFTER only denies more), 11 widened
(AFTER only allows more), 12 both.`,
		Args: exactly(2, "two files"),
		RunE: func(_ *cobra.Command, args []string) error { return s.policyDiff(args[0], args[1]) },
	}
}

// policyChange is one change in JSON.
type policyChange struct {
	Section string `json:"section"`
	Text    string `json:"text"`
	Widens  bool   `json:"widens"`
	Narrows bool   `json:"narrows"`
	Before  int    `json:"before_line"`
	After   int    `json:"after_line"`
}

func (s *session) policyDiff(before, after string) error {
	a, err := s.readPolicy(before)
	if err != nil {
		return err
	}
	b, err := s.readPolicy(after)
	if err != nil {
		return err
	}
	d := policy.Diff(a, b)
	exit := exitOfDiff(d)
	if s.json() {
		s.writeJSON(struct {
			Widened  bool           `json:"widened"`
			Narrowed bool           `json:"narrowed"`
			Changes  []policyChange `json:"changes"`
			Exit     int            `json:"exit"`
		}{d.Widened(), d.Narrowed(), changesOf(d), exit})
	} else {
		s.printDiff(d, a.Digest() == b.Digest())
	}
	if exit != exitOK {
		return shown{&refusal{exit: exit}}
	}
	return nil
}

func changesOf(d policy.Difference) []policyChange {
	changes := make([]policyChange, len(d))
	for i, c := range d {
		changes[i] = policyChange(c)
	}
	return changes
}

func exitOfDiff(d policy.Difference) int {
	switch {
	case d.Widened() && d.Narrowed():
		return exitBoth
	case d.Widened():
		return exitWidened
	case d.Narrowed():
		return exitNarrowed
	}
	return exitOK
}

func (s *session) printDiff(d policy.Difference, sameBytes bool) {
	for _, part := range []struct {
		title           string
		widens, narrows bool
	}{
		{"newly allowed", true, false}, {"newly denied", false, true},
		{"changed, and cannot be compared: counts as newly allowed", true, true}, {"changed, and decides nothing", false, false},
	} {
		title := part.title + "\n"
		for _, c := range d {
			if c.Widens == part.widens && c.Narrows == part.narrows {
				s.printf("%s  %s  %s\n", title, oneLine(c.Text), linesOfChange(c))
				title = ""
			}
		}
	}
	verdict := map[int]string{
		exitOK: "SAME      both allow the same", exitNarrowed: "NARROWED  nothing is newly allowed",
		exitWidened: "WIDENED   nothing is newly denied", exitBoth: "WIDENED and NARROWED",
	}[exitOfDiff(d)]
	if !sameBytes {
		verdict += "; the digests differ, so a box shows which one it has"
	}
	s.printf("%s\n", verdict)
}

func linesOfChange(c policy.Change) string {
	switch {
	case c.Before > 0 && c.After > 0:
		return fmt.Sprintf("(line %d, before %d)", c.After, c.Before)
	case c.After > 0:
		return fmt.Sprintf("(line %d)", c.After)
	case c.Before > 0:
		return fmt.Sprintf("(before, line %d)", c.Before)
	}
	return "(by default)"
}

func newPolicySchema(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of box.yaml, for editors",
		Long: `Save it, and let an editor with a YAML language server check a policy as it is
written, with this as the first line of box.yaml:

  # yaml-language-server: $schema=box.v1.json`,
		Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := s.stdout.Write(schema.V1())
			if err != nil {
				return fail(catalogue.CodeFile, "file", err.Error(), "")
			}
			return nil
		},
	}
}
