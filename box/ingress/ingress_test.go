package ingress

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/policy"
)

const (
	clinicKey  = "a-key-of-the-clinic-0001"
	auditorKey = "a-key-of-the-auditor-0002"
)

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// keyed has a caller that may query some paths and one that may only observe.
var keyed = `name: test
app: {command: [app], listen: 127.0.0.1:1}
callers:
  - {name: clinic, api_key: ` + hash(clinicKey) + `, may: [query], paths: [/v1/*, /echo]}
  - {name: auditor, api_key: ` + hash(auditorKey) + `, may: [observe]}
limits: {request: 1KiB, concurrent: 2, idle: 1m}
logs: counters
`

// open lets anyone query everything.
const open = `name: test
app: {command: [app], listen: 127.0.0.1:1}
callers: [{anyone: true, may: [query]}]
limits: {request: 1KiB, concurrent: 2, idle: 1m}
`

func parsed(t testing.TB, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// known tells callers apart by the real clock.
func known(t testing.TB, doc string) *callers.Authenticator {
	t.Helper()
	a, err := callers.New(callers.Config{Policy: parsed(t, doc), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// front is a server with a Handler in front of an app, over TLS with HTTP/2.
func front(t testing.TB, doc string, app http.Handler) (*Handler, *httptest.Server) {
	t.Helper()
	backend := httptest.NewServer(app)
	t.Cleanup(backend.Close)
	return frontOf(t, doc, "tcp", backend.Listener.Addr().String())
}

func frontOf(t testing.TB, doc, network, address string) (*Handler, *httptest.Server) {
	t.Helper()
	h := New(Config{Policy: parsed(t, doc), Callers: known(t, doc), Backend: Forward(network, address, parsed(t, doc))})
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return h, s
}

// protocols runs a test over HTTP/1.1 and over HTTP/2.
func protocols(t *testing.T, test func(t *testing.T, client func(*httptest.Server) *http.Client)) {
	for _, name := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(name, func(t *testing.T) {
			test(t, func(s *httptest.Server) *http.Client {
				tr := s.Client().Transport.(*http.Transport).Clone()
				tr.Protocols = new(http.Protocols)
				tr.Protocols.SetHTTP1(name == "HTTP/1.1")
				tr.Protocols.SetHTTP2(name == "HTTP/2.0")
				tr.DisableCompression = true
				if name == "HTTP/1.1" {
					tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
				}
				t.Cleanup(tr.CloseIdleConnections)
				return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			})
		})
	}
}

func request(t testing.TB, method, url string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func do(t testing.TB, c *http.Client, r *http.Request) (*http.Response, []byte) {
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
	return resp, text
}

// wantProblem checks that an answer is the box's own refusal, in full.
func wantProblem(t testing.TB, resp *http.Response, text []byte, status int) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatalf("status %d, not problem+json: %v: %.200s", resp.StatusCode, err, text)
	}
	code := fmt.Sprintf("BBX-%d", status)
	if resp.StatusCode != status || p.Status != status || p.Code != code || resp.Header.Get(ErrorHeader) != code {
		t.Errorf("status %d, header %q, problem %+v; expected %d", resp.StatusCode, resp.Header.Get(ErrorHeader), p, status)
	}
	if resp.Header.Get("Content-Type") != "application/problem+json" || p.Type != "about:blank" || p.Title == "" || p.Detail == "" || p.Fix == "" {
		t.Errorf("problem is incomplete: %v %+v", resp.Header, p)
	}
	return p
}

// seen is what an app got.
type seen struct {
	method, uri, host, body string
	header, trailer         http.Header
}

// echo is an app that remembers the last request.
func echo(got chan<- seen) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone(), r.Trailer.Clone()}
		w.Header().Set("X-App", "yes")
		w.Header().Set("Blindbox-Error", "BBX-401")
		w.Header().Set("Blindbox-Anything", "x")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s", r.Method, body)
	})
}

func TestCallers(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		got := make(chan seen, 1)
		_, s := front(t, keyed, echo(got))
		c := client(s)
		for _, tc := range []struct {
			name    string
			path    string
			headers []string
			status  int
		}{
			{"no key", "/v1/x", nil, 401},
			{"wrong key", "/v1/x", []string{"Authorization", "Bearer wrong-but-long-enough"}, 401},
			{"wrong key in our header", "/v1/x", []string{"Blindbox-Key", "wrong-but-long-enough"}, 401},
			{"wrong key in our header, right one beside it", "/v1/x", []string{"Blindbox-Key", "wrong-but-long-enough", "Authorization", "Bearer " + clinicKey}, 401},
			{"empty key", "/v1/x", []string{"Authorization", "Bearer "}, 401},
			{"key under another scheme", "/v1/x", []string{"Authorization", "Basic " + clinicKey}, 401},
			{"hash as key", "/v1/x", []string{"Authorization", "Bearer " + hash(clinicKey)}, 401},
			{"name as key", "/v1/x", []string{"Blindbox-Caller", "clinic"}, 401},
			{"two keys", "/v1/x", []string{"Blindbox-Key", clinicKey, "Blindbox-Key", clinicKey}, 400},
			{"two authorizations", "/v1/x", []string{"Authorization", "Bearer " + clinicKey, "Authorization", "Bearer x"}, 400},
			{"bearer", "/v1/x", []string{"Authorization", "Bearer " + clinicKey}, 418},
			{"bearer in other case", "/v1/x", []string{"Authorization", "bearer " + clinicKey}, 418},
			{"our header", "/v1/x", []string{"Blindbox-Key", clinicKey}, 418},
			{"other path", "/v2/x", []string{"Blindbox-Key", clinicKey}, 403},
			{"other caller", "/v1/x", []string{"Blindbox-Key", auditorKey}, 403},
		} {
			resp, text := do(t, c, request(t, "GET", s.URL+tc.path, nil, tc.headers...))
			if tc.status == 418 {
				if in := <-got; resp.StatusCode != 418 || in.header.Get("Blindbox-Caller") != "clinic" {
					t.Errorf("%s: status %d, caller %q", tc.name, resp.StatusCode, in.header.Get("Blindbox-Caller"))
				}
				continue
			}
			p := wantProblem(t, resp, text, tc.status)
			switch {
			case tc.status == 401 && resp.Header.Get("Www-Authenticate") == "":
				t.Errorf("%s: no WWW-Authenticate", tc.name)
			case tc.status == 403 && (p.PolicyLine < 4 || p.PolicyLine > 5):
				t.Errorf("%s: line %d of the policy", tc.name, p.PolicyLine)
			}
		}
		if len(got) != 0 {
			t.Error("a refused request reached the app")
		}
	})
}

// TestWhatTheAppSees: keys and what a caller says about itself and its way
// here are gone, everything else is as it was sent.
func TestWhatTheAppSees(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		got := make(chan seen, 1)
		_, s := front(t, keyed, echo(got))
		c := client(s)
		r := request(t, "PUT", s.URL+"/v1/a%20b;c=d/%25?x=%zz&y=1;2&k=v", strings.NewReader("body"),
			"Authorization", "Bearer "+clinicKey, "Blindbox-Caller", "root", "Blindbox_caller", "root", "Blindbox-Other", "x",
			"X-Forwarded-For", "1.1.1.1", "X-Forwarded-Host", "h", "X-Forwarded-Prefix", "/p", "X_forwarded_proto", "https",
			"Forwarded", "for=1.1.1.1", "X-Real-Ip", "1.1.1.1", "Proxy-Authorization", "Basic x",
			"X-Mine", "1", "X-Mine", "2", "Cookie", "a=b", "User-Agent", "")
		r.Host = "whisper.example"
		if strings.HasSuffix(t.Name(), "1.1") {
			r.Header["Connection"], r.Header["Upgrade"], r.Header["Http2-Settings"] = []string{"Upgrade, HTTP2-Settings"}, []string{"h2c"}, []string{"AAMAAABkAAQAAP__"}
		}
		resp, text := do(t, c, r)
		in := <-got
		if in.method != "PUT" || in.uri != "/v1/a%20b;c=d/%25?x=%zz&y=1;2&k=v" || in.host != "whisper.example" || in.body != "body" {
			t.Errorf("the app saw %+v", in)
		}
		in.header.Del("Accept-Encoding")
		want := http.Header{"Connection": {"close"}, "Blindbox-Caller": {"clinic"}, "X-Mine": {"1", "2"}, "Cookie": {"a=b"}, "Content-Length": {"4"}}
		if fmt.Sprint(in.header) != fmt.Sprint(want) {
			t.Errorf("the app saw headers\n%v\nexpected\n%v", in.header, want)
		}
		if resp.StatusCode != 418 || string(text) != "PUT body" || resp.Header.Get("X-App") != "yes" {
			t.Errorf("answer %d %v %s", resp.StatusCode, resp.Header, text)
		}
		for name := range resp.Header {
			if strings.HasPrefix(name, "Blindbox-") {
				t.Errorf("the app could set %s", name)
			}
		}
	})
}

// TestAuthorizationOfTheApp: where the caller is known without it, what is in
// Authorization is the app's, unless it is a key to the box.
func TestAuthorizationOfTheApp(t *testing.T) {
	got := make(chan seen, 1)
	for _, tc := range []struct {
		doc     string
		headers []string
		caller  string
		auth    string
	}{
		{keyed, []string{"Blindbox-Key", clinicKey, "Authorization", "Bearer token-of-the-app"}, "clinic", "Bearer token-of-the-app"},
		{keyed, []string{"Blindbox-Key", clinicKey, "Authorization", "Bearer " + auditorKey}, "clinic", ""},
		{open, []string{"Authorization", "Bearer -"}, "anyone", "Bearer -"},
		{open, []string{"Authorization", "Basic eDp5"}, "anyone", "Basic eDp5"},
		{open, nil, "anyone", ""},
	} {
		_, s := front(t, tc.doc, echo(got))
		resp, _ := do(t, s.Client(), request(t, "GET", s.URL+"/v1/x", nil, tc.headers...))
		if resp.StatusCode != 418 {
			t.Errorf("%v: status %d", tc.headers, resp.StatusCode)
			continue
		}
		in := <-got
		if in.header.Get("Blindbox-Caller") != tc.caller || in.header.Get("Authorization") != tc.auth || in.header["Blindbox-Key"] != nil {
			t.Errorf("%v: the app saw %v", tc.headers, in.header)
		}
	}
	_, s := front(t, open, echo(got))
	resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/v1/x", nil, "Blindbox-Key", "of-another-box-altogether"))
	wantProblem(t, resp, text, 401)
}

// raw sends bytes that no client library would and returns the answer.
func raw(t *testing.T, s *httptest.Server, text string) (*http.Response, []byte) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, body
}

// TestPathsThatDiffer: what the box and the app could understand differently is
// refused and never repaired.
func TestPathsThatDiffer(t *testing.T) {
	got := make(chan seen, 1)
	backend := httptest.NewServer(echo(got))
	t.Cleanup(backend.Close)
	h := New(Config{Policy: parsed(t, open), Callers: known(t, open), Backend: Forward("tcp", backend.Listener.Addr().String(), parsed(t, open))})
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	for _, target := range []string{
		"/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin", "/v1/%252e%252e/admin", "/v1//admin", "//admin", "/v1\\admin",
		"/v1%5cadmin", "/v1/..;/admin", "/v1/%00", "/v1/%c0%af", "/./v1", "/%76%31", "http://other.example/v1", "*",
		"/v1/[x]", "/v1/\"x\"",
	} {
		method := "GET"
		if target == "*" {
			method = "PATCH"
		}
		resp, text := raw(t, s, method+" "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != 400 {
			t.Errorf("%s: status %d, expected 400", target, resp.StatusCode)
		} else if resp.Header.Get(ErrorHeader) != "" {
			p := wantProblem(t, resp, text, 400)
			if strings.Contains(string(text), "admin") {
				t.Errorf("%s: the answer repeats the request: %+v", target, p)
			}
		}
	}
	for _, head := range []string{
		"CONNECT /v1 HTTP/1.1\r\nHost: x", "CONNECT other.example:443 HTTP/1.1\r\nHost: x", "TRACE /v1 HTTP/1.1\r\nHost: x",
		"GET /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4", "GET /v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity",
		"GET /v1 HTTP/1.1\r\nHost: x\r\nHost: y", "GET /v1 HTTP/1.1\r\nHost: x\r\nA : b", "GET  /v1 HTTP/1.1\r\nHost: x", "GET /v1 HTTP/1.1",
	} {
		resp, _ := raw(t, s, head+"\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != 400 && resp.StatusCode != 501 {
			t.Errorf("%q: status %d, expected 400", head, resp.StatusCode)
		}
	}
	if len(got) != 0 {
		t.Errorf("a refused request reached the app: %+v", <-got)
	}
	resp, _ := raw(t, s, "GET /v1/ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if in := <-got; resp.StatusCode != 418 || in.uri != "/v1/ok" {
		t.Errorf("the control request: status %d, %+v", resp.StatusCode, in)
	}
}

// TestTwoPaths: net/http never gives a request whose parsed path is another
// than the one that was sent. If it did, the wrong one would be decided by.
func TestTwoPaths(t *testing.T) {
	r := httptest.NewRequest("GET", "/allowed", nil)
	if path, p := readable(r); path != "/allowed" || p != nil {
		t.Errorf("got %q, %+v", path, p)
	}
	r.URL.Path = "/other"
	if path, p := readable(r); p == nil || p.Status != 400 {
		t.Errorf("got %q, %+v", path, p)
	}
}

// TestOwnAddresses: what the box answers itself never reaches the app.
func TestOwnAddresses(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		got := make(chan seen, 1)
		h, s := front(t, keyed, echo(got))
		c := client(s)
		ask := func(method, path, key string) (*http.Response, []byte) {
			return do(t, c, request(t, method, s.URL+path, nil, "Blindbox-Key", key))
		}
		resp, text := ask("GET", "/.well-known/blindbox/policy", clinicKey)
		if resp.StatusCode != 200 || !bytes.Equal(text, []byte(keyed)) || resp.Header.Get("Content-Type") != "application/yaml" {
			t.Errorf("policy: %d %v %q", resp.StatusCode, resp.Header, text)
		}
		if resp, text = ask("HEAD", "/.well-known/blindbox/policy", clinicKey); resp.StatusCode != 200 || len(text) != 0 {
			t.Errorf("HEAD policy: %d %q", resp.StatusCode, text)
		}
		if resp, text = ask("GET", "/.well-known/blindbox/health", auditorKey); resp.StatusCode != 200 || string(text) != "{\"status\":\"ok\"}\n" {
			t.Errorf("health: %d %q", resp.StatusCode, text)
		}
		resp, text = ask("GET", "/.well-known/blindbox/health", clinicKey)
		wantProblem(t, resp, text, 403)
		for path, status := range map[string]int{
			"/.well-known/blindbox": 404, "/.well-known/blindbox/": 404, "/.well-known/blindbox/other": 404,
			"/.WELL-KNOWN/BlindBox/policy": 404, "/.well-known/blindbox/policy/": 404,
		} {
			resp, text := ask("GET", path, auditorKey)
			wantProblem(t, resp, text, status)
		}
		resp, text = ask("POST", "/.well-known/blindbox/policy", clinicKey)
		wantProblem(t, resp, text, 400)
		resp, text = do(t, c, request(t, "GET", s.URL+"/.well-known/blindbox/policy", nil))
		wantProblem(t, resp, text, 401)
		h.cfg.Ready = func() bool { return false }
		resp, text = ask("GET", "/.well-known/blindbox/health", auditorKey)
		wantProblem(t, resp, text, 503)
		if len(got) != 0 {
			t.Error("the app saw a request for the box")
		}
	})
}

func TestCounters(t *testing.T) {
	got := make(chan seen, 9)
	_, s := front(t, keyed, echo(got))
	for _, key := range []string{clinicKey, clinicKey, "unknown-but-long-enough", auditorKey} {
		do(t, s.Client(), request(t, "GET", s.URL+"/v1/x", nil, "Blindbox-Key", key))
	}
	resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/.well-known/blindbox/counters", nil, "Blindbox-Key", auditorKey))
	want := `{"answered":{"4xx":2},"refused":{"BBX-401":1,"BBX-403":1}}` + "\n"
	if resp.StatusCode != 200 || string(text) != want {
		t.Errorf("got %d %s want %s", resp.StatusCode, text, want)
	}
	silent := strings.Replace(keyed, "logs: counters", "logs: none", 1)
	h, s := front(t, silent, echo(got))
	do(t, s.Client(), request(t, "GET", s.URL+"/v1/x", nil, "Blindbox-Key", clinicKey))
	resp, text = do(t, s.Client(), request(t, "GET", s.URL+"/.well-known/blindbox/counters", nil, "Blindbox-Key", auditorKey))
	wantProblem(t, resp, text, 404)
	if c := h.Counters(); len(c.Answered)+len(c.Refused) != 0 {
		t.Errorf("counted under logs: none: %+v", c)
	}
}

// TestCountersOfBatches: they are there in a box with models, for who may observe, and
// nowhere under logs: none.
func TestCountersOfBatches(t *testing.T) {
	for doc, want := range map[string]string{
		keyed: `{"answered":null,"refused":null,"batches":{"runs":2,"requests":7,"rows":9}}` + "\n",
		strings.Replace(keyed, "logs: counters", "logs: none", 1): `{"answered":null,"refused":null}` + "\n",
	} {
		p := parsed(t, doc)
		h := New(Config{Policy: p, Callers: known(t, doc), Backend: http.NotFoundHandler(), Batches: func() *Batches { return &Batches{2, 7, 9} }})
		if text := string(h.Counters().json()); text != want {
			t.Errorf("got %s want %s", text, want)
		}
	}
}

func TestDrain(t *testing.T) {
	h, s := front(t, open, echo(make(chan seen, 1)))
	h.Drain()
	resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/x", nil))
	wantProblem(t, resp, text, 503)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
