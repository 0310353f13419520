package atls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// stream is a live connection with a clock and a switch for the verdict.
type stream struct {
	server *Server
	app    *app
	client *Client
	now    *clock
	refuse *atomic.Bool
	conn   net.Conn
}

func newStream(t *testing.T, maxAge time.Duration) *stream {
	t.Helper()
	h := newHardware(t)
	st := &stream{now: still(), refuse: new(atomic.Bool)}
	st.server = newTestServer(t, h, func(c *ServerConfig) { c.Now = st.now.now })
	st.app = serveApp(t, st.server)
	st.client = newTestClient(t, h, func(c *ClientConfig) {
		c.Now, c.MaxAge = st.now.now, maxAge
		c.Check = func(ctx context.Context, p Presented) (any, error) {
			if st.refuse.Load() {
				return nil, attest.NewFailure("hardware.tcb", "tcb_low", "old", "new")
			}
			return h.check(ctx, p)
		}
	})
	conn, err := st.client.Handshake(t.Context(), dialTCP(t, st.app.addr), "box")
	if err != nil {
		t.Fatal(err)
	}
	st.conn = conn
	conn.SetDeadline(time.Now().Add(patience))
	mustEcho(t, conn)
	return st
}

func (st *stream) reattest(t *testing.T) (*Session, error) {
	t.Helper()
	return st.client.Reattest(t.Context(), dialTCP(t, st.app.addr), "box", st.conn)
}

func wantCut(t *testing.T, conn net.Conn) *CutError {
	t.Helper()
	var cut *CutError
	if err := echo(conn, "too late"); !errors.As(err, &cut) {
		t.Fatalf("stream says %v, expected that it was cut", err)
	}
	return cut
}

func TestReattestExtends(t *testing.T) {
	st := newStream(t, time.Minute)
	before := sessionOf(t, st.conn)
	st.now.advance(50 * time.Second)
	s, err := st.reattest(t)
	if err != nil {
		t.Fatal(err)
	}
	after := sessionOf(t, st.conn)
	if s.Fast || s.PeerKey != before.PeerKey || s.Statement.Nonce == before.Statement.Nonce {
		t.Errorf("session %+v", s)
	}
	if d := after.Until.Sub(before.Until); d < 50*time.Second || !s.Until.Equal(after.Until) {
		t.Errorf("until moved by %s", d)
	}
	st.now.advance(50 * time.Second)
	mustEcho(t, st.conn)
}

// C12
func TestReattestRefusedCuts(t *testing.T) {
	st := newStream(t, time.Minute)
	// A reader that waits in the middle of a stream is woken.
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(st.conn)
		read <- err
	}()
	st.refuse.Store(true)
	_, err := st.reattest(t)
	wantCodes(t, err, "hardware.tcb tcb_low")
	var cut *CutError
	if err := <-read; !errors.As(err, &cut) {
		t.Fatalf("the reader was told %v", err)
	}
	wantCodes(t, cut.Cause, "hardware.tcb tcb_low")
	wantCut(t, st.conn)
	if len(st.client.live.held) != 0 {
		t.Error("the lease is still there")
	}
}

// C12: nobody proves anything again.
func TestMaxAgeCuts(t *testing.T) {
	for _, maxAge := range []time.Duration{time.Minute, 0} {
		st := newStream(t, maxAge)
		if maxAge == 0 {
			maxAge = DefaultMaxAge
		}
		st.now.advance(maxAge - time.Second)
		mustEcho(t, st.conn)
		st.now.advance(time.Second)
		var cut *CutError
		if n, err := st.conn.Write([]byte("too late")); n != 0 || !errors.As(err, &cut) {
			t.Errorf("write of %d bytes: %v", n, err)
		}
		if cut = wantCut(t, st.conn); cut.Cause != nil || cut.MaxAge != maxAge {
			t.Errorf("cut %+v", cut)
		}
	}
}

// What proves nothing neither extends nor cuts.
func TestReattestUnavailable(t *testing.T) {
	st := newStream(t, time.Minute)
	until := sessionOf(t, st.conn).Until
	t.Run("other key", func(t *testing.T) { // also C11: the stream outlives a rotation
		if err := st.server.Rotate(); err != nil {
			t.Fatal(err)
		}
		st.refuse.Store(true) // must not even be asked about another box
		_, err := st.reattest(t)
		wantUnavailable(t, err)
		mustEcho(t, st.conn)
	})
	t.Run("hung up", func(t *testing.T) {
		l := listen(t)
		go func() {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}()
		_, err := st.client.Reattest(t.Context(), dialTCP(t, l.Addr().String()), "box", st.conn)
		wantUnavailable(t, err)
		mustEcho(t, st.conn)
	})
	t.Run("no TLS", func(t *testing.T) {
		l := listen(t)
		go func() {
			if c, err := l.Accept(); err == nil {
				io.WriteString(c, "SSH-2.0-x\r\n")
				c.Close()
			}
		}()
		_, err := st.client.Reattest(t.Context(), dialTCP(t, l.Addr().String()), "box", st.conn)
		if err == nil {
			t.Fatal("proven by nothing")
		}
		mustEcho(t, st.conn)
	})
	if s := sessionOf(t, st.conn); !s.Until.Equal(until) {
		t.Errorf("until moved from %s to %s", until, s.Until)
	}
	t.Run("not ours", func(t *testing.T) {
		if _, err := st.client.Reattest(t.Context(), dialTCP(t, st.app.addr), "box", dialTCP(t, st.app.addr)); err == nil {
			t.Fatal("re-attested a connection without a session")
		}
	})
}

// Whoever is on the way can break the side connection at any point. That is not
// the box's answer, and must not end its streams at once.
func TestReattestBrokenOffIsNoVerdict(t *testing.T) {
	st := newStream(t, time.Minute)
	keys := st.server.keys.Load()
	l := listen(t)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, keys.tlsConf)
		if conn.Handshake() == nil {
			readFrame(conn, slot{frameHello, maxHello})
		}
	}()
	_, err := st.client.Reattest(t.Context(), dialTCP(t, l.Addr().String()), "box", st.conn)
	wantUnavailable(t, err)
	mustEcho(t, st.conn)
}

// Whoever is on the way can end a connection, and must not be able to make it
// look as if the box had said all that it had to say.
func TestTruncationIsNoEnd(t *testing.T) {
	for name, polite := range map[string]bool{"the box": true, "somebody on the way": false} {
		h := newHardware(t)
		l := newTestServer(t, h, nil).Listener(listen(t))
		t.Cleanup(func() { l.Close() })
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "no")
			if polite {
				conn.Close()
			} else {
				conn.(*tls.Conn).NetConn().Close()
			}
		}()
		conn := connect(t, newTestClient(t, h, nil), l.Addr().String())
		said, err := io.ReadAll(conn)
		if string(said) != "no" || (err == nil) != polite {
			t.Errorf("ended by %s: %q, %v", name, said, err)
		}
	}
}

// A fast answer is no fresh proof.
func TestReattestNeedsHardware(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	addr := m.listen(t)
	c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge = time.Minute })
	conn := connect(t, c, addr)
	m.change(func() { m.fast = true })
	_, err := c.Reattest(t.Context(), dialTCP(t, addr), "box", conn)
	wantCodes(t, err, "channel.attestation_age stale_evidence")
}

// An older proof, of a fast connection, does not shorten a lease.
func TestLeaseKeepsNewest(t *testing.T) {
	l := newLeases(time.Minute, time.Now)
	peer, proven := attest.Digest{1}, time.Now()
	for _, at := range []time.Time{proven, proven.Add(-30 * time.Second)} {
		c := &sessionConn{Conn: &nullConn{done: make(chan struct{})}}
		l.join(c, peer, &proof{at: at}, nil)
		defer c.Close()
	}
	if until := l.find(peer).deadline(); !until.Equal(proven.Add(time.Minute)) {
		t.Errorf("until %s, proven %s", until, proven)
	}
}

func TestClientClose(t *testing.T) {
	st := newStream(t, time.Minute)
	st.client.Close()
	if err := echo(st.conn, "too late"); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("stream says %v", err)
	}
}

// pipeListener hands out the far ends of pipes.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestKeepsProving: connections of DialContext are proven again by themselves,
// and cut when that stops working. Time is simulated.
func TestKeepsProving(t *testing.T) {
	const maxAge = 10 * time.Minute
	start := func(t *testing.T, h *hardware, check CheckFunc) (*pipeListener, *Client, net.Conn) {
		l := newPipeListener()
		s := newTestServer(t, h, nil)
		gate := s.Listener(l)
		go func() {
			for {
				conn, err := gate.Accept()
				if err != nil {
					return
				}
				go func() {
					io.Copy(conn, conn)
					conn.Close()
				}()
			}
		}()
		c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge, c.Dial, c.Check = maxAge, l.dial, check })
		conn, err := c.DialContext(context.Background(), "tcp", "box:443")
		if err != nil {
			t.Fatal(err)
		}
		mustEcho(t, conn) // only now is it certain that the server has accepted it
		return l, c, conn
	}
	t.Run("goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHardware(t)
			l, c, conn := start(t, h, h.check)
			defer l.Close()
			for range 12 {
				time.Sleep(maxAge / 2)
				mustEcho(t, conn)
			}
			if n := h.quotes.Load(); n < 7 || n > 13 {
				t.Errorf("%d quotes in an hour with a max age of %s", n, maxAge)
			}
			conn.Close()
			synctest.Wait()
			quotes := h.quotes.Load()
			time.Sleep(time.Hour)
			if h.quotes.Load() != quotes || len(c.live.held) != 0 {
				t.Error("still proving after the connection was closed")
			}
		})
	})
	t.Run("network gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHardware(t)
			l, _, conn := start(t, h, h.check)
			l.Close()
			time.Sleep(maxAge - time.Second)
			mustEcho(t, conn)
			time.Sleep(time.Second)
			synctest.Wait()
			if cut := wantCut(t, conn); cut.Cause != nil {
				t.Errorf("cut %v", cut)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHardware(t)
			var refuse atomic.Bool
			l, _, conn := start(t, h, func(ctx context.Context, p Presented) (any, error) {
				if refuse.Load() {
					return nil, attest.NewFailure("hardware.tcb", "tcb_low", "old", "new")
				}
				return h.check(ctx, p)
			})
			defer l.Close()
			refuse.Store(true)
			time.Sleep(maxAge * 4 / 5)
			synctest.Wait()
			if cut := wantCut(t, conn); cut.Cause == nil {
				t.Errorf("cut %v", cut)
			}
		})
	})
}
