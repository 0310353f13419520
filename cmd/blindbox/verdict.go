package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/policy"
)

// verdict is what came of looking at a box, with a trust file or without.
type verdict struct {
	outcome   appraise.Verdict
	simulated bool
	lines     []appraise.Line
	checks    []attest.Check
	err       error
	// full is the Result to print as JSON.
	full json.Marshaler
	// policy is what the box may do, nil if that was not established. It is there
	// too if nothing speaks against the box but what its policy allows.
	policy *policy.Policy
}

func verdictOf(r appraise.Result) verdict {
	v := verdict{r.Verdict(), r.Simulated(), r.Lines(), r.Checks(), r.Err(), r, nil}
	if v.outcome != appraise.Refused || onlyTooMuch(v.checks) {
		v.policy = r.Policy()
	}
	return v
}

// onlyTooMuch reports whether every check that failed is about what the box's
// policy allows, so that it is the box's policy.
func onlyTooMuch(checks []attest.Check) bool {
	failed := codes(checks)
	return len(failed) == 1 && failed[0] == appraise.CodeRequirement
}

// appraisal compares with the trust file or, if it is nil, looks at the
// hardware alone.
func appraisal(trust *appraise.Trust, in appraise.Input, at time.Time) verdict {
	if trust != nil {
		return verdictOf(trust.Appraise(in, at))
	}
	return withoutTrust(appraise.AnyHardware().Appraise(in, at), in.Offline)
}

// withoutTrust keeps what is known without a trust file: the hardware, and the
// binding to the connection. The code and the policy have nothing to be
// compared with.
func withoutTrust(r appraise.Result, offline bool) verdict {
	const noTrust = "there is no trust file"
	v := verdict{outcome: appraise.Partial, simulated: r.Simulated()}
	for _, line := range r.Lines() {
		switch line.Group {
		case appraise.GroupCode, appraise.GroupPolicy:
			line.Status, line.Text = attest.Skip, "not compared: "+noTrust
		}
		v.lines = append(v.lines, line)
	}
	v.checks = append(v.checks, r.Group(appraise.GroupHardware)...)
	v.checks = append(v.checks, attest.Check{Name: "code.measurement", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: noTrust})
	v.checks = append(v.checks, r.Group(appraise.GroupChannel)...)
	v.checks = append(v.checks, attest.Check{Name: "policy.digest", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: noTrust})
	v.err = &appraise.PartialError{Skipped: skipped(v.checks)}
	if err := attest.FailureOf(v.checks); err != nil {
		v.outcome, v.err = appraise.Refused, err
	}
	v.full = partialDocument{
		Verdict: v.outcome, Simulated: v.simulated, At: r.At().UTC(), Offline: offline,
		Codes: codes(v.checks), Hardware: hardwareOf(r), Lines: v.lines, Checks: v.checks,
	}
	return v
}

// hardwareOf returns the hardware object of a Result's JSON, nil if there is
// none: the same one with a trust file and without.
func hardwareOf(r appraise.Result) json.RawMessage {
	var doc struct {
		Hardware json.RawMessage `json:"hardware"`
	}
	text, err := r.MarshalJSON()
	if err != nil || json.Unmarshal(text, &doc) != nil {
		return nil
	}
	return doc.Hardware
}

func skipped(checks []attest.Check) []attest.Check {
	var out []attest.Check
	for _, c := range checks {
		if c.Status == attest.Skip && c.Code == appraise.CodeNotChecked {
			out = append(out, c)
		}
	}
	return out
}

func codes(checks []attest.Check) []attest.Code {
	out := []attest.Code{}
	for _, c := range checks {
		if c.Status == attest.Fail && !slices.Contains(out, c.Code) {
			out = append(out, c.Code)
		}
	}
	return out
}

// partialDocument has the members of a Result's JSON that exist without a
// trust file.
type partialDocument struct {
	Verdict   appraise.Verdict `json:"verdict"`
	Simulated bool             `json:"simulated"`
	At        time.Time        `json:"at"`
	Offline   bool             `json:"offline"`
	Codes     []attest.Code    `json:"codes"`
	Hardware  json.RawMessage  `json:"hardware,omitempty"`
	Lines     []appraise.Line  `json:"lines"`
	Checks    []attest.Check   `json:"checks"`
}

// MarshalJSON is there because a json.Marshaler is what a verdict holds.
func (d partialDocument) MarshalJSON() ([]byte, error) {
	type plain partialDocument
	return json.Marshal(plain(d))
}

// print writes the verdict as people read it: one line for each group, then
// the one word that matters.
func (v verdict) print(s *session, took time.Duration) {
	for _, line := range v.lines {
		s.printf("  %s\n", oneLine(abridge(line.String())))
	}
	if v.policy != nil {
		for _, warning := range v.policy.Warnings() {
			s.printf("  operators  %s\n", oneLine(warning))
		}
	}
	s.printf("%s\n", v.conclusion(took))
}

// conclusion is the last line of a verdict: the word, how long it took if that
// is known, and that it is worth nothing if it is simulated.
func (v verdict) conclusion(took time.Duration) string {
	word := map[appraise.Verdict]string{appraise.Trusted: "VERIFIED", appraise.Partial: "PARTIAL", appraise.Refused: "REFUSED"}[v.outcome]
	var notes []string
	if took > 0 {
		notes = append(notes, duration(took))
	}
	if v.simulated {
		notes = append(notes, "SIMULATED: proves nothing about hardware")
	}
	return strings.TrimSpace(fmt.Sprintf("%-12s %s", word, strings.Join(notes, "   ")))
}

func duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func (v verdict) printChecks(s *session) {
	group := ""
	for _, c := range v.checks {
		g, name, _ := strings.Cut(c.Name, ".")
		if g != group {
			group = g
			s.printf("  %s\n", g)
		}
		s.printf("    %s  %s\n", c.Status, oneLine(checkText(name, c)))
	}
}

// detail is what a user wants to see beside a verdict.
type detail struct{ checks, policy bool }

// printPolicy says what the box may do. Whoever asks for nothing else is told if
// that is not known.
func (v verdict) printPolicy(s *session, show detail) {
	if v.policy == nil && !show.policy {
		return
	}
	s.printf("  the policy in words\n")
	printIndented(s.stdout, v.meaning())
}

func (v verdict) meaning() string {
	if v.policy == nil {
		return "Not known: nothing that was seen establishes which policy the box has.\n"
	}
	return v.policy.Describe()
}

func checkText(name string, c attest.Check) string {
	text := fmt.Sprintf("%-26s", name)
	if c.Status != attest.Pass && c.Code != "" {
		text += " " + string(c.Code) + ":"
	}
	if c.Seen != "" {
		text += " " + abridge(c.Seen)
	}
	if c.Status == attest.Fail && c.Expected != "" {
		text += ", expected " + abridge(c.Expected)
	}
	return strings.TrimRight(text, " :")
}

// conclude shows a verdict and returns its error. What is asked for besides stands
// below the verdict and what speaks against it.
func (s *session) conclude(v verdict, took time.Duration, show detail) error {
	if s.json() {
		return s.concludeJSON(v, v.extra(show))
	}
	v.print(s, took)
	if !show.checks && !show.policy {
		return v.err
	}
	err := v.err
	if err != nil {
		r := refusalOf(err)
		r.print(s.stderr)
		err = shown{r}
	}
	if show.checks {
		s.printf("every check\n")
		v.printChecks(s)
	}
	v.printPolicy(s, show)
	return err
}

// extra is what a document has beside the verdict.
func (v verdict) extra(show detail) map[string]any {
	out := map[string]any{}
	if show.policy {
		out["meaning"] = v.meaning()
	}
	return out
}

// concludeJSON writes the one document of a command that ends in a verdict:
// the members of extra, the result, and the error if there is one.
func (s *session) concludeJSON(v verdict, extra map[string]any) error {
	doc := map[string]any{"result": v.full, "exit": exitOK}
	for k, value := range extra {
		doc[k] = value
	}
	if v.err == nil {
		s.writeJSON(doc)
		return nil
	}
	r := refusalOf(v.err)
	doc["error"], doc["exit"] = r.document(), r.exit
	s.writeJSON(doc)
	return shown{r}
}

// shown is an error that the user has seen already.
type shown struct{ *refusal }
