//go:build linux

package box

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/examples/tumour"
)

// canary stands in every part of a request that could leak.
const canary = "CANARY7f3a91d2"

// TestNothingIsLogged runs a box in a process of its own, sends requests that
// carry a canary everywhere and go wrong in every way, and looks for it in all
// that the box gave out to anybody but the caller: standard output and error,
// log events, the counters, answers to another caller.
func TestNothingIsLogged(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	kept := "logs: sealed:" + id.Recipient().String() + "\naudit: host\n"
	for _, kind := range []string{"app", "models", "image", "gvisor", "app that logs", "models that log", "image that logs"} {
		t.Run(kind, func(t *testing.T) {
			var doc string
			c := &Containers{}
			logs, audit, also := "", "", "logs: counters\n"
			if strings.Contains(kind, "that log") {
				logs, audit, also = t.TempDir(), t.TempDir(), kept
			}
			// All that it can write to besides.
			tmp, work := t.TempDir(), t.TempDir()
			switch kind {
			case "app", "app that logs":
				doc = self(t, "talk", "limits: {request: 64KiB, concurrent: 4, idle: 1s}\n"+also)
			case "image", "gvisor", "image that logs":
				var digest string
				c, digest = contained(t)
				doc = withImage(digest, "files: {tmp: 1MiB}\nlimits: {request: 64KiB, concurrent: 4, idle: 1s}\n"+also)
				if kind == "gvisor" {
					onlyGVisor(t, c)
					doc = underGVisor(doc)
				}
			default:
				doc = "name: m\nmodels: [{name: m, builtin: tumour}]" + twoKeys + also
			}
			cmd := exec.Command(exe, "-test.run", "^TestCanaryBox$", "-test.v")
			cmd.Env = append(os.Environ(), "CANARY_POLICY="+doc, "GOTRACEBACK=all", "CANARY_IMAGES="+c.Images, "CANARY_DIR="+c.Dir, "CANARY_RUNTIME="+c.Runtime, "CANARY_GVISOR="+c.GVisor,
				"CANARY_LOGS="+logs, "CANARY_AUDIT="+audit, "TMPDIR="+tmp)
			cmd.Dir = work
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out := &sink{addr: make(chan string, 1)}
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer stdin.Close()
			var addr string
			select {
			case addr = <-out.addr:
			case <-time.After(patience):
				t.Fatalf("the box does not open:\n%s", out)
			}
			b := &running{Box: &Box{policy: parsed(t, doc)}, addr: addr}
			sent, ids := attack(t, b)
			for _, id := range ids {
				if _, text := do(t, b.client(t, "h2"), request(t, "GET", ownAddress+"/receipts/"+id, nil)); !strings.Contains(text, "BBX-404") { // the oldest go first
					payload, _ := json.Marshal(opened(t, text))
					noCanary(t, "a receipt", string(payload))
				}
			}
			for _, path := range []string{"/.well-known/blindbox/audit", "/.well-known/blindbox/audit/head", "/.well-known/blindbox/counters", "/.well-known/blindbox/health", "/.well-known/blindbox/none", "/other"} {
				_, text := do(t, b.client(t, "h2"), request(t, "GET", path, nil, "Authorization", "Bearer "+auditorKey))
				noCanary(t, "the answer to somebody else", text)
			}
			stdin.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("the box ended with %v\n%s", err, out)
			}
			if !strings.Contains(out.String(), "EVENT stopped") || sent < 20 || len(ids) < 10 {
				t.Errorf("%d requests were sent, %d have receipts; the box said\n%s", sent, len(ids), out)
			}
			for _, dir := range []string{tmp, work, logs, audit} {
				nothingIn(t, dir)
			}
			if logs != "" {
				// What is looked for does get there, and nowhere else.
				text, _ := openedLogs(t, logs, id)
				if kind != "models that log" && !strings.Contains(text, canary) {
					t.Errorf("the recipient does not see what the app printed:\n%.2000s", text)
				}
				if r := verified(t, audit); r.Allowed < 10 || r.Denied < 10 {
					t.Errorf("the audit log: %+v", r)
				}
			}
			noCanary(t, "what the box printed", out.String())
		})
	}
}

// nothingIn looks for the canary in the names and the bytes of all files.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	if dir == "" {
		return
	}
	if err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		noCanary(t, name, filepath.Base(name)+string(text))
		return err
	}); err != nil {
		t.Error(err)
	}
}

func noCanary(t *testing.T, what, text string) {
	t.Helper()
	low := strings.ToLower(text)
	for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))[:16], url.QueryEscape(canary)} {
		if strings.Contains(low, strings.ToLower(form)) {
			t.Errorf("the canary is in %s:\n%.2000s", what, text)
		}
	}
	for _, key := range []string{clinicKey, auditorKey} {
		if strings.Contains(text, key) {
			t.Errorf("a key is in %s", what)
		}
	}
}

// attack sends requests with the canary in the path, the query, headers, the
// body, trailers and the key, that are answered, refused and break in turn.
func attack(t *testing.T, b *running) (sent int, ids []string) {
	t.Helper()
	for _, proto := range []string{"http/1.1", "h2"} {
		c := b.client(t, proto)
		for _, path := range []string{"/talk/x", "/talk/panic", "/talk/exit", "/v2/models/m/infer", "/v2/models/" + canary, "/.well-known/blindbox/" + canary, "/a//b", "/%2e%2e"} {
			for _, key := range []string{clinicKey, canary + "-long-enough-for-a-key", ""} {
				r := request(t, "POST", path, strings.NewReader(`{"inputs":[{"name":"`+canary+`"}]}`),
					"Authorization", "Bearer "+key, "X-Header", canary, "Cookie", "a="+canary, "Blindbox-Caller", canary, "Content-Type", canary, "Content-Disposition", "attachment; filename="+canary)
				r.URL.RawQuery = "q=" + canary
				send(c, r, &sent, &ids)
			}
		}
		send(c, request(t, "POST", "/talk/x?"+canary, bytes.NewReader(bytes.Repeat([]byte(canary), 10000))), &sent, &ids)
		send(c, request(t, canary, "/talk/x", nil), &sent, &ids)
		broken := request(t, "POST", "/talk/x", io.MultiReader(strings.NewReader(canary), failing{}))
		send(c, broken, &sent, &ids)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		send(c, request(t, "POST", "/talk/"+canary, slow{}).WithContext(ctx), &sent, &ids)
		cancel()
	}
	return sent, ids
}

// send asks for a receipt, and notes its id.
func send(c *http.Client, r *http.Request, sent *int, ids *[]string) {
	*sent++
	r.Header.Set("Blindbox-Receipt", "1")
	if resp, err := c.Do(r); err == nil {
		if id := resp.Header.Get("Blindbox-Receipt-Id"); id != "" {
			*ids = append(*ids, id)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// failing breaks off, slow never comes.
type (
	failing struct{}
	slow    struct{}
)

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (slow) Read(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return copy(p, canary), nil
}

// sink keeps what a process prints and finds the line with its address.
type sink struct {
	mu   sync.Mutex
	text strings.Builder
	addr chan string
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if _, rest, ok := strings.Cut(s.text.String(), "EVENT serving: "); ok {
		if line, _, ok := strings.Cut(rest, "\n"); ok {
			select {
			case s.addr <- line:
			default:
			}
		}
	}
	return len(p), nil
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestCanaryBox is the box of TestNothingIsLogged. It ends with its input.
func TestCanaryBox(t *testing.T) {
	doc, ok := os.LookupEnv("CANARY_POLICY")
	if !ok {
		return
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	b, err := New(Config{
		Simulation: true, Policy: parsed(t, doc), Attester: launched(parsed(t, doc)), Listener: listen(t), Builtin: map[string][]byte{"tumour": tumour.Model()},
		Logs: os.Getenv("CANARY_LOGS"), Audit: os.Getenv("CANARY_AUDIT"),
		Containers: &Containers{Images: os.Getenv("CANARY_IMAGES"), Dir: os.Getenv("CANARY_DIR"), Runtime: os.Getenv("CANARY_RUNTIME"), GVisor: os.Getenv("CANARY_GVISOR")},
		Log:        func(e Event) { fmt.Printf("EVENT %s\n%+v\n", e, e.Counters) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(ctx); err != nil {
		t.Fatal(err)
	}
}
