package sandbox

import (
	"slices"
	"strings"
	"testing"
)

// TestExecRefused: what no command is, and where none can be, without asking a runtime.
func TestExecRefused(t *testing.T) {
	for _, row := range []struct {
		gVisor bool
		args   []string
		want   string
	}{
		{true, []string{"/app"}, "sandbox: no commands in gVisor"},
		{false, nil, "sandbox: no command"},
		{false, []string{"", "x"}, "sandbox: no command"},
	} {
		a := &App{cfg: Config{GVisor: row.gVisor}}
		if _, err := a.Exec(row.args, nil); err == nil || err.Error() != "sandbox: the app does not run now" {
			t.Errorf("%q of an app that does not run: %v", row.args, err)
		}
		a.now.Store(&keeper{})
		if c, err := a.Exec(row.args, nil); c != nil || err == nil || err.Error() != row.want {
			t.Errorf("%q: %v, expected %s", row.args, err, row.want)
		}
	}
}

// TestOneNetwork: a command is started in the app's network only if the runtime knows of
// one, and of no other.
func TestOneNetwork(t *testing.T) {
	for _, row := range []struct {
		paths, namespaces string
		ok                bool
	}{
		{`{"NEWNET":"/n","NEWNS":"/m"}`, `[{"type":"NEWNET"},{"type":"NEWNS"}]`, true},
		{`{"NEWNS":"/m"}`, `[{"type":"NEWNET"},{"type":"NEWNS"}]`, false},
		{`{"NEWNET":"/n"}`, `[{"type":"NEWNS"}]`, false},
		{`{"NEWNET":"/n"}`, `[{"type":"NEWNET"},{"type":"NEWNET"}]`, false},
		{`[]`, `[{"type":"NEWNET"}]`, false},
		{`{"NEWNET":"/n"}`, `{}`, false},
	} {
		state, err := withoutNetwork([]byte(`{"id":"x","namespace_paths":` + row.paths + `,"config":{"rootfs":"/r","namespaces":` + row.namespaces + `}}`))
		if (err == nil) != row.ok || (state != nil) != row.ok || strings.Contains(string(state), "NEWNET") {
			t.Errorf("%s and %s: %s, %v", row.paths, row.namespaces, state, err)
		}
	}
}

// TestSetUIDUnderGVisor: who can be several users is not counted as one, and that is
// told; with runc it is the machine that counts.
func TestSetUIDUnderGVisor(t *testing.T) {
	for _, gVisor := range []bool{true, false} {
		for _, capability := range []string{"CAP_SETUID", "CAP_KILL"} {
			c := valid()
			c.GVisor, c.Capabilities = gVisor, []string{capability}
			_, notes, err := c.configuration(bundle{netns: "/n", cgroup: "/x", has: all()})
			told := slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, notEnforced+"limits.pids") })
			if err != nil || told != (gVisor && capability == "CAP_SETUID") {
				t.Errorf("%s, gVisor %v: %q, %v", capability, gVisor, notes, err)
			}
		}
	}
}
