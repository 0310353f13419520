package connect_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/blindbox/blindbox/internal/connect"
)

// app stands for a box: TLS, HTTP/1.1 and HTTP/2.
func app(release <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://somebody.example")
		_ = json.NewEncoder(w).Encode(map[string]string{
			"authorization": r.Header.Get("Authorization"), "host": r.Host, "path": r.URL.RequestURI(),
			"origin": r.Header.Get("Origin"), "forwarded": r.Header.Get("X-Forwarded-For"), "upgrade": r.Header.Get("Upgrade"),
		})
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %s", n, hex.EncodeToString(h.Sum(nil)))
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", strings.ReplaceAll(r.URL.Query().Get("to"), "BOX", r.Host))
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	mux.HandleFunc("/interim", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(connect.ErrorHeader, "BBX-221")
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		fmt.Fprint(w, "the answer")
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: one\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-release: // the second event waits until the client has read the first
			fmt.Fprint(w, "data: two\n\n")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, bytes.ToUpper(msg)) != nil {
				return
			}
		}
	})
	return mux
}

type fixture struct {
	url     string // of the proxy
	release chan struct{}
	stop    context.CancelFunc
	done    chan error
}

func explain(err error) connect.Problem {
	return connect.Problem{Title: "refused", Status: http.StatusBadGateway, Code: "BBX-203", Detail: err.Error()}
}

func start(t *testing.T, edit func(*connect.Config)) *fixture {
	t.Helper()
	f := &fixture{release: make(chan struct{}), done: make(chan error, 1)}
	box := httptest.NewUnstartedServer(app(f.release))
	box.EnableHTTP2 = true
	box.StartTLS()
	t.Cleanup(box.Close)
	target, err := url.Parse(box.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := box.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	h1 := box.Client().Transport.(*http.Transport).Clone()
	h1.TLSClientConfig.RootCAs = roots
	h1.TLSClientConfig.NextProtos = []string{"http/1.1"}
	h1.ForceAttemptHTTP2 = false
	c := connect.Config{Target: target, Transport: box.Client().Transport, Upgrade: h1, APIKey: "secret", Explain: explain}
	if edit != nil {
		edit(&c)
	}
	h, err := connect.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.stop = cancel
	ln, err := connect.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + ln.Addr().String()
	go func() { f.done <- connect.Serve(ctx, ln, h) }()
	t.Cleanup(func() {
		cancel()
		h1.CloseIdleConnections()
	})
	return f
}

func (f *fixture) get(t *testing.T, path string, edit func(*http.Request)) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestForwardsWithTheKey(t *testing.T) {
	f := start(t, nil)
	res, body := f.get(t, "/headers?a=b%2Fc;d", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer -")
		r.Header.Set("Origin", f.url)
		r.Header.Set("Upgrade", "h2c")
		r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
	})
	var got map[string]string
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if res.StatusCode != 200 || got["authorization"] != "Bearer secret" {
		t.Errorf("status %d, authorization %q, expected the configured key", res.StatusCode, got["authorization"])
	}
	if got["path"] != "/headers?a=b%2Fc;d" {
		t.Errorf("path %q was changed on the way", got["path"])
	}
	if got["forwarded"] != "" || got["upgrade"] != "" {
		t.Errorf("the box was sent X-Forwarded-For %q, Upgrade %q, expected neither", got["forwarded"], got["upgrade"])
	}
	if got["origin"] != "https://"+got["host"] {
		t.Errorf("origin %q at host %q, expected the box's own", got["origin"], got["host"])
	}
}

func TestWithoutKeyTheClientsOwnIsForwarded(t *testing.T) {
	f := start(t, func(c *connect.Config) { c.APIKey = "" })
	_, body := f.get(t, "/headers", func(r *http.Request) { r.Header.Set("Authorization", "Bearer mine") })
	if !strings.Contains(string(body), `"authorization":"Bearer mine"`) {
		t.Errorf("answer %s, expected the client's own key", body)
	}
}

// never is a transport that must not be asked.
type never struct{ t *testing.T }

func (n never) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s was forwarded", r.Method, r.URL)
	return nil, errors.New("forwarded")
}

func TestWebPagesAreRefused(t *testing.T) {
	f := start(t, func(c *connect.Config) {
		c.Transport = never{t}
		c.Upgrade = never{t}
		c.AllowOrigins = []string{"https://good.example"}
	})
	for name, edit := range map[string]func(*http.Request){
		"rebound name":            func(r *http.Request) { r.Host = "evil.example:8642" },
		"name that begins so":     func(r *http.Request) { r.Host = "localhost.evil.example" },
		"address of the network":  func(r *http.Request) { r.Host = "192.168.1.7" },
		"all addresses":           func(r *http.Request) { r.Host = "0.0.0.0" },
		"other origin":            func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"other port":              func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") },
		"opaque origin":           func(r *http.Request) { r.Header.Set("Origin", "null") },
		"empty origin":            func(r *http.Request) { r.Header["Origin"] = []string{""} },
		"two origins":             func(r *http.Request) { r.Header["Origin"] = []string{"https://good.example", "https://evil.example"} },
		"origin with a longer":    func(r *http.Request) { r.Header.Set("Origin", "https://good.example.evil.example") },
		"image from another site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"page on another port":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"websocket": func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example")
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := f.get(t, "/headers", edit)
			if res.StatusCode != http.StatusForbidden || !bytes.Contains(body, []byte(connect.CodeWebPage)) {
				t.Errorf("status %d, body %s, expected 403 %s", res.StatusCode, body, connect.CodeWebPage)
			}
			if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("the refusal may be read by %q", got)
			}
		})
	}
}

func TestForwardProxyRequestsAreRefused(t *testing.T) {
	f := start(t, func(c *connect.Config) { c.Transport = never{t} })
	for _, line := range []string{"GET http://127.0.0.1/headers HTTP/1.1", "CONNECT 127.0.0.1:443 HTTP/1.1", "GET https://evil.example/ HTTP/1.1",
		"GET https:headers HTTP/1.1", "GET mailto:somebody HTTP/1.1", "GET http:///headers HTTP/1.1"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", line)
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 403")) {
			t.Errorf("%s: answer %.60q, expected 403", line, answer)
		}
	}
}

// TestRedirectsStayWithTheProxy answers as web frameworks do, with an absolute
// address made of the Host they see. Followed, it would lead past the proxy.
func TestRedirectsStayWithTheProxy(t *testing.T) {
	f := start(t, nil)
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for to, want := range map[string]string{
		"http://BOX/v1/models/?a=b#c":  f.url + "/v1/models/?a=b#c",
		"https://BOX/v1%2Fx/":          f.url + "/v1%2Fx/",
		"HTTP://BOX//evil.example/":    f.url + "//evil.example/",
		"//BOX/x":                      f.url + "/x",
		"https://user@BOX":             f.url + "/",
		"/x":                           f.url + "/x",
		"https://elsewhere.example/x":  "https://elsewhere.example/x",
		"http://BOX.elsewhere.example": "",
	} {
		res, err := noFollow.Get(f.url + "/redirect?to=" + url.QueryEscape(to))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Location"); got != want {
			t.Errorf("redirect to %s: the local program is sent to %q, expected %q", to, got, want)
		}
	}
	res, err := http.Post(f.url+"/redirect?to="+url.QueryEscape("http://BOX/sum"), "text/plain", strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "6 ") {
		t.Errorf("followed: %s %q", res.Status, body)
	}
}

// TestEarlyAnswerKeepsTheConnection: the box answers and the body was not read;
// the next request on the same connection must be served.
func TestEarlyAnswerKeepsTheConnection(t *testing.T) {
	f := start(t, func(c *connect.Config) {
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusRequestEntityTooLarge, Header: http.Header{"Content-Length": {"0"}}, Body: http.NoBody, Request: r}, nil
		})
	})
	host := strings.TrimPrefix(f.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for range 3 {
		fmt.Fprintf(conn, "POST /early HTTP/1.1\r\nHost: %s\r\nContent-Length: 6\r\n\r\n", host)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("answer %s, %v", res.Status, err)
		}
		fmt.Fprint(conn, "secret")
		time.Sleep(20 * time.Millisecond) // let the proxy begin to wait for the next request
	}
}

// TestFirstAnswerIsTheAnswer speaks as programs do that know of no interim answers but 100.
func TestFirstAnswerIsTheAnswer(t *testing.T) {
	f := start(t, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, ask := range []struct{ path, want string }{{"/interim", "the answer"}, {"/early", "too much\n"}} {
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", ask.path)
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		if err != nil || string(body) != ask.want || a.Header.Get(connect.ErrorHeader) != "" {
			t.Errorf("%s: %s %q %v, %v", ask.path, a.Status, body, a.Header, err)
		}
	}
}

func TestRedirectsLeaveOutTheTargetsPath(t *testing.T) {
	f := start(t, func(c *connect.Config) {
		c.Target = &url.URL{Scheme: "https", Host: c.Target.Host, Path: "/base"}
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			answer := &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: http.Header{}, Body: http.NoBody, Request: r}
			if r.URL.Path == "/base/end" {
				answer.StatusCode = http.StatusNoContent
			}
			answer.Header.Set("Location", "http://"+r.Host+"/base/end")
			return answer, nil
		})
	})
	if res, body := f.get(t, "/start", nil); res.StatusCode != http.StatusNoContent {
		t.Errorf("followed: %s %s", res.Status, body)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLoopbackNamesAreServed(t *testing.T) {
	f := start(t, nil)
	for _, host := range []string{"localhost", "LOCALHOST:8642", "127.0.0.1", "127.0.0.2:9", "[::1]:8642", "[::1]"} {
		if res, body := f.get(t, "/headers", func(r *http.Request) { r.Host = host }); res.StatusCode != 200 {
			t.Errorf("host %s: status %d %s", host, res.StatusCode, body)
		}
	}
}

func TestAllowedOriginMayReadTheAnswer(t *testing.T) {
	const origin = "https://good.example"
	f := start(t, func(c *connect.Config) { c.AllowOrigins = []string{origin} })
	res, _ := f.get(t, "/headers", func(r *http.Request) {
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	if got := res.Header.Values("Access-Control-Allow-Origin"); res.StatusCode != 200 || len(got) != 1 || got[0] != origin {
		t.Errorf("status %d, Access-Control-Allow-Origin %q", res.StatusCode, got)
	}
	res, _ = f.get(t, "/headers", func(r *http.Request) {
		r.Method = http.MethodOptions
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "authorization, content-type")
	})
	if res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Headers") != "authorization, content-type" {
		t.Errorf("preflight: status %d, headers %v", res.StatusCode, res.Header)
	}
}

func TestRefusalIsAProblem(t *testing.T) {
	f := start(t, func(c *connect.Config) { c.Transport = failing{} })
	res, body := f.get(t, "/headers", nil)
	var p connect.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 502 || p.Code != "BBX-203" || p.Status != 502 || p.Detail != "another measurement" {
		t.Errorf("status %d, problem %+v", res.StatusCode, p)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("another measurement")
}

func TestEventsArriveOneByOne(t *testing.T) {
	f := start(t, nil)
	res, err := http.Get(f.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	if first, err := lines.ReadString('\n'); err != nil || first != "data: one\n" {
		t.Fatalf("first event %q, %v", first, err)
	}
	close(f.release)
	rest, err := io.ReadAll(lines)
	if err != nil || !strings.Contains(string(rest), "data: two") {
		t.Fatalf("rest %q, %v", rest, err)
	}
}

func TestWebSocket(t *testing.T) {
	f := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	header := http.Header{"Origin": {f.url}}
	c, _, err := websocket.Dial(ctx, f.url+"/ws", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for _, msg := range []string{"hello", strings.Repeat("x", 30000)} {
		if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != strings.ToUpper(msg) {
			t.Fatalf("got %.20q, %v", got, err)
		}
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	f := start(t, nil)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Post(f.url+"/sum", "text/plain", strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.ProtoMajor != 2 || !strings.HasPrefix(string(body), "3 ba7816bf") {
		t.Errorf("HTTP/%d: %s", res.ProtoMajor, body)
	}
}

func TestLargeUpload(t *testing.T) {
	f := start(t, nil)
	const size = 64 << 20
	sum := sha256.New()
	res, err := http.Post(f.url+"/sum", "application/octet-stream", io.TeeReader(io.LimitReader(pattern{}, size), sum))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%d %x", size, sum.Sum(nil)); string(body) != want {
		t.Errorf("the box read %s, expected %s", body, want)
	}
}

type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

func TestEarlyRefusalOfAnUpload(t *testing.T) {
	f := start(t, nil)
	reader, writer := io.Pipe()
	defer writer.Close()
	go func() { _, _ = writer.Write(bytes.Repeat([]byte("x"), 64<<10)) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/early", reader)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, expected 413 while the upload still runs", res.StatusCode)
	}
}

func TestRealCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	f := start(t, nil)
	for _, flags := range [][]string{nil, {"--http2"}, {"--http2-prior-knowledge"}} {
		args := append(append([]string{"-sS", "--max-time", "60"}, flags...), "-d", "abc", f.url+"/sum")
		out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
		if strings.Contains(string(out), "does not support") {
			t.Logf("this curl cannot %v", flags)
			continue
		}
		if err != nil || !strings.HasPrefix(string(out), "3 ba7816bf") {
			t.Errorf("curl %v: %s, %v", args, out, err)
		}
	}
}

func TestListenOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:80", "127.0.0.1", ""} {
		if ln, err := connect.Listen(t.Context(), addr); err == nil {
			t.Errorf("listens on %q as %s", addr, ln.Addr())
			ln.Close()
		}
	}
	ln, err := connect.Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

func TestStopIsClean(t *testing.T) {
	f := start(t, nil)
	res, err := http.Get(f.url + "/events") // an answer that would never end
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	f.stop()
	select {
	case err := <-f.done:
		if err != nil {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("did not stop")
	}
	// Another program of this machine may have the port for a moment.
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(end) {
			t.Fatal("the port is still open")
		}
	}
}

func TestConfigIsComplete(t *testing.T) {
	good := &url.URL{Scheme: "https", Host: "box.example"}
	for name, c := range map[string]connect.Config{
		"nothing":        {},
		"no transport":   {Target: good, Explain: explain},
		"no explanation": {Target: good, Transport: failing{}},
		"plain http":     {Target: &url.URL{Scheme: "http", Host: "box.example"}, Transport: failing{}, Explain: explain},
		"no host":        {Target: &url.URL{Scheme: "https"}, Transport: failing{}, Explain: explain},
	} {
		if _, err := connect.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
