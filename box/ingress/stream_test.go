package ingress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/blindbox/blindbox/internal/longer"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen in %s", what, patience)
		panic("unreachable")
	}
}

// unsized hides the length of a body, so that it is sent as it comes.
type unsized struct{ io.Reader }

func TestRequestSize(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		var reached atomic.Int64
		_, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			reached.Store(n)
			if err == nil {
				fmt.Fprint(w, n)
			}
		}))
		c := client(s)
		for _, tc := range []struct {
			size     int
			declared bool
			status   int
		}{{0, true, 200}, {1024, true, 200}, {1025, true, 413}, {1 << 30, true, 413}, {1024, false, 200}, {1025, false, 413}, {1 << 22, false, 413}} {
			reached.Store(-1)
			var body io.Reader = io.LimitReader(zeros{}, int64(tc.size))
			r := request(t, "POST", s.URL+"/x", unsized{body})
			if tc.declared {
				r.ContentLength = int64(tc.size)
			}
			resp, err := c.Do(r)
			if err != nil {
				// HTTP/1.1 may be cut while the client is still sending.
				if tc.status == 413 && c.Transport.(*http.Transport).Protocols.HTTP1() {
					continue
				}
				t.Fatalf("%+v: %v", tc, err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if tc.status == 200 {
				if resp.StatusCode != 200 || string(text) != fmt.Sprint(tc.size) {
					t.Errorf("%+v: %d %s", tc, resp.StatusCode, text)
				}
				continue
			}
			wantProblem(t, resp, text, tc.status)
			if tc.declared && reached.Load() != -1 {
				t.Errorf("%+v: reached the app", tc)
			}
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestConcurrent: the limit is on all callers together, and a place is given
// back when its request ends.
func TestConcurrent(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		arrived, release := make(chan struct{}), make(chan struct{})
		h, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-release
		}))
		c := client(s)
		done := make(chan int, 2)
		for range 2 {
			r := request(t, "GET", s.URL+"/x", nil)
			go func() {
				resp, err := c.Do(r)
				if err != nil {
					done <- 0
					return
				}
				resp.Body.Close()
				done <- resp.StatusCode
			}()
			within(t, "request", arrived)
		}
		resp, text := do(t, c, request(t, "GET", s.URL+"/x", nil))
		wantProblem(t, resp, text, 429)
		if resp.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
		close(release)
		for range 2 {
			if status := within(t, "answer", done); status != 200 {
				t.Errorf("status %d", status)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		h.Wait(ctx)
		if ctx.Err() != nil {
			t.Error("places were not given back")
		}
		go func() { <-arrived }()
		if resp, _ := do(t, c, request(t, "GET", s.URL+"/x", nil)); resp.StatusCode != 200 {
			t.Errorf("status %d after the others ended", resp.StatusCode)
		}
	})
}

// TestServerSentEvents: each event arrives before the app is allowed to send
// the next one.
func TestServerSentEvents(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		next := make(chan struct{})
		_, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
				<-next
			}
		}))
		resp, err := client(s).Do(request(t, "GET", s.URL+"/events", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := make(chan string)
		go func() {
			for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
				if scan.Text() != "" {
					lines <- scan.Text()
				}
			}
			close(lines)
		}()
		for i := range 3 {
			if line := within(t, "event", lines); line != fmt.Sprintf("data: %d", i) {
				t.Errorf("event %d is %q", i, line)
			}
			next <- struct{}{}
		}
		if line, more := <-lines; more {
			t.Errorf("one more event: %q", line)
		}
	})
}

// TestBothWays: request and answer flow at the same time.
func TestBothWays(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		_, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			for scan := bufio.NewScanner(r.Body); scan.Scan(); {
				fmt.Fprintln(w, strings.ToUpper(scan.Text()))
				w.(http.Flusher).Flush()
			}
		}))
		in, out := io.Pipe()
		answers := make(chan string)
		go func() {
			resp, err := client(s).Do(request(t, "POST", s.URL+"/x", in))
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
				answers <- scan.Text()
			}
			close(answers)
		}()
		for _, word := range []string{"one", "two", "three"} {
			fmt.Fprintln(out, word)
			if got := within(t, "answer", answers); got != strings.ToUpper(word) {
				t.Errorf("sent %q, got %q", word, got)
			}
		}
		out.Close()
		if line, more := <-answers; more {
			t.Errorf("one more line: %q", line)
		}
	})
}

func TestTrailers(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		got := make(chan seen, 1)
		_, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got <- seen{body: string(body), trailer: r.Trailer.Clone()}
			w.Header().Set("Trailer", "Sum")
			io.WriteString(w, "answer")
			w.Header().Set("Sum", "42")
			w.Header().Set(http.TrailerPrefix+"Late", "43")
		}))
		r := request(t, "POST", s.URL+"/x", unsized{strings.NewReader("body")})
		r.Trailer = http.Header{"Check": {"41"}, "Blindbox-Caller": {"root"}}
		resp, text := do(t, client(s), r)
		if in := <-got; in.body != "body" || in.trailer.Get("Check") != "41" || len(in.trailer) != 1 {
			t.Errorf("the app saw body %q, trailers %v", in.body, in.trailer)
		}
		if string(text) != "answer" || resp.Trailer.Get("Sum") != "42" || resp.Trailer.Get("Late") != "43" {
			t.Errorf("answer %q, trailers %v", text, resp.Trailer)
		}
	})
}

// TestWebSocket: an upgraded connection carries messages both ways, is exempt
// from the idle limit, and holds a place until it is closed.
func TestWebSocket(t *testing.T) {
	h, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, text, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, text) != nil {
				return
			}
		}
	}))
	tr := s.Client().Transport.(*http.Transport).Clone()
	tr.ForceAttemptHTTP2, tr.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	// It is opened within the idle limit.
	if err := longer.Try(200*time.Millisecond, func(idle time.Duration) error {
		h.cfg.Policy.Limits.Idle = idle
		ctx, cancel := context.WithTimeout(t.Context(), patience+3*idle)
		defer cancel()
		c, _, err := websocket.Dial(ctx, s.URL+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
		if err != nil {
			return err
		}
		defer c.CloseNow()
		for _, pause := range []time.Duration{0, idle * 5 / 2} {
			time.Sleep(pause)
			if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
				return err
			}
			if _, text, err := c.Read(ctx); err != nil || string(text) != "hello" {
				return fmt.Errorf("got %q, %w", text, err)
			}
		}
		if len(h.places.slots) != 1 {
			t.Errorf("%d places held, expected 1", len(h.places.slots))
		}
		c.Close(websocket.StatusNormalClosure, "")
		h.Wait(ctx)
		if ctx.Err() != nil {
			t.Error("the place was not given back")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestNoOtherUpgrade: a way to the app on which nothing is decided is not opened.
func TestNoOtherUpgrade(t *testing.T) {
	got := make(chan seen, 1)
	backend := httptest.NewServer(echo(got))
	t.Cleanup(backend.Close)
	h := New(Config{Policy: parsed(t, open), Callers: known(t, open), Backend: Forward("tcp", backend.Listener.Addr().String(), parsed(t, open))})
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	resp, _ := raw(t, s, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if in := <-got; resp.StatusCode != 418 || in.header.Get("Upgrade") != "" || in.header.Get("Connection") != "close" {
		t.Errorf("status %d, the app saw %v", resp.StatusCode, in.header)
	}
}

// TestLargeBodiesStayOutOfMemory sends 64 MiB each way and looks at the heap
// in the middle of it.
func TestLargeBodiesStayOutOfMemory(t *testing.T) {
	const size = 64 << 20
	doc := strings.Replace(open, "request: 1KiB", "request: 128MiB", 1)
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		_, s := front(t, doc, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			io.Copy(w, r.Body)
		}))
		runtime.GC()
		var before, during runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := client(s).Do(request(t, "POST", s.URL+"/x", unsized{io.LimitReader(zeros{}, size)}))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var total, worst int64
		for {
			n, err := io.CopyN(io.Discard, resp.Body, size/8)
			total += n
			runtime.ReadMemStats(&during)
			worst = max(worst, int64(during.HeapInuse)-int64(before.HeapInuse))
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if total != size {
			t.Errorf("%d bytes came back, expected %d", total, size)
		}
		if worst > 24<<20 {
			t.Errorf("heap grew by %d MiB for a body of %d MiB", worst>>20, size>>20)
		}
		t.Logf("heap grew by %d KiB for a body of %d MiB", worst>>10, size>>20)
	})
}

// TestCallerLeaves: the app is told, and the place is given back.
func TestCallerLeaves(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		arrived, left := make(chan struct{}), make(chan struct{})
		h, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(left)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		r := request(t, "GET", s.URL+"/x", nil).WithContext(ctx)
		go func() {
			if resp, err := client(s).Do(r); err == nil {
				resp.Body.Close()
			}
		}()
		within(t, "request", arrived)
		cancel()
		within(t, "cancellation in the app", left)
		limit, stop := context.WithTimeout(t.Context(), patience)
		defer stop()
		h.Wait(limit)
		if limit.Err() != nil {
			t.Error("the place was not given back")
		}
	})
}

// TestAppDown: nobody there, gone before the answer, gone in the middle of it.
func TestAppDown(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		_, s := frontOf(t, open, "tcp", "127.0.0.1:1")
		resp, text := do(t, client(s), request(t, "POST", s.URL+"/x", strings.NewReader("x")))
		wantProblem(t, resp, text, 502)

		_, s = frontOf(t, open, "unix", filepath.Join(t.TempDir(), "none.sock"))
		resp, text = do(t, client(s), request(t, "GET", s.URL+"/x", nil))
		wantProblem(t, resp, text, 502)

		_, s = front(t, open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/middle" {
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
			}
			panic(http.ErrAbortHandler)
		}))
		resp, text = do(t, client(s), request(t, "POST", s.URL+"/before", strings.NewReader("x")))
		wantProblem(t, resp, text, 502)
		resp, err := client(s).Do(request(t, "GET", s.URL+"/middle", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("half an answer %q ended without an error", text)
		}
	})
}

// TestProxyLogsNothing: what goes wrong with a request may hold a part of it.
func TestProxyLogsNothing(t *testing.T) {
	p := Forward("tcp", "127.0.0.1:1", parsed(t, open)).(*httputil.ReverseProxy)
	if p.ErrorLog == nil || p.ErrorLog.Writer() != io.Discard {
		t.Error("the proxy may log what a request holds")
	}
}

// TestNotHTTP: an app that answers something else.
func TestNotHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "SSH-2.0-secret banner\r\n")
			c.Close()
		}
	}()
	_, s := frontOf(t, open, "tcp", l.Addr().String())
	resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/x", nil))
	wantProblem(t, resp, text, 502)
	if strings.Contains(string(text), "secret") {
		t.Errorf("the error repeats what the app said: %s", text)
	}
}

// TestIdle: who sends nothing, or reads nothing, does not keep a place.
func TestIdle(t *testing.T) {
	doc := strings.Replace(open, "1KiB", "1GiB", 1)
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		var pause atomic.Int64
		h, s := front(t, doc, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/silent":
				<-r.Context().Done()
			case "/half":
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			case "/endless":
				io.Copy(w, zeros{})
			case "/read":
				io.Copy(io.Discard, r.Body)
			case "/slow":
				for range 6 {
					io.WriteString(w, "x")
					w.(http.Flusher).Flush()
					time.Sleep(time.Duration(pause.Load()))
				}
			}
		}))
		c := client(s)
		if err := longer.Try(100*time.Millisecond, func(unit time.Duration) error {
			h.cfg.Policy.Limits.Idle = 4 * unit
			pause.Store(int64(unit))
			resp, err := c.Do(request(t, "GET", s.URL+"/slow", nil))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "xxxxxx" {
				return fmt.Errorf("slow but not idle: %d %q %w", resp.StatusCode, text, err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}

		h.cfg.Policy.Limits.Idle = 400 * time.Millisecond
		resp, text := do(t, c, request(t, "GET", s.URL+"/silent", nil))
		wantProblem(t, resp, text, 502)

		resp, err := c.Do(request(t, "GET", s.URL+"/half", nil))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("half an answer %q ended without an error", text)
		}
		resp.Body.Close()

		// A caller that does not read.
		resp, err = c.Do(request(t, "GET", s.URL+"/endless", nil))
		if err != nil {
			t.Fatal(err)
		}
		waitFree(t, h, "a caller that reads nothing")
		resp.Body.Close()

		// A caller that does not send.
		in, out := io.Pipe()
		defer out.Close()
		go func() {
			if resp, err := c.Do(request(t, "POST", s.URL+"/read", in)); err == nil {
				resp.Body.Close()
			}
		}()
		io.WriteString(out, "some")
		waitFree(t, h, "a caller that sends nothing")
	})
}

func waitFree(t *testing.T, h *Handler, who string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h.Wait(ctx)
	if ctx.Err() != nil {
		t.Errorf("%s keeps its place", who)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan seen, 1)
	app := &http.Server{Handler: echo(got)}
	go app.Serve(l)
	t.Cleanup(func() { app.Close() })
	_, s := frontOf(t, open, "unix", path)
	resp, text := do(t, s.Client(), request(t, "POST", s.URL+"/x?y", strings.NewReader("body")))
	if in := <-got; resp.StatusCode != 418 || string(text) != "POST body" || in.uri != "/x?y" {
		t.Errorf("answer %d %s, the app saw %+v", resp.StatusCode, text, in)
	}
}

// TestExpectContinue: a body is asked for only if it may come.
func TestExpectContinue(t *testing.T) {
	backend := httptest.NewServer(echo(make(chan seen, 9)))
	t.Cleanup(backend.Close)
	s := httptest.NewServer(New(Config{Policy: parsed(t, open), Callers: known(t, open), Backend: Forward("tcp", backend.Listener.Addr().String(), parsed(t, open))}))
	t.Cleanup(s.Close)
	for size, want := range map[int]string{4: "HTTP/1.1 100 ", 1025: "HTTP/1.1 413 "} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", size)
		line, err := bufio.NewReader(c).ReadString('\n')
		if !strings.HasPrefix(line, want) {
			t.Errorf("%d bytes: %q, %v", size, line, err)
		}
		c.Close()
	}
}

// TestUnreadBody: a backend that answers without reading the request leaves a
// connection that the next request can use.
func TestUnreadBody(t *testing.T) {
	h := New(Config{Policy: parsed(t, open), Callers: known(t, open), Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "early")
	})})
	s := httptest.NewUnstartedServer(h)
	var complaints strings.Builder
	s.Config.ErrorLog = log.New(&complaints, "", 0)
	s.Start()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(c)
	for i := range 2 {
		fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
		time.Sleep(20 * time.Millisecond)
		io.WriteString(c, "56789")
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "early" {
			t.Errorf("answer %d: %q, %v", i, text, err)
		}
	}
	c.Close()
	s.Close()
	if complaints.Len() > 0 {
		t.Errorf("the server complained: %s", complaints.String())
	}
}
