package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

// devicesVerdict is about GPUs and switches in a file without a machine. Each can
// be genuine; what uses them is not known, so that the verdict is PARTIAL at best.
func devicesVerdict(found saved, at time.Time) verdict {
	var checks []attest.Check
	var kinds []string
	for i, ev := range found.devices {
		checks = append(checks, deviceChecks(i, ev, found.bundle.Endorsements, at)...)
		kinds = append(kinds, ev.Kind.String())
	}
	const missing = "no evidence of a machine beside that of its devices"
	checks = append(checks,
		attest.Check{Name: "hardware.machine", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
		attest.Check{Name: "code.measurement", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
		attest.Check{Name: "channel.bound", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
		attest.Check{Name: "policy.launch", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
	)
	v := verdict{outcome: appraise.Partial, checks: checks, err: &appraise.PartialError{Skipped: skipped(checks)}}
	hardware := appraise.Line{Group: appraise.GroupHardware, Status: attest.Skip, Text: strings.Join(kinds, ", ") + ", signed by genuine devices; " + missing}
	if err := attest.FailureOf(checks); err != nil {
		v.outcome, v.err = appraise.Refused, err
		hardware.Status, hardware.Text = attest.Fail, firstFailure(err)
	}
	v.lines = []appraise.Line{hardware}
	for _, group := range appraise.Groups()[1:] {
		v.lines = append(v.lines, appraise.Line{Group: group, Status: attest.Skip, Text: "not compared: " + missing})
	}
	v.full = partialDocument{Verdict: v.outcome, At: at.UTC(), Offline: true, Codes: codes(checks), Lines: v.lines, Checks: checks}
	return v
}

// firstFailure is what went wrong first, for a line.
func firstFailure(err error) string {
	var f *attest.Failure
	if !errors.As(err, &f) || len(f.Failed()) == 0 {
		return err.Error()
	}
	first := f.Failed()[0]
	return string(first.Code) + ": " + first.Seen
}

// deviceChecks verifies one device. Its checks have names of their own.
func deviceChecks(i int, ev attest.Evidence, end attest.Endorsements, at time.Time) []attest.Check {
	claims, err := verifyDevice(ev, end, at)
	var refused *attest.Failure
	var list []attest.Check
	switch {
	case errors.As(err, &refused) && len(refused.Failed()) != 0:
		list = refused.Checks
	case err != nil:
		list = []attest.Check{{Name: "hardware.evidence", Code: attest.CodeMalformed, Seen: err.Error()}}
	default:
		list = claims.Checks
	}
	out := make([]attest.Check, len(list))
	for n, c := range list {
		c.Name = fmt.Sprintf("hardware.device%d_%s", i+1, strings.TrimPrefix(c.Name, "hardware."))
		out[n] = c
	}
	return out
}

func verifyDevice(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	v, err := nvgpu.NewVerifier(ev.Kind)
	if err != nil {
		return nil, err
	}
	return v.Verify(ev, end, at)
}
