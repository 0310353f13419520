package client_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
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

const (
	document = "name: demo\nmodels:\n  - {name: tumour, builtin: tumour}\n"
	apiKey   = "a-key-that-only-the-box-may-see"
)

// clock is shared by the two ends, and stands still unless it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// newRoot makes RSA keys, so once for all tests.
var newRoot = sync.OnceValues(func() (*sim.Root, error) { return sim.NewRoot(rand.Reader, newClock().now()) })

func testRoot(t testing.TB) *sim.Root {
	t.Helper()
	root, err := newRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// counting counts how often the hardware was asked.
type counting struct {
	attest.Attester
	quotes atomic.Int32
}

func (c *counting) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	c.quotes.Add(1)
	return c.Attester.Attest(ctx, b)
}

// box is a simulated box with an HTTP server behind the gate.
type box struct {
	addr     string
	hardware *counting
	requests atomic.Int32
	clock    *clock
}

func (b *box) url() string { return "https://" + b.addr }

// boxConfig says in what a box differs from the one that trustFile accepts.
type boxConfig struct {
	clock   *clock
	root    *sim.Root // testRoot if nil
	sim     func(*sim.Box)
	policy  string
	server  func(*atls.ServerConfig)
	handler http.Handler
}

func goodBox() sim.Box {
	return sim.Box{Measurement: sim.Measure([]byte("code")), HostData: sha256.Sum256([]byte(document))}
}

func newBox(t testing.TB, cfg boxConfig) *box {
	t.Helper()
	b := &box{clock: cfg.clock}
	if b.clock == nil {
		b.clock = newClock()
	}
	policy := cfg.policy
	if policy == "" {
		policy = document
	}
	hardware := goodBox()
	hardware.HostData = sha256.Sum256([]byte(policy))
	if cfg.sim != nil {
		cfg.sim(&hardware)
	}
	root := cfg.root
	if root == nil {
		root = testRoot(t)
	}
	attester, err := root.NewAttester(hardware, b.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	b.hardware = &counting{Attester: attester}
	server := atls.ServerConfig{Attester: b.hardware, Policy: []byte(policy), Now: b.clock.now}
	if cfg.server != nil {
		cfg.server(&server)
	}
	gate, err := atls.NewServer(server)
	if err != nil {
		t.Fatal(err)
	}
	listener := listen(t)
	b.addr = listener.Addr().String()
	handler := cfg.handler
	if handler == nil {
		handler = http.HandlerFunc(echo)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.requests.Add(1)
		handler.ServeHTTP(w, r)
	})}
	go srv.Serve(gate.Listener(listener))
	t.Cleanup(func() { srv.Close() })
	return b
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Proto, r.Header.Get("Authorization"), body)
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

// trustFile accepts the box of newBox; more is added at its end.
func trustFile(t testing.TB, more string) *appraise.Trust {
	t.Helper()
	good := goodBox()
	return parse(t, fmt.Sprintf(`version: 1
accept:
  - name: demo v1
    sev-snp: {measurement: %x}
    policy: sha256:%x
    expires: 2027-01-01
allow_simulated: true
simulated_root: sha256:%s
%s`, good.Measurement, good.HostData, testRoot(t).Fingerprint(), more))
}

func parse(t testing.TB, doc string) *appraise.Trust {
	t.Helper()
	trust, err := appraise.ParseTrust([]byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return trust
}

func newClient(t testing.TB, b *box, trust *appraise.Trust, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(trust, append([]client.Option{client.WithClock(b.clock.now), client.WithTimeout(2 * time.Minute)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func get(t testing.TB, c *client.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.HTTP().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}
