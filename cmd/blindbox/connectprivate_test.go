package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestConnectPrivate: a program starts the proxy, is answered on a socket that nobody
// else can open, and leaves nothing behind by ending.
func TestConnectPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has a token instead of a socket: TestToken of internal/connect")
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := map[string]string{"BLINDBOX_HOME": dir}
	box := filepath.Join(dir, "box.yaml")
	trust := filepath.Join(dir, "trust.yaml")
	document := "name: models\nstore: {memory: 64MiB, owner: {bytes: 1MiB, models: 3}}\ncallers: [{anyone: true, may: [list]}]\n"
	if err := os.WriteFile(box, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := start(t, env, "dev", "-f", box, "--listen", address, "--trust-out", trust)
	stdin, alive := io.Pipe()
	out, in := io.Pipe()
	var stderr bytes.Buffer
	exit := make(chan int, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		code := run(ctx, session{args: []string{"connect", "-o", "json", "--private", "--trust", trust, dev.text(t, "url")},
			stdin: stdin, stdout: in, stderr: &stderr, env: func(name string) string { return env[name] }, now: time.Now})
		in.Close()
		exit <- code
	}()
	var told struct{ Socket, Token, Local, GRPC string }
	if err := json.NewDecoder(out).Decode(&told); err != nil {
		t.Fatalf("%v, %s", err, stderr.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	socket := told.Socket
	if socket == "" || told.Token != "" || told.Local != "http://localhost" || told.GRPC != "unix:"+socket {
		t.Errorf("%+v", told)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get(told.Local + "/v2/models")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != `{"models":[]}` {
		t.Errorf("%s %s", res.Status, body)
	}
	alive.Close() // the program is gone
	select {
	case code := <-exit:
		if code != 0 {
			t.Errorf("exit %d, %s", code, stderr.String())
		}
	case <-ctx.Done():
		t.Fatal("connect is still there")
	}
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestConnectPrivateGivesUp: a program that ends before there was a verdict leaves no
// proxy behind either.
func TestConnectPrivateGivesUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), session{args: []string{"connect", "--private", "--trust", "testdata/any.trust.yaml", "https://" + ln.Addr().String()},
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, env: func(string) string { return "" }, now: time.Now})
	if code == 0 || !strings.Contains(stderr.String(), "BBX-112") {
		t.Errorf("exit %d: %s %s", code, stdout.String(), stderr.String())
	}
	code = run(t.Context(), session{args: []string{"connect", "--private", "--listen", "127.0.0.1:0", "https://box.example"},
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, env: func(string) string { return "" }, now: time.Now})
	if code != exitUsage || !strings.Contains(stderr.String(), "--private") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}
