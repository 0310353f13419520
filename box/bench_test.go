package box

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkRequests is keep-alive requests with 1 KiB answers over HTTP/1.1 on
// TLS 1.3: through a box (past the gate, policy deciding) and through Go's own
// ReverseProxy, to the same app in a process of its own.
func BenchmarkRequests(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	free := listen(b)
	addr := free.Addr().String()
	free.Close()
	doc := fmt.Sprintf("name: bench\napp: {command: [%q], env: {APP: bench, LISTEN: %q}, listen: %q}%slimits: {concurrent: 1000}\n", exe, addr, addr, twoKeys)
	box := serve(b, Config{Policy: parsed(b, doc)})
	b.Run("box", func(b *testing.B) { requests(b, box.client(b, "http/1.1"), "https://box.example/1k") })
	for name, pool := range map[string]httputil.BufferPool{"reverseproxy": nil, "reverseproxy-pooled": &buffers{}} {
		b.Run(name, func(b *testing.B) {
			s := reverseProxy(b, addr, pool)
			tr := s.Client().Transport.(*http.Transport).Clone()
			tr.TLSClientConfig.NextProtos, tr.MaxIdleConnsPerHost, tr.DisableCompression = []string{"http/1.1"}, 100, true
			b.Cleanup(tr.CloseIdleConnections)
			requests(b, &http.Client{Transport: tr}, s.URL+"/1k")
		})
	}
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

func requests(b *testing.B, c *http.Client, url string) {
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			b.Error(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+clinicKey)
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
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }),
	}).Serve(l)
}
