package ingress

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// inBody is a box whose callers name a model in the first line of a body.
const inBody = `name: test
models: [{name: open, builtin: a}, {name: closed, builtin: b}]
callers:
  - {name: clinic, api_key: %s, may: [query], models: [open]%s}
  - {name: auditor, api_key: %s, may: [observe, list]}
limits: {request: %s, concurrent: %d, idle: %s%s}
`

// aheadFront is a Handler in front of models, which decides by the first line of what
// is sent to /v1/embeddings. Backend is what answers.
func aheadFront(t testing.TB, doc string, backend http.HandlerFunc) (*Handler, *httptest.Server, *decisions) {
	t.Helper()
	d := &decisions{}
	h := New(Config{
		Policy: parsed(t, doc), Callers: known(t, doc), Backend: backend, Decided: d.add,
		InBody: func(r *http.Request) bool { return r.URL.Path == "/v1/embeddings" },
		Model: func(_ string, r *http.Request, body []byte) (Model, error) {
			name, _, _ := strings.Cut(string(body), "\n")
			if name == "" {
				return Model{}, errors.New("the body names no model")
			}
			return Model{Name: name, Digest: [32]byte{1}}, nil
		},
	})
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return h, s, d
}

func aheadDoc(caller, request string, places int, idle, limits string) string {
	return fmt.Sprintf(inBody, hash(clinicKey), caller, hash(auditorKey), request, places, idle, limits)
}

// TestAhead: the body is read before the decision, and is what the backend gets.
func TestAhead(t *testing.T) {
	var reached atomic.Int32
	got := make(chan seen, 1)
	held := make(chan []byte, 1)
	h, s, d := aheadFront(t, aheadDoc("", "300KiB", 4, "1m", ""), func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		all, ok := r.Body.(interface{ Bytes() []byte })
		if !ok || r.ContentLength != int64(len(all.Bytes())) {
			t.Errorf("the body is a %T of %d bytes", r.Body, r.ContentLength)
		}
		held <- all.Bytes()
		echo(got).ServeHTTP(w, r)
	})
	large := make([]byte, 200<<10)
	_, _ = rand.Read(large)
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		c := client(s)
		send := func(body io.Reader, header ...string) (*http.Response, []byte) {
			return do(t, c, request(t, "POST", s.URL+"/v1/embeddings", body, append(header, "Authorization", "Bearer "+clinicKey)...))
		}
		for _, text := range []string{"open\n", "open\nmore", "open\n" + string(large)} {
			for _, body := range []io.Reader{strings.NewReader(text), io.MultiReader(strings.NewReader(text))} { // the second one is chunked
				resp, said := send(body, "Blindbox-Model", "closed", "Blindbox-Model-Id", "sha256:00")
				if resp.StatusCode != http.StatusTeapot {
					t.Errorf("%d %.200s", resp.StatusCode, said)
					continue
				}
				at := <-got
				if !bytes.Equal(<-held, []byte(text)) || at.body != text || at.header.Get("Blindbox-Model") != "open" ||
					at.header.Get("Blindbox-Model-Id") != "sha256:01"+strings.Repeat("0", 62) || at.header.Get("Blindbox-Caller") != "clinic" {
					t.Errorf("the backend got %d bytes and %v", len(at.body), at.header)
				}
			}
		}
		was := reached.Load()
		for _, c := range []struct {
			text   string
			status int
			detail string
		}{
			{"closed\n", 403, "only the models open"}, {"", 400, "Refused because the body names no model."}, {"\nopen", 400, "names no model"},
			{"closed\nopen", 403, "only the models open"}, {"open\n" + strings.Repeat("x", 300<<10), 413, "300 KiB"},
		} {
			for _, body := range []io.Reader{strings.NewReader(c.text), io.MultiReader(strings.NewReader(c.text))} {
				resp, text := send(body)
				p := wantProblem(t, resp, text, c.status)
				if !strings.Contains(p.Detail, c.detail) {
					t.Errorf("%.20q: %+v", c.text, p)
				}
				if p.Error == nil || !strings.Contains(p.Error.Message, p.Detail) || p.Error.Type != "invalid_request_error" || p.Error.Code != p.Code {
					t.Errorf("%.20q: clients of OpenAI's API read %+v", c.text, p.Error)
				}
			}
		}
		if reached.Load() != was {
			t.Errorf("%d refused requests reached the backend", reached.Load()-was)
		}
		h.places.wait(t.Context())
	})
	for _, one := range d.take() {
		if one.Action != policy.Query || one.Caller != "clinic" || one.Allowed != (one.Code == 0) {
			t.Errorf("%+v", one)
		}
	}
}

// later is an error of the moment.
type later struct{}

func (later) Error() string { return "runs of others" }
func (later) Later() bool   { return true }

// TestNoTimeToRead: a body that there was no time to read is no bad body.
func TestNoTimeToRead(t *testing.T) {
	h, s, _ := aheadFront(t, aheadDoc("", "1KiB", 2, "1m", ""), func(http.ResponseWriter, *http.Request) { t.Error("the backend was reached") })
	h.cfg.Model = func(string, *http.Request, []byte) (Model, error) { return Model{}, fmt.Errorf("model: %w", later{}) }
	resp, text := do(t, s.Client(), request(t, "POST", s.URL+"/v1/embeddings", strings.NewReader("open\n"), "Authorization", "Bearer "+clinicKey))
	if p := wantProblem(t, resp, text, 429); !strings.Contains(p.Detail, "no time to read") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%+v %v", p, resp.Header)
	}
}

// endless is a body that never ends, and tells when it is read.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read.Add(int64(len(p)))
	return len(p), nil
}
func (e *endless) Close() error { return nil }

// TestNotReadAhead: what can be refused without its body is.
func TestNotReadAhead(t *testing.T) {
	h, _, _ := aheadFront(t, aheadDoc(", rate: 1/min", "1KiB", 2, "1m", ""), func(http.ResponseWriter, *http.Request) {})
	send := func(key, path string, length int64) (int, int64) {
		body := &endless{}
		r := httptest.NewRequest("POST", path, body)
		r.Header.Set("Authorization", "Bearer "+key)
		r.ContentLength = length
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, body.read.Load()
	}
	want := func(what string, status int) func(int, int64) {
		return func(got int, read int64) {
			t.Helper()
			if got != status || read != 0 {
				t.Errorf("%s: %d, and %d bytes were read", what, got, read)
			}
		}
	}
	want("nobody", 401)(send("a-key-that-nobody-has", "/v1/embeddings", -1))
	want("one that may not query", 403)(send(auditorKey, "/v1/embeddings", -1))
	want("a length over the limit", 413)(send(clinicKey, "/v1/embeddings", 1025))
	want("a path whose body names no model", 400)(send(clinicKey, "/v1/other", -1))
	if status, read := send(clinicKey, "/v1/embeddings", -1); status != 413 || read == 0 || read > 128<<10 {
		t.Errorf("%d after %d bytes", status, read)
	}
	r := httptest.NewRequest("POST", "/v1/embeddings", strings.NewReader("closed\n"))
	r.Header.Set("Authorization", "Bearer "+clinicKey)
	h.ServeHTTP(httptest.NewRecorder(), r)
	r.Body = io.NopCloser(strings.NewReader("open\n")) // what was refused has used nothing
	r.Header.Set("Authorization", "Bearer "+clinicKey)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want("a caller that has nothing left", 429)(send(clinicKey, "/v1/embeddings", -1))
	h.Drain()
	want("a box that stops", 503)(send(clinicKey, "/v1/embeddings", -1))
}

// withAuditor lets the other caller query, too.
const withAuditor = "cedar: |\n  permit(principal == Caller::\"auditor\", action == Action::\"query\", resource);\n"

// TestSlowAhead: a body that trickles in, or never comes, is given up, and its place is
// there again.
func TestSlowAhead(t *testing.T) {
	for name, c := range map[string]struct {
		idle, limits string
		ahead        time.Duration
	}{
		"all of it": {"1m", "", 300 * time.Millisecond},
		"idle":      {"1s", "", time.Hour},
		"time":      {"1m", ", time: 1s", time.Millisecond}, // the policy's word counts
	} {
		h, s, _ := aheadFront(t, aheadDoc("", "1MiB", 4, c.idle, c.limits), func(http.ResponseWriter, *http.Request) {})
		h.aheadFor = c.ahead
		protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
			cl := client(s)
			trickle(t, cl, s.URL+"/v1/embeddings", name != "idle")
			if len(h.places.slots) > 0 {
				h.places.wait(t.Context())
			}
			limits := &h.cfg.Policy.Limits
			short := *limits
			h.aheadFor, limits.Idle, limits.Time = time.Hour, time.Hour, time.Hour
			resp, text := do(t, cl, request(t, "POST", s.URL+"/v1/embeddings", strings.NewReader("open\n"), "Authorization", "Bearer "+clinicKey))
			if h.aheadFor, *limits = c.ahead, short; resp.StatusCode != 200 {
				t.Errorf("%s: afterwards %d %s", name, resp.StatusCode, text)
			}
		})
	}
}

// TestCrowdAhead: who sends many bodies that do not end keeps nobody else out.
func TestCrowdAhead(t *testing.T) {
	h, s, _ := aheadFront(t, aheadDoc("", "1MiB", 4, "1m", "")+withAuditor, func(http.ResponseWriter, *http.Request) {})
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		cl := client(s)
		short := func(key string) int {
			resp, _ := do(t, cl, request(t, "POST", s.URL+"/v1/embeddings", strings.NewReader("open\n"), "Authorization", "Bearer "+key))
			return resp.StatusCode
		}
		var all sync.WaitGroup
		var ends []io.Closer
		for range 3 {
			body, w := io.Pipe()
			r := request(t, "POST", s.URL+"/v1/embeddings", body, "Authorization", "Bearer "+clinicKey)
			ends = append(ends, w)
			all.Go(func() {
				if resp, err := cl.Do(r); err == nil {
					resp.Body.Close()
				}
			})
		}
		for end := time.Now().Add(patience); len(h.places.slots) < 3; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("bodies that do not end take no places")
			}
		}
		// The last place is kept for a caller that has none.
		if mine, other := short(clinicKey), short(auditorKey); mine != 429 || other != 200 {
			t.Errorf("the same caller is answered %d, another %d", mine, other)
		}
		for _, end := range ends {
			end.Close()
		}
		all.Wait()
		h.places.wait(t.Context())
		if status := short(clinicKey); status != 200 {
			t.Errorf("afterwards %d", status)
		}
	})
}

// TestRoomAhead: bodies that are read before a decision have a room together, of which one
// caller of several has half. Who finds none is told to try again.
func TestRoomAhead(t *testing.T) {
	h, s, _ := aheadFront(t, aheadDoc("", "1MiB", 4, "1m", "")+withAuditor, func(http.ResponseWriter, *http.Request) {})
	ask := func(key string) (*http.Response, []byte) {
		return do(t, s.Client(), request(t, "POST", s.URL+"/v1/embeddings", strings.NewReader("open\n"+strings.Repeat("x", 900<<10)), "Authorization", "Bearer "+key))
	}
	var held []func()
	for _, size := range []int{1 << 20, 32 << 10} {
		for {
			_, free, err := h.cfg.Bodies.ReadAll("clinic", strings.NewReader(strings.Repeat("x", size)), int64(size))
			if err != nil {
				break
			}
			held = append(held, free)
		}
	}
	resp, text := ask(clinicKey)
	if p := wantProblem(t, resp, text, 429); !strings.Contains(p.Detail, "take the memory that this one needs") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%+v", p)
	}
	if resp, _ := ask(auditorKey); resp.StatusCode != 200 {
		t.Errorf("another caller is answered %d", resp.StatusCode)
	}
	for _, free := range held {
		free()
	}
	if resp, _ := ask(clinicKey); resp.StatusCode != 200 {
		t.Errorf("afterwards %d", resp.StatusCode)
	}
}

// trickle sends a body that never ends, a byte now and then or only one, and expects to
// be told that it took too long.
func trickle(t *testing.T, c *http.Client, url string, more bool) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	body, w := io.Pipe()
	defer body.Close()
	go func() {
		for ctx.Err() == nil {
			if _, err := io.WriteString(w, "o"); err != nil {
				return
			}
			if !more {
				<-ctx.Done()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	r, err := http.NewRequestWithContext(ctx, "POST", url, body)
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+clinicKey)
	resp, err := c.Do(r)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // what is left of it may be cut
	if resp.StatusCode != 400 || !strings.Contains(string(text), "did not come in time") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// TestBytesAhead: what is read to decide counts as what is passed on does.
func TestBytesAhead(t *testing.T) {
	_, s, _ := aheadFront(t, aheadDoc(", quota: {bytes: 1KiB/h}", "1MiB", 4, "1m", ""), func(http.ResponseWriter, *http.Request) {})
	send := func(text string) (*http.Response, []byte) {
		return do(t, s.Client(), request(t, "POST", s.URL+"/v1/embeddings", strings.NewReader(text), "Authorization", "Bearer "+clinicKey))
	}
	if resp, text := send("open\n" + strings.Repeat("x", 500)); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	resp, text := send("open\n" + strings.Repeat("x", 600))
	if p := wantProblem(t, resp, text, 429); !strings.Contains(p.Detail, "quota of bytes") || p.Error.Type != "rate_limit_error" {
		t.Errorf("%+v", p)
	}
}

// TestProblemsOfOthers: only clients of OpenAI's API are told in its form, and an app's
// callers never.
func TestProblemsOfOthers(t *testing.T) {
	_, s := front(t, open, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	resp, text := do(t, s.Client(), request(t, "POST", s.URL+"/v1/embeddings", strings.NewReader(strings.Repeat("x", 2000))))
	if p := wantProblem(t, resp, text, 413); p.Error != nil {
		t.Errorf("an app's caller is told %+v", p.Error)
	}
	_, s, _ = aheadFront(t, aheadDoc("", "1KiB", 4, "1m", ""), func(http.ResponseWriter, *http.Request) {})
	resp, text = do(t, s.Client(), request(t, "POST", s.URL+"/v2/models/m/infer", strings.NewReader("x")))
	if p := wantProblem(t, resp, text, 401); p.Error != nil {
		t.Errorf("a caller of the other protocol is told %+v", p.Error)
	}
}

// TestFixesFit: what is wrong with a request is told with what to send instead.
func TestFixesFit(t *testing.T) {
	_, s, _ := aheadFront(t, aheadDoc("", "1MiB", 4, "1m", ""), func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct{ method, path, body, fix string }{
		{"POST", "/v1/embeddings", "\n", "the model's name"},
		{"TRACE", "/x", "", "another method"},
		{"POST", "/.well-known/blindbox/policy", "x", "Send GET."},
	} {
		resp, text := do(t, s.Client(), request(t, c.method, s.URL+c.path, strings.NewReader(c.body), "Authorization", "Bearer "+clinicKey))
		if p := wantProblem(t, resp, text, 400); !strings.Contains(p.Fix, c.fix) {
			t.Errorf("%s %s: fix %q, expected %q", c.method, c.path, p.Fix, c.fix)
		}
	}
}
