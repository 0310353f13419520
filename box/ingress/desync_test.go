package ingress

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// talkative is an app that counts characters and not bytes: on /hostile it says
// more than its Content-Length, and what it says beyond is what a caller wrote.
func talkative(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answer := func(c net.Conn) {
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			answer := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
			if q.URL.Path == "/hostile" {
				answer += "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
			}
			io.WriteString(c, answer)
		}
	}
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go answer(c)
		}
	}()
	return l.Addr().String()
}

const honestKey, hostileKey = "honest-key-0123456789", "hostile-key-0123456789"

// twoCallers is a policy with a key each, and anyone.
func twoCallers() string {
	return fmt.Sprintf(`name: test
app: {command: [app], listen: 127.0.0.1:1}
callers:
  - {name: honest, api_key: "sha256:%x", may: [query]}
  - {name: hostile, api_key: "sha256:%x", may: [query]}
  - {anyone: true, may: [query]}
limits: {request: 1KiB, concurrent: 100, idle: 1m}
`, sha256.Sum256([]byte(honestKey)), sha256.Sum256([]byte(hostileKey)))
}

// TestAnswerOfAnother: were another caller's request to follow on a connection
// on which the app has said too much, which happens when it waits for one,
// net/http would take the rest for its answer.
func TestAnswerOfAnother(t *testing.T) {
	for name, keys := range map[string][2]string{"anyone": {}, "two callers": {honestKey, hostileKey}, "one of them anyone": {"", hostileKey}} {
		t.Run(name, func(t *testing.T) {
			_, s := frontOf(t, twoCallers(), "tcp", talkative(t))
			var callers sync.WaitGroup
			for i := range 16 {
				callers.Go(func() {
					path, key := []string{"/honest", "/hostile"}[i%2], keys[i%2]
					for range 100 {
						r := request(t, "GET", s.URL+path, nil)
						if key != "" {
							r.Header.Set("Blindbox-Key", key)
						}
						resp, err := s.Client().Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						text, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						// What is left over may be had by who caused it, by nobody else.
						ours := path == "/hostile" && key != ""
						if got := fmt.Sprint(resp.StatusCode, " ", string(text), " ", err); got != "200 good <nil>" && !ours {
							t.Errorf("%s: %s", path, got)
							return
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

// TestConnectionsToTheApp counts them: one for each request, but for a GET of a
// caller with a key.
func TestConnectionsToTheApp(t *testing.T) {
	for _, c := range []struct {
		name, method, key, body, upgrade string
		kept                             bool
	}{
		{"GET with a key", "GET", honestKey, "", "", true},
		{"GET of anyone", "GET", "", "", "", false},
		{"GET with a body", "GET", honestKey, "x", "", false},
		{"DELETE", "DELETE", honestKey, "", "", false},
		{"POST", "POST", honestKey, "x", "", false},
		{"POST without a body", "POST", honestKey, "", "", false},
		{"an upgrade that the app declines", "GET", honestKey, "", "websocket", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			count := &counting{Listener: l}
			go http.Serve(count, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
			t.Cleanup(func() { l.Close() })
			h := New(Config{Policy: parsed(t, twoCallers()), Callers: known(t, twoCallers()), Backend: Forward("tcp", l.Addr().String(), parsed(t, twoCallers()))})
			head := fmt.Sprintf("%s /x HTTP/1.1\r\nHost: x\r\n", c.method)
			if c.key != "" {
				head += "Blindbox-Key: " + c.key + "\r\n"
			}
			if c.upgrade != "" {
				head += "Connection: Upgrade\r\nUpgrade: " + c.upgrade + "\r\n"
			}
			if c.body != "" {
				head += fmt.Sprintf("Content-Length: %d\r\n", len(c.body))
			}
			s := httptest.NewServer(h)
			t.Cleanup(s.Close)
			for range 5 {
				if resp, _ := raw(t, s, head+"\r\n"+c.body); resp.StatusCode != 200 {
					t.Fatalf("status %d", resp.StatusCode)
				}
			}
			want := int32(5)
			if c.kept {
				want = 1
			}
			if got := count.n.Load(); got != want {
				t.Errorf("%d connections for 5 requests, expected %d", got, want)
			}
		})
	}
}

// TestHeadIsNotFollowed: many an app answers HEAD with a body.
func TestHeadIsNotFollowed(t *testing.T) {
	if mayBeFollowed(request(t, "HEAD", "http://app/x", nil)) || !mayBeFollowed(request(t, "GET", "http://app/x", nil)) {
		t.Error("the wrong one may be followed")
	}
}

type counting struct {
	net.Listener
	n atomic.Int32
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}
