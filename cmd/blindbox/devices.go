package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

// devicesVerdict is about GPUs and switches in a file without a machine. Each can
// be genuine; what uses them is not known, so that the verdict is PARTIAL at best.
func devicesVerdict(found saved, at time.Time) verdict {
	var checks []attest.Check
	identities := make(map[string]bool)
	for i, ev := range found.devices {
		claims, err := verifyDevice(ev, found.bundle.Endorsements, at)
		checks = append(checks, deviceChecks(i, claims, err)...)
		if err == nil {
			identities[identityOf(claims)] = true
		}
	}
	if n := len(found.devices); len(identities) < n {
		checks = append(checks, attest.Check{Name: "hardware.devices", Status: attest.Skip, Code: attest.CodeAmbiguous, Seen: fmt.Sprintf("%d reports by %d devices that can be told apart", n, len(identities))})
	}
	const missing = "no evidence of a machine beside that of its devices"
	checks = append(checks,
		attest.Check{Name: "hardware.machine", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
		attest.Check{Name: "code.measurement", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
		attest.Check{Name: "channel.bound", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
		attest.Check{Name: "policy.launch", Status: attest.Skip, Code: appraise.CodeNotChecked, Seen: missing},
	)
	v := verdict{outcome: appraise.Partial, checks: checks, err: &appraise.PartialError{Skipped: skippedOfDevices(checks)}}
	hardware := appraise.Line{Group: appraise.GroupHardware, Status: attest.Skip, Text: countKinds(found.devices) + " signed by genuine hardware; " + missing}
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

// skippedOfDevices are the checks that would have to be made before any use of the
// devices: whether NVIDIA withdrew their keys, and whether they run what its
// manifests say, among them.
func skippedOfDevices(checks []attest.Check) []attest.Check {
	var out []attest.Check
	for _, c := range checks {
		switch c.Code {
		case appraise.CodeNotChecked, nvgpu.CodeNoOCSP, nvgpu.CodeNoRIM:
			if c.Status == attest.Skip {
				out = append(out, c)
			}
		}
	}
	return out
}

// countKinds says "1 nvidia-gpu" or "4 nvidia-nvswitch": the devices of one file
// are of one kind or two.
func countKinds(devices []attest.Evidence) string {
	var out []string
	for _, k := range attest.Kinds() {
		n := 0
		for _, ev := range devices {
			if ev.Kind == k {
				n++
			}
		}
		if n != 0 {
			out = append(out, fmt.Sprintf("%d %s", n, k))
		}
	}
	return strings.Join(out, ", ")
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

// identityOf tells one device from every other.
func identityOf(c *attest.Claims) string {
	if d, ok := c.Detail.(composite.Device); ok {
		return c.Kind.String() + " " + d.Identity()
	}
	return ""
}

// deviceChecks are what was found about one device, under names of its own.
func deviceChecks(i int, claims *attest.Claims, err error) []attest.Check {
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
