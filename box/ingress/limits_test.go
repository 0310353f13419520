package ingress

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/longer"
	"github.com/blindbox/blindbox/policy"
)

// uptime is a clock that a test sets.
type uptime struct{ now atomic.Int64 }

func (u *uptime) since() time.Duration { return time.Duration(u.now.Load()) }

// decisions keeps what was decided.
type decisions struct {
	mu   sync.Mutex
	list []Decision
}

func (d *decisions) add(one Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, one)
}

func (d *decisions) take() (out []Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out, d.list = d.list, nil
	return out
}

// metered is a front whose clock and decisions a test has.
func meteredFront(t testing.TB, doc string, app http.Handler) (*httptest.Server, *uptime, *decisions) {
	t.Helper()
	backend := httptest.NewServer(app)
	t.Cleanup(backend.Close)
	u, d := &uptime{}, &decisions{}
	h := New(Config{
		Policy: parsed(t, doc), Callers: known(t, doc), Backend: Forward("tcp", backend.Listener.Addr().String(), parsed(t, doc)),
		Uptime: u.since, Decided: d.add, Model: func(_ string, r *http.Request, _ []byte) (Model, error) {
			return Model{Name: r.URL.Query().Get("model")}, nil
		},
	})
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, u, d
}

// says is an app with an answer of some length, announced or not.
func says(n int, announced bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if announced {
			w.Header().Set("Content-Length", fmt.Sprint(n))
		} else {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", n))
	})
}

func withLimits(limits, caller string) string {
	return "name: test\napp: {command: [app], listen: 127.0.0.1:1}\ncallers:\n  - {name: clinic, api_key: " + hash(clinicKey) + ", may: [query, observe]" + caller + "}\n" +
		"  - {anyone: true, may: [query], rate: 3/min}\nlimits: {request: 1KiB, concurrent: 100, idle: 1m" + limits + "}\n"
}

// TestRate: each caller has its own, anyone one in total, and Retry-After is when
// there is room.
func TestRate(t *testing.T) {
	s, u, _ := meteredFront(t, withLimits("", ", rate: 2/min"), says(1, true))
	ask := func(path, key string) (*http.Response, []byte) {
		return do(t, s.Client(), request(t, "GET", s.URL+path, nil, "Authorization", "Bearer "+key))
	}
	for i, want := range []int{200, 200, 429, 429} {
		resp, text := ask("/x", clinicKey)
		if resp.StatusCode != want {
			t.Errorf("request %d: status %d", i, resp.StatusCode)
		}
		if want == 429 {
			p := wantProblem(t, resp, text, 429)
			if resp.Header.Get("Retry-After") != "60" || p.PolicyLine != 4 || !strings.Contains(p.Detail, "rate") {
				t.Errorf("Retry-After %q, %+v", resp.Header.Get("Retry-After"), p)
			}
		}
	}
	for i, want := range []int{200, 200, 200, 429} {
		if resp, _ := ask("/x", fmt.Sprintf("some-key-or-other-%d", i)); resp.StatusCode != want {
			t.Errorf("anyone, request %d: status %d", i, resp.StatusCode)
		}
	}
	// What is refused for another reason is not counted, and reading what one may
	// do is free.
	if resp, _ := ask("/.well-known/blindbox/me", clinicKey); resp.StatusCode != 200 {
		t.Errorf("me: %d", resp.StatusCode)
	}
	if resp, text := ask("/.well-known/blindbox/health", clinicKey); resp.StatusCode != 429 {
		t.Errorf("health: %d %s", resp.StatusCode, text)
	}
	u.now.Add(int64(59*time.Second + 1))
	if resp, _ := ask("/x", clinicKey); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("too early: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	u.now.Add(int64(time.Second))
	if resp, _ := ask("/.well-known/blindbox/health", clinicKey); resp.StatusCode != 200 {
		t.Errorf("health, after a minute: %d", resp.StatusCode)
	}
	large := request(t, "POST", s.URL+"/x", strings.NewReader(strings.Repeat("x", 2000)), "Authorization", "Bearer "+clinicKey)
	if resp, _ := do(t, s.Client(), large); resp.StatusCode != 413 {
		t.Errorf("too large: %d", resp.StatusCode)
	}
	if resp, _ := ask("/x", clinicKey); resp.StatusCode != 200 {
		t.Errorf("after one that was too large: %d", resp.StatusCode)
	}
}

// TestRateTogether: 100 clients at once get exactly what there is.
func TestRateTogether(t *testing.T) {
	s, _, d := meteredFront(t, withLimits("", ", rate: 50/min"), says(1, true))
	var all sync.WaitGroup
	var answered, refused atomic.Int64
	for range 100 {
		all.Go(func() {
			for range 2 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/x", nil)
				r.Header.Set("Blindbox-Key", clinicKey)
				resp, err := s.Client().Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				switch {
				case resp.StatusCode == 200:
					answered.Add(1)
				case resp.StatusCode == 429 && resp.Header.Get("Retry-After") != "":
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	if answered.Load() != 50 || refused.Load() != 150 {
		t.Errorf("%d answered, %d refused, expected 50 and 150", answered.Load(), refused.Load())
	}
	if n := len(d.take()); n != 200 {
		t.Errorf("%d decisions about 200 requests", n)
	}
}

// TestQuotaOfBytes: requests and answers together, on the way.
func TestQuotaOfBytes(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		s, u, _ := meteredFront(t, withLimits("", ", quota: {bytes: 1000B/day}"), says(300, true))
		c := client(s)
		post := func(n int) (*http.Response, error) {
			resp, err := c.Do(request(t, "POST", s.URL+"/x", io.MultiReader(strings.NewReader(strings.Repeat("y", n))), "Blindbox-Key", clinicKey))
			if err != nil {
				return nil, err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if resp.StatusCode == 429 {
				wantProblem(t, resp, text, 429)
			}
			return resp, err
		}
		if resp, err := post(200); err != nil || resp.StatusCode != 200 {
			t.Fatalf("500 bytes: %v %v", resp, err)
		}
		if resp, err := post(501); err != nil || resp.StatusCode != 429 {
			t.Errorf("one byte more than is left: %+v %v", resp, err)
		}
		u.now.Add(int64(24 * time.Hour))
		if resp, err := post(700); err != nil || resp.StatusCode != 200 {
			t.Errorf("exactly as many as there are: %+v %v", resp, err)
		}
		if resp, err := post(0); err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "86400" {
			t.Errorf("nothing left: %+v %v", resp, err)
		}
		u.now.Add(int64(24 * time.Hour))
		if _, err := post(701); err == nil {
			t.Error("an answer that was cut looks whole")
		}
	})
}

// TestQuotaOfUpgraded: an upgraded connection is no way around the quota.
func TestQuotaOfUpgraded(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	})
	doc := withLimits("", ", quota: {bytes: 1000B/day}")
	backend := httptest.NewServer(app)
	t.Cleanup(backend.Close)
	s := httptest.NewServer(New(Config{Policy: parsed(t, doc), Callers: known(t, doc), Backend: Forward("tcp", backend.Listener.Addr().String(), parsed(t, doc)), Uptime: (&uptime{}).since}))
	t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nBlindbox-Key: "+clinicKey+"\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	for range 3 {
		_, _ = io.WriteString(c, strings.Repeat("z", 150))
		if _, err := io.ReadFull(r, make([]byte, 150)); err != nil {
			t.Fatalf("within the quota: %v", err)
		}
	}
	go func() { _, _ = io.WriteString(c, strings.Repeat("z", 5000)) }()
	if n, _ := io.Copy(io.Discard, r); n > 100 {
		t.Errorf("%d bytes came back of 100 that were left", n)
	}
}

// TestResponse: an answer that is too long is refused if it says so, and never
// looks whole.
func TestResponse(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		for _, tc := range []struct {
			n         int
			announced bool
			method    string
			status    int // 0 for an answer that breaks off
		}{
			{1000, true, "GET", 200}, {1000, false, "GET", 200}, {1001, true, "GET", 502}, {1001, false, "GET", 0},
			{1001, true, "HEAD", 200}, {1 << 20, false, "GET", 0}, {1 << 20, true, "GET", 502},
		} {
			s, _, _ := meteredFront(t, withLimits(", response: 1000B", ""), says(tc.n, tc.announced))
			resp, err := client(s).Do(request(t, tc.method, s.URL+"/x", nil, "Blindbox-Key", clinicKey))
			if err != nil {
				if tc.status != 0 {
					t.Errorf("%+v: %v", tc, err)
				}
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case tc.status == 0 && (err == nil || len(text) > 1000):
				t.Errorf("%+v: %d bytes, %v", tc, len(text), err)
			case tc.status == 502:
				if p := wantProblem(t, resp, text, 502); !strings.Contains(p.Detail, "longer than the 1000 B") {
					t.Errorf("%+v", p)
				}
			case tc.status == 200 && (err != nil || resp.StatusCode != 200):
				t.Errorf("%+v: %d %v", tc, resp.StatusCode, err)
			}
		}
	})
}

// TestResponseOfABackend: what does not forward is bounded too.
func TestResponseOfABackend(t *testing.T) {
	doc := withLimits(", response: 1000B", "")
	for _, pieces := range []int{1, 100} {
		h := New(Config{Policy: parsed(t, doc), Callers: known(t, doc), Backend: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range pieces {
				_, _ = w.Write(make([]byte, 2000/pieces))
			}
		})})
		s := httptest.NewServer(h)
		s.Config.ErrorLog = nil
		resp, err := http.DefaultClient.Do(request(t, "GET", s.URL+"/x", nil, "Blindbox-Key", clinicKey))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%d pieces: an answer that was cut looks whole", pieces)
		}
		s.Close()
	}
}

// TestTime: a request that is never quiet ends too, before and after its answer
// began, and upgraded.
func TestTime(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/quiet" {
				<-r.Context().Done()
				return
			}
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "x"); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		})
		s, _, _ := meteredFront(t, withLimits(", time: 1s", ""), app)
		resp, text := do(t, client(s), request(t, "GET", s.URL+"/quiet", nil, "Blindbox-Key", clinicKey))
		if p := wantProblem(t, resp, text, 502); !strings.Contains(p.Detail, "longer than the policy allows") {
			t.Errorf("%+v", p)
		}
		// This one has begun before the time is over.
		if err := longer.Try(time.Second, func(limit time.Duration) error {
			s, _, _ := meteredFront(t, withLimits(fmt.Sprintf(", time: %ds", limit/time.Second), ""), app)
			resp, err := client(s).Do(request(t, "GET", s.URL+"/busy", nil, "Blindbox-Key", clinicKey))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				return fmt.Errorf("status %d: an answer that was cut looks whole", resp.StatusCode)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestMe: what a caller may do, told before it sends anything, and the same as
// the policy says.
func TestMe(t *testing.T) {
	doc := `name: test
app: {command: [app], listen: 127.0.0.1:1}
callers:
  - {name: clinic, api_key: ` + hash(clinicKey) + `, may: [query], methods: [POST], paths: [/v1/*], models: [m], rate: 60/min, quota: {requests: 10/day, bytes: 1KiB/h}, expires: 2099-01-01T00:00:00Z}
  - {name: auditor, api_key: ` + hash(auditorKey) + `, may: [observe]}
cedar: |
  forbid(principal == Caller::"clinic", action, resource) when { context.path == "/v1/no" };
limits: {request: 1KiB}
`
	s, _, _ := meteredFront(t, doc, says(1, true))
	resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/.well-known/blindbox/me", nil, "Blindbox-Key", clinicKey))
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s: %v", resp.StatusCode, resp.Header, text, err)
	}
	m, _ := parsed(t, doc).MayDo("clinic")
	if got["text"] != m.String() {
		t.Errorf("got %q, the policy says %q", got["text"], m.String())
	}
	delete(got, "text")
	cedar, _ := got["cedar"].([]any)
	if len(cedar) != 1 || !strings.Contains(fmt.Sprint(cedar[0]), "/v1/no") {
		t.Errorf("cedar: %v", got["cedar"])
	}
	delete(got, "cedar")
	want := `{"caller":"clinic","expires":"2099-01-01T00:00:00Z","kind":"api_key","may":["query"],"methods":["POST"],"models":["m"],"paths":["/v1/*"],"policy_line":4,"quota_bytes":{"count":1024,"seconds":3600},"quota_requests":{"count":10,"seconds":86400},"rate":{"count":60,"seconds":60},"request_bytes":1024}`
	if out, _ := json.Marshal(got); string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	_, text = do(t, s.Client(), request(t, "GET", s.URL+"/.well-known/blindbox/me", nil, "Blindbox-Key", auditorKey))
	if want := `{"caller":"auditor","kind":"api_key","may":["observe"],"request_bytes":1024,`; !strings.HasPrefix(string(text), want) {
		t.Errorf("got %s", text)
	}
	resp, text = do(t, s.Client(), request(t, "GET", s.URL+"/.well-known/blindbox/me", nil))
	wantProblem(t, resp, text, 401)
}

// TestDecided: each request is told once, with what was decided and nothing of
// what it carries.
func TestDecided(t *testing.T) {
	const canary = "CANARY7f3a91d2"
	doc := `name: test
app: {command: [app], listen: 127.0.0.1:1}
callers:
  - {name: clinic, api_key: ` + hash(clinicKey) + `, may: [query, observe], paths: [/v1/*], models: [m], rate: 2/min}
limits: {request: 1KiB}
logs: counters
`
	s, _, d := meteredFront(t, doc, says(1, true))
	for _, tc := range []struct {
		method, path, key string
		want              Decision
	}{
		{"GET", "/v1/" + canary + "?model=m", clinicKey, Decision{Caller: "clinic", Action: policy.Query, Method: "GET", Allowed: true, Line: 4}},
		{"GET", "/v1/x?model=" + canary, clinicKey, Decision{Caller: "clinic", Action: policy.Query, Method: "GET", Line: 4, Code: 403}},
		{"GET", "/v2/" + canary + "?model=m", clinicKey, Decision{Caller: "clinic", Action: policy.Query, Method: "GET", Line: 4, Code: 403}},
		{"GET", "/v1/x", canary + canary, Decision{Method: "GET", Code: 401}},
		{"GET", "/v1//" + canary, clinicKey, Decision{Method: "GET", Code: 400}},
		{"GET", "/.well-known/blindbox/me", clinicKey, Decision{Caller: "clinic", Action: policy.Observe, Method: "GET", Allowed: true}},
		{"GET", "/.well-known/blindbox/policy", clinicKey, Decision{Caller: "clinic", Action: policy.Observe, Method: "GET", Allowed: true}},
		{"GET", "/.well-known/blindbox/health", clinicKey, Decision{Caller: "clinic", Action: policy.Observe, Method: "GET", Allowed: true, Line: 4}},
		{"POST", "/.well-known/blindbox/me", clinicKey, Decision{Caller: "clinic", Action: policy.Observe, Method: "POST", Code: 400}},
		{"GET", "/v1/x?model=m", clinicKey, Decision{Caller: "clinic", Action: policy.Query, Method: "GET", Line: 4, Code: 429}},
	} {
		resp, _ := do(t, s.Client(), request(t, tc.method, s.URL+tc.path, nil, "Blindbox-Key", tc.key, "Cookie", canary))
		got := d.take()
		if len(got) != 1 {
			t.Fatalf("%s %s: %d decisions", tc.method, tc.path, len(got))
		}
		one := got[0]
		if one.Time.IsZero() || one.Reason == "" || strings.Contains(fmt.Sprint(one), canary) || strings.Contains(fmt.Sprint(one), clinicKey) {
			t.Errorf("%s %s: %+v", tc.method, tc.path, one)
		}
		if one.Time, one.Reason = (time.Time{}), ""; one != tc.want {
			t.Errorf("%s %s: got %+v, expected %+v", tc.method, tc.path, one, tc.want)
		}
		if code := one.Code; code != 0 && code != resp.StatusCode {
			t.Errorf("%s %s: told %d, answered %d", tc.method, tc.path, code, resp.StatusCode)
		}
	}
}

// TestNobodyKnown: a Handler that cannot tell who is calling answers nobody.
func TestNobodyKnown(t *testing.T) {
	s := httptest.NewServer(New(Config{Policy: parsed(t, open), Backend: says(1, true)}))
	t.Cleanup(s.Close)
	resp, text := do(t, http.DefaultClient, request(t, "GET", s.URL+"/x", nil))
	wantProblem(t, resp, text, 503)
}

// TestAskingTooOften: what every caller may know has a rate of its own, for each
// caller, which takes nothing from that of the policy and nothing from others.
func TestAskingTooOften(t *testing.T) {
	s, clock, decided := meteredFront(t, withLimits("", ", rate: 2/min"), says(2, true))
	ask := func(key, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Retry-After")
	}
	const me, doc = policy.ReservedPrefix + "/me", policy.ReservedPrefix + "/policy"
	for i := range maxAsked / 2 {
		one, _ := ask(clinicKey, me)
		two, _ := ask(clinicKey, doc)
		if one != 200 || two != 200 {
			t.Fatalf("question %d: %d, %d", 2*i, one, two)
		}
	}
	for _, path := range []string{me, doc} {
		if status, wait := ask(clinicKey, path); status != 429 || wait != "60" {
			t.Errorf("%s: status %d, Retry-After %q", path, status, wait)
		}
	}
	last := decided.take()
	if d := last[len(last)-1]; d.Allowed || d.Code != 429 || d.Caller != "clinic" {
		t.Errorf("told %+v", d)
	}
	if status, _ := ask("", me); status != 200 {
		t.Errorf("another caller: %d", status)
	}
	for _, path := range []string{"/v1/x", "/v1/x"} {
		if status, _ := ask(clinicKey, path); status != 200 {
			t.Errorf("the caller's own rate: %d", status)
		}
	}
	clock.now.Add(int64(askedPer))
	if status, _ := ask(clinicKey, me); status != 200 {
		t.Errorf("a minute later: %d", status)
	}
}
