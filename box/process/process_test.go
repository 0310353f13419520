//go:build unix

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// TestMain makes the test binary its own app: with APP set it behaves as that
// says and runs no test.
func TestMain(m *testing.M) {
	if mode := os.Getenv("APP"); mode != "" {
		appMain(mode)
		return
	}
	os.Exit(m.Run())
}

func appMain(mode string) {
	fmt.Println("printed by the app")
	fmt.Fprintln(os.Stderr, "printed by the app to stderr")
	if file := os.Getenv("REPORT"); file != "" {
		report(file)
	}
	switch mode {
	case "exit":
		os.Exit(7)
	case "deaf": // never listens
		time.Sleep(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "parent":
		child, err := os.StartProcess(os.Args[0], os.Args, &os.ProcAttr{Env: []string{"APP=deaf"}})
		if err != nil {
			os.Exit(8)
		}
		os.WriteFile(os.Getenv("CHILD"), []byte(strconv.Itoa(child.Pid)), 0o600)
	}
	network, address := (&policy.App{Listen: os.Getenv("LISTEN")}).Address()
	l, err := net.Listen(network, address)
	if err != nil {
		os.Exit(9)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(10)
		}
		// A connection that says "die" kills the app; readiness probes say nothing.
		go func() {
			text, _ := io.ReadAll(c)
			if string(text) == "die" {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}()
	}
}

// report writes down what the app finds around itself.
func report(file string) {
	dir, _ := os.Getwd()
	var open []string
	for fd := 3; fd < 64; fd++ {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == nil {
			target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			// What a Go program opens for itself is no leak.
			if !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/sys/") && target != "/dev/null" {
				open = append(open, target)
			}
		}
	}
	n, err := os.Stdin.Read(make([]byte, 1))
	pgid, _ := syscall.Getpgid(0)
	env := os.Environ()
	slices.Sort(env)
	text := fmt.Sprintf("dir %s\nfiles %q\nstdin %d %v\ngroup %t\nenv %q\n", dir, open, n, err, pgid == os.Getpid(), env)
	os.WriteFile(file+".tmp", []byte(text), 0o600)
	os.Rename(file+".tmp", file)
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience, what)
}

// app returns an app of the mode on a unix socket.
func app(t *testing.T, mode string, env ...string) *policy.App {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listen := "unix:" + filepath.Join(t.TempDir(), "app.sock")
	vars := map[string]string{"APP": mode, "LISTEN": listen}
	for i := 0; i < len(env); i += 2 {
		vars[env[i]] = env[i+1]
	}
	return &policy.App{Command: []string{self}, Env: vars, Listen: listen}
}

func config(exited chan<- string) Config {
	return Config{StartGrace: patience, StopGrace: patience, Exited: func(how string) {
		if exited != nil {
			exited <- how
		}
	}}
}

func started(t *testing.T, a *App) *App {
	t.Helper()
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// TestSurroundings: the app gets the policy's variables and PATH, nothing else.
func TestSurroundings(t *testing.T) {
	t.Setenv("SECRET_OF_THE_BOX", "x")
	leak, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	file := filepath.Join(t.TempDir(), "report")
	p := app(t, "serve", "REPORT", file)
	p.Dir = filepath.Dir(file)
	started(t, New(p, config(nil)))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"APP=serve", "LISTEN=" + p.Listen, "PATH=" + policy.DefaultPath, "REPORT=" + file}
	want := fmt.Sprintf("dir %s\nfiles []\nstdin 0 EOF\ngroup true\nenv %q\n", p.Dir, env)
	if string(text) != want {
		t.Errorf("the app found\n%s\nexpected\n%s", text, want)
	}
}

func TestOutput(t *testing.T) {
	var out buffer
	cfg := config(nil)
	cfg.Output = &out
	a := started(t, New(app(t, "serve"), cfg))
	a.Stop()
	if got := out.String(); !strings.Contains(got, "printed by the app\n") || !strings.Contains(got, "to stderr\n") {
		t.Errorf("output %q", got)
	}
}

func TestStartFails(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	for _, c := range []struct {
		name, want string
		change     func(*policy.App, *Config)
	}{
		{"no such file", "cannot start the app", func(a *policy.App, _ *Config) { a.Command = []string{"/nowhere/app"} }},
		{"no such program", `no program "no-such-program" in the app's PATH /bin`, func(a *policy.App, _ *Config) {
			a.Command, a.Env["PATH"] = []string{"no-such-program"}, "/bin"
		}},
		{"our PATH is not the app's", `no program "sh" in the app's PATH /nowhere`, func(a *policy.App, _ *Config) {
			a.Command, a.Env["PATH"] = []string{"sh"}, "/nowhere:."
		}},
		{"ends at once", "ended before it listened", func(a *policy.App, _ *Config) { a.Env["APP"] = "exit" }},
		{"never listens", "does not listen at", func(a *policy.App, c *Config) { a.Env["APP"], c.StartGrace = "deaf", 100*time.Millisecond }},
		{"somebody else listens", "something listens at", func(a *policy.App, _ *Config) { a.Listen = busy.Addr().String() }},
		{"a file in the socket's place", "is no socket", func(a *policy.App, _ *Config) { a.Listen = "unix:" + file }},
		{"no such directory", "cannot start the app", func(a *policy.App, _ *Config) { a.Dir = "/nowhere" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, cfg := app(t, "serve"), config(nil)
			c.change(p, &cfg)
			a := New(p, cfg)
			if err := a.Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, expected %q", err, c.want)
			}
			if a.Accepting() {
				t.Error("accepting")
			}
			a.Stop()
		})
	}
	if text, _ := os.ReadFile(file); string(text) != "precious" {
		t.Error("a file that was no socket is gone")
	}
}

func TestStartIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := New(app(t, "deaf"), config(nil)).Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func kill(t *testing.T, p *policy.App) {
	t.Helper()
	network, address := p.Address()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "die")
	c.Close()
}

// TestRestart: an app that dies is started again, on its old socket.
func TestRestart(t *testing.T) {
	exited := make(chan string, 8)
	p := app(t, "serve")
	a := started(t, New(p, config(exited)))
	for range 2 {
		kill(t, p)
		if how := <-exited; how != "signal: killed" {
			t.Errorf("ended: %s", how)
		}
		eventually(t, "the app accepts again", func() bool { return a.Accepting() && a.answers() })
	}
	a.Stop()
	if a.answers() || len(exited) != 0 {
		t.Error("the app still answers, or was said to have ended by itself")
	}
}

func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil {
		return false
	}
	// An orphan that nobody waits for stays as a zombie where pid 1 is no init.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// TestNothingIsLeft: what the app started ends with it, whether the app is
// stopped or dies.
func TestNothingIsLeft(t *testing.T) {
	for _, how := range []string{"stop", "die"} {
		t.Run(how, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "child")
			p := app(t, "parent", "CHILD", file)
			exited := make(chan string, 8)
			a := started(t, New(p, config(exited)))
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(string(text))
			if err != nil || !alive(child) {
				t.Fatalf("no child %q, %v", text, err)
			}
			if how == "stop" {
				a.Stop()
			} else {
				kill(t, p)
				<-exited
			}
			eventually(t, "the app's child has ended", func() bool { return !alive(child) })
		})
	}
}

func TestStubbornAppIsKilled(t *testing.T) {
	cfg := config(nil)
	cfg.StopGrace = 100 * time.Millisecond
	a := started(t, New(app(t, "stubborn"), cfg))
	begin := time.Now()
	a.Stop()
	if took := time.Since(begin); took < cfg.StopGrace || took > patience {
		t.Errorf("took %s", took)
	}
	if a.answers() {
		t.Error("the app still answers")
	}
}

// TestNoRelativePath: what lies in the directory that the box happens to be in
// is not a program.
func TestNoRelativePath(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, path := range []string{".", "", "sub/.."} {
		if file, err := lookUp("tool", []string{"PATH=" + path}); err == nil {
			t.Errorf("PATH=%q: found %s", path, file)
		}
	}
	if file, err := lookUp("tool", []string{"PATH=/nowhere:" + dir}); err != nil || file != filepath.Join(dir, "tool") {
		t.Errorf("got %q, %v", file, err)
	}
}
