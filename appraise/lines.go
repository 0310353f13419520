package appraise

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Line sums up one group of checks for people.
type Line struct {
	Group string `json:"group"`
	// Status is FAIL if any check of the group failed, SKIP if nothing failed
	// and something essential was not looked at, PASS otherwise.
	Status attest.Status `json:"status"`
	Text   string        `json:"text"`
}

// String returns the line as it stands in a terminal.
func (l Line) String() string {
	text := l.Text
	if l.Status != attest.Pass {
		text = l.Status.String() + " " + text
	}
	return fmt.Sprintf("%-10s %s", l.Group, text)
}

// simulatedBanner stands wherever a person could take a simulated box for one
// that is protected by hardware.
const simulatedBanner = "SIMULATED - proves nothing about hardware"

// Lines returns one line for each group, in order.
func (r Result) Lines() []Line {
	texts := map[string]func() string{
		GroupHardware: r.hardwareText, GroupCode: r.codeText, GroupChannel: r.channelText, GroupPolicy: r.policyText,
	}
	var out []Line
	for _, group := range Groups() {
		l := Line{Group: group, Status: r.groupStatus(group)}
		if l.Status == attest.Fail {
			l.Text = r.failedText(group)
		} else {
			l.Text = texts[group]()
		}
		if group == GroupHardware && r.simulated {
			l.Text = simulatedBanner + " (" + l.Text + ")"
		}
		out = append(out, l)
	}
	return out
}

func (r Result) groupStatus(group string) attest.Status {
	checks := r.Group(group)
	if attest.FailureOf(checks) != nil {
		return attest.Fail
	}
	for _, c := range r.essentialSkips() {
		if groupOf(c.Name) == group {
			return attest.Skip
		}
	}
	return attest.Pass
}

// failedText shows the first failed check and how many more there are.
func (r Result) failedText(group string) string {
	failed := (&attest.Failure{Checks: r.Group(group)}).Failed()
	if len(failed) == 0 {
		return "nothing was checked"
	}
	first := failed[0]
	text := string(first.Code) + ": " + first.Seen
	switch {
	case first.Name == checkMeasurement && r.machine != nil:
		text = r.codeName() + " is not in your trust file"
	case first.Expected != "":
		text += ", expected " + first.Expected
	}
	if n := len(failed) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

func (r Result) hardwareText() string {
	if r.machine == nil {
		return "nothing was verified"
	}
	text := r.machine.summary(r)
	if n := len(r.claims.Parts); n > 0 {
		text += " + " + partsText(r.claims.Parts)
	}
	return text
}

// floorNote does not claim a comparison that was skipped.
func floorNote(r Result, check string) string {
	skipped := func(c attest.Check) bool { return c.Name == check && c.Status == attest.Skip }
	if slices.ContainsFunc(r.checks, skipped) {
		return "NOT compared with a floor"
	}
	return ">= floor"
}

// vendor says whose root the chain leads to.
func (r Result) vendor(name string) string {
	if r.simulated {
		return "the pinned simulated"
	}
	return name
}

func revocationText(checked bool, made, at time.Time) string {
	switch {
	case !checked:
		return "revocation NOT checked"
	case made.IsZero():
		return "not revoked"
	}
	return "not revoked, list " + age(at.Sub(made)) + " old"
}

// age rounds to what a person would say.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func (r Result) codeText() string {
	if r.machine == nil || r.reference.name == "" {
		return "not compared"
	}
	text := r.codeName() + " = " + r.reference.name
	if keys := r.reference.anyOf(r.kind); len(keys) != 0 {
		text += " · any " + strings.Join(keys, ", ") + " accepted"
	}
	return text
}

// codeName tells the box's code from others in a line.
func (r Result) codeName() string {
	if len(r.claims.Measurement) == 0 {
		return "what the registers measured"
	}
	return "measurement " + short(r.claims.Measurement)
}

func (r Result) channelText() string {
	switch {
	case r.machine == nil:
		return "not compared: the hardware was not proven"
	case r.groupStatus(GroupChannel) == attest.Pass:
		return "bound to this TLS session, nonce fresh"
	}
	for _, c := range r.checks {
		if c.Name == checkBound && c.Status == attest.Pass {
			return "statement is the one the hardware signed; no connection to compare it with"
		}
	}
	return "no connection and no statement to compare with"
}

func (r Result) policyText() string {
	if r.policy == nil {
		return "no policy document to look at"
	}
	text := r.policy.Summary()
	if r.reference.policy.any {
		text += " · any policy accepted"
	}
	return text
}
