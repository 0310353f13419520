package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box"
)

// TestNotStarted: what to do about a box that does not start fits why it does not.
func TestNotStarted(t *testing.T) {
	for _, c := range []struct {
		err error
		fix string
	}{
		{&exec.Error{Name: "pyhton3", Err: exec.ErrNotFound}, "Name a program"},
		{fmt.Errorf("box: %w", &box.ModelError{Name: "m", Cause: errors.New("model: m has the digest sha256:1")}), "blindbox model show FILE"},
		{errors.New("box: there is a folder for models that callers bring, and the policy has no store"), "--store FOLDER"},
		{errors.New("listen tcp 127.0.0.1:80: bind: address already in use"), "--port"},
		{errors.New("process: the app ended before it listened at 127.0.0.1:80: exit status 1"), "Run the command by itself"},
		{errors.New("something else"), "For an image"},
	} {
		if r := notStarted(c.err, ""); !strings.Contains(r.entry.Fix, c.fix) || r.entry.Number != 108 {
			t.Errorf("%v: BBX-%d, fix %q, expected %q", c.err, r.entry.Number, r.entry.Fix, c.fix)
		}
	}
}
