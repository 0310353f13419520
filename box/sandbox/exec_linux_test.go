package sandbox_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/sandbox"
)

// beside runs a command beside the app to its end.
func beside(t *testing.T, app *sandbox.App, input string, args ...string) (output, problems string, code int) {
	t.Helper()
	c, err := app.Exec(append([]string{"/hostile", "beside"}, args...), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	go func() {
		io.WriteString(c.Input, input)
		c.Input.Close()
	}()
	bad := make(chan string)
	go func() {
		text, _ := io.ReadAll(c.Errors)
		bad <- string(text)
	}()
	out, err := io.ReadAll(c.Output)
	if err != nil {
		t.Error(err)
	}
	problems = <-bad
	<-c.Gone()
	return string(out), problems, c.Code()
}

// TestExec: what goes in comes out, from both places, and the exit code with it.
func TestExec(t *testing.T) {
	cfg := config(t)
	app := started(t, cfg)
	if out, bad, code := beside(t, app, "in and out", "echo"); out != "in and out" || bad != "" || code != 0 {
		t.Errorf("echo: %q %q %d", out, bad, code)
	}
	if out, bad, code := beside(t, app, "", "say", "good", "bad", "42"); out != "good" || bad != "bad" || code != 42 {
		t.Errorf("say: %q %q %d", out, bad, code)
	}
	large := strings.Repeat("0123456789abcdef", 1<<16)
	if out, _, code := beside(t, app, large, "echo"); out != large || code != 0 {
		t.Errorf("1 MiB came back as %d bytes, %d", len(out), code)
	}
	for _, args := range [][]string{nil, {""}} {
		if c, err := app.Exec(args, nil); err == nil || c != nil {
			t.Errorf("%q was started", args)
		}
	}
	c, err := app.Exec([]string{"/nothing"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bad, _ := io.ReadAll(c.Errors)
	<-c.Gone()
	if c.Code() == 0 || !strings.Contains(string(bad), "no such file") {
		t.Errorf("a program that is not there: %d %s", c.Code(), bad)
	}
	c.Kill()
	c.Kill()
	if got := get(t, app, "/"); got != "here" {
		t.Errorf("the app answers %q", got)
	}
	noCommands(t, cfg)
	app.Stop()
	clean(t, cfg)
	if c, err := app.Exec([]string{"/hostile"}, nil); err == nil || c != nil {
		t.Error("a command beside an app that was stopped")
	}
}

// noCommands checks that nothing is left of commands while the app runs.
func noCommands(t *testing.T, cfg sandbox.Config, groups ...string) {
	t.Helper()
	patterns := []string{filepath.Join(cfg.Dir, "run-*", "op-*")}
	for _, id := range append(groups, groupsOf(t, cfg)...) {
		patterns = append(patterns, "/sys/fs/cgroup/*/"+id+"/op-*", "/sys/fs/cgroup/"+id+"/op-*")
	}
	for _, pattern := range patterns {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left of commands: %q, %v", left, err)
		}
	}
}

// groupsOf lists the control groups of a test's own apps: other packages' tests may run
// commands beside theirs at the same time.
func groupsOf(t *testing.T, cfg sandbox.Config) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "run-*", "id"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no app runs: %v", err)
	}
	var groups []string
	for _, file := range files {
		id, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, string(id))
	}
	return groups
}

// TestExecHasWhatTheAppHas, and nothing else: the same user, capabilities, system
// calls, namespaces, limits and control groups.
func TestExecHasWhatTheAppHas(t *testing.T) {
	cfg := config(t)
	cfg.Terminals = true
	app := started(t, cfg)
	out, bad, code := beside(t, app, "", "self")
	want := get(t, app, "/self")
	if strings.TrimSpace(out) != want || bad != "" || code != 0 {
		t.Errorf("%d %s\nthe command is\n%s\nand the app is\n%s", code, bad, out, want)
	}
	for _, line := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
		if !strings.Contains(want, line) {
			t.Errorf("no %s in\n%s", line, want)
		}
	}
}

// TestExecReachesNothing that the app does not reach.
func TestExecReachesNothing(t *testing.T) {
	cfg := config(t)
	app := started(t, cfg)
	gate := listening(t, "tcp", "127.0.0.1:0")
	outside := filepath.Join(cfg.Dir, "outside")
	if err := os.WriteFile(outside, []byte("of the box alone"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []row{
		{"evidence of SEV-SNP", "open", "/dev/sev-guest", "no such file"},
		{"evidence of TDX", "open", "/dev/tdx_guest", "no such file"},
		{"configfs", "listing", "/sys/kernel/config/*", "nothing there"},
		{"memory of the machine", "open", "/dev/mem", "no such file"},
		{"the box's files", "open", outside, "no such file"},
		{"the box's image store", "listing", "/dev/shm/*", "nothing there"},
		{"processes outside", "process", "", "all ours"},
		{"the runtime's files", "listing", "/proc/[0-9]*/fd/../../root/run/*", "nothing there"},
		{"root of init", "listing", "/proc/1/root/work", "nothing there"},
		{"ptrace of the parent", "ptrace", "", "operation not permitted"},
		{"process_vm_readv", "vm_readv", "", "operation not permitted"},
		{"mount", "mount", "", "operation not permitted"},
		{"setns", "setns", "/proc/self/ns/net", "operation not permitted"},
		{"user namespace", "unshare", "0x10000000", "operation not permitted"},
		{"the gate", "dial", "tcp," + gate, "connection refused"},
		{"another machine", "dial", "tcp,192.0.2.1:80", "network is unreachable"},
		{"vsock", "socket", "40,1,0", "operation not permitted"},
		{"become root", "setuid", "", "operation not permitted"},
		{"capabilities", "cap", "", "none in any set"},
		{"write to the root", "write", "/new", "read-only file system"},
		{"be spared by the out-of-memory killer", "oom", "", "permission denied"},
	} {
		out, bad, _ := beside(t, app, "", "try", row.try, row.with)
		if !strings.HasPrefix(out, "blocked: ") || !strings.Contains(out, row.because) {
			t.Errorf("%s: %s %s, expected %s", row.what, out, bad, row.because)
		}
	}
}

// TestExecLeavesNothing: what a command started goes with it, whatever it did to
// stay.
func TestExecLeavesNothing(t *testing.T) {
	cfg := config(t)
	app := started(t, cfg)
	alone := alive(t, app)
	for _, what := range []string{"leave", "children", "stubborn", "flood"} {
		c, err := app.Exec([]string{"/hostile", "beside", what}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if what != "flood" {
			if line, err := bufio.NewReader(c.Output).ReadString('\n'); err != nil || line == "" {
				t.Fatalf("%s: %q %v", what, line, err)
			}
		}
		c.Kill()
		if now := alive(t, app); !slices.Equal(now, alone) {
			t.Errorf("%s: processes %v, before %v", what, now, alone)
		}
		select {
		case <-c.Gone():
		default:
			t.Errorf("%s: it was killed and is there", what)
		}
	}
	noCommands(t, cfg)
	app.Stop()
	clean(t, cfg)
}

// alive are the app's processes that are no zombies.
func alive(t *testing.T, app *sandbox.App) []int {
	t.Helper()
	pids, err := app.Processes()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(pids)
	return slices.DeleteFunc(pids, func(pid int) bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		return err != nil || bytes.Contains(status, []byte("State:\tZ"))
	})
}

// TestExecEndsWithTheApp: a command does not outlive the app that it stands beside.
func TestExecEndsWithTheApp(t *testing.T) {
	cfg := config(t)
	app := started(t, cfg)
	c, err := app.Exec([]string{"/hostile", "beside", "children"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	if _, err := bufio.NewReader(c.Output).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := app.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Gone():
	case <-time.After(time.Minute):
		t.Fatal("the command outlives its app")
	}
	if c.Code() == 0 {
		t.Error("a command that was killed ended well")
	}
	c.Kill()
	if got := get(t, app, "/"); got != "here" {
		t.Errorf("after it was started anew the app answers %q", got)
	}
	app.Stop()
	clean(t, cfg)
	if err := app.Restart(t.Context()); err == nil {
		t.Error("an app that was stopped was started anew")
	}
}

// TestRestart: the app is another process, and one that does not come back is said.
func TestRestart(t *testing.T) {
	cfg := config(t)
	app := started(t, cfg)
	before, groups := alive(t, app), groupsOf(t, cfg)
	if err := app.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !app.Accepting() {
		t.Error("it was started anew and does not accept")
	}
	if after := alive(t, app); slices.Equal(before, after) {
		t.Errorf("processes %v before and after", after)
	}
	noCommands(t, cfg, groups...)
}

// TestTerminal: a command with a terminal has its size, its kind, and control of it.
func TestTerminal(t *testing.T) {
	cfg := config(t)
	cfg.Terminals = true
	app := started(t, cfg)
	c, err := app.Exec([]string{"/hostile", "beside", "resized"}, &sandbox.Terminal{Kind: "xterm-test", Rows: 24, Columns: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	lines := bufio.NewReader(c.Output)
	if line, err := lines.ReadString('\n'); err != nil || strings.TrimRight(line, "\r\n") != "ready" {
		t.Fatalf("%q %v", line, err)
	}
	if err := c.Resize(33, 99); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); err != nil || strings.TrimRight(line, "\r\n") != "33 99 <nil>" {
		t.Fatalf("%q %v", line, err)
	}
	<-c.Gone()
	if c.Code() != 0 {
		t.Errorf("code %d", c.Code())
	}
	c.Kill()
	c, err = app.Exec([]string{"/hostile", "beside", "terminal"}, &sandbox.Terminal{Kind: "xterm-test", Rows: 24, Columns: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	if line, err := bufio.NewReader(c.Output).ReadString('\n'); err != nil || strings.TrimRight(line, "\r\n") != "24 80 xterm-test <nil>" {
		t.Errorf("%q %v", line, err)
	}
	// Control-C ends what runs.
	c, err = app.Exec([]string{"/hostile", "sleep"}, &sandbox.Terminal{Kind: "dumb"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	for ended := false; !ended; {
		if _, err := c.Input.Write([]byte{3}); err != nil {
			break
		}
		select {
		case <-c.Gone():
			ended = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	<-c.Gone()
	if c.Code() != 128+2 {
		t.Errorf("a program that was interrupted: code %d", c.Code())
	}
}

// TestNoTerminal: an app whose policy has no shell has no place for terminals.
func TestNoTerminal(t *testing.T) {
	app := started(t, config(t))
	c, err := app.Exec([]string{"/hostile", "beside", "terminal"}, &sandbox.Terminal{Kind: "xterm"})
	if err != nil {
		return
	}
	defer c.Kill()
	<-c.Gone()
	if c.Code() == 0 {
		t.Error("a terminal where there is none")
	}
}
