package box

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/box/ingress"
)

// BenchmarkRequests is keep-alive requests with 1 KiB answers over HTTP/1.1 on
// TLS 1.3, to the same app in a process of its own: through a box (past the gate,
// policy deciding), through the same box with the policy off, where nobody is
// authenticated, nothing is decided and nothing is bounded, and through Go's own
// ReverseProxy. The callers show an API key, or a certificate, or a token, and
// have a rate and a quota or none.
func BenchmarkRequests(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	free := listen(b)
	addr := free.Addr().String()
	free.Close()
	const id = "spiffe://clinic.example/app"
	ca, cert := workload(b, id)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	more := "  - {name: metered, api_key: " + hash(meteredKey) + ", may: [query], rate: 900000000/s, quota: {requests: 900000000/day, bytes: 900GiB/day}}\n" +
		"  - {name: workload, certificate: {ca: " + ca + ", spiffe: \"" + id + "\"}, may: [query]}\n" +
		"  - {name: doctor, oidc: \"https://example.com\", audience: whisper, claim: {sub: doctor}, may: [query]}\n"
	doc := fmt.Sprintf("name: bench\napp: {command: [%q], env: {APP: bench, LISTEN: %q}, listen: %q}%s%slimits: {concurrent: 1000}\n", exe, addr, addr, twoKeys, more)
	box := serve(b, Config{Policy: parsed(b, doc), Identity: provider(b, key)})
	now := time.Now().Unix()
	token := token(b, key, map[string]any{"iss": "https://example.com", "aud": "whisper", "sub": "doctor", "iat": now, "exp": now + 3600})
	off := policyOff(b, box, addr)
	b.Run("policy-off", func(b *testing.B) { requests(b, off.client(b, "http/1.1"), "https://box.example/1k", clinicKey) })
	b.Run("box", func(b *testing.B) { requests(b, box.client(b, "http/1.1"), "https://box.example/1k", clinicKey) })
	b.Run("cost", func(b *testing.B) { cost(b, off.client(b, "http/1.1"), box.client(b, "http/1.1"), clinicKey) })
	b.Run("cost-metered", func(b *testing.B) { cost(b, off.client(b, "http/1.1"), box.client(b, "http/1.1"), meteredKey) })
	b.Run("box-metered", func(b *testing.B) { requests(b, box.client(b, "http/1.1"), "https://box.example/1k", meteredKey) })
	b.Run("box-certificate", func(b *testing.B) { requests(b, box.clientWith(b, "http/1.1", cert), "https://box.example/1k", "") })
	b.Run("box-token", func(b *testing.B) { requests(b, box.client(b, "http/1.1"), "https://box.example/1k", token) })
	for name, pool := range map[string]httputil.BufferPool{"reverseproxy": nil, "reverseproxy-pooled": &buffers{}} {
		b.Run(name, func(b *testing.B) {
			s := reverseProxy(b, addr, pool)
			tr := s.Client().Transport.(*http.Transport).Clone()
			tr.TLSClientConfig.NextProtos, tr.MaxIdleConnsPerHost, tr.DisableCompression = []string{"http/1.1"}, 100, true
			b.Cleanup(tr.CloseIdleConnections)
			requests(b, &http.Client{Transport: tr}, s.URL+"/1k", clinicKey)
		})
	}
}

// cost sends the same requests to two boxes in turn, a few at a time, so that
// whatever else the machine does slows down both. It compares each turn with the one
// beside it and reports the median, and the processor time that this process takes
// for a request: client and box, without the app.
func cost(b *testing.B, off, on *http.Client, key string) {
	const together, turn = 16, 20
	var used [2]time.Duration
	var turns [2][]time.Duration
	var fewer []float64
	for i := range b.N + 1 {
		var took [2]time.Duration
		for _, side := range [2]int{i % 2, 1 - i%2} {
			var all sync.WaitGroup
			before, began := processorTime(b), time.Now()
			for range together {
				all.Go(func() { keyed(b, []*http.Client{off, on}[side], key, turn) })
			}
			all.Wait()
			took[side] = time.Since(began)
			if i > 0 { // the first turns open the connections
				used[side] += processorTime(b) - before
				turns[side] = append(turns[side], took[side])
			}
		}
		if i > 0 {
			fewer = append(fewer, 100*(1-took[0].Seconds()/took[1].Seconds()))
		}
	}
	for side, name := range []string{"off", "on"} {
		slices.Sort(turns[side])
		b.ReportMetric(together*turn/turns[side][len(turns[side])/2].Seconds(), name+"-req/s")
		b.ReportMetric(1e6*used[side].Seconds()/float64(b.N*together*turn), name+"-us/req")
	}
	b.ReportMetric(middle(fewer), "%fewer")
	b.ReportMetric(100*(1-used[0].Seconds()/used[1].Seconds()), "%fewer-by-processor-time")
}

// keyed sends requests with a key, one after the other.
func keyed(b *testing.B, c *http.Client, key string, n int) {
	for range n {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://box.example/1k", nil)
		if err != nil {
			b.Error(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+key)
		resp, err := c.Do(r)
		if err != nil {
			b.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

const meteredKey = "a-key-of-somebody-metered-0003"

// policyOff serves the app of a box behind the same gate and with the same
// forwarding, and does nothing else that box/ingress does.
func policyOff(b *testing.B, box *running, addr string) *running {
	gate, err := atls.NewServer(atls.ServerConfig{Attester: signer{}, Policy: box.policy.Bytes()})
	if err != nil {
		b.Fatal(err)
	}
	forward := ingress.Forward("tcp", addr, box.policy)
	l := listen(b)
	s := box.server(b.Context())
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header["Blindbox-Caller"] = []string{"clinic"}
		forward.ServeHTTP(w, r)
	})
	go func() { _ = s.Serve(gate.Listener(l)) }()
	b.Cleanup(func() { s.Close() })
	return &running{Box: box.Box, addr: l.Addr().String()}
}

// reverseProxy is the peer: what the standard library's documentation shows,
// with as many connections to the app as it needs. With a pool of buffers, as
// the box has, it is the bound of what the box could do.
func reverseProxy(b *testing.B, addr string, pool httputil.BufferPool) *httptest.Server {
	target := &url.URL{Scheme: "http", Host: addr}
	s := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:  &http.Transport{MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, DisableCompression: true},
		BufferPool: pool,
	})
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	s.StartTLS()
	b.Cleanup(s.Close)
	return s
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

func requests(b *testing.B, c *http.Client, url, key string) {
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			b.Error(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+key)
		for pb.Next() {
			resp, err := c.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || n != 1024 || resp.StatusCode != 200 {
				b.Errorf("status %d, %d bytes, %v", resp.StatusCode, n, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// benchMain is the app of the benchmark.
func benchMain() {
	l, err := net.Listen("tcp", os.Getenv("LISTEN"))
	if err != nil {
		os.Exit(9)
	}
	answer := strings.Repeat("x", 1024)
	_ = (&http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/20ms" {
				time.Sleep(20 * time.Millisecond)
			}
			_, _ = io.WriteString(w, answer)
		}),
	}).Serve(l)
}
