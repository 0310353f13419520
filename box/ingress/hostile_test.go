package ingress

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/longer"
)

// TestCallerCannotBeTakenAway: Connection names headers that a proxy removes.
// The one that says who is calling is not for the caller to remove.
func TestCallerCannotBeTakenAway(t *testing.T) {
	got := make(chan seen, 1)
	_, s := front(t, keyed, echo(got))
	for _, connection := range []string{"Blindbox-Caller", "keep-alive, blindbox-caller", "Upgrade, Blindbox-Caller"} {
		h1 := s.Client().Transport.(*http.Transport).Clone()
		h1.ForceAttemptHTTP2, h1.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
		t.Cleanup(h1.CloseIdleConnections)
		do(t, &http.Client{Transport: h1}, request(t, "GET", s.URL+"/v1/x", nil, "Blindbox-Key", clinicKey, "Connection", connection))
		if in := <-got; fmt.Sprint(in.header["Blindbox-Caller"]) != "[clinic]" {
			t.Errorf("Connection: %s: the app saw the caller %q", connection, in.header["Blindbox-Caller"])
		}
	}
}

// TestNamesThatGatewaysChange: gunicorn takes the header SCRIPT_NAME, from a
// proxy on the same machine, for a part of the path to leave out; other gateways
// make an underscore of every character that is no letter or digit; some
// frameworks take X-Original-URL for the path.
func TestNamesThatGatewaysChange(t *testing.T) {
	got := make(chan seen, 1)
	_, s := front(t, keyed, echo(got))
	bad := []string{"SCRIPT_NAME", "Path_Info", "Blindbox.Caller", "blindbox~caller", "X.Forwarded.For", "X-Original-Url", "X-Rewrite-Url"}
	r := request(t, "POST", s.URL+"/v1/x", io.MultiReader(strings.NewReader("a")), "Blindbox-Key", clinicKey, "X-Mine-2", "kept")
	r.Trailer = http.Header{"X-Sum": {"1"}}
	for _, name := range bad {
		r.Header[name] = []string{"/v1"}
		r.Trailer[name] = []string{"/v1"}
	}
	do(t, s.Client(), r)
	in := <-got
	for _, name := range bad {
		for _, fields := range []http.Header{in.header, in.trailer} {
			for have := range fields {
				if strings.EqualFold(have, name) {
					t.Errorf("%s reached the app", have)
				}
			}
		}
	}
	if in.header.Get("X-Mine-2") != "kept" || in.trailer.Get("X-Sum") != "1" {
		t.Errorf("lost: %v %v", in.header, in.trailer)
	}
}

// TestQueryCannotEndTheRequestLine: HTTP/2 lets spaces into a path, and
// HTTP/1.1 ends it with one.
func TestQueryCannotEndTheRequestLine(t *testing.T) {
	h := New(Config{Policy: parsed(t, open), Callers: known(t, open), Backend: http.NotFoundHandler()})
	for _, query := range []string{"x HTTP/1.0", " ", "a\tb", "\x7f"} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.RawQuery, r.RequestURI = query, "/x?"+query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 400 {
			t.Errorf("query %q: status %d, expected 400", query, w.Code)
		}
	}
}

// lazy is an app that leaves the bodies of requests where they are and takes
// them for the next request, as simple servers do.
func lazy(t *testing.T, paths chan<- string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			last := false
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			for {
				field, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if last = last || strings.EqualFold(field, "Connection: close\r\n"); field == "\r\n" {
					break
				}
			}
			paths <- strings.TrimSpace(line)
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			if last {
				return
			}
		}
	}
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// TestBodyIsNoRequest: a request in the body of another is one that the policy
// never saw, with whatever caller it names.
func TestBodyIsNoRequest(t *testing.T) {
	paths := make(chan string, 10)
	_, s := frontOf(t, open, "tcp", lazy(t, paths))
	do(t, s.Client(), request(t, "POST", s.URL+"/first", strings.NewReader("GET /hidden HTTP/1.1\r\nBlindbox-Caller: root\r\n\r\n")))
	do(t, s.Client(), request(t, "GET", s.URL+"/second", strings.NewReader("GET /hidden HTTP/1.1\r\n\r\n")))
	do(t, s.Client(), request(t, "GET", s.URL+"/third", nil))
	for _, want := range []string{"POST /first HTTP/1.1", "GET /second HTTP/1.1", "GET /third HTTP/1.1"} {
		if line := <-paths; line != want {
			t.Errorf("the app saw %q, expected %q", line, want)
		}
	}
}

// TestMoreThanAnAnswer: an app that answers HEAD, or 204, with a body says
// something that belongs to nobody. The next caller does not get it, and nor
// does the standard logger, where net/http would put it.
func TestMoreThanAnAnswer(t *testing.T) {
	var logged safeBuffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary")
				}
			}()
		}
	}()
	_, s := frontOf(t, open, "tcp", l.Addr().String())
	for range 20 {
		if resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/x", nil)); resp.StatusCode != 204 || len(text) > 0 {
			t.Errorf("status %d, %q", resp.StatusCode, text)
		}
	}
	if text := logged.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// frame is one frame of HTTP/2 (RFC 9113, section 4.1).
func frame(kind, flags byte, stream uint32, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return string(binary.BigEndian.AppendUint32(append(b, flags), stream)) + payload
}

// shut connects by HTTP/2 and allows the server not a byte of any answer.
func shut(t *testing.T, s *httptest.Server, paths ...string) net.Conn {
	c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	text := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "\x00\x04\x00\x00\x00\x00") // SETTINGS_INITIAL_WINDOW_SIZE 0
	for i, path := range paths {
		// Static table: GET is 2, https 7; literals without indexing of :path 4, :authority 1.
		block := "\x82\x87\x04" + string(rune(len(path))) + path + "\x01\x01x"
		text += frame(1, 5, uint32(2*i+1), block) // END_HEADERS, END_STREAM
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAnswerThatNobodyReads: strangers, too, get an answer, and need not read
// it. Neither the box's own answers nor the end of the app's are waited for
// longer than a while.
func TestAnswerThatNobodyReads(t *testing.T) {
	for name, doc := range map[string]string{"/v1/refused": keyed, "/short": open, "/.well-known/blindbox/policy": open} {
		h := New(Config{Policy: parsed(t, doc), Callers: known(t, doc), Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "short") })})
		h.parting = 100 * time.Millisecond
		s := httptest.NewUnstartedServer(h)
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		c := shut(t, s, name, name)
		for ended := map[uint32]bool{}; len(ended) < 2; {
			var head [9]byte
			if _, err := io.ReadFull(c, head[:]); err != nil {
				t.Errorf("%s: %d of 2 answers given up: %v", name, len(ended), err)
				break
			}
			size := int64(binary.BigEndian.Uint32(head[:4]) >> 8)
			if _, err := io.CopyN(io.Discard, c, size); err != nil {
				t.Fatal(err)
			}
			if head[3] == 3 { // RST_STREAM
				ended[binary.BigEndian.Uint32(head[5:])] = true
			}
		}
	}
}

// TestPipelineThatNobodyReads is the same over HTTP/1.1.
func TestPipelineThatNobodyReads(t *testing.T) {
	h := New(Config{Policy: parsed(t, keyed), Callers: known(t, keyed), Backend: http.NotFoundHandler()})
	h.parting = 100 * time.Millisecond
	s := httptest.NewUnstartedServer(h)
	closed := make(chan struct{}, 1)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	go func() {
		many := strings.Repeat("GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
		for err := error(nil); err == nil; _, err = io.WriteString(c, many) {
		}
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("a caller that reads nothing keeps its connection")
	}
}

// TestDeadlineOfTheAnswerBefore: what bounds the end of one answer does not
// bound the next.
func TestDeadlineOfTheAnswerBefore(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		if err := longer.Try(50*time.Millisecond, func(parting time.Duration) error {
			h, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				time.Sleep(3 * parting)
				io.WriteString(w, "late")
			}))
			h.parting = parting
			c := client(s)
			for range 2 {
				resp, err := c.Do(request(t, "GET", s.URL+"/x", nil))
				if err != nil {
					return err
				}
				text, err := io.ReadAll(resp.Body)
				if resp.Body.Close(); err != nil || string(text) != "late" {
					return fmt.Errorf("answer %q, %w", text, err)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
