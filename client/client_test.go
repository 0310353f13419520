package client_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/client"
)

func TestRequest(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""), client.WithAPIKey(apiKey))
	for range 3 {
		resp, err := c.HTTP().Post(b.url()+"/v2/infer", "text/plain", strings.NewReader("record"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "POST HTTP/2.0 Bearer "+apiKey+" record" || resp.ProtoMajor != 2 {
			t.Errorf("%s: %q", resp.Proto, body)
		}
		if r, ok := client.ResultFrom(resp); !ok || !r.Trusted() || !r.Simulated() || r.Code() != "demo v1" {
			t.Errorf("result %v, %v", ok, r.Verdict())
		}
	}
	if n := b.hardware.quotes.Load(); n != 1 {
		t.Errorf("%d quotes for one connection", n)
	}
	// A new connection to the same box takes the fast path; Verify never does.
	c.CloseIdleConnections()
	get(t, c, b.url())
	if n := b.hardware.quotes.Load(); n != 1 {
		t.Errorf("%d quotes after the fast path", n)
	}
	r, bundle, err := c.Verify(t.Context(), b.url())
	if err != nil || !r.Trusted() || len(bundle.Evidence.Data) == 0 || string(bundle.Policy) != document {
		t.Errorf("verify: %s, %v", r.Verdict(), err)
	}
	if n := b.hardware.quotes.Load(); n != 2 {
		t.Errorf("%d quotes after Verify", n)
	}
}

// TestLongBodies: what HTTP/2 would send window by window has a connection for itself,
// and what may be a conversation has not.
func TestLongBodies(t *testing.T) {
	b := newBox(t, boxConfig{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Proto, " ", n, " ", err)
	})})
	c := newClient(t, b, trustFile(t, ""), client.WithAPIKey(apiKey))
	const window = 1 << 20
	for _, try := range []struct {
		length   int
		declared bool
		want     string
	}{
		{window, true, "HTTP/2.0 1048576 <nil>"},
		{window + 1, true, "HTTP/1.1 1048577 <nil>"},
		{window + 1, false, "HTTP/2.0 1048577 <nil>"},
		{1, true, "HTTP/2.0 1 <nil>"},
	} {
		var body io.Reader = bytes.NewReader(make([]byte, try.length))
		if !try.declared {
			body = io.MultiReader(body)
		}
		resp, err := c.HTTP().Post(b.url()+"/v2/infer", "application/octet-stream", body)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != try.want {
			t.Errorf("%d bytes, declared %v: %s, expected %s", try.length, try.declared, got, try.want)
		}
		if r, ok := client.ResultFrom(resp); !ok || !r.Trusted() {
			t.Errorf("%d bytes: result %v, %v", try.length, ok, r.Verdict())
		}
	}
	if n := b.hardware.quotes.Load(); n != 1 {
		t.Errorf("%d quotes, expected one: the second connection takes the fast path", n)
	}
}

func TestOwnAuthorizationIsKept(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""), client.WithAPIKey(apiKey))
	req, _ := http.NewRequest("GET", b.url(), nil)
	req.Header.Set("Authorization", "Bearer mine")
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "Bearer mine") {
		t.Errorf("%q", body)
	}
	// A RoundTripper does not change the caller's request.
	req, _ = http.NewRequest("GET", b.url(), nil)
	resp, err = c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(req.Header) != 0 {
		t.Errorf("the request has %v now", req.Header)
	}
}

func TestDial(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""))
	conn, r, err := c.Dial(t.Context(), "tcp", b.addr)
	if err != nil || !r.Trusted() {
		t.Fatalf("%v", err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%q, %v", answer, err)
	}
	if got, ok := client.ResultOf(conn); !ok || got.Code() != r.Code() {
		t.Error("the connection has no result")
	}
	if _, ok := client.ResultOf(new(net.TCPConn)); ok {
		t.Error("any connection has a result")
	}
	if _, ok := client.ResultFrom(&http.Response{}); ok {
		t.Error("any response has a result")
	}
}

// A request that changes the protocol needs HTTP/1.1.
func TestUpgrade(t *testing.T) {
	b := newBox(t, boxConfig{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, line)
	})})
	c := newClient(t, b, trustFile(t, ""))
	req, _ := http.NewRequest("GET", b.url(), nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream, ok := resp.Body.(io.ReadWriter)
	if resp.StatusCode != 101 || !ok {
		t.Fatalf("%s, %T", resp.Status, resp.Body)
	}
	io.WriteString(stream, "hello\n")
	if line, err := bufio.NewReader(stream).ReadString('\n'); line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// recorder writes down what the client sends, and how much of it after the
// first byte came back from the box.
type recorder struct {
	mu    sync.Mutex
	sent  bytes.Buffer
	after int
}

type recordingConn struct {
	net.Conn
	r *recorder
}

func (c recordingConn) Write(b []byte) (int, error) {
	c.r.mu.Lock()
	c.r.sent.Write(b)
	c.r.after += len(b)
	c.r.mu.Unlock()
	return c.Conn.Write(b)
}

func (c recordingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.r.mu.Lock()
	if n > 0 {
		c.r.after = 0
	}
	c.r.mu.Unlock()
	return n, err
}

func (r *recorder) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return recordingConn{conn, r}, nil
}

// alertSize is a TLS 1.3 record with an alert: header, two bytes, content
// type, tag. Whoever closes a connection sends one.
const alertSize = 5 + 2 + 1 + 16

func TestRefusals(t *testing.T) {
	strict := func(t testing.TB) *appraise.Trust { return trustFile(t, "") }
	for _, tc := range []struct {
		name  string
		box   boxConfig
		trust func(testing.TB) *appraise.Trust
		code  attest.Code
	}{
		{"wrong measurement", boxConfig{sim: func(b *sim.Box) { b.Measurement[0] ^= 1 }}, strict, appraise.CodeMeasurement},
		{"one byte of the policy", boxConfig{policy: document + "#"}, strict, attest.CodePolicyMismatch},
		{"launched with another policy", boxConfig{sim: func(b *sim.Box) { b.HostData[0] ^= 1 }}, strict, appraise.CodeLaunchPolicy},
		{"debug", boxConfig{sim: func(b *sim.Box) { b.Debug = true }}, strict, appraise.CodeDebug},
		{"old firmware", boxConfig{sim: func(b *sim.Box) { b.OldTCB = true }}, strict, appraise.CodeTCBLow},
		{"simulated, not allowed", boxConfig{}, func(t testing.TB) *appraise.Trust {
			good := goodBox()
			return parse(t, fmt.Sprintf("version: 1\naccept:\n  - {name: demo, sev-snp: {measurement: %x}, policy: any}\n", good.Measurement))
		}, attest.CodeKindMismatch},
		{"simulated under another root", boxConfig{}, func(t testing.TB) *appraise.Trust {
			return trustFile(t, "").WithSimulatedRoot(attest.Digest{1})
		}, attest.CodeUntrustedRoot},
		{"reference value expired", boxConfig{clock: &clock{at: time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)}}, strict, appraise.CodeReferenceEnded},
		{"the box's clock is a day off", boxConfig{server: func(c *atls.ServerConfig) {
			now := c.Now
			c.Now = func() time.Time { return now().Add(25 * time.Hour) }
		}}, strict, attest.CodeClock},
		{"callers must be known", boxConfig{}, func(t testing.TB) *appraise.Trust {
			return trustFile(t, "require: {models: [sha256:"+strings.Repeat("1", 64)+"]}\n")
		}, appraise.CodeRequirement},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBox(t, tc.box)
			r := &recorder{}
			c := newClient(t, b, tc.trust(t), client.WithDialer(r.dial), client.WithAPIKey(apiKey))
			_, err := c.HTTP().Post(b.url(), "text/plain", strings.NewReader("patient record"))
			mustRefuse(t, err, tc.code)
			if n := b.requests.Load(); n != 0 {
				t.Errorf("%d requests reached the box", n)
			}
			r.mu.Lock()
			if r.after > alertSize {
				t.Errorf("%d bytes were sent after the box's answer", r.after)
			}
			r.mu.Unlock()
			_, result, err := c.Dial(t.Context(), "tcp", b.addr)
			mustRefuse(t, err, tc.code)
			if result != nil && result.Trusted() {
				t.Error("a trusted result with an error")
			}
			verdict, _, err := c.Verify(t.Context(), b.url())
			mustRefuse(t, err, tc.code)
			if verdict.Trusted() {
				t.Error("a trusted result with an error")
			}
		})
	}
}

func mustRefuse(t testing.TB, err error, code attest.Code) {
	t.Helper()
	var refused *client.RefusedError
	var failure *attest.Failure
	if !errors.As(err, &refused) || !errors.As(err, &failure) || refused.Result.Trusted() {
		t.Fatalf("error %v", err)
	}
	for _, c := range failure.Failed() {
		if c.Code == code {
			return
		}
	}
	t.Errorf("refused with %v, want %s", err, code)
}

// A refused box gives the whole Result, with checks that passed.
func TestRefusalHoldsResult(t *testing.T) {
	b := newBox(t, boxConfig{sim: func(b *sim.Box) { b.Measurement[0] ^= 1 }})
	c := newClient(t, b, trustFile(t, ""))
	_, err := c.HTTP().Get(b.url())
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Addr != b.addr {
		t.Fatal(err)
	}
	if codes := refused.Result.Codes(); len(codes) != 1 || codes[0] != appraise.CodeMeasurement || !refused.Result.Simulated() {
		t.Errorf("codes %v", codes)
	}
	if !strings.Contains(err.Error(), "nothing was sent") {
		t.Errorf("%v", err)
	}
}

// A man in the middle who ends TLS with a key of his own and passes the gate's
// bytes on gets evidence that is about another connection.
func TestRelay(t *testing.T) {
	b := newBox(t, boxConfig{})
	relay := newRelay(t, b.addr)
	c := newClient(t, b, trustFile(t, ""), client.WithAPIKey(apiKey))
	_, err := c.HTTP().Post("https://"+relay.addr, "text/plain", strings.NewReader("patient record"))
	mustRefuse(t, err, attest.CodeChannelMismatch)
	mustRefuse(t, err, attest.CodeKeyMismatch)
	c.Close()
	if seen := relay.seen(); len(seen) == 0 || strings.Contains(seen, apiKey) || strings.Contains(seen, "patient") {
		t.Errorf("the relay saw %q", seen)
	}
	if n := b.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the box", n)
	}
}

func TestPlainHTTPSServer(t *testing.T) {
	var requests atomic.Int32
	web := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	web.Config.ErrorLog = quiet()
	defer web.Close()
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""), client.WithAPIKey(apiKey))
	_, err := c.HTTP().Get(web.URL)
	mustRefuse(t, err, attest.CodeNoAttestation)
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests reached the web server", n)
	}
}

func TestUnreachable(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""), client.WithTimeout(200*time.Millisecond))
	silent := listen(t) // accepts and says nothing
	for name, addr := range map[string]string{"closed": "127.0.0.1:1", "silent": silent.Addr().String()} {
		start := time.Now()
		_, err := c.HTTP().Get("https://" + addr)
		var refused *client.RefusedError
		if !errors.Is(err, attest.ErrUnavailable) || errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// withholding is hardware whose host keeps the revocation list of the root back.
type withholding struct{ attest.Attester }

func (w withholding) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	ev, end, err := w.Attester.Attest(ctx, b)
	return ev, slices.DeleteFunc(end, func(e attest.Endorsement) bool { return e.Label == attest.LabelSNPARKCRL }), err
}

// TestMissingListIsUnavailable: a box of which nothing worse is known than that
// something is missing is refused, and an errors.Is tells it from one that was
// caught.
func TestMissingListIsUnavailable(t *testing.T) {
	withhold := func(c *atls.ServerConfig) { c.Attester = withholding{c.Attester} }
	for name, tc := range map[string]struct {
		box  boxConfig
		want bool
	}{
		"list missing":                 {boxConfig{server: withhold}, true},
		"list missing, and other code": {boxConfig{server: withhold, sim: func(b *sim.Box) { b.Measurement[0] ^= 1 }}, false},
		"other code":                   {boxConfig{sim: func(b *sim.Box) { b.Measurement[0] ^= 1 }}, false},
	} {
		b := newBox(t, tc.box)
		_, err := newClient(t, b, trustFile(t, "")).HTTP().Get(b.url())
		var refused *client.RefusedError
		if !errors.As(err, &refused) || errors.Is(err, attest.ErrUnavailable) != tc.want {
			t.Errorf("%s: unavailable %v, expected %v: %v", name, errors.Is(err, attest.ErrUnavailable), tc.want, err)
		}
		if n := b.requests.Load(); n != 0 {
			t.Errorf("%s: %d requests reached the box", name, n)
		}
	}
}

func TestContext(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""))
	silent := listen(t)
	for name, call := range map[string]func(context.Context) error{
		"request": func(ctx context.Context) error {
			req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+silent.Addr().String(), nil)
			_, err := c.RoundTrip(req)
			return err
		},
		"dial": func(ctx context.Context) error {
			_, _, err := c.Dial(ctx, "tcp", silent.Addr().String())
			return err
		},
		"verify": func(ctx context.Context) error {
			_, _, err := c.Verify(ctx, "https://"+silent.Addr().String())
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if err := call(ctx); err == nil {
			t.Errorf("%s went on with a context that had ended", name)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestMaxAge(t *testing.T) {
	b := newBox(t, boxConfig{})
	var results atomic.Int32
	c := newClient(t, b, trustFile(t, "max_age: 5m\n"), client.WithOnResult(func(v client.Verification) {
		if v.Result.Trusted() && len(v.Bundle.Statement) != 0 {
			results.Add(1)
		}
	}))
	get(t, c, b.url())
	b.clock.advance(4 * time.Minute)
	get(t, c, b.url())
	if n := b.hardware.quotes.Load(); n > 2 {
		t.Errorf("%d quotes within max age", n)
	}
	before := b.hardware.quotes.Load()
	b.clock.advance(20 * time.Minute)
	// Also for a request that may not be sent twice: it was not sent once.
	resp, err := c.HTTP().Post(b.url(), "text/plain", strings.NewReader("record"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !strings.HasSuffix(string(body), "record") {
		t.Errorf("%q", body)
	}
	if n := b.requests.Load(); n != 3 {
		t.Errorf("the box saw %d requests", n)
	}
	if n := b.hardware.quotes.Load(); n <= before {
		t.Errorf("no fresh evidence after max age: %d quotes, then %d", before, n)
	}
	if results.Load() < 2 {
		t.Errorf("%d results were shown", results.Load())
	}
}

func TestMaxAgeZeroIsAlwaysFull(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, "max_age: 0s\n"))
	for want := int32(1); want <= 3; want++ {
		conn, _, err := c.Dial(t.Context(), "tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if n := b.hardware.quotes.Load(); n != want {
			t.Errorf("%d quotes for %d connections", n, want)
		}
	}
}

// A stream whose box is no longer accepted is cut.
func TestSetTrust(t *testing.T) {
	release := make(chan struct{})
	b := newBox(t, boxConfig{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first\n")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})})
	defer close(release)
	c := newClient(t, b, trustFile(t, ""))
	resp, err := c.HTTP().Get(b.url())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := bufio.NewReader(resp.Body)
	if line, err := stream.ReadString('\n'); line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := c.SetTrust(nil); err == nil {
		t.Error("no trust at all was taken")
	}
	other := parse(t, otherTrust(t))
	if err := c.SetTrust(other); err != nil {
		t.Fatal(err)
	}
	if c.Trust() != other {
		t.Error("the old trust is still there")
	}
	if rest, err := io.ReadAll(stream); err == nil {
		t.Errorf("the stream went on: %q", rest)
	}
	_, err = c.HTTP().Get(b.url())
	mustRefuse(t, err, appraise.CodeMeasurement)
}

func otherTrust(t testing.TB) string {
	return fmt.Sprintf("version: 1\naccept:\n  - {name: other, sev-snp: {measurement: %s}, policy: any}\nallow_simulated: true\nsimulated_root: sha256:%s\n",
		strings.Repeat("ab", 48), testRoot(t).Fingerprint())
}

func TestClose(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""))
	get(t, c, b.url())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.HTTP().Get(b.url()); err == nil {
		t.Error("a closed client sent a request")
	}
	if err := c.SetTrust(trustFile(t, "")); err == nil {
		t.Error("a closed client was opened again by a new trust")
	}
	if _, _, err := c.Dial(t.Context(), "tcp", b.addr); err == nil {
		t.Error("a closed client dialled")
	}
}

func TestMutual(t *testing.T) {
	var seen atomic.Pointer[attest.Bundle]
	b := newBox(t, boxConfig{server: func(c *atls.ServerConfig) {
		c.Peer = &atls.PeerConfig{Kinds: []attest.Kind{attest.SimSNP}, Require: true, Skew: time.Minute,
			Check: func(_ context.Context, p atls.Presented) (any, error) {
				seen.Store(&p.Bundle)
				return "accepted", nil
			}}
	}})
	own, err := testRoot(t).NewAttester(goodBox(), b.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]client.Option{
		"identity": client.WithIdentity(&atls.Identity{Attester: own, Policy: []byte(document)}),
		"attester": client.WithAttester(own, []byte(document)),
	} {
		seen.Store(nil)
		c := newClient(t, b, trustFile(t, ""), option)
		if _, body := get(t, c, b.url()); !strings.HasPrefix(body, "GET HTTP/2.0") {
			t.Errorf("%s: %q", name, body)
		}
		if p := seen.Load(); p == nil || string(p.Policy) != document {
			t.Errorf("%s: the box was shown nothing", name)
		}
	}
	plain := newClient(t, b, trustFile(t, ""))
	if _, err := plain.HTTP().Get(b.url()); err == nil {
		t.Error("the box let in a caller that proved nothing")
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	proxy := listen(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	t.Setenv("NO_PROXY", "")
	b := newBox(t, boxConfig{})
	var dialled atomic.Value
	c := newClient(t, b, trustFile(t, ""), client.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled.Store(addr)
		return new(net.Dialer).DialContext(ctx, network, b.addr)
	}))
	get(t, c, "https://box.example:8443/")
	if got := dialled.Load(); got != "box.example:8443" {
		t.Errorf("connected to %v", got)
	}
}

func TestRedirects(t *testing.T) {
	var target atomic.Value
	b := newBox(t, boxConfig{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, target.Load().(string), http.StatusFound)
			return
		}
		echo(w, r)
	})})
	var requests atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer web.Close()
	c := newClient(t, b, trustFile(t, ""), client.WithAPIKey(apiKey))
	for _, to := range []string{web.URL, "https://other.example/", "http://" + b.addr + "/x"} {
		target.Store(to)
		if resp, err := c.HTTP().Get(b.url()); err == nil {
			resp.Body.Close()
			t.Errorf("followed a redirect to %s", to)
		}
	}
	target.Store("/x")
	if _, body := get(t, c, b.url()); !strings.HasPrefix(body, "GET") {
		t.Errorf("%q", body)
	}
	target.Store("/")
	if _, err := c.HTTP().Get(b.url()); err == nil {
		t.Error("followed redirects for ever")
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests reached a server without attestation", n)
	}
}

// closing notes that a request's body was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestHTTPSOnly(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""))
	body := &closing{Reader: strings.NewReader("patient record")}
	req, _ := http.NewRequest("POST", "http://"+b.addr, body)
	if _, err := c.RoundTrip(req); err == nil || !body.closed {
		t.Errorf("error %v, body closed %v", err, body.closed)
	}
	if _, err := c.RoundTrip(&http.Request{}); err == nil {
		t.Error("a request to nowhere was sent")
	}
	for _, bad := range []string{"", "box.example", "http://box.example", "https://", "https://:443", "https://a b", "ftp://x"} {
		if _, _, err := c.Verify(t.Context(), bad); err == nil {
			t.Errorf("verified %q", bad)
		}
	}
	for url, want := range map[string]string{"https://box.example": "box.example:443", "https://[::1]:8443/x": "[::1]:8443", "https://u:p@h:1?q": "h:1"} {
		if got, err := client.Address(url); got != want || err != nil {
			t.Errorf("address of %s: %q, %v", url, got, err)
		}
	}
}

func TestConcurrentRequests(t *testing.T) {
	b := newBox(t, boxConfig{})
	c := newClient(t, b, trustFile(t, ""))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			resp, err := c.HTTP().Post(b.url(), "text/plain", strings.NewReader(fmt.Sprint("n", i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); !strings.HasSuffix(string(body), fmt.Sprint("n", i)) {
				t.Errorf("%q", body)
			}
			if _, ok := client.ResultFrom(resp); !ok {
				t.Error("no result")
			}
		}()
	}
	wg.Wait()
}

func TestNewRefuses(t *testing.T) {
	trust := trustFile(t, "")
	for name, f := range map[string]func() (*client.Client, error){
		"no trust":    func() (*client.Client, error) { return client.New(nil) },
		"empty trust": func() (*client.Client, error) { return client.New(new(appraise.Trust)) },
		"no root":     func() (*client.Client, error) { return client.New(trust.WithSimulatedRoot(attest.Digest{})) },
		"empty key":   func() (*client.Client, error) { return client.New(trust, client.WithAPIKey("")) },
		"no clock":    func() (*client.Client, error) { return client.New(trust, client.WithClock(nil)) },
		"no dialer":   func() (*client.Client, error) { return client.New(trust, client.WithDialer(nil)) },
		"no timeout":  func() (*client.Client, error) { return client.New(trust, client.WithTimeout(0)) },
		"no identity": func() (*client.Client, error) { return client.New(trust, client.WithIdentity(nil)) },
		"no attester": func() (*client.Client, error) { return client.New(trust, client.WithAttester(nil, []byte(document))) },
		"no document": func() (*client.Client, error) {
			own, err := testRoot(t).NewAttester(goodBox(), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			return client.New(trust, client.WithAttester(own, nil))
		},
		"empty identity": func() (*client.Client, error) { return client.New(trust, client.WithIdentity(new(atls.Identity))) },
	} {
		if c, err := f(); err == nil || c != nil {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// A trust file without floors says nothing about firmware at a time before the
// built-in ones. Nothing failed then, and the box is refused all the same, with
// the reason and with the Result.
func TestPartialIsRefused(t *testing.T) {
	early := &clock{at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	root, err := sim.NewRoot(rand.Reader, early.now())
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, boxConfig{clock: early, root: root})
	c := newClient(t, b, trustFile(t, "").WithSimulatedRoot(root.Fingerprint()))
	_, fromDial, dialErr := c.Dial(t.Context(), "tcp", b.addr)
	_, getErr := c.HTTP().Get(b.url())
	fromVerify, _, verifyErr := c.Verify(t.Context(), b.url())
	if fromDial == nil || fromDial.Verdict() != appraise.Partial || fromVerify.Verdict() != appraise.Partial {
		t.Errorf("results %v, %s", fromDial, fromVerify.Verdict())
	}
	for name, err := range map[string]error{"dial": dialErr, "request": getErr, "verify": verifyErr} {
		var refused *client.RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var failed []string
		for _, c := range refused.Failure.Failed() {
			if c.Code != appraise.CodeNotChecked || c.Seen == "" {
				t.Errorf("%s: %s", name, c)
			}
			failed = append(failed, c.Name)
		}
		if want := "hardware.tcb_current hardware.tcb_reported hardware.tcb_certified hardware.tcb_committed hardware.tcb_launch"; strings.Join(failed, " ") != want {
			t.Errorf("%s: failed %s, expected %s", name, failed, want)
		}
		if refused.Result.Verdict() != appraise.Partial || len(refused.Result.Checks()) == 0 || !refused.Result.Simulated() {
			t.Errorf("%s: result %s with %d checks", name, refused.Result.Verdict(), len(refused.Result.Checks()))
		}
	}
	if n := b.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the box", n)
	}
}

// A day in the trust file counts from its first moment, and not from the end of
// max_age: neither a live connection nor a fast answer outlasts it.
func TestExpiryCountsBeforeMaxAge(t *testing.T) {
	b := newBox(t, boxConfig{clock: &clock{at: time.Date(2026, 12, 31, 23, 58, 0, 0, time.UTC)}})
	c := newClient(t, b, trustFile(t, "max_age: 1h\n"))
	conn, result, err := c.Dial(t.Context(), "tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	session, ok := atls.SessionOf(conn)
	if !ok {
		t.Fatal("the connection has no session")
	}
	if !session.Until.Equal(end) || !result.ValidUntil().Equal(end) {
		t.Errorf("connection until %s, result until %s, expected %s", session.Until, result.ValidUntil(), end)
	}
	get(t, c, b.url())
	b.clock.advance(2 * time.Minute)
	var cut *atls.CutError
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n"); !errors.As(err, &cut) {
		t.Errorf("the live connection says %v", err)
	}
	_, err = c.HTTP().Post(b.url(), "text/plain", strings.NewReader("patient record"))
	mustRefuse(t, err, appraise.CodeReferenceEnded)
	if n := b.requests.Load(); n != 1 {
		t.Errorf("the box saw %d requests", n)
	}
}
