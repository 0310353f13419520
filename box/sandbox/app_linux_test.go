package sandbox_test

import (
	"strings"
	"testing"
)

const supervisorArg = "blindbox-test-supervisor"

func supervise([]string) {}

func TestRuns(t *testing.T) {
	app := started(t, config(t))
	if got, want := get(t, app, "/pid"), "1 1000 1001 hostile"; got != want {
		t.Errorf("pid, uid, gid, host name %q, expected %q", got, want)
	}
	env := get(t, app, "/env")
	for _, want := range []string{"FROM=image", "BOTH=policy", "PATH=/usr/local/sbin"} {
		if !strings.Contains(env, want) {
			t.Errorf("environment %q lacks %s", env, want)
		}
	}
}
