package box

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/policy"
	"github.com/coder/websocket"
)

const (
	clinicKey  = "a-key-of-the-clinic-0001"
	auditorKey = "a-key-of-the-auditor-0002"
	patience   = time.Minute // for what has to happen, on a machine that does much else
)

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// twoKeys is the end of every policy here.
var twoKeys = `
callers:
  - {name: clinic, api_key: ` + hash(clinicKey) + `, may: [query], paths: [/*]}
  - {name: auditor, api_key: ` + hash(auditorKey) + `, may: [observe]}
`

// signer is an attester whose evidence is what it was asked for and launched with,
// where a report of SEV-SNP has them. Nothing here verifies evidence; that is for
// the packages that do.
type signer struct {
	err    error
	kind   attest.Kind
	policy [32]byte // HOST_DATA
}

// launched is hardware on which a box was launched with that policy.
func launched(p *policy.Policy) signer { return signer{policy: p.Digest()} }

func (s signer) Kind() attest.Kind { return attest.SimSNP }

func (s signer) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if s.err != nil || b.IsZero() {
		return attest.Evidence{}, nil, errors.Join(s.err, errors.New("no evidence"))
	}
	report, sum := make([]byte, 1184), b.Bytes()
	copy(report[80:], sum[:])
	copy(report[192:], s.policy[:])
	return attest.Evidence{Kind: max(s.kind, attest.SimSNP), Data: report}, nil, nil
}

// running is a box that serves, with a client that came through its gate.
type running struct {
	*Box
	addr   string
	stop   context.CancelFunc
	done   chan error
	events *events
}

type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) add(one Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, one)
}

func (e *events) names() (out []Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.list {
		out = append(out, one.Name)
	}
	return out
}

func parsed(t testing.TB, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// serve starts a box and waits until its door is open.
func serve(t testing.TB, cfg Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stop: stop, done: make(chan error, 1), events: &events{}}
	cfg.Simulation = true
	if cfg.Listener == nil {
		cfg.Listener = listen(t)
	}
	if cfg.Attester == nil {
		cfg.Attester = launched(cfg.Policy)
	}
	r.addr, cfg.Log = cfg.Listener.Addr().String(), r.events.add
	var err error
	if r.Box, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		<-r.done
	})
	select {
	case <-r.Ready():
	case err := <-r.done:
		r.done <- err
		t.Fatalf("the box ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the box does not open")
	}
	return r
}

// client returns a client for one protocol, "h2" or "http/1.1".
func (r *running) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	digest := r.policy.Digest()
	c, err := atls.NewClient(atls.ClientConfig{
		Kinds: []attest.Kind{attest.SimSNP}, NextProtos: []string{proto}, Skew: time.Minute,
		Check: func(_ context.Context, p atls.Presented) (any, error) {
			if p.Statement.Policy != digest || !bytes.Equal(p.Bundle.Policy, r.policy.Bytes()) {
				return nil, errors.New("another policy")
			}
			return true, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.DialContext(ctx, network, r.addr)
		},
		ForceAttemptHTTP2: proto == "h2", DisableCompression: true, MaxIdleConnsPerHost: 100,
		HTTP2: &http.HTTP2Config{MaxReadFrameSize: 256 << 10}, // as package client
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func request(t testing.TB, method, path string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "https://box.example"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+clinicKey)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func do(t testing.TB, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// self is a policy whose app is this test binary, see TestMain.
func self(t testing.TB, mode string, more string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(t.TempDir(), "app.sock")
	return fmt.Sprintf("name: test\napp: {command: [%q], env: {APP: %s, SOCKET: %q}, listen: %q}%s%s", exe, mode, sock, "unix:"+sock, twoKeys, more)
}

// TestMain makes the test binary its own app.
func TestMain(m *testing.M) {
	sandbox.Keep(os.Args)
	if mode := os.Getenv("APP"); mode != "" {
		appMain(mode)
		return
	}
	os.Exit(m.Run())
}

func appMain(mode string) {
	switch mode {
	case "bench":
		benchMain()
		return
	case "box":
		boxMain()
		return
	case "uploads":
		uploadsMain()
		return
	}
	l, err := net.Listen("unix", os.Getenv("SOCKET"))
	if err != nil {
		os.Exit(9)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/caller", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Blindbox-Caller")) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done() // the stream stays open
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, text, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, text) != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		time.Sleep(300 * time.Millisecond)
		io.WriteString(w, "done")
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	if mode == "talk" {
		mux.HandleFunc("/talk/", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Printf("stdout %s %s %s %v\n", r.Method, r.RequestURI, body, r.Header)
			fmt.Fprintf(os.Stderr, "stderr %s %s %s %v\n", r.Method, r.RequestURI, body, r.Header)
			w.Header().Set("X-Answer", string(body))
			if strings.Contains(r.URL.Path, "panic") {
				panic(string(body))
			}
			if strings.Contains(r.URL.Path, "exit") {
				os.Exit(3)
			}
			w.Write(body)
		})
	}
	http.Serve(l, mux)
}

// TestPython: an app that nobody wrote for us.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on this machine")
	}
	if real, err := exec.Command(python, "-c", "import sys; print(sys.executable)").Output(); err == nil {
		python = strings.TrimSpace(string(real))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello from python\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	free := listen(t)
	addr := free.Addr().(*net.TCPAddr)
	free.Close()
	doc := fmt.Sprintf("name: python\napp:\n  command: [%q, -m, http.server, \"%d\", --bind, 127.0.0.1]\n  dir: %q\n  listen: %s%s", python, addr.Port, dir, addr, twoKeys)
	b := serve(t, Config{Policy: parsed(t, doc)})
	for _, proto := range []string{"http/1.1", "h2"} {
		c := b.client(t, proto)
		resp, text := do(t, c, request(t, "GET", "/hello.txt", nil))
		if resp.StatusCode != 200 || text != "hello from python\n" || !strings.HasPrefix(resp.Header.Get("Server"), "SimpleHTTP") {
			t.Errorf("%s: %d %v %q", proto, resp.StatusCode, resp.Header, text)
		}
		if resp, _ := do(t, c, request(t, "GET", "/none", nil)); resp.StatusCode != 404 || resp.Header.Get("Blindbox-Error") != "" {
			t.Errorf("%s: the app's own 404: %d %v", proto, resp.StatusCode, resp.Header)
		}
		if resp, _ := do(t, c, request(t, "GET", "/hello.txt", nil, "Authorization", "Bearer of-somebody-else-entirely")); resp.StatusCode != 401 {
			t.Errorf("%s: unknown caller: %d", proto, resp.StatusCode)
		}
	}
	b.stop()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	b.done <- nil
	if c, err := net.Dial("tcp", addr.String()); err == nil {
		c.Close()
		t.Error("the app still listens after the box has stopped")
	}
}

// TestApp drives everything an app may do, through the gate, over both
// protocols.
func TestApp(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", "limits: {request: 8MiB}\nlogs: counters\n"))})
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			c := b.client(t, proto)
			resp, text := do(t, c, request(t, "GET", "/caller", nil))
			if resp.StatusCode != 200 || text != "clinic" || (resp.ProtoMajor == 2) != (proto == "h2") {
				t.Errorf("%d %s %q", resp.StatusCode, resp.Proto, text)
			}
			large := strings.Repeat("0123456789abcdef", 4<<20/16)
			if _, text := do(t, c, request(t, "POST", "/echo", strings.NewReader(large))); text != large {
				t.Errorf("%d bytes came back, expected %d", len(text), len(large))
			}
			if resp, _ := do(t, c, request(t, "POST", "/echo", strings.NewReader(large+large+"x"))); resp.StatusCode != 413 {
				t.Errorf("too large: %d %.300s", resp.StatusCode, text)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			resp, err := c.Do(request(t, "GET", "/events", nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			scan := bufio.NewScanner(resp.Body)
			for i := range 3 {
				if !scan.Scan() || scan.Text() != fmt.Sprintf("data: %d", i) || !scan.Scan() {
					t.Errorf("event %d: %q, %v", i, scan.Text(), scan.Err())
				}
			}
			resp.Body.Close()
			resp, text = do(t, c, request(t, "GET", "/.well-known/blindbox/policy", nil))
			if resp.StatusCode != 200 || text != string(b.policy.Bytes()) {
				t.Errorf("policy: %d %q", resp.StatusCode, text)
			}
			resp, text = do(t, c, request(t, "GET", "/.well-known/blindbox/health", nil, "Authorization", "Bearer "+auditorKey))
			if resp.StatusCode != 200 || text != "{\"status\":\"ok\"}\n" {
				t.Errorf("health: %d %q", resp.StatusCode, text)
			}
		})
	}
	t.Run("websocket", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "https://box.example/ws", &websocket.DialOptions{
			HTTPClient: b.client(t, "http/1.1"), HTTPHeader: http.Header{"Authorization": {"Bearer " + clinicKey}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		for _, text := range []string{"one", strings.Repeat("x", 20000)} {
			if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(ctx); err != nil || string(got) != text {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		}
	})
}

// TestAppCrash: the caller is told, the app is started again, the next request
// is answered.
func TestAppCrash(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", ""))})
	c := b.client(t, "h2")
	if resp, text := do(t, c, request(t, "POST", "/die", strings.NewReader("x"))); resp.StatusCode != 502 || !strings.Contains(text, "BBX-502") {
		t.Errorf("while it died: %d %s", resp.StatusCode, text)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, text := do(t, c, request(t, "GET", "/caller", nil))
		if resp.StatusCode == 200 && text == "clinic" {
			break
		}
		if resp.StatusCode != 502 || time.Now().After(end) {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	}
	if names := fmt.Sprint(b.events.names()); names != "[starting app started serving app exited]" {
		t.Errorf("events %s", names)
	}
}

// TestModels: the built-in model answers the Open Inference Protocol.
func TestModels(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(file, tumour.Model(), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := "name: models\nmodels:\n  - {name: tumour, builtin: tumour, sha256: sha256:" + tumour.SHA256 + ", batch: {rows: 8, wait: 1ms}}\n" +
		fmt.Sprintf("  - {name: file, path: %q, sha256: sha256:%s}", file, tumour.SHA256) + twoKeys
	b := serve(t, Config{Policy: parsed(t, doc), Builtin: map[string][]byte{"tumour": tumour.Model()}})
	record, _ := tumour.Sample()
	c := b.client(t, "h2")
	for _, name := range []string{"tumour", "file"} {
		resp, text := do(t, c, request(t, "POST", "/v2/models/"+name+"/infer", bytes.NewReader(record), "Content-Type", "application/json"))
		var answer struct {
			Name    string            `json:"model_name"`
			Outputs []json.RawMessage `json:"outputs"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || resp.StatusCode != 200 || answer.Name != name || len(answer.Outputs) == 0 {
			t.Errorf("%s: %d %.300s, %v", name, resp.StatusCode, text, err)
		}
	}
	if resp, _ := do(t, c, request(t, "GET", "/v2/models/none", nil)); resp.StatusCode != 404 {
		t.Errorf("no such model: %d", resp.StatusCode)
	}
	if resp, text := do(t, c, request(t, "POST", "/v2/models/tumour/infer", io.LimitReader(zeros{}, policy.DefaultForModels+1))); resp.StatusCode != 413 {
		t.Errorf("too large: %d %.300s", resp.StatusCode, text)
	}
}

// TestBatchesAreCounted: a box says how often requests shared runs, of all callers and
// models together.
func TestBatchesAreCounted(t *testing.T) {
	doc := "name: models\nlogs: counters\nmodels:\n  - {name: tumour, builtin: tumour, sha256: sha256:" + tumour.SHA256 + ", batch: {rows: 2, wait: 1s}}\n" +
		"  - {name: single, builtin: tumour, sha256: sha256:" + tumour.SHA256 + "}" + twoKeys
	b := serve(t, Config{Policy: parsed(t, doc), Builtin: map[string][]byte{"tumour": tumour.Model()}})
	record, _ := tumour.Sample()
	c := b.client(t, "h2")
	ask := func(name string) {
		if resp, text := do(t, c, request(t, "POST", "/v2/models/"+name+"/infer", bytes.NewReader(record), "Content-Type", "application/json")); resp.StatusCode != 200 {
			t.Errorf("%s: %d %.300s", name, resp.StatusCode, text)
		}
	}
	counted := func() string {
		_, text := do(t, c, request(t, "GET", "/.well-known/blindbox/counters", nil, "Authorization", "Bearer "+auditorKey))
		_, text, _ = strings.Cut(text, `"batches":`)
		return strings.TrimSpace(text)
	}
	ask("single")
	if got := counted(); got != `{"runs":0,"requests":0,"rows":0}}` {
		t.Fatalf("after a run of its own: %s", got)
	}
	// Two rows are a whole run, so that two requests share it if they meet within a second.
	waitFor(t, "two requests that meet", func() bool {
		var both sync.WaitGroup
		both.Go(func() { ask("tumour") })
		both.Go(func() { ask("tumour") })
		both.Wait()
		return counted() == `{"runs":1,"requests":2,"rows":2}}`
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestNewRefuses: what can be known to be wrong is known before anything runs.
func TestNewRefuses(t *testing.T) {
	app := parsed(t, "name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1}\n")
	model := func(line string) *policy.Policy { return parsed(t, "name: a\nmodels: ["+line+"]\n") }
	dir := t.TempDir()
	file := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(file, []byte("not onnx"), 0o600); err != nil {
		t.Fatal(err)
	}
	dynamic, err := os.ReadFile("../onnx/testdata/quantized/transformer-dynamic.onnx")
	if err != nil {
		t.Fatal(err)
	}
	builtin := map[string][]byte{"tumour": tumour.Model(), "bad": []byte("x"), "empty": nil, "dynamic": dynamic}
	for _, c := range []struct {
		name, want string
		cfg        Config
	}{
		{"no policy", "box: no policy", Config{Attester: signer{}, Listener: listen(t)}},
		{"a policy that was not parsed", "box: policy: 1:1: the document is empty", Config{Policy: &policy.Policy{Name: "x"}, Attester: signer{}, Listener: listen(t)}},
		{"no attester", "box: no attester", Config{Policy: app, Listener: listen(t)}},
		{"no listener", "box: no listener", Config{Policy: app, Attester: signer{}}},
		{"no such built-in", `this program has no built-in model "none"`, Config{Policy: model("{name: m, builtin: none}")}},
		{"empty built-in", `this program has no built-in model "empty"`, Config{Policy: model("{name: m, builtin: empty}")}},
		{"not a model", "box: model: m: ", Config{Policy: model("{name: m, builtin: bad}")}},
		{"requests that would change each other's answers", "requests for it cannot run together", Config{Policy: model("{name: m, builtin: dynamic, batch: {rows: 8}}")}},
		{"other digest", "expected sha256:" + strings.Repeat("11", 32), Config{Policy: model("{name: m, builtin: tumour, sha256: sha256:" + strings.Repeat("11", 32) + "}")}},
		{"no such file", "no such file", Config{Policy: model(fmt.Sprintf("{name: m, path: %q, sha256: %s}", dir+"/none", hash("x")))}},
		{"file with other bytes", "has the digest " + hash("not onnx"), Config{Policy: model(fmt.Sprintf("{name: m, path: %q, sha256: %s}", file, hash("x")))}},
		{"a directory", "is not a regular file: of a folder `blindbox model pack` makes one", Config{Policy: model(fmt.Sprintf("{name: m, path: %q, sha256: %s}", dir, hash("x")))}},
		{"a device", "is not a regular file", Config{Policy: model(fmt.Sprintf("{name: m, path: /dev/zero, sha256: %s}", hash("x")))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cfg.Policy != nil && len(c.cfg.Policy.Models) > 0 {
				c.cfg.Attester, c.cfg.Simulation, c.cfg.Listener, c.cfg.Builtin = signer{}, true, listen(t), builtin
			}
			b, err := New(c.cfg)
			if b != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, expected %q", err, c.want)
			}
		})
	}
}

// TestClosedDoor: a box that cannot prove itself, or has nothing to run, serves
// nobody.
func TestClosedDoor(t *testing.T) {
	models := "name: a\nmodels: [{name: m, builtin: tumour}]\n"
	for _, c := range []struct {
		name, doc, want string
		attester        signer
		unavailable     bool
	}{
		{"no evidence", models, "box: signing: no evidence", signer{err: attest.ErrUnavailable}, true},
		{"another kind", models, "of kind sev-snp", signer{kind: 0xff}, true},
		{"no app", "name: a\napp: {command: [/nowhere/app], listen: \"unix:/nowhere.sock\"}\n", "cannot start the app", signer{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := listen(t)
			c.attester.policy = parsed(t, c.doc).Digest()
			b, err := New(Config{Simulation: true, Policy: parsed(t, c.doc), Attester: c.attester, Listener: l, Builtin: map[string][]byte{"tumour": tumour.Model()}})
			if err != nil {
				t.Fatal(err)
			}
			err = b.Serve(t.Context())
			if c.attester.kind == 0xff {
				c.want = "of kind invalid"
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, attest.ErrUnavailable) != c.unavailable {
				t.Errorf("got %v, expected %q", err, c.want)
			}
			select {
			case <-b.Ready():
				t.Error("the door was opened")
			default:
			}
			if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
				t.Error("the listener is open")
			}
			if err := b.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "served already") {
				t.Errorf("served twice: %v", err)
			}
		})
	}
}

// TestNoGateNoAnswer: HTTP over TCP, and HTTP over TLS without the gate, are
// not answered.
func TestNoGateNoAnswer(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", ""))})
	plain := func() (net.Conn, error) { return net.Dial("tcp", b.addr) }
	overTLS := func() (net.Conn, error) {
		return tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	for name, dial := range map[string]func() (net.Conn, error){"TCP": plain, "TLS": overTLS} {
		c, err := dial()
		if err != nil {
			continue // refused even earlier
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /caller HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", clinicKey)
		text, _ := io.ReadAll(c)
		if bytes.Contains(text, []byte("clinic")) || bytes.Contains(text, []byte(" 200 ")) {
			t.Errorf("answered over %s without the gate: %q", name, text)
		}
	}
}

// TestStopCutsWhatDoesNotEnd: a stream and a WebSocket that go on for ever are
// cut after the grace time.
func TestStopCutsWhatDoesNotEnd(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", ""))})
	b.grace = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "https://box.example/ws", &websocket.DialOptions{
		HTTPClient: b.client(t, "http/1.1"), HTTPHeader: http.Header{"Authorization": {"Bearer " + clinicKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	var hanging []*http.Response
	for _, proto := range []string{"http/1.1", "h2"} {
		resp, err := b.client(t, proto).Do(request(t, "GET", "/hang", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		hanging = append(hanging, resp)
	}
	begin := time.Now()
	b.stop()
	err = <-b.done
	b.done <- nil
	if took := time.Since(begin); err != nil || took < b.grace || took > patience {
		t.Errorf("the box ended after %s with %v", took, err)
	}
	for _, resp := range hanging {
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: a cut answer %q ended without an error", resp.Proto, text)
		}
	}
	if _, _, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the WebSocket is still open: %v", err)
	}
}

// TestStopWaitsForUpgraded: the server lets go of a WebSocket, the box does
// not: it may end by itself within the grace time, and no new request begins.
func TestStopWaitsForUpgraded(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", ""))})
	b.grace = 2 * patience
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "https://box.example/ws", &websocket.DialOptions{
		HTTPClient: b.client(t, "http/1.1"), HTTPHeader: http.Header{"Authorization": {"Bearer " + clinicKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	begin := time.Now()
	b.stop()
	time.Sleep(200 * time.Millisecond)
	if err := ws.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := ws.Read(ctx); err != nil || string(text) != "still here" {
		t.Errorf("got %q, %v", text, err)
	}
	late := httptest.NewRecorder()
	r := request(t, "GET", "/caller", nil)
	r.RequestURI = "/caller"
	b.handler.ServeHTTP(late, r)
	if late.Code != 503 {
		t.Errorf("a request during the stop got %d", late.Code)
	}
	ws.Close(websocket.StatusNormalClosure, "")
	err = <-b.done
	b.done <- nil
	if took := time.Since(begin); err != nil || took > patience {
		t.Errorf("the box ended after %s with %v", took, err)
	}
}

// TestListenerFails: a box whose listener breaks ends, and says so. Connections that
// came before end with it.
func TestListenerFails(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", ""))})
	c := b.client(t, "http/1.1")
	ask := func() *http.Request {
		return request(t, "GET", policy.ReservedPrefix+"/policy", nil, "Authorization", "Bearer "+clinicKey)
	}
	if resp, text := do(t, c, ask()); resp.StatusCode != 200 {
		t.Fatalf("%s %s", resp.Status, text)
	}
	defer func() {
		if resp, err := c.Do(ask()); err == nil {
			resp.Body.Close()
			t.Errorf("a box that ended answers with %s", resp.Status)
		}
	}()
	b.cfg.Listener.Close()
	err := <-b.done
	b.done <- nil
	if err == nil || !strings.Contains(err.Error(), "the listener failed") {
		t.Errorf("got %v", err)
	}
}

// TestLimitedListener: the connection over the limit waits until there is room.
func TestLimitedListener(t *testing.T) {
	l := limit(listen(t), 1)
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 2)
	go func() {
		for range 2 {
			_, err := l.Accept()
			second <- err
		}
	}()
	select {
	case err := <-second:
		t.Fatalf("one more was accepted: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives back one place, not two
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := <-second; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCleanStop: what is in flight may finish; new connections are not taken;
// the app ends with the box.
func TestCleanStop(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			doc := self(t, "quiet", "logs: counters\n")
			b := serve(t, Config{Policy: parsed(t, doc)})
			b.grace = patience
			c := b.client(t, proto)
			resp, err := c.Do(request(t, "GET", "/slow", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b.stop()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "done" {
				t.Errorf("a request in flight got %q, %v", text, err)
			}
			err = <-b.done
			b.done <- nil
			if err != nil {
				t.Errorf("the box ended with %v", err)
			}
			// Another program of this machine may have the port for a moment.
			waitFor(t, "connections not to be taken", func() bool {
				c, err := net.Dial("tcp", b.addr)
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			network, address := b.policy.App.Address()
			if _, err := net.Dial(network, address); err == nil {
				t.Error("the app is still there")
			}
			if names := fmt.Sprint(b.events.names()); names != "[starting app started serving stopping stopped]" {
				t.Errorf("events %s", names)
			}
			last := b.events.list[len(b.events.list)-1]
			if last.Counters == nil || last.Counters.Answered["2xx"] != 1 {
				t.Errorf("counters %+v", last.Counters)
			}
		})
	}
}

// TestServerTimeouts: a caller that sends its header a byte at a time, or
// nothing, does not stay.
func TestServerTimeouts(t *testing.T) {
	b, err := New(Config{Simulation: true, Policy: parsed(t, self(t, "quiet", "")), Attester: signer{}, Listener: listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	s := b.server(t.Context())
	if s.ReadHeaderTimeout != headerLimit || s.IdleTimeout != idleLimit || s.MaxHeaderBytes != maxHeader {
		t.Errorf("header %s, idle %s, %d bytes", s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
	if s.ReadTimeout != 0 || s.WriteTimeout != 0 {
		t.Error("a long stream would be cut")
	}
	if s.ErrorLog == nil || s.ErrorLog.Writer() != io.Discard {
		t.Error("net/http may log what a request holds")
	}
}
