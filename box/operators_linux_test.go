package box

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/operate"
)

const everything = "restart, exec, shell, debug"

// run runs a command beside the app to its end.
func (r *running) run(t testing.TB, input string, args ...string) *stream {
	t.Helper()
	s := r.operates(t, oncallKey, "exec", func(s *stream) {
		command, err := operate.Command(args)
		if err != nil {
			t.Fatal(err)
		}
		s.send(operate.Start, string(command))
		if input != "" {
			s.send(operate.Input, input)
		}
		s.send(operate.End, "")
	})
	return s.end()
}

// TestExecInABox: a command's input, both its outputs and its exit code pass, and
// what was decided names the operator and the operation and nothing else.
func TestExecInABox(t *testing.T) {
	c, digest := contained(t)
	var kept decisions
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c, Decided: kept.add})
	if s := b.run(t, "in and out", "/app", "echo"); s.out.String() != "in and out" || s.bad.Len() != 0 || s.code != 0 || s.reason != "" || s.taken != len("in and out") {
		t.Errorf("echo: %q %q %d %q, taken %d", s.out.String(), s.bad.String(), s.code, s.reason, s.taken)
	}
	if s := b.run(t, "", "/app", "say", "good", "bad", "42"); s.out.String() != "good" || s.bad.String() != "bad" || s.code != 42 {
		t.Errorf("say: %q %q %d", s.out.String(), s.bad.String(), s.code)
	}
	if d := kept.last(); d.Caller != "oncall" || d.Action != "exec" || !d.Allowed || d.Line == 0 || strings.Contains(fmt.Sprintf("%+v", d), "good") {
		t.Errorf("decided %+v", d)
	}
	if s := b.run(t, "", "/nothing"); s.code == 0 || !strings.Contains(s.bad.String(), "no such file") {
		t.Errorf("a program that is not there: %d %q", s.code, s.bad.String())
	}
	// What a command that could not be started says reaches no event of the box.
	if resp, _ := do(t, b.client(t, "h2"), asOperator(t, juniorKey, "restart")); resp.StatusCode != 200 {
		t.Errorf("restart: %s", resp.Status)
	}
	if got := b.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("after the restart the app answers %q", got)
	}
	b.stop()
	err := <-b.done
	if b.done <- err; err != nil {
		t.Error(err)
	}
	for _, e := range b.events.list {
		if strings.Contains(e.String(), "nothing") || e.Name == AppExited {
			t.Errorf("event %s", e)
		}
	}
	nothingLeft(t, c, "", "")
}

// TestOperatorReachesWhatTheAppDoes, and neither keys nor evidence nor the gate.
func TestOperatorReachesWhatTheAppDoes(t *testing.T) {
	c, digest := contained(t)
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c})
	for _, row := range []struct{ how, with, want string }{
		{"dial", "tcp " + b.addr, "connection refused"}, // the gate
		{"dial", "tcp 1.1.1.1:443", "network is unreachable"},
		{"dial", "tcp 169.254.169.254:80", "network is unreachable"},
		{"open", "/sys/kernel/config/tsm/report", "no such file"},
		{"open", "/dev/sev-guest", "no such file"},
		{"open", "/dev/tdx_guest", "no such file"},
		{"open", "/dev/mem", "no such file"},
		{"open", c.Dir, "no such file"},
		{"open", "/proc/" + strconv.Itoa(os.Getpid()) + "/mem", "no such file"},
		{"open", "/proc/1/mem", ""}, // the app's, as for the app
	} {
		s := b.run(t, "", "/app", "reach", row.how, row.with)
		if got := s.out.String(); row.want != "" && (!strings.HasPrefix(got, "blocked: ") || !strings.Contains(got, row.want)) {
			t.Errorf("%s %s: %q %q, expected %s", row.how, row.with, got, s.bad.String(), row.want)
		}
	}
}

// TestShellInABox: a terminal of the operator's size that echoes what is typed.
func TestShellInABox(t *testing.T) {
	c, digest := contained(t)
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c})
	s := b.operates(t, oncallKey, "shell", func(s *stream) {
		s.send(operate.Term, "xterm-test")
		s.send(operate.Size, string(operate.FormatSize(31, 97)))
		s.send(operate.Start, "/app\x00terminal")
	})
	s.until("31 97 xterm-test")
	s.send(operate.Size, string(operate.FormatSize(10, 20)))
	s.send(operate.Input, "typed\r")
	s.until("typed\r\ntyped")
	s.send(operate.End, "")
	if s.end(); s.code != 0 || s.reason != "" {
		t.Errorf("ended with %d %q: %q", s.code, s.reason, s.out.String())
	}
	// The image has no shell, which is said to who wanted one.
	s = b.operates(t, oncallKey, "shell", func(s *stream) { s.send(operate.Start, "") })
	if s.end(); s.code == 0 || !strings.Contains(s.out.String(), "/bin/sh") {
		t.Errorf("a shell that is not there: %d %q", s.code, s.out.String())
	}
}

// TestCutSession: when the connection is cut, the command ends and all that it
// started, whatever it is at; so it does when the operator goes silent, when the
// protocol is broken, and when the box stops.
func TestCutSession(t *testing.T) {
	c, digest := contained(t)
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c})
	alone := commands(t, c)
	for _, end := range []struct {
		name, command string
		how           func(*stream)
	}{
		{"cut", "/app\x00stay", func(s *stream) { s.conn.Close() }},
		{"cut while it floods", "/app\x00flood", func(s *stream) { s.conn.Close() }},
		{"a frame of no kind", "/app\x00stay", func(s *stream) { s.send('?', "") }},
		{"a second command", "/app\x00stay", func(s *stream) { s.send(operate.Start, "/app") }},
		{"input without end", "/app\x00stay", func(s *stream) {
			for range operate.Window/operate.MaxFrame + 32 { // pipes hold some
				if operate.WriteFrame(s.conn, operate.Input, make([]byte, operate.MaxFrame)) != nil {
					return
				}
			}
		}},
	} {
		s := b.operates(t, oncallKey, "exec", func(s *stream) { s.send(operate.Start, end.command) })
		if end.name != "cut while it floods" {
			s.until("here")
		} else if !s.next() {
			t.Fatal("no flood")
		}
		end.how(s)
		s.end()
		for deadline := time.Now().Add(patience); commands(t, c) != alone; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: processes %q, before %q", end.name, commands(t, c), alone)
			}
		}
	}
	s := b.operates(t, oncallKey, "exec", func(s *stream) { s.send(operate.Start, "/app\x00stay") })
	s.until("here")
	b.stop()
	err := <-b.done
	if b.done <- err; err != nil {
		t.Error(err)
	}
	if s.end(); s.code == 0 {
		t.Errorf("ended with %d %q", s.code, s.reason)
	}
	nothingLeft(t, c, "", "")
}

// commands are what runs in the app's control groups, by name.
func commands(t *testing.T, c *Containers) string {
	t.Helper()
	id := cgroup(t, c)
	var out []string
	for _, pattern := range []string{"/sys/fs/cgroup/pids/" + id + "/cgroup.procs", "/sys/fs/cgroup/pids/" + id + "/*/cgroup.procs", "/sys/fs/cgroup/" + id + "/cgroup.procs", "/sys/fs/cgroup/" + id + "/*/cgroup.procs"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			pids, _ := os.ReadFile(file)
			for _, pid := range strings.Fields(string(pids)) {
				if name, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && len(name) > 0 { // none of a zombie
					out = append(out, strings.ReplaceAll(string(name), "\x00", " "))
				}
			}
		}
	}
	return strings.Join(out, "; ")
}

// TestRestartEndsRequests: one that is under way gets 503, and that it was an
// operator.
func TestRestartEndsRequests(t *testing.T) {
	c, digest := contained(t)
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c})
	s := b.operates(t, oncallKey, "debug", nil)
	s.until("COMMAND\n")
	if !strings.Contains(s.out.String(), "/app") {
		t.Errorf("the list of processes is\n%s", s.out.String())
	}
	answered := make(chan string, 1)
	go func() {
		resp, err := b.client(t, "h2").Do(request(t, "GET", "/wait", nil))
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answered <- resp.Status + string(text)
	}()
	s.until("somebody waits")
	if resp, text := do(t, b.client(t, "h2"), asOperator(t, juniorKey, "restart")); resp.StatusCode != http.StatusOK || text != "{\"restarted\":true}\n" {
		t.Errorf("restart: %s %s", resp.Status, text)
	}
	if got := <-answered; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "An operator had the app started anew") {
		t.Errorf("the request that was under way: %s", got)
	}
	if got := b.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("after the restart the app answers %q", got)
	}
	// Whoever follows, follows the new one too.
	go b.client(t, "h2").Do(request(t, "GET", "/wait", nil).WithContext(t.Context()))
	s.out.Reset()
	s.until("somebody waits")
}

const killedBox = "BLINDBOX_TEST_KILLED_BOX"

// TestKilledInSession: kill -9 of the box in the middle of a session leaves no
// process, and the next box starts in the same place.
func TestKilledInSession(t *testing.T) {
	c, digest := contained(t)
	if os.Getenv(killedBox) != "" {
		t.Skip("the box that is killed is another test's")
	}
	doc := filepath.Join(t.TempDir(), "box.yaml")
	if err := os.WriteFile(doc, []byte(withImage(digest, withOperators(everything))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBoxToKill$")
	cmd.Env = append(os.Environ(), killedBox+"="+strings.Join([]string{doc, c.Images, c.Dir, c.Runtime}, "|"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	n, err := out.Read(text)
	if err != nil || !strings.HasPrefix(string(text[:n]), "READY") {
		t.Fatalf("%q %v", text[:n], err)
	}
	id := cgroup(t, c)
	if got := commands(t, c); !strings.Contains(got, "stubborn") {
		t.Fatalf("before: %q", got)
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		got := commands(t, c)
		if got == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after kill -9 there is %q", got)
		}
	}
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c})
	if got := b.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the next box answers %q", got)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			t.Errorf("left of the control group: %q", found)
		}
	}
}

// TestBoxToKill is the box of TestKilledInSession, in a process of its own.
func TestBoxToKill(t *testing.T) {
	given := strings.Split(os.Getenv(killedBox), "|")
	if len(given) != 4 {
		return // there is nothing to do for the others
	}
	doc, err := os.ReadFile(given[0])
	if err != nil {
		t.Fatal(err)
	}
	b := serve(t, Config{Policy: parsed(t, string(doc)), Containers: &Containers{Images: given[1], Dir: given[2], Runtime: given[3]}})
	s := b.operates(t, oncallKey, "exec", func(s *stream) { s.send(operate.Start, "/app\x00stay") })
	s.until("here")
	os.Stdout.WriteString("READY\n")
	<-b.done
}
