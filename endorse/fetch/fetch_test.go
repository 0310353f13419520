package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/source"
)

// clock is a time that passes only when somebody waits.
type clock struct {
	now   time.Time
	waits []time.Duration
}

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.waits = append(c.waits, d)
	c.now = c.now.Add(d)
	return ctx.Err()
}

func newClock() *clock { return &clock{now: time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)} }

// client returns a client of a server that stands in for every vendor.
func client(t *testing.T, h http.HandlerFunc, opt fetch.Options) (*fetch.Client, *clock) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c := newClock()
	opt.Mirror, opt.Now, opt.Sleep = srv.URL, c.Now, c.Sleep
	if opt.Jitter == nil {
		opt.Jitter = func() float64 { return 1 }
	}
	f, err := fetch.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func crlObject(t testing.TB) source.Object {
	t.Helper()
	o, err := source.AMDCRL("Genoa", false)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// der is enough of a DER object for this package, which trusts nothing anyway.
var der = []byte{0x30, 0x01, 0x00}

// refusedBy gets an object and returns the error, checking what every error of
// this package must say and that the wait was bounded.
func refusedBy(t *testing.T, f *fetch.Client, o source.Object) *fetch.Error {
	t.Helper()
	const limit = 30 * time.Second // no wait is real, but for an attempt's
	began := time.Now()
	a, err := f.Get(t.Context(), o)
	if took := time.Since(began); took > limit {
		t.Errorf("took %s, limit %s", took, limit)
	}
	var e *fetch.Error
	if !errors.As(err, &e) || !errors.Is(err, attest.ErrUnavailable) || a.Data != nil {
		t.Fatalf("Get = %d bytes, %v; expected an Error that wraps ErrUnavailable", len(a.Data), err)
	}
	if e.Host == "" || e.Answered == "" || e.Fix == "" || !strings.Contains(err.Error(), "nothing was fetched") || !strings.Contains(err.Error(), e.Host) {
		t.Errorf("error says too little: %v", err)
	}
	if c := e.Check(); c.Status != attest.Fail || c.Code != e.Code || c.Name == "" {
		t.Errorf("check %+v", c)
	}
	return e
}

func TestAnswer(t *testing.T) {
	var asked string
	f, _ := client(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		w.Header().Set("TCB-Info-Issuer-Chain", "-----BEGIN%20CERTIFICATE-----%0Aa+b%2Bc")
		io.WriteString(w, "{}")
	}, fetch.Options{})
	o, err := source.TCBInfo(source.TDX, [6]byte{0, 0x60, 0x6a}, source.Standard)
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Get(t.Context(), o)
	if err != nil || string(a.Data) != "{}" || string(a.Chain) != "-----BEGIN CERTIFICATE-----\na+b+c" {
		t.Errorf("Get = %q, %q, %v", a.Data, a.Chain, err)
	}
	if asked != "GET /tdx/certification/v4/tcb?fmspc=00606a000000" {
		t.Errorf("asked %s", asked)
	}
}

func TestHeaderOfTheOlderName(t *testing.T) {
	f, _ := client(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("SGX-TCB-Info-Issuer-Chain", "x")
		io.WriteString(w, "{}")
	}, fetch.Options{})
	o, _ := source.TCBInfo(source.SGX, [6]byte{}, source.Standard)
	if a, err := f.Get(t.Context(), o); err != nil || string(a.Chain) != "x" {
		t.Errorf("%q, %v", a.Chain, err)
	}
}

// TestRefusedAtOnce: what asking again would not better is asked for once.
func TestRefusedAtOnce(t *testing.T) {
	endless := strings.Repeat("x", 1<<16)
	cases := map[string]struct {
		answer http.HandlerFunc
		code   attest.Code
		says   string
	}{
		"404":         {status(404), fetch.CodeUnavailable, "404 Not Found"},
		"403":         {status(403), fetch.CodeUnavailable, "403"},
		"410":         {status(410), fetch.CodeUnavailable, "410"},
		"204":         {status(204), fetch.CodeUnavailable, "204"},
		"web page":    {body("text/html; charset=utf-8", "<html>log in</html>"), fetch.CodeBad, "web page"},
		"hidden page": {body("application/octet-stream", "<html>log in</html>"), fetch.CodeBad, "no CRL"},
		"plain text":  {body("text/plain", "try later"), fetch.CodeBad, "no CRL"},
		"empty":       {body("application/pkix-crl", ""), fetch.CodeBad, "nothing"},
		"redirect":    {redirect, fetch.CodeBad, "redirect"},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(der)
		}, fetch.CodeBad, "encoding"},
		"1 GiB announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1073741824")
			w.Write(der)
		}, fetch.CodeBad, "1073741824 bytes"},
		"1 GiB in pieces": {func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 14 {
				if _, err := io.WriteString(w, endless); err != nil {
					return
				}
			}
		}, fetch.CodeBad, "more than 131072 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, clock := client(t, c.answer, fetch.Options{})
			e := refusedBy(t, f, crlObject(t))
			if e.Code != c.code || !strings.Contains(e.Answered, c.says) || e.Asked != 1 || len(clock.waits) != 0 {
				t.Errorf("%s, asked %d times, waits %v: %v", e.Code, e.Asked, clock.waits, e)
			}
		})
	}
}

func status(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
}

func body(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, text)
	}
}

func redirect(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/elsewhere" {
		w.Write(der) // must never be asked for
		return
	}
	http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
}

// TestAskedAgain: 429, 5xx and broken connections are worth another try, within
// the attempts.
func TestAskedAgain(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"429": status(429), "500": status(500), "503": status(503), "408": status(408),
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write(der)
		},
		"connection closed": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, clock := client(t, answer, fetch.Options{})
			e := refusedBy(t, f, crlObject(t))
			if e.Code != fetch.CodeUnavailable || e.Asked != 4 {
				t.Errorf("%s, asked %d times: %v", e.Code, e.Asked, e)
			}
			want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}
			if len(clock.waits) != len(want) || clock.waits[0] != want[0] || clock.waits[1] != want[1] || clock.waits[2] != want[2] {
				t.Errorf("waits %v, expected %v", clock.waits, want)
			}
		})
	}
}

func TestRecovers(t *testing.T) {
	var asked atomic.Int32
	f, clock := client(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(429)
			return
		}
		w.Write(der)
	}, fetch.Options{})
	a, err := f.Get(t.Context(), crlObject(t))
	if err != nil || !bytes.Equal(a.Data, der) {
		t.Errorf("Get = %x, %v", a.Data, err)
	}
	if len(clock.waits) != 1 || clock.waits[0] != 10*time.Second {
		t.Errorf("waits %v, expected what Retry-After says", clock.waits)
	}
}

// TestRetryAfter: a server that wants more patience than there is ends the
// attempt, and nobody asks it before its time.
func TestRetryAfter(t *testing.T) {
	at := newClock().now
	for name, c := range map[string]struct {
		header string
		waits  int
	}{
		"longer than there is": {"60", 0},
		"a date too far off":   {at.Add(time.Hour).Format(http.TimeFormat), 0},
		"a date soon":          {at.Add(2 * time.Second).Format(http.TimeFormat), 3},
		"a number too large":   {"99999999999999999999", 3},
		"negative":             {"-5", 3},
		"nonsense":             {"soon", 3},
	} {
		t.Run(name, func(t *testing.T) {
			f, clock := client(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.header)
				w.WriteHeader(429)
			}, fetch.Options{})
			e := refusedBy(t, f, crlObject(t))
			if len(clock.waits) != c.waits || e.Asked != c.waits+1 {
				t.Errorf("waits %v, asked %d times", clock.waits, e.Asked)
			}
			if c.waits == 0 && !strings.Contains(e.Answered, "asks to wait") {
				t.Errorf("does not say why it gave up: %s", e.Answered)
			}
		})
	}
}

func TestJitter(t *testing.T) {
	for chance, want := range map[float64]time.Duration{0: 250 * time.Millisecond, 1: 500 * time.Millisecond} {
		f, clock := client(t, status(500), fetch.Options{Attempts: 2, Jitter: func() float64 { return chance }})
		refusedBy(t, f, crlObject(t))
		if len(clock.waits) != 1 || clock.waits[0] != want {
			t.Errorf("jitter %v: waits %v, expected %s", chance, clock.waits, want)
		}
	}
}

// TestSlow: neither a server that does not answer nor one that sends a byte now
// and then holds anybody longer than an attempt.
func TestSlow(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow loris": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write([]byte{0x30})
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := client(t, answer, fetch.Options{Attempt: 100 * time.Millisecond, Attempts: 2})
			e := refusedBy(t, f, crlObject(t))
			if e.Code != fetch.CodeUnavailable || !strings.Contains(e.Answered, "in time") || e.Asked != 2 {
				t.Errorf("%s, asked %d times: %s", e.Code, e.Asked, e.Answered)
			}
		})
	}
}

// TestCallersDeadline: the caller's deadline counts where it is shorter.
func TestCallersDeadline(t *testing.T) {
	f, clock := client(t, status(500), fetch.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	_, err := f.Get(ctx, crlObject(t))
	var e *fetch.Error
	if !errors.As(err, &e) || e.Asked > 2 || len(clock.waits) > 1 {
		t.Errorf("%v, waits %v", err, clock.waits)
	}
}

func TestHeaders(t *testing.T) {
	o, err := source.QEIdentity(source.TDX, source.Standard)
	if err != nil {
		t.Fatal(err)
	}
	const name = "SGX-Enclave-Identity-Issuer-Chain"
	for what, set := range map[string]func(http.Header){
		"no chain":    func(http.Header) {},
		"two chains":  func(h http.Header) { h.Add(name, "a"); h.Add(name, "b") },
		"empty":       func(h http.Header) { h.Set(name, "") },
		"not percent": func(h http.Header) { h.Set(name, "%zz") },
		"too long":    func(h http.Header) { h.Set(name, strings.Repeat("a", source.MaxChain+1)) },
		"1 MiB":       func(h http.Header) { h.Set(name, strings.Repeat("a", 1<<20)) },
	} {
		t.Run(what, func(t *testing.T) {
			f, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
				set(w.Header())
				io.WriteString(w, "{}")
			}, fetch.Options{Attempts: 1})
			refusedBy(t, f, o)
		})
	}
}

// roundTrip is a transport in memory.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestHosts: without a mirror each object is asked for at its vendor's host, by
// TLS, whatever a redirect says.
func TestHosts(t *testing.T) {
	var asked []string
	f, err := fetch.New(fetch.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.Scheme+"://"+r.URL.Host)
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"https://attacker.example/"}}, Body: http.NoBody}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	rim, _ := source.RIM("NV_GPU_DRIVER_GH100_550.90.07")
	pck, _ := source.PCKCRL("platform")
	for _, o := range []source.Object{crlObject(t), pck, source.IntelRootCRL(), rim} {
		if _, err := f.Get(t.Context(), o); err == nil {
			t.Errorf("%s: followed a redirect", o.What())
		}
	}
	want := "https://kdsintf.amd.com https://api.trustedservices.intel.com https://certificates.trustedservices.intel.com https://rim.attestation.nvidia.com"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked %s, expected %s", got, want)
	}
}

func TestOptions(t *testing.T) {
	for name, opt := range map[string]fetch.Options{
		"negative total": {Total: -1}, "negative attempt": {Attempt: -1}, "negative attempts": {Attempts: -1},
		"no scheme": {Mirror: "mirror:80"}, "file": {Mirror: "file:///etc"}, "user": {Mirror: "http://u:p@m"},
		"query": {Mirror: "http://m/?a=b"}, "fragment": {Mirror: "http://m/#f"}, "no host": {Mirror: "http:///p"}, "not a URL": {Mirror: "http://[::1"},
	} {
		if c, err := fetch.New(opt); err == nil || c != nil {
			t.Errorf("%s accepted", name)
		}
	}
	f, err := fetch.New(fetch.Options{Mirror: "http://127.0.0.1:1/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), source.Object{}); err == nil {
		t.Error("fetched the zero object")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/pkix-crl", "", "0\x01\x00", uint8(0))
	f.Add(200, "application/json", "a%20b", `{"id":"NV_X","rim":"PHg+"}`, uint8(1))
	f.Add(200, "text/html", "", "<html>", uint8(2))
	f.Add(429, "", "Thu, 01 Jan 2026 00:00:00 GMT", "", uint8(3))
	rim, _ := source.RIM("NV_X")
	tcb, _ := source.TCBInfo(source.TDX, [6]byte{1}, source.Standard)
	objects := []source.Object{crlObject(f), rim, tcb, source.IntelRootCRL()}
	f.Fuzz(func(t *testing.T, code int, kind, header, text string, which uint8) {
		c := newClock()
		client, err := fetch.New(fetch.Options{Attempts: 2, Now: c.Now, Sleep: c.Sleep, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			h := http.Header{"Content-Type": {kind}, "Retry-After": {header}, "Tcb-Info-Issuer-Chain": {header}}
			return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(text)), ContentLength: -1}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		o := objects[int(which)%len(objects)]
		a, err := client.Get(t.Context(), o)
		switch {
		case err != nil && (a.Data != nil || a.Chain != nil):
			t.Fatal("a value and an error")
		case err == nil && (len(a.Data) == 0 || int64(len(a.Data)) > o.Limit() || code != 200):
			t.Fatalf("accepted %d bytes with status %d", len(a.Data), code)
		}
	})
}
