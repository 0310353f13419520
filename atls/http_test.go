package atls

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// serveHTTP runs net/http behind the gate.
func serveHTTP(t testing.TB, s *Server, handler http.Handler) string {
	t.Helper()
	inner := listen(t)
	srv := &http.Server{Handler: handler}
	go srv.Serve(s.Listener(inner))
	t.Cleanup(func() { srv.Close() })
	return inner.Addr().String()
}

func TestHTTP(t *testing.T) {
	h := newHardware(t)
	addr := serveHTTP(t, newTestServer(t, h, nil), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %v", r.Proto, r.URL.Path, body, r.TLS != nil)
	}))
	for proto, want := range map[string]string{"h2": "HTTP/2.0 /x hello true", "http/1.1": "HTTP/1.1 /x hello true"} {
		t.Run(proto, func(t *testing.T) {
			c := newTestClient(t, h, func(c *ClientConfig) { c.NextProtos = []string{proto} })
			transport := &http.Transport{DialTLSContext: c.DialContext, ForceAttemptHTTP2: true}
			defer transport.CloseIdleConnections()
			for range 3 { // over one connection
				resp, err := (&http.Client{Transport: transport}).Post("https://"+addr+"/x", "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(body) != want {
					t.Fatalf("got %q, %v", body, err)
				}
			}
		})
	}
	if n := h.quotes.Load(); n != 2 {
		t.Errorf("%d quotes for two connections", n)
	}
}

func TestSessionInHTTPServer(t *testing.T) {
	h := newHardware(t)
	inner := listen(t)
	found := make(chan bool, 1)
	srv := &http.Server{ConnState: func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s, ok := SessionOf(conn)
			found <- ok && s.Purpose == attest.PurposeSession
		}
	}}
	go srv.Serve(newTestServer(t, h, nil).Listener(inner))
	defer srv.Close()
	connect(t, newTestClient(t, h, nil), inner.Addr().String())
	if !<-found {
		t.Error("the HTTP server's connection has no session")
	}
}

// A web client is told what this is, and nothing of its request gets through.
func TestWebClient(t *testing.T) {
	h := newHardware(t)
	addr := serveHTTP(t, newTestServer(t, h, nil), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request got through")
	}))
	body := strings.Repeat("patient record ", 1000)
	for _, tc := range []struct {
		name, scheme string
		h2           bool
	}{{"https", "https", false}, {"h2", "https", true}, {"http", "http", false}} {
		t.Run(tc.name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: tc.h2}
			defer transport.CloseIdleConnections()
			resp, err := (&http.Client{Transport: transport}).Post(tc.scheme+"://"+addr+"/v1/secret", "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var problem struct {
				Status       int
				Code, Detail string
			}
			if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 426 || problem.Status != 426 || resp.Header.Get("Content-Type") != "application/problem+json" || resp.ProtoAtLeast(2, 0) != tc.h2 {
				t.Errorf("answer %v, problem %+v", resp.Header, problem)
			}
			if !strings.Contains(problem.Detail, "attested TLS only") || !strings.Contains(problem.Detail, "`blindbox connect`") {
				t.Errorf("detail %q", problem.Detail)
			}
		})
	}
	t.Run("h2 without a request", func(t *testing.T) {
		conn := rawClient(t, addr, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
		io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		conn.CloseWrite()
		got, err := io.ReadAll(conn)
		// SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED (RFC 9113, section 7)
		if err != nil || len(got) < 26 || got[3] != 4 || got[12] != 7 || got[25] != 0xd || !bytes.Contains(got, []byte("attested TLS only")) {
			t.Errorf("answer %q, %v", got, err)
		}
	})
	t.Run("noise", func(t *testing.T) {
		conn := dialTCP(t, addr)
		io.WriteString(conn, "\x00\x01\x02\x03\x04\x05\x06\x07")
		got, _ := io.ReadAll(conn)
		if bytes.Contains(got, []byte("HTTP")) {
			t.Errorf("answer %q", got)
		}
	})
}

// A client that never reads the farewell is closed all the same.
func TestFarewellIsBounded(t *testing.T) {
	s := newTestServer(t, newHardware(t), func(c *ServerConfig) { c.MaxHalfOpen, c.GateTimeout = 1, 2*patience })
	a := serveApp(t, s)
	conn := rawClient(t, a.addr, nil)
	io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
	select {
	case s.halfOpen <- struct{}{}: // the only slot is free again
	case <-time.After(patience):
		t.Fatal("the gate is still there")
	}
}
