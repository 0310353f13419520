package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/policy"
)

// output is what a command prints, for who waits for it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) until(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(o.String(), text) {
		select {
		case <-o.more:
		case <-time.After(time.Minute):
			t.Fatalf("no %q in %q", text, o.String())
		}
	}
}

const operatorKey = "the-key-of-an-operator"

// operated is a box with an image and an operator who may do everything.
func operated(t *testing.T) (url string, env map[string]string, trust string) {
	t.Helper()
	file := imagePolicy(t, fmt.Sprintf("operators: [{name: oncall, api_key: \"sha256:%x\", may: [restart, exec, shell, debug]}]\n", sha256.Sum256([]byte(operatorKey))))
	env = map[string]string{"BLINDBOX_HOME": t.TempDir(), keyVariable: operatorKey, "TERM": "xterm-test"}
	d := start(t, env, "dev", "--listen", "127.0.0.1:0", "-f", file)
	return d.text(t, "url"), env, d.text(t, "trust")
}

// operates runs blindbox operate to its end.
func operates(ctx context.Context, url, trust string, env map[string]string, in io.Reader, out io.Writer, rest ...string) (code int, bad string) {
	var stderr bytes.Buffer
	code = run(ctx, session{
		args: append([]string{"operate", "--trust", trust, url}, rest...), stdin: in, stdout: out, stderr: &stderr,
		env: func(name string) string { return env[name] }, now: time.Now,
	})
	return code, stderr.String()
}

// TestOperate: every operation, as an operator has it.
func TestOperate(t *testing.T) {
	url, env, trust := operated(t)
	large := strings.Repeat("0123456789abcdef", 1<<16) // more than may be on its way at once
	for _, c := range []struct {
		in, out, bad string
		code         int
		rest         []string
	}{
		{"in and out", "in and out", "VERIFIED", 0, []string{"exec", "--", "/app", "echo"}},
		{large, large, "", 0, []string{"exec", "--", "/app", "echo"}},
		{"", "good", "bad", 42, []string{"exec", "--", "/app", "say", "good", "bad", "42"}},
		{"", "", "no such file", 255, []string{"exec", "--", "/nothing"}},
		{"typed", "xterm-test", "", 0, []string{"shell", "--", "/app", "terminal"}},
		{"", "restarted  the app accepts connections again after", "oncall, line", 0, []string{"restart"}},
	} {
		var out bytes.Buffer
		code, bad := operates(t.Context(), url, trust, env, strings.NewReader(c.in), &out, c.rest...)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(bad, c.bad) {
			t.Errorf("%q: %d %.200q %q", c.rest, code, out.String(), bad)
		}
		if strings.HasPrefix(c.out, "0123") && out.String() != c.out {
			t.Errorf("%d bytes came back as %d", len(c.out), out.Len())
		}
	}
	// Whoever follows what the app prints, does so until he has seen enough.
	ctx, stop := context.WithCancel(t.Context())
	out := &output{more: make(chan struct{}, 1)}
	ended := make(chan int, 1)
	go func() {
		code, _ := operates(ctx, url, trust, env, strings.NewReader(""), out, "debug")
		ended <- code
	}()
	out.until(t, "COMMAND\n")
	waits, enough := context.WithCancel(t.Context())
	go func() {
		var ignored bytes.Buffer
		_ = run(waits, session{
			args: []string{"curl", "--trust", trust, url + "/wait"}, stdin: strings.NewReader(""), stdout: &ignored, stderr: &ignored,
			env: func(string) string { return "" }, now: time.Now,
		})
	}()
	out.until(t, "somebody waits")
	enough()
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("debug ended with %d", code)
	}
}

// TestOperateKeyFiles: a token is read as a key is, and what is none is refused.
func TestOperateKeyFiles(t *testing.T) {
	s := &session{env: func(string) string { return "" }}
	dir := t.TempDir()
	for name, text := range map[string]string{"good": "a.b.c\n", "empty": "\n", "two": "a\nb\n", "control": "a\x1bb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := s.operatorKey(operateOptions{tokenFile: filepath.Join(dir, name)})
		if (err == nil) != (name == "good") || token != map[string]string{"good": "a.b.c"}[name] {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

// TestMayOperate: what the box would refuse is not asked for, and what it may not
// refuse is.
func TestMayOperate(t *testing.T) {
	head := "name: a\napp: {command: [/a], listen: 80}\n"
	key := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(operatorKey)))
	mine := "operators: [{name: oncall, api_key: \"" + key + "\", may: [restart]}"
	token := ", {oidc: \"https://a.example\", audience: a, may: [debug]}"
	for _, c := range []struct {
		doc, key string
		what     policy.Operation
		number   int
	}{
		{head, operatorKey, policy.OpRestart, 403},
		{head + mine + "]\n", operatorKey, policy.OpRestart, 0},
		{head + mine + "]\n", operatorKey, policy.OpDebug, 403},
		{head + mine + "]\n", "another key of an operator", policy.OpRestart, 401},
		{head + mine + "]\n", "", policy.OpRestart, 401},
		{head + mine + token + "]\n", operatorKey, policy.OpDebug, 403},
		{head + mine + token + "]\n", "a token of somebody", policy.OpDebug, 0},
	} {
		p, err := policy.Parse([]byte(c.doc))
		if err != nil {
			t.Fatal(err)
		}
		s := &session{stderr: io.Discard}
		number := 0
		if err := s.mayOperate(p, c.key, c.what, false); err != nil {
			number = refusalOf(err).entry.Number
		}
		if number != c.number {
			t.Errorf("%s, %q, %s: %d, expected %d", c.doc, c.key, c.what, number, c.number)
		}
	}
}

// TestPrintable: what an app prints does not steer the terminal of who reads it.
func TestPrintable(t *testing.T) {
	var out bytes.Buffer
	n, err := printable{&out}.Write([]byte("a\x1b[2Jb\tc\r\nd\x00é"))
	if want := "a?[2Jb\tc?\nd?é"; n != 14 || err != nil || out.String() != want {
		t.Errorf("%d %v %q", n, err, out.String())
	}
}

// cut is a box that goes away in the middle of a session, or talks nonsense.
type cut struct{ io.Reader }

func (cut) Write(p []byte) (int, error) { return len(p), nil }
func (cut) Close() error                { return nil }

func TestCutByTheBox(t *testing.T) {
	for text, number := range map[string]int{"": 503, "o\x00": 503, "o\xff\xff": 503, "x\x00\x00": 503, "o\x00\x01a": 503} {
		s := &session{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, env: func(string) string { return "" }}
		err := s.follow(t.Context(), cut{strings.NewReader(text)}, operation{what: policy.OpExec, command: []string{"a"}})
		if err == nil || refusalOf(err).entry.Number != number {
			t.Errorf("%q: %v", text, err)
		}
	}
	var out, bad bytes.Buffer
	var frames bytes.Buffer
	for _, f := range []struct {
		k    operate.Kind
		body string
	}{{operate.Output, "out"}, {operate.Errors, "err"}, {operate.Exit, "\x07the time for one session is over"}} {
		if err := operate.WriteFrame(&frames, f.k, []byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	s := &session{stdin: strings.NewReader(""), stdout: &out, stderr: &bad, env: func(string) string { return "" }}
	err := s.follow(t.Context(), cut{&frames}, operation{what: policy.OpExec, command: []string{"a"}})
	if s.report(err) != 7 || out.String() != "out" || bad.String() != "errended by the box: the time for one session is over\n" {
		t.Errorf("%v, %q %q", err, out.String(), bad.String())
	}
}
