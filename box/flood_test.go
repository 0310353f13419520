package box

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/ingress"
)

// Everything here goes through the real door: TLS, the gate, net/http, package
// ingress, and an app in a process of its own. The attackers have come through the
// gate, which anybody may, and some of them hold a key.

// past returns connections that have passed the gate and speak one protocol.
func past(t testing.TB, addr, proto string) func() net.Conn {
	t.Helper()
	c, err := atls.NewClient(atls.ClientConfig{
		Kinds: []attest.Kind{attest.SimSNP}, NextProtos: []string{proto}, Skew: time.Minute,
		Check: func(context.Context, atls.Presented) (any, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() net.Conn {
		conn, err := c.DialContext(context.Background(), "tcp", addr)
		if err != nil {
			t.Error(err)
			return nil
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// besieged is a box with an app, and how many requests it has allowed.
func besieged(t testing.TB, limits string) (*running, *atomic.Int64) {
	t.Helper()
	var allowed atomic.Int64
	return serve(t, Config{Policy: parsed(t, self(t, "quiet", limits)), Decided: func(d ingress.Decision) {
		if d.Allowed {
			allowed.Add(1)
		}
	}}), &allowed
}

// wantServed fails unless somebody else is served, at once or when the box has
// dropped what it was doing for others.
func wantServed(t testing.TB, c *http.Client, when string) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		resp, text := do(t, c, request(t, "GET", "/caller", nil))
		if resp.StatusCode == 200 && text == "clinic" {
			return
		}
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || time.Now().After(end) {
			t.Fatalf("%s: %s, Retry-After %q: %.200s", when, resp.Status, resp.Header.Get("Retry-After"), text)
		}
	}
}

// heap is what is in use, of boxes and callers alike.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// wantFreed fails unless no more than so much is in use than before, now or when what
// is left of connections that ended is gone.
func wantFreed(t testing.TB, before, limit int64) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		more := heap() - before
		if more <= limit {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%d KiB more are in use", more>>10)
			return
		}
	}
}

// impatient serves a box at a second door, where the time for headers, and between
// requests, is shorter than a box has it. What a box has is in TestServerTimeouts.
func impatient(t testing.TB, b *running) *running {
	t.Helper()
	gate, err := atls.NewServer(atls.ServerConfig{Attester: b.cfg.Attester, Policy: b.policy.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	srv, l := b.server(t.Context()), listen(t)
	srv.ReadHeaderTimeout, srv.IdleTimeout = 300*time.Millisecond, 300*time.Millisecond
	go func() { _ = srv.Serve(gate.Listener(l)) }()
	t.Cleanup(func() { srv.Close() })
	return &running{Box: b.Box, addr: l.Addr().String()}
}

// drip sends a drop now and then until over returns, which it does when the box has
// had enough.
func drip(t testing.TB, c net.Conn, drop string, over func() error) {
	done := make(chan error, 1)
	go func() { done <- over() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if isTimeout(err) {
				t.Error("still open")
			}
			return
		case <-tick.C:
			_, _ = io.WriteString(c, drop)
		}
	}
}

// TestSlowHeaders: callers that send a byte of a header now and then, or over HTTP/2
// frames that continue one with nothing, are closed when the time for it is over, and
// others are served meanwhile.
func TestSlowHeaders(t *testing.T) {
	b, allowed := besieged(t, "")
	door := impatient(t, b)
	one, two := past(t, door.addr, "http/1.1"), past(t, door.addr, "h2")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			c := one()
			if c == nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(c, "GET /caller HTTP/1.1\r\nHost: a\r\nX: ")
			drip(t, c, "x", func() error { _, err := io.Copy(io.Discard, c); return err })
		})
		all.Go(func() {
			c := two()
			if c == nil {
				return
			}
			session(t, c)
			_, _ = io.WriteString(c, h2frame(frameHeaders, endStream, 1, asked(methodGet, "/caller")))
			drip(t, c, h2frame(frameContinuation, 0, 1, ""), func() error {
				return answers(c, func(byte, uint32, []byte) bool { return false })
			})
		})
	}
	others := b.client(t, "http/1.1")
	for range 20 {
		wantServed(t, others, "beside slow headers")
	}
	all.Wait()
	if n := allowed.Load(); n != 20 {
		t.Errorf("%d requests were allowed, expected those of the others: 20", n)
	}
}

// TestManyHeaders: a request with 100,000 of them is refused after as many as the box
// reads, and holds no memory.
func TestManyHeaders(t *testing.T) {
	b, allowed := besieged(t, "")
	others, dial := b.client(t, "http/1.1"), past(t, b.addr, "http/1.1")
	wantServed(t, others, "before")
	before := heap()
	for range 10 {
		c := dial()
		_ = c.SetDeadline(time.Now().Add(patience))
		go func() {
			w := bufio.NewWriter(c)
			fmt.Fprintf(w, "GET /caller HTTP/1.1\r\nHost: a\r\nBlindbox-Key: %s\r\n", clinicKey)
			for i := range 100_000 {
				fmt.Fprintf(w, "X-%d: a\r\n", i)
			}
			_, _ = w.WriteString("\r\n")
			_ = w.Flush() // fails when the box has closed
		}()
		// The answer may be lost with the connection, and is no other.
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
		c.Close()
	}
	wantServed(t, others, "after")
	wantFreed(t, before, 8<<20)
	if n := allowed.Load(); n != 2 {
		t.Errorf("%d requests were allowed, expected those of the others: 2", n)
	}
}

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway, frameContinuation = 0, 1, 3, 4, 7, 9
	endStream, endHeaders                                                              = 1, 4
)

func h2frame(kind, flags byte, stream uint32, payload string) string {
	head := make([]byte, 9, 9+len(payload))
	head[0], head[1], head[2], head[3], head[4] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	return string(append(head, payload...))
}

// literal is a field without indexing whose name has a number in the static table
// (RFC 7541, section 6.2.2 and appendix A). Values are shorter than 127 bytes.
func literal(name int, value string) string {
	head := []byte{byte(name)}
	if name >= 15 {
		head = []byte{15, byte(name - 15)}
	}
	return string(append(head, byte(len(value)))) + value
}

// asked is the header block of a request with a key.
func asked(method byte, path string) string {
	return string([]byte{0x80 | method, 0x87}) + literal(1, "box.example") + literal(4, path) + literal(23, "Bearer "+clinicKey)
}

const (
	methodGet  = 2
	methodPost = 3
)

// session is one HTTP/2 connection that was opened as it should be.
func session(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+h2frame(frameSettings, 0, 0, "")); err != nil {
		t.Error(err)
	}
}

// answers reads frames until the box has closed the connection, has told it to go
// away, or stop says that this is the frame that was waited for.
func answers(c net.Conn, stop func(kind byte, stream uint32, payload []byte) bool) error {
	r := bufio.NewReader(c)
	for {
		var head [9]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		if stop(head[3], binary.BigEndian.Uint32(head[5:])&(1<<31-1), payload) || head[3] == frameGoAway {
			return nil
		}
	}
}

func isTimeout(err error) bool {
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// TestHeaderBlocks: header blocks that are small where they are sent and large
// where they are read, or never end. None becomes a request.
func TestHeaderBlocks(t *testing.T) {
	b, allowed := besieged(t, "")
	others, dial := b.client(t, "h2"), past(t, b.addr, "h2")
	wantServed(t, others, "before")
	before, good := heap(), asked(methodGet, "/caller")
	large := "\x40\x01x\x7f" + string([]byte{0xa1, 0x1e}) + strings.Repeat("v", 4000) // 127 + 0x21 + 0x1e<<7 = 4000, indexed
	for name, send := range map[string]func(w io.Writer) error{
		// One field of 4,000 bytes in the table, named 10,000 times: 40 MB.
		"a bomb": func(w io.Writer) error {
			_, err := io.WriteString(w, h2frame(frameHeaders, endStream|endHeaders, 1, good+large+strings.Repeat("\xbe", 10_000)))
			return err
		},
		"100,000 fields": func(w io.Writer) error {
			text := h2frame(frameHeaders, endStream, 1, good)
			for range 99 {
				text += h2frame(frameContinuation, 0, 1, strings.Repeat("\x00\x01x\x01v", 1000))
			}
			_, err := io.WriteString(w, text+h2frame(frameContinuation, endHeaders, 1, strings.Repeat("\x00\x01x\x01v", 1000)))
			return err
		},
		"continued for ever": func(w io.Writer) error {
			_, err := io.WriteString(w, h2frame(frameHeaders, endStream, 1, good))
			for n := 0; err == nil; n++ {
				if n > 16<<10 { // 256 MiB: more than every buffer on the way
					return errFlooded
				}
				_, err = io.WriteString(w, h2frame(frameContinuation, 0, 1, strings.Repeat("\x00\x01x\x01v", 3276)))
			}
			return nil
		},
		"a string of 4 GiB": func(w io.Writer) error {
			_, err := io.WriteString(w, h2frame(frameHeaders, endStream|endHeaders, 1, good+"\x00\x01x\x7f\x80\xff\xff\xff\x0f"))
			return err
		},
		"a table of 1 GiB": func(w io.Writer) error {
			_, err := io.WriteString(w, h2frame(frameHeaders, endStream|endHeaders, 1, "\x3f\xe1\xff\xff\xff\x03"+good))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial()
			session(t, c)
			sent := make(chan error, 1)
			go func() { sent <- send(c) }()
			err := answers(c, func(kind byte, stream uint32, _ []byte) bool {
				return stream == 1 && (kind == frameHeaders || kind == frameReset)
			})
			if isTimeout(err) {
				t.Error("the box says nothing, and does not close")
			}
			c.Close()
			if err := <-sent; errors.Is(err, errFlooded) {
				t.Error("the box took everything")
			}
			wantServed(t, others, "after "+name)
		})
	}
	wantFreed(t, before, 8<<20)
	if n := allowed.Load(); n != 6 {
		t.Errorf("%d requests were allowed, expected those of the others: 6", n)
	}
}

var errFlooded = errors.New("the box took everything")

// TestRapidReset: requests that are taken back as soon as they were sent. The box
// ends the connection rather than working for it, or does the work, and in either
// case has its places back afterwards and serves others.
func TestRapidReset(t *testing.T) {
	b, _ := besieged(t, "limits: {concurrent: 8}\n")
	others, dial := b.client(t, "h2"), past(t, b.addr, "h2")
	wantServed(t, others, "before")
	before := heap()
	for range 3 {
		c := dial()
		session(t, c)
		read := make(chan error, 1)
		go func() { read <- answers(c, func(byte, uint32, []byte) bool { return false }) }()
		w := bufio.NewWriter(c)
		var err error
		for i := uint32(1); err == nil && i < 20_000; i += 2 {
			_, err = w.WriteString(h2frame(frameHeaders, endStream|endHeaders, i, asked(methodGet, "/hang")) + h2frame(frameReset, 0, i, "\x00\x00\x00\x08"))
		}
		_ = w.Flush()
		c.Close()
		<-read
	}
	wantServed(t, others, "after")
	wantFreed(t, before, 8<<20)
}

// TestSlowBodies: bodies that come a byte at a time hold their places until the
// policy's time is over, and no longer, over both protocols.
func TestSlowBodies(t *testing.T) {
	b, _ := besieged(t, "limits: {concurrent: 6, idle: 1s, time: 1s}\n")
	one, two := past(t, b.addr, "http/1.1"), past(t, b.addr, "h2")
	var all sync.WaitGroup
	for range 3 {
		c := one()
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: a\r\nBlindbox-Key: %s\r\nContent-Length: 100000\r\n\r\n", clinicKey)
		all.Go(func() { drip(t, c, "x", func() error { _, err := io.Copy(io.Discard, c); return err }) })
		s := two()
		session(t, s)
		_, _ = io.WriteString(s, h2frame(frameHeaders, endHeaders, 1, asked(methodPost, "/echo")))
		all.Go(func() {
			drip(t, s, h2frame(frameData, 0, 1, "x"), func() error {
				return answers(s, func(kind byte, stream uint32, _ []byte) bool { return stream == 1 && kind == frameReset })
			})
		})
	}
	all.Wait()
	b.policy.Limits.Idle, b.policy.Limits.Time = patience, patience // for others, who may be slow
	wantServed(t, b.client(t, "http/1.1"), "after slow bodies")
}
