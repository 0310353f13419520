package atls

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// ending is a result that holds for a time.
type ending struct{ until time.Time }

func (e ending) ValidUntil() time.Time { return e.until }

// endsAfter is h.check with a result that holds for d from the check on.
func endsAfter(h *hardware, d func() time.Duration) CheckFunc {
	return func(ctx context.Context, p Presented) (any, error) {
		if _, err := h.check(ctx, p); err != nil {
			return nil, err
		}
		return ending{p.At.Add(d())}, nil
	}
}

// No fast answer and no live connection outlasts what its result rests on.
func TestResultEndsBeforeMaxAge(t *testing.T) {
	h, now := newHardware(t), still()
	a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) { c.Now = now.now }))
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.MaxAge, c.Now, c.Check = time.Minute, now.now, endsAfter(h, func() time.Duration { return 20 * time.Second })
	})
	live, err := c.Handshake(t.Context(), dialTCP(t, a.addr), "box")
	if err != nil {
		t.Fatal(err)
	}
	s := sessionOf(t, live)
	if !s.Until.Equal(s.VerifiedAt.Add(20 * time.Second)) {
		t.Errorf("verified at %s, until %s, expected 20 seconds", s.VerifiedAt, s.Until)
	}
	again := func() *Session {
		conn, err := c.Handshake(t.Context(), dialTCP(t, a.addr), "box")
		if err != nil {
			t.Fatal(err)
		}
		return sessionOf(t, conn)
	}
	now.advance(19 * time.Second)
	mustEcho(t, live)
	if f := again(); !f.Fast || !f.Until.Equal(s.Until) {
		t.Errorf("before the end: fast %v, until %s, expected %s", f.Fast, f.Until, s.Until)
	}
	now.advance(time.Second)
	if cut := wantCut(t, live); cut.MaxAge != 20*time.Second {
		t.Errorf("cut %+v", cut)
	}
	if again().Fast {
		t.Error("a fast answer rests on a result that has ended")
	}
}

// The box insists on the fast path, and the client had offered it.
func TestFastAnswerAfterTheResultEnded(t *testing.T) {
	h, now := newHardware(t), still()
	g := gatePair{
		server: newTestServer(t, h, func(c *ServerConfig) { c.Now = now.now }),
		client: newTestClient(t, h, func(c *ClientConfig) {
			c.MaxAge, c.Now, c.Check = time.Minute, now.now, endsAfter(h, func() time.Duration { return 20 * time.Second })
		}),
	}
	g.known = learn(t, g)
	for _, step := range []struct {
		after time.Duration
		good  bool
	}{{19 * time.Second, true}, {time.Second, false}} {
		now.advance(step.after)
		o := g.run(-1, -1)
		if step.good {
			if o.clientErr != nil || !o.proof.fast {
				t.Fatalf("before the end: %v", o.clientErr)
			}
			continue
		}
		wantCodes(t, o.clientErr, "channel.attestation_age stale_evidence")
	}
}

// What a CheckFunc accepts and calls ended is not accepted.
func TestResultThatHasEnded(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	for name, result := range map[string]func(at time.Time) time.Time{
		"zero":   func(time.Time) time.Time { return time.Time{} },
		"before": func(at time.Time) time.Time { return at.Add(-time.Nanosecond) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, h, func(c *ClientConfig) {
				c.Check = func(_ context.Context, p Presented) (any, error) { return ending{result(p.At)}, nil }
			})
			_, err := c.DialContext(t.Context(), "tcp", a.addr)
			wantCodes(t, err, "channel.check expired")
		})
	}
	// A result that comes with an error is not asked anything.
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Check = func(context.Context, Presented) (any, error) {
			return (*ending)(nil), attest.NewFailure("code.x", "x", "", "")
		}
	})
	_, err := c.DialContext(t.Context(), "tcp", a.addr)
	wantCodes(t, err, "code.x x")
}

// The newest proof decides, whether it lasts longer or less long.
func TestReattestTakesTheNewEnd(t *testing.T) {
	h, now := newHardware(t), still()
	holds := 20 * time.Second
	a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) { c.Now = now.now }))
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.MaxAge, c.Now, c.Check = time.Minute, now.now, endsAfter(h, func() time.Duration { return holds })
	})
	live, err := c.Handshake(t.Context(), dialTCP(t, a.addr), "box")
	if err != nil {
		t.Fatal(err)
	}
	for _, holds = range []time.Duration{time.Hour, 5 * time.Second} {
		now.advance(10 * time.Second)
		s, err := c.Reattest(t.Context(), dialTCP(t, a.addr), "box", live)
		if err != nil {
			t.Fatal(err)
		}
		want := s.VerifiedAt.Add(min(holds, time.Minute))
		if got := sessionOf(t, live).Until; !s.Until.Equal(want) || !got.Equal(want) {
			t.Errorf("a result for %s: new session until %s, live one until %s, expected %s", holds, s.Until, got, want)
		}
	}
}

// The same holds for the box and its callers.
func TestCallerResultEnds(t *testing.T) {
	h, now := newHardware(t), still()
	s := newTestServer(t, h, func(c *ServerConfig) {
		c.Now = now.now
		c.Peer = &PeerConfig{Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second, MaxAge: time.Minute,
			Check: endsAfter(h, func() time.Duration { return 20 * time.Second })}
	})
	addr, conns := serveSessions(t, s)
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Identity, c.MaxAge, c.Now = &Identity{Attester: h, Policy: peerPolicy}, time.Minute, now.now
	})
	stream := connect(t, c, addr)
	first := <-conns
	mustEcho(t, stream)
	now.advance(20 * time.Second)
	var cut *CutError
	if _, err := first.Write([]byte("x")); !errors.As(err, &cut) {
		t.Fatalf("the box's end says %v", err)
	}
}

// A connection whose result has an end that no new proof moves is asked again
// a few times, not ever faster, and is then cut. Time is simulated.
func TestFixedEndIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newHardware(t), newPipeListener()
		defer l.Close()
		gate := newTestServer(t, h, nil).Listener(l)
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
		end := time.Now().Add(25 * time.Minute)
		c := newTestClient(t, h, func(c *ClientConfig) {
			c.MaxAge, c.Dial = 10*time.Minute, l.dial
			c.Check = func(context.Context, Presented) (any, error) { return ending{end}, nil }
		})
		conn, err := c.DialContext(context.Background(), "tcp", "box:443")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(end) - time.Millisecond)
		mustEcho(t, conn)
		if n := h.quotes.Load(); n < 3 || n > 10 {
			t.Errorf("%d quotes in 25 minutes with a max age of 10", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantCut(t, conn)
		if len(c.live.held) != 0 {
			t.Error("the lease is still there")
		}
	})
}
