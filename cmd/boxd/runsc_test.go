package main

import (
	"io"
	"testing"
)

// TestRunsc: gVisor is where --runsc says, and elsewhere it is looked for in PATH.
func TestRunsc(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for want, args := range map[string][]string{"": {"--policy", "p"}, "/opt/runsc": {"--policy", "p", "--runsc", "/opt/runsc"}} {
		o, err := parseFlags(args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.containers().GVisor; got != want {
			t.Errorf("%q: %q, expected %q", args, got, want)
		}
	}
}
