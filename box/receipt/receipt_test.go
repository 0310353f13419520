package receipt

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/jws"
	form "github.com/blindbox/blindbox/receipt"
)

const patience = time.Minute

type fakeKey struct {
	signer *jws.Signer
	until  time.Time
}

func (k *fakeKey) Signer() *jws.Signer { return k.signer }
func (k *fakeKey) Until() time.Time    { return k.until }
func (k *fakeKey) Box() form.Box {
	return form.Box{Policy: form.Digest{1}, Kind: "sim-sev-snp", Evidence: form.Digest{2}, Simulated: true, Boot: strings.Repeat("ab", 16)}
}

func newKey(t testing.TB) *fakeKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jws.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeKey{s, today().Add(time.Hour)}
}

func today() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// bench is a server that makes receipts, as an ingress would.
type bench struct {
	*Service
	srv   *httptest.Server
	ended chan struct{} // one value for each request that has ended
	key   *fakeKey

	mu  sync.Mutex
	now time.Time
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

var (
	decision = form.Decision{Action: "query", Allowed: true, Line: 5}
	place    = form.Position{Sequence: 7, Chain: form.Digest{9}}
)

func newBench(t testing.TB, h2 bool, change func(*Config), handler http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{key: newKey(t), ended: make(chan struct{}, 100), now: today()}
	cfg := Config{Key: b.key, Now: b.clock, Serves: []form.Artifact{{Kind: "app", Name: "app", Digest: form.Digest{3}}}}
	if change != nil {
		change(&cfg)
	}
	var err error
	if b.Service, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	b.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { b.ended <- struct{}{} }()
		rec := b.Begin(w, r)
		defer rec.End()
		rec.Decided(r.Header.Get("Caller"), decision, place)
		handler(rec.Writer(), rec.Request())
	}))
	b.srv.EnableHTTP2 = h2
	b.srv.StartTLS()
	t.Cleanup(b.srv.Close)
	return b
}

func (b *bench) request(t testing.TB, method, path string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.srv.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Caller", "clinic")
	r.Header.Set(Header, "1")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// do sends a request and returns the answer, read to its end.
func (b *bench) do(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := b.srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	<-b.ended
	return resp, string(text)
}

// kept is the receipt under the answer's id.
func (b *bench) kept(t testing.TB, resp *http.Response) form.Receipt {
	t.Helper()
	token, ok := b.Get("clinic", resp.Header.Get(IDHeader))
	if !ok {
		t.Fatalf("no receipt under %q", resp.Header.Get(IDHeader))
	}
	o, err := form.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	if o.Key != b.key.signer.KeyID() {
		t.Error("signed by another key")
	}
	return o.Receipt
}

func sum(text string) form.Digest { return sha256.Sum256([]byte(text)) }

func protocols(t *testing.T, f func(*testing.T, bool)) {
	for name, h2 := range map[string]bool{"http1": false, "http2": true} {
		t.Run(name, func(t *testing.T) { f(t, h2) })
	}
}

// TestReceipt: everything that is said about an ordinary request.
func TestReceipt(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		b := newBench(t, h2, nil, func(w http.ResponseWriter, r *http.Request) {
			in, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "text/x")
			w.WriteHeader(201)
			fmt.Fprintf(w, "got %s", in)
		})
		resp, text := b.do(t, b.request(t, "POST", "/v1/x?q=1", strings.NewReader("hello"), "Content-Type", "text/plain"))
		token := resp.Trailer.Get(Header)
		r := b.kept(t, resp)
		if kept, _ := b.Get("clinic", r.ID); kept != token || token == "" {
			t.Errorf("the trailer is %q", token)
		}
		want := form.Receipt{
			Version: 1, ID: resp.Header.Get(IDHeader), Began: form.At(today()), Ended: form.At(today()), Box: b.key.Box(),
			Serves: []form.Artifact{{Kind: "app", Name: "app", Digest: form.Digest{3}}}, Caller: "clinic", Decision: decision, Audit: place, Outcome: form.Complete,
			Request:  form.Message{Head: form.RequestHead("POST", "/v1/x?q=1", http.Header{"Content-Type": {"text/plain"}}), Body: sum("hello"), Bytes: 5, Complete: true},
			Response: form.Message{Head: form.ResponseHead(201, http.Header{"Content-Type": {"text/x"}}), Body: sum(text), Bytes: 9, Status: 201, Complete: true},
			Egress:   form.Egress{Flows: []form.Flow{}},
		}
		if got := fmt.Sprintf("%+v", r); got != fmt.Sprintf("%+v", want) {
			t.Errorf("got\n%s\nexpected\n%+v", got, want)
		}
		if len(token) > maxTrailer*2/3 {
			t.Errorf("an ordinary receipt has %d bytes", len(token))
		}
		if text != "got hello" {
			t.Errorf("answer %q", text)
		}
	})
}

// TestNotAsked: nothing is there that could be seen or cost.
func TestNotAsked(t *testing.T) {
	b := newBench(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		if _, wrapped := w.(*writer); wrapped {
			t.Error("the answer is watched")
		}
		io.WriteString(w, "x")
	})
	for _, value := range []string{"", "0", "2", "yes", "short-nonce", strings.Repeat("n", 65), "a nonce with spaces in it"} {
		resp, _ := b.do(t, b.request(t, "GET", "/", nil, Header, value))
		if resp.Header.Get(IDHeader) != "" || len(resp.Trailer) > 0 || len(b.Service.kept.of) > 0 {
			t.Errorf("%q: header %q, trailer %v", value, resp.Header.Get(IDHeader), resp.Trailer)
		}
	}
	r := b.request(t, "GET", "/", nil)
	r.Header.Add(Header, "1")
	if resp, _ := b.do(t, r); resp.Header.Get(IDHeader) != "" {
		t.Error("asked twice")
	}
}

func TestNonce(t *testing.T) {
	b := newBench(t, false, nil, func(http.ResponseWriter, *http.Request) {})
	resp, _ := b.do(t, b.request(t, "GET", "/", nil, Header, "0123456789abcdeF_-"))
	if r := b.kept(t, resp); r.Nonce != "0123456789abcdeF_-" || r.Response.Status != 200 || r.Outcome != form.Complete || resp.Trailer.Get(Header) == "" {
		t.Errorf("%+v", r)
	}
}

// TestStranger: who is nobody gets no receipt, and nothing is kept for him.
func TestStranger(t *testing.T) {
	b := newBench(t, false, nil, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })
	resp, _ := b.do(t, b.request(t, "GET", "/", nil, "Caller", ""))
	if resp.Header.Get(IDHeader) != "" || len(resp.Trailer) > 0 || len(b.Service.kept.of) > 0 {
		t.Errorf("%v, %v", resp.Header, resp.Trailer)
	}
}

// TestAnswers: forms of answers that a receipt must get right.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		method  string
		handler http.HandlerFunc
		status  int
		body    string
		trailer bool // on HTTP/1.1
		outcome form.Outcome
	}{
		"length": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			io.WriteString(w, "abc")
		}, 200, "abc", false, form.Complete},
		"nothing": {"GET", func(http.ResponseWriter, *http.Request) {}, 200, "", true, form.Complete},
		"head":    {"HEAD", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "not sent") }, 200, "", false, form.Complete},
		"head with length": {"HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "30")
		}, 200, "", false, form.Complete},
		"no content": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			io.WriteString(w, "not allowed")
		}, 204, "", false, form.Complete},
		"not modified": {"GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, 304, "", false, form.Complete},
		"twice": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			w.WriteHeader(500)
		}, 202, "", true, form.Complete},
		"informational": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "x")
			w.WriteHeader(103)
			w.WriteHeader(404)
			io.WriteString(w, "no")
		}, 404, "no", true, form.Complete},
		"flushed": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "late")
		}, 200, "late", true, form.Complete},
		"forged": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(IDHeader, "mine")
			w.Header().Set("Trailer", Header)
			io.WriteString(w, "x")
			w.Header().Set(Header, "mine")
		}, 200, "x", true, form.Complete},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, h2 bool) {
				b := newBench(t, h2, nil, c.handler)
				hints := 0
				r := b.request(t, c.method, "/", nil)
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }}))
				resp, text := b.do(t, r)
				got := b.kept(t, resp)
				if resp.StatusCode != c.status || text != c.body || got.Response.Status != c.status || got.Response.Body != sum(c.body) ||
					got.Response.Bytes != int64(len(c.body)) || got.Outcome != c.outcome || !got.Response.Complete || !got.Request.Complete {
					t.Errorf("status %d, %q: %+v", resp.StatusCode, text, got)
				}
				if trailer := resp.Trailer.Values(Header); !h2 && c.trailer != (len(trailer) == 1) || len(trailer) > 1 || len(trailer) == 1 && trailer[0] == "mine" {
					t.Errorf("trailer %q", trailer)
				}
				if name == "informational" && hints != 1 {
					t.Errorf("%d informational answers", hints)
				}
			})
		})
	}
}

// TestTrailers: the fields behind a body are in the receipt, but for the box's own.
func TestTrailers(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		b := newBench(t, h2, nil, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Sum, X-None")
			io.WriteString(w, "x")
			w.Header().Set("X-Sum", "1")
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		})
		r := b.request(t, "POST", "/", io.MultiReader(strings.NewReader("body")))
		r.Trailer = http.Header{"X-Check": {"3"}}
		resp, _ := b.do(t, r)
		got := b.kept(t, resp)
		if got.Request.Trailers != form.Trailers(http.Header{"X-Check": {"3"}}) || got.Request.Trailers.IsZero() {
			t.Errorf("request %v", got.Request.Trailers)
		}
		if got.Response.Trailers != form.Trailers(http.Header{"X-Late": {"2"}, "X-Sum": {"1"}}) {
			t.Errorf("response %v", got.Response.Trailers)
		}
		if resp.Trailer.Get("X-Sum") != "1" || resp.Trailer.Get("X-Late") != "2" || resp.Trailer.Get(Header) == "" {
			t.Errorf("trailers %v", resp.Trailer)
		}
	})
}

// TestTrailersThatDidNotCome: all bytes of a body are not all of a request that
// announces more, and nothing is read that may be written at the same time.
func TestTrailersThatDidNotCome(t *testing.T) {
	for _, c := range []struct {
		name     string
		trailer  http.Header
		read     int64
		complete bool
		digest   form.Digest
	}{
		{"the bytes", nil, 4, true, form.Digest{}},
		{"the bytes and no trailers", http.Header{"X-Sum": nil}, 4, false, form.Digest{}},
		{"all of it", http.Header{"X-Sum": nil}, 5, true, form.Trailers(http.Header{"X-Sum": {"1"}})},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
		r.Trailer = c.trailer
		a := newAttempt("id", "", today(), r)
		if n, _ := io.CopyN(io.Discard, r.Body, c.read); n != 4 {
			t.Fatal(n)
		}
		if c.complete {
			r.Trailer = http.Header{"X-Sum": {"1"}}
		}
		var got form.Receipt
		a.finish(http.Header{}, false)
		a.fill(&got)
		if got.Request.Complete != c.complete || got.Request.Trailers != c.digest {
			t.Errorf("%s: %+v", c.name, got.Request)
		}
	}
}

// TestIncomplete: what breaks off has a receipt that says so.
func TestIncomplete(t *testing.T) {
	part := strings.Repeat("x", 10)
	for name, handler := range map[string]http.HandlerFunc{
		"aborted": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, part)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "11")
			io.WriteString(w, part)
		},
		"over": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, part)
			io.WriteString(w, "y")
		},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, h2 bool) {
				b := newBench(t, h2, nil, handler)
				resp, err := b.srv.Client().Do(b.request(t, "GET", "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				io.Copy(io.Discard, resp.Body)
				<-b.ended
				got := b.kept(t, resp)
				// HTTP/2 takes a byte too many into its buffer before it knows.
				wrong := got.Response.Bytes != 10 || got.Response.Body != sum(part)
				if got.Outcome != form.Incomplete || got.Response.Complete || wrong && name != "over" {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestNeverBegan: a handler that panics before it says anything.
func TestNeverBegan(t *testing.T) {
	b := newBench(t, false, nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := b.srv.Client().Do(b.request(t, "GET", "/", nil)); err == nil {
		t.Fatal("an answer")
	}
	<-b.ended
	list := b.Service.kept.of["clinic"]
	if len(list) != 1 {
		t.Fatalf("%d receipts", len(list))
	}
	if o, err := form.Open(list[0].token); err != nil || o.Outcome != form.Incomplete || o.Response.Status != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestGone: a caller that goes away in the middle.
func TestGone(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		b := newBench(t, h2, nil, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := b.srv.Client().Do(b.request(t, "GET", "/", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		resp.Body.Close()
		<-b.ended
		if got := b.kept(t, resp); got.Outcome != form.Incomplete {
			t.Errorf("%+v", got)
		}
	})
}

// TestUnread: a request that nobody read to its end is not complete, one of which
// all bytes were read is.
func TestUnread(t *testing.T) {
	for n, complete := range map[int]bool{0: false, 3: false, 6: true} {
		b := newBench(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, n))
		})
		resp, _ := b.do(t, b.request(t, "POST", "/", strings.NewReader("abcdef")))
		if got := b.kept(t, resp).Request; got.Complete != complete || got.Bytes != int64(n) || got.Body != sum("abcdef"[:n]) {
			t.Errorf("%d bytes: %+v", n, got)
		}
	}
	broken := newBench(t, false, nil, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	conn := dial(t, broken)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nCaller: clinic\r\n%s: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n", Header)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-broken.ended
	if got := broken.kept(t, resp).Request; got.Complete || got.Bytes != 3 {
		t.Errorf("a broken body: %+v", got)
	}
}

func dial(t *testing.T, b *bench) net.Conn {
	t.Helper()
	transport := b.srv.Client().Transport.(*http.Transport)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	secured := tlsClient(conn, transport)
	t.Cleanup(func() { secured.Close() })
	secured.SetDeadline(time.Now().Add(patience))
	return secured
}

// TestUpgrade: through a ReverseProxy to an app that changes the protocol. What
// passes then is counted.
func TestUpgrade(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, strings.ToUpper(line))
	}))
	t.Cleanup(app.Close)
	target, _ := url.Parse(app.URL)
	proxy := httputil.NewSingleHostReverseProxy(target)
	b := newBench(t, false, nil, proxy.ServeHTTP)
	conn := dial(t, b)
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nCaller: clinic\r\n%s: 1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", Header)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := in.ReadString('\n'); line != "HELLO\n" {
		t.Fatalf("%q, %v", line, err)
	}
	conn.Close()
	<-b.ended
	got := b.kept(t, resp)
	if got.Outcome != form.Upgraded || got.Response.Status != 101 || got.Request.Bytes != 6 || got.Response.Bytes < 6 ||
		got.Request.Body != sum("") || got.Response.Body != sum("") || got.Request.Complete || got.Response.Complete {
		t.Errorf("%+v", got)
	}
}

// TestHijackAhead: bytes that came with the request are not lost, and counted once.
func TestHijackAhead(t *testing.T) {
	b := newBench(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		first, _ := rw.ReadString('\n')
		second, _ := rw.ReadString('\n')
		fmt.Fprintf(rw, "HTTP/1.1 101 X\r\n\r\n%s%s", first, second)
		rw.Flush()
		if half, ok := conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
			t.Error("TLS cannot end its direction any more")
		}
	})
	conn := dial(t, b)
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nCaller: clinic\r\n%s: 1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\none\n", Header)
	io.WriteString(conn, "two\n")
	if text, err := io.ReadAll(conn); string(text) != "HTTP/1.1 101 X\r\n\r\none\ntwo\n" {
		t.Fatalf("%q, %v", text, err)
	}
	<-b.ended
	o, err := form.Open(b.Service.kept.of["clinic"][0].token)
	if err != nil || o.Request.Bytes != 8 || o.Response.Bytes != 26 || o.Outcome != form.Upgraded || o.Response.Status != 101 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestNoHijack: where a connection cannot be taken over, the answer is one as any
// other.
func TestNoHijack(t *testing.T) {
	b := newBench(t, true, nil, func(w http.ResponseWriter, _ *http.Request) {
		if conn, rw, err := w.(http.Hijacker).Hijack(); err == nil || conn != nil || rw != nil {
			t.Errorf("HTTP/2 is taken over: %v", err)
		}
		io.WriteString(w, "ok")
	})
	resp, _ := b.do(t, b.request(t, "GET", "/", nil))
	if got := b.kept(t, resp); got.Outcome != form.Complete || got.Response.Bytes != 2 || got.Response.Status != 200 {
		t.Errorf("%+v", got)
	}
}

// TestKept: for the caller alone, the last few, for a while.
func TestKept(t *testing.T) {
	b := newBench(t, false, func(c *Config) { c.Keep, c.KeepFor = 2, time.Minute }, func(http.ResponseWriter, *http.Request) {})
	var ids []string
	for range 3 {
		resp, _ := b.do(t, b.request(t, "GET", "/", nil))
		ids = append(ids, resp.Header.Get(IDHeader))
	}
	b.do(t, b.request(t, "GET", "/", nil, "Caller", "other"))
	has := func(caller, id string) bool { _, ok := b.Get(caller, id); return ok }
	if has("clinic", ids[0]) || !has("clinic", ids[1]) || !has("clinic", ids[2]) || has("other", ids[2]) || has("", ids[2]) || ids[1] == ids[2] {
		t.Errorf("kept %v", b.Service.kept.of)
	}
	b.mu.Lock()
	b.now = b.now.Add(time.Minute)
	b.mu.Unlock()
	if !has("clinic", ids[2]) {
		t.Error("gone too soon")
	}
	b.mu.Lock()
	b.now = b.now.Add(time.Second)
	b.mu.Unlock()
	if has("clinic", ids[2]) {
		t.Error("kept for ever")
	}
}

// TestEgress: what came on top, and whether it may be somebody else's.
func TestEgress(t *testing.T) {
	var mu sync.Mutex
	flows := []form.Flow{{To: "a:443", Line: 3, Opened: 1, Sent: 10, Received: 20, Refused: 1}, {To: "quiet:443", Line: 4, Opened: 5}}
	egressNow := func() []form.Flow {
		mu.Lock()
		defer mu.Unlock()
		return append([]form.Flow(nil), flows...)
	}
	enter, leave := make(chan struct{}, 10), make(chan struct{})
	b := newBench(t, false, func(c *Config) { c.Egress = egressNow }, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/use":
			mu.Lock()
			flows[0].Opened, flows[0].Sent, flows[0].Received, flows[0].Refused = 3, 110, 220, 2
			for i := range form.MaxFlows {
				flows = append(flows, form.Flow{To: fmt.Sprint("more", i), Line: 9, Opened: 1})
			}
			mu.Unlock()
		case "/wait":
			enter <- struct{}{}
			<-leave
		}
	})
	resp, _ := b.do(t, b.request(t, "GET", "/use", nil))
	if resp.Trailer.Get(Header) != "" {
		t.Error("a trailer that HTTP/1.1 clients refuse")
	}
	got := b.kept(t, resp).Egress
	if !got.Observed || got.Shared || len(got.Flows) != form.MaxFlows || got.More != 1 || got.Flows[0] != (form.Flow{To: "a:443", Line: 3, Opened: 2, Sent: 100, Received: 200, Refused: 1}) || got.Flows[1].To != "more0" {
		t.Errorf("%+v", got)
	}
	resp, _ = b.do(t, b.request(t, "GET", "/", nil))
	if got := b.kept(t, resp).Egress; !got.Observed || got.Shared || len(got.Flows) != 0 {
		t.Errorf("nothing left: %+v", got)
	}
	// One that waits is there at the beginning of the second; the second begins
	// while the first runs. Neither need have asked for a receipt.
	done := make(chan form.Egress)
	go func() {
		r, err := b.srv.Client().Do(b.request(t, "GET", "/wait", nil))
		if err != nil {
			t.Error(err)
			close(done)
			return
		}
		r.Body.Close()
		<-b.ended
		done <- b.kept(t, r).Egress
	}()
	<-enter
	resp, _ = b.do(t, b.request(t, "GET", "/", nil))
	if got := b.kept(t, resp).Egress; !got.Shared {
		t.Error("another was running")
	}
	plain := b.request(t, "GET", "/", nil)
	plain.Header.Del(Header)
	b.do(t, plain)
	leave <- struct{}{}
	if got := <-done; !got.Shared {
		t.Error("another came and went")
	}
	resp, _ = b.do(t, b.request(t, "GET", "/", nil))
	if b.kept(t, resp).Egress.Shared {
		t.Error("alone again, and shared")
	}
}

// TestKeyTooOld: no receipt is better than one that nobody accepts.
func TestKeyTooOld(t *testing.T) {
	b := newBench(t, false, nil, func(http.ResponseWriter, *http.Request) {})
	b.mu.Lock()
	b.now = b.key.until.Add(time.Second)
	b.mu.Unlock()
	resp, _ := b.do(t, b.request(t, "GET", "/", nil))
	if _, ok := b.Get("clinic", resp.Header.Get(IDHeader)); ok || resp.Trailer.Get(Header) != "" {
		t.Error("signed by a key that may not")
	}
	next := newKey(t)
	next.until = b.now.Add(time.Hour)
	if err := b.Rekey(next); err != nil || b.Rekey(nil) == nil || b.Rekey(&fakeKey{}) == nil {
		t.Fatal(err)
	}
	b.key = next
	resp, _ = b.do(t, b.request(t, "GET", "/", nil))
	b.kept(t, resp)
}

// TestRefusedByTheBox: the code of the box's own answer.
func TestRefusedByTheBox(t *testing.T) {
	s, err := New(Config{Key: newKey(t), Now: today})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(Header, "1")
	w := httptest.NewRecorder()
	func() {
		rec := s.Begin(w, r)
		defer rec.End()
		rec.Decided("clinic", form.Decision{Action: "query", Line: 3}, form.Position{})
		rec.Refused(403)
		rec.Writer().WriteHeader(403)
	}()
	token, _ := s.Get("clinic", w.Header().Get(IDHeader))
	if o, err := form.Open(token); err != nil || o.Decision != (form.Decision{Action: "query", Line: 3, Code: 403}) || o.Response.Status != 403 {
		t.Errorf("%+v, %v", o, err)
	}
	quiet := s.Begin(w, httptest.NewRequest("GET", "/", nil))
	quiet.Refused(403)
	quiet.Decided("clinic", form.Decision{}, form.Position{})
	quiet.End()
	// A panic that is none of ours is passed on as it is.
	defer func() {
		if p := recover(); p != "mine" || s.began.Load() != s.ended.Load() {
			t.Errorf("panic %v", p)
		}
	}()
	rec := s.Begin(w, httptest.NewRequest("GET", "/", nil))
	defer rec.End()
	panic("mine")
}

func TestConfigRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no key": {Now: today}, "no signer": {Key: &fakeKey{}, Now: today}, "no clock": {Key: newKey(t)},
		"keep": {Key: newKey(t), Now: today, Keep: -1}, "life": {Key: newKey(t), Now: today, KeepFor: -1},
		"serves": {Key: newKey(t), Now: today, Serves: make([]form.Artifact, form.MaxArtifacts+1)},
	} {
		if s, err := New(cfg); err == nil || s != nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
