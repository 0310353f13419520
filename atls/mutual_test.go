package atls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

var peerPolicy = []byte("name: caller\n")

// mutualPair is a box that takes callers with evidence, and such a caller.
func mutualPair(t *testing.T, edit func(*PeerConfig)) (*Server, *Client, *hardware, chan error) {
	t.Helper()
	h, callers := newHardware(t), newHardware(t)
	refused := make(chan error, 16)
	peer := &PeerConfig{Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second, Check: func(ctx context.Context, p Presented) (any, error) {
		if _, err := callers.check(ctx, p); err != nil {
			return nil, err
		}
		return string(p.Bundle.Policy), nil
	}}
	if edit != nil {
		edit(peer)
	}
	s := newTestServer(t, h, func(c *ServerConfig) {
		c.Peer = peer
		c.OnRefuse = func(_ net.Addr, err error) { refused <- err }
	})
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Identity = &Identity{Attester: callers, Policy: peerPolicy}
		c.MaxAge = time.Minute
	})
	return s, c, h, refused
}

// serveSessions is an app that keeps the sessions it was given.
func serveSessions(t *testing.T, s *Server) (string, chan net.Conn) {
	t.Helper()
	inner := listen(t)
	l := s.Listener(inner)
	t.Cleanup(func() { l.Close() })
	conns := make(chan net.Conn, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, conn)
			conns <- conn
		}
	}()
	return inner.Addr().String(), conns
}

func TestMutual(t *testing.T) {
	s, c, h, _ := mutualPair(t, func(p *PeerConfig) { p.Require = true })
	addr, conns := serveSessions(t, s)
	for range 2 { // and the second is no fast one
		conn := connect(t, c, addr)
		mustEcho(t, conn)
		theirs, ours := sessionOf(t, conn), sessionOf(t, <-conns)
		if theirs.Purpose != attest.PurposePeer || ours.Purpose != attest.PurposePeer || theirs.Fast {
			t.Fatalf("client sees %+v, box sees %+v", theirs, ours)
		}
		if ours.Result != string(peerPolicy) || ours.Statement.Role != attest.RoleClient || ours.PeerKey != c.key.spki || ours.Statement.SPKI != c.key.spki {
			t.Fatalf("box sees %+v", ours)
		}
		if theirs.Statement.Role != attest.RoleServer || ours.Statement.Nonce == theirs.Statement.Nonce || ours.Statement.Exporter == theirs.Statement.Exporter {
			t.Fatal("the two statements share a nonce or an exporter")
		}
		if ours.Until.Sub(ours.VerifiedAt) != DefaultMaxAge {
			t.Fatalf("caller verified %s until %s", ours.VerifiedAt, ours.Until)
		}
	}
	_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", addr)
	wantCodes(t, err, "channel.gate no_attestation") // TLS asks for a certificate already
}

func TestCallerIsRefused(t *testing.T) {
	s, _, h, refused := mutualPair(t, nil)
	addr, conns := serveSessions(t, s)
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Identity = &Identity{Attester: newHardware(t), Policy: peerPolicy} // not the callers' hardware
	})
	_, err := c.DialContext(t.Context(), "tcp", addr)
	wantCodes(t, err, "channel.answer bad_signature")
	wantCodes(t, <-refused, "hardware.signature bad_signature")
	if len(conns) != 0 {
		t.Error("handed over")
	}
}

func TestMutualIsNotOffered(t *testing.T) {
	_, c, h, _ := mutualPair(t, nil)
	a := serveApp(t, newTestServer(t, h, nil))
	_, err := c.DialContext(t.Context(), "tcp", a.addr)
	wantCodes(t, err, "channel.answer purpose_mismatch")
}

func TestCallerMayStayAnonymous(t *testing.T) {
	s, _, h, _ := mutualPair(t, nil)
	addr, conns := serveSessions(t, s)
	mustEcho(t, connect(t, newTestClient(t, h, nil), addr))
	if ours := sessionOf(t, <-conns); ours.Result != nil || ours.Purpose != attest.PurposeSession || !ours.Until.IsZero() {
		t.Fatalf("box sees %+v", ours)
	}
}

func TestRequiredPeerWithoutEvidence(t *testing.T) {
	s, c, _, refused := mutualPair(t, func(p *PeerConfig) { p.Require = true })
	addr, _ := serveSessions(t, s)
	conn := rawClient(t, addr, func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{c.key.cert} })
	writeFrame(conn, frameHello, helloFor(attest.PurposeSession).encode())
	_, payload, err := readFrame(conn, slot{frameRefuse, maxRefuse})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := parseRefuse(payload); err != nil || r.code != attest.CodePurposeMismatch {
		t.Fatalf("refusal %+v, %v", r, err)
	}
	wantCodes(t, <-refused, "channel.purpose purpose_mismatch")
}

// evilCaller goes through a mutual gate up to the box's question, and then
// sends what it likes.
func evilCaller(t *testing.T, addr string, key *tlsKey, accept func(ch channel, sent hello, got full) []byte, offers ...attest.Digest) (*tls.Conn, error) {
	t.Helper()
	conn := rawClient(t, addr, func(cfg *tls.Config) {
		if key != nil {
			cfg.Certificates = []tls.Certificate{key.cert}
		}
	})
	h := helloFor(attest.PurposePeer, offers...)
	writeFrame(conn, frameHello, h.encode())
	typ, payload, err := readFrame(conn, slot{frameFull, maxFull}, slot{frameRefuse, maxRefuse})
	if err != nil {
		t.Fatal(err)
	}
	if typ == frameRefuse {
		r, _ := parseRefuse(payload)
		return conn, answerOf(r)
	}
	f, err := parseFull(payload)
	if err != nil {
		t.Fatal(err)
	}
	own := attest.Digest{}
	if key != nil {
		own = key.spki
	}
	writeFrame(conn, frameAccept, accept(newChannel(conn, own), h, f))
	typ, payload, err = readFrame(conn, slot{frameAccepted, 0}, slot{frameRefuse, maxRefuse})
	if err != nil || typ == frameAccepted {
		return conn, err
	}
	r, err := parseRefuse(payload)
	if err != nil {
		return conn, err
	}
	return conn, answerOf(r)
}

// C10, and C5 for the other direction.
func TestEvilCaller(t *testing.T) {
	key, err := newTLSKey()
	if err != nil {
		t.Fatal(err)
	}
	// With box hardware accepted from callers too, so that only the channel
	// checks can notice.
	h := newHardware(t)
	honest := func(change func(*attest.Statement)) func(channel, hello, full) []byte {
		return func(ch channel, _ hello, f full) []byte {
			p := &prover{policy: peerPolicy, digest: keyHash(peerPolicy), now: time.Now}
			s, err := p.statement(ch, question{attest.PurposePeer, attest.RoleClient, f.nonce}, attest.Digest{})
			if err != nil {
				t.Error(err)
			}
			if change != nil {
				change(&s)
			}
			b, err := h.bundle(s, peerPolicy, nil).Encode()
			if err != nil {
				t.Error(err)
			}
			return b
		}
	}
	other := attest.Digest{9}
	cases := []struct {
		name   string
		key    *tlsKey
		accept func(channel, hello, full) []byte
		want   []string
	}{
		{"honest", key, honest(nil), nil},
		{"reflection", key, func(_ channel, _ hello, f full) []byte { return f.bundle },
			[]string{"channel.role role_mismatch", "channel.nonce nonce_mismatch", "channel.tls_key key_mismatch", "channel.tls_exporter channel_mismatch", "channel.tls_end key_mismatch"}},
		{"role", key, honest(func(s *attest.Statement) { s.Role = attest.RoleServer }), []string{"channel.role role_mismatch"}},
		{"purpose", key, honest(func(s *attest.Statement) { s.Purpose, s.Role = attest.PurposeSession, attest.RoleServer }), []string{"channel.purpose purpose_mismatch", "channel.role role_mismatch"}},
		{"nonce", key, honest(func(s *attest.Statement) { s.Nonce = other }), []string{"channel.nonce nonce_mismatch"}},
		{"tls key", key, honest(func(s *attest.Statement) { s.SPKI = other }), []string{"channel.tls_key key_mismatch", "channel.tls_end key_mismatch"}},
		{"exporter", key, honest(func(s *attest.Statement) { s.Exporter = other }), []string{"channel.tls_exporter channel_mismatch", "channel.tls_end channel_mismatch"}},
		{"policy", key, honest(func(s *attest.Statement) { s.Policy = other }), []string{"channel.policy policy_mismatch"}},
		{"no evidence", key, func(channel, hello, full) []byte { return nil }, []string{"channel.bundle malformed"}},
		{"no certificate", nil, honest(nil), []string{"channel.tls_key key_mismatch"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			refused := make(chan error, 1)
			s := newTestServer(t, h, func(c *ServerConfig) {
				c.Peer = &PeerConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second}
				c.OnRefuse = func(_ net.Addr, err error) { refused <- err }
			})
			addr, conns := serveSessions(t, s)
			// It also offers the attestation key, which must not make a mutual gate fast.
			conn, err := evilCaller(t, addr, tc.key, tc.accept, s.keys.Load().attest.hash)
			if tc.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				mustEcho(t, conn)
				return
			}
			f := wantCodes(t, <-refused, tc.want...)
			wantCodes(t, err, "channel.answer "+string(f.Code()))
			if len(conns) != 0 {
				t.Error("handed over")
			}
		})
	}
}

// A peer with our own key is our reflection, whatever it says.
func TestOwnKey(t *testing.T) {
	if c := peerCheck(channel{own: attest.Digest{1}, peer: attest.Digest{1}}); c.Status != attest.Fail || c.Code != attest.CodeKeyMismatch {
		t.Errorf("check %v", c)
	}
	if c := peerCheck(channel{own: attest.Digest{1}, peer: attest.Digest{2}}); c.Status != attest.Pass {
		t.Errorf("check %v", c)
	}
	if c := peerCheck(channel{}); c.Status != attest.Fail {
		t.Errorf("no keys at all: check %v", c)
	}
}

// The client shows its own evidence to a proven box only, and only if the
// question is the box's own.
func TestCallerIsCareful(t *testing.T) {
	h, callers := newHardware(t), newHardware(t)
	cases := map[string]struct {
		change func(*impostor)
		want   string
	}{
		"box not proven":    {func(m *impostor) { m.bundle = func(b *attest.Bundle) { b.Evidence.Data[1] ^= 1 } }, "hardware.signature bad_signature"},
		"kind not accepted": {func(m *impostor) { m.full = func(f *full) { f.kinds = []string{"sev-snp"} } }, "channel.peer_kind kind_mismatch"},
		"not mutual":        {func(m *impostor) { m.full = func(f *full) { f.mutual = false } }, "channel.full malformed"},
		"our own nonce": {func(m *impostor) {
			m.statement = func(s *attest.Statement) { m.full = func(f *full) { f.nonce = s.Nonce } }
		}, "channel.peer_nonce nonce_mismatch"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := newImpostor(t, h)
			m.conf = func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }
			tc.change(m)
			c := newTestClient(t, h, func(c *ClientConfig) { c.Identity = &Identity{Attester: callers, Policy: peerPolicy} })
			_, err := c.DialContext(t.Context(), "tcp", m.listen(t))
			wantCodes(t, err, tc.want)
			if callers.quotes.Load() != 0 {
				t.Error("the caller asked its hardware")
			}
		})
	}
	t.Run("no evidence of our own", func(t *testing.T) {
		s, _, h, _ := mutualPair(t, nil)
		addr, _ := serveSessions(t, s)
		broken := newHardware(t)
		broken.fail = errors.New("no device")
		c := newTestClient(t, h, func(c *ClientConfig) { c.Identity = &Identity{Attester: broken, Policy: peerPolicy} })
		_, err := c.DialContext(t.Context(), "tcp", addr)
		wantUnavailable(t, err)
	})
}

// Mutual gates are full: nothing is offered, whatever is known.
func TestCallerOffersNothing(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	m.conf = func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }
	m.afterward = frameBytes(frameAccepted, nil)
	addr := m.listen(t)
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Identity, c.MaxAge = &Identity{Attester: h, Policy: peerPolicy}, time.Minute
	})
	for range 2 {
		connect(t, c, addr).Close()
		m.wait(1)
	}
	for _, h := range m.hellos {
		if len(h.offers) != 0 {
			t.Errorf("offered %v", h.offers)
		}
	}
}

// A caller's connection ends with its proof, and goes on if the same key is
// proven again.
func TestCallerLease(t *testing.T) {
	now := still()
	h := newHardware(t)
	s := newTestServer(t, h, func(c *ServerConfig) {
		c.Now = now.now
		c.Peer = &PeerConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second, MaxAge: time.Minute}
	})
	addr, conns := serveSessions(t, s)
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Identity, c.MaxAge, c.Now = &Identity{Attester: h, Policy: peerPolicy}, 2*time.Minute, now.now
	})
	stream := connect(t, c, addr)
	first := <-conns
	now.advance(40 * time.Second)
	if _, err := c.Reattest(t.Context(), dialTCP(t, addr), "box", stream); err != nil {
		t.Fatal(err)
	}
	<-conns
	now.advance(40 * time.Second)
	mustEcho(t, stream)
	now.advance(40 * time.Second)
	if err := echo(stream, "too late"); err == nil {
		t.Fatal("the box still listens to a caller whose proof is too old")
	}
	var cut *CutError
	if _, err := first.Write([]byte("x")); !errors.As(err, &cut) {
		t.Fatalf("the box's end says %v", err)
	}
}

// A caller may say more than others once it is its turn.
func TestLargeCallerEvidence(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, func(c *ServerConfig) {
		c.Peer = &PeerConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second}
	})
	addr, _ := serveSessions(t, s)
	h.pad = attest.MaxEvidence - 128
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Identity = &Identity{Attester: h, Policy: bytes.Repeat([]byte("#"), attest.MaxPolicy)}
	})
	mustEcho(t, connect(t, c, addr))
}

// Callers' bundles are read a few at a time.
func TestHeavyBound(t *testing.T) {
	h := newHardware(t)
	var mu sync.Mutex
	now, most := 0, 0
	check := func(ctx context.Context, p Presented) (any, error) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		defer func() { mu.Lock(); now--; mu.Unlock() }()
		return h.check(ctx, p)
	}
	s := newTestServer(t, h, func(c *ServerConfig) {
		c.Peer = &PeerConfig{Check: check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second}
	})
	s.heavy = make(chan struct{}, 1)
	addr, _ := serveSessions(t, s)
	c := newTestClient(t, h, func(c *ClientConfig) { c.Identity = &Identity{Attester: h, Policy: peerPolicy} })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if conn, err := c.DialContext(t.Context(), "tcp", addr); err != nil {
				t.Error(err)
			} else {
				conn.Close()
			}
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
}
