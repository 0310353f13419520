package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// running is a command that runs in this process until the test ends.
type running struct {
	document map[string]any // what it printed when it was ready
	stop     context.CancelFunc
	exit     chan int
}

// start runs `blindbox args -o json` and returns when it has printed its
// document.
func start(t *testing.T, env map[string]string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{stop: cancel, exit: make(chan int, 1)}
	out, in := io.Pipe()
	var stderr bytes.Buffer
	// Flags end at "--", so that the format comes first.
	args = append([]string{args[0], "-o", "json"}, args[1:]...)
	go func() {
		code := run(ctx, session{
			args: args, stdin: strings.NewReader(""), stdout: in, stderr: &stderr,
			env: func(name string) string { return env[name] }, now: time.Now,
		})
		in.Close()
		r.exit <- code
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case code := <-r.exit:
			if code != 0 {
				t.Errorf("%s ended with %d: %s", args[0], code, stderr.String())
			}
		case <-time.After(time.Minute):
			t.Errorf("%s does not end", args[0])
		}
	})
	if err := json.NewDecoder(out).Decode(&r.document); err != nil {
		t.Fatalf("%s: no document: %v, %s", args[0], err, stderr.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return r
}

func (r *running) text(t *testing.T, member string) string {
	t.Helper()
	s, ok := r.document[member].(string)
	if !ok {
		t.Fatalf("no %s in %v", member, r.document)
	}
	return s
}

// through starts a box around a command and a local proxy to it, and returns
// the proxy's address. %PORT% in the command is replaced by the app's port.
func through(t *testing.T, command ...string) string {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "%PORT%", port)
	}
	dir := t.TempDir()
	env := map[string]string{"BLINDBOX_HOME": dir, "PATH": os.Getenv("PATH"), "HOME": dir}
	trust := filepath.Join(dir, "trust.yaml")
	box := start(t, env, append([]string{"dev", "--listen", "127.0.0.1:0", "--port", port, "--trust-out", trust, "--"}, command...)...)
	proxy := start(t, env, "connect", "--listen", "127.0.0.1:0", "--trust", trust, "--api-key-file", box.text(t, "api_key_file"), box.text(t, "url"))
	return proxy.text(t, "local")
}

// TestOpenAIClient points the unmodified Python client at the local proxy.
func TestOpenAIClient(t *testing.T) {
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		t.Skip("BLINDBOX_PYTHON names no Python with the openai package")
	}
	local := through(t, python, filepath.Join(mustGetwd(t), "testdata", "openai", "app.py"), "%PORT%")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "testdata/openai/client.py", local+"/v1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `models ['upper']
whole ONE PATIENT HAS A COUGH key seen by app: None
stream ['ONE', 'PATIENT', 'HAS', 'A', 'COUGH']
`
	if got := strings.ReplaceAll(string(out), "\r\n", "\n"); got != want {
		t.Errorf("the client printed\n%s\nexpected\n%s", got, want)
	}
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestProtocols sends through proxy, attested channel and box what ordinary
// programs send.
func TestProtocols(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("apps are stopped by signals")
	}
	local := through(t, "app", "127.0.0.1:%PORT%")
	t.Run("websocket", func(t *testing.T) { throughWebSocket(t, local) })
	t.Run("events", func(t *testing.T) { throughEvents(t, local) })
	t.Run("h2c", func(t *testing.T) { throughH2C(t, local) })
	t.Run("upload", func(t *testing.T) { throughUpload(t, local) })
	t.Run("too large", func(t *testing.T) { tooLarge(t, local) })
}

func throughWebSocket(t *testing.T, local string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, local+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for _, msg := range []string{"hello", strings.Repeat("x", 20000)} {
		if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != strings.ToUpper(msg) {
			t.Fatalf("got %.20q, %v", got, err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Error(err)
	}
}

// throughEvents reads one event before it lets the app send the next.
func throughEvents(t *testing.T, local string) {
	res, err := http.Get(local + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		next, err := http.Post(local+"/next", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		next.Body.Close()
	}
}

func throughH2C(t *testing.T, local string) {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Post(local+"/sum", "text/plain", strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.ProtoMajor != 2 || string(body) != fmt.Sprintf("3 %x", sha256.Sum256([]byte("abc"))) {
		t.Errorf("HTTP/%d: %s", res.ProtoMajor, body)
	}
}

// throughUpload sends as much as the policy allows.
func throughUpload(t *testing.T, local string) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	res, err := http.Post(local+"/sum", "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)); string(body) != want {
		t.Errorf("the app read %.100s, expected %s", body, want)
	}
}

// tooLarge is refused by the box with its own number, which passes the proxy.
func tooLarge(t *testing.T, local string) {
	res, err := http.Post(local+"/sum", "application/octet-stream", bytes.NewReader(make([]byte, 1<<20+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusRequestEntityTooLarge || !bytes.Contains(body, []byte("BBX-413")) {
		t.Errorf("status %d: %.200s", res.StatusCode, body)
	}
}
