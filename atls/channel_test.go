package atls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/longer"
)

func TestConnect(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	conn := connect(t, newTestClient(t, h, nil), a.addr)
	mustEcho(t, conn)

	s := sessionOf(t, conn)
	if s.Result != "verified" || s.Fast || s.Purpose != attest.PurposeSession || string(s.Bundle.Policy) != string(testPolicy) {
		t.Errorf("session %+v", s)
	}
	if s.VerifiedAt.IsZero() || s.Until.Sub(s.VerifiedAt) != DefaultMaxAge || len(s.Checks) == 0 || attest.FailureOf(s.Checks) != nil {
		t.Errorf("session from %s until %s with %v", s.VerifiedAt, s.Until, s.Checks)
	}
	state := conn.(*tls.Conn).ConnectionState()
	if state.CurveID != tls.X25519MLKEM768 || state.Version != tls.VersionTLS13 {
		t.Errorf("TLS %x with %s", state.Version, state.CurveID)
	}
	if _, ok := SessionOf(dialTCP(t, a.addr)); ok {
		t.Error("a plain connection has a session")
	}
}

func TestClassicalClientStillConnects(t *testing.T) {
	a := serveApp(t, newTestServer(t, newHardware(t), nil))
	conn := rawClient(t, a.addr, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} })
	if id := conn.ConnectionState().CurveID; id != tls.X25519 {
		t.Fatalf("curve %s", id)
	}
	only := func(id tls.CurveID) error {
		c := tls.Client(dialTCP(t, a.addr), &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{id}})
		return c.HandshakeContext(t.Context())
	}
	if only(tls.CurveP256) == nil {
		t.Fatal("a curve that is not on the list was accepted")
	}
}

func TestConcurrentConnections(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge = time.Minute })
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			conn, err := c.DialContext(t.Context(), "tcp", a.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if err := echo(conn, fmt.Sprintf("word %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(c.live.held); n != 0 {
		t.Errorf("%d leases left after every connection was closed", n)
	}
}

// C2
func TestOldTLS(t *testing.T) {
	h := newHardware(t)
	t.Run("client of 1.2", func(t *testing.T) {
		a := serveApp(t, newTestServer(t, h, nil))
		c := tls.Client(dialTCP(t, a.addr), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		if err := c.HandshakeContext(t.Context()); err == nil {
			t.Fatal("TLS 1.2 was accepted")
		}
	})
	t.Run("box of 1.2", func(t *testing.T) {
		m := newImpostor(t, h)
		m.conf = func(c *tls.Config) { c.MinVersion, c.MaxVersion, c.CurvePreferences = 0, tls.VersionTLS12, nil }
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", m.listen(t))
		wantCodes(t, err, "channel.tls no_attestation")
	})
	t.Run("checked again", func(t *testing.T) {
		good := tls.ConnectionState{Version: tls.VersionTLS13}
		if err := checkState(good); err != nil {
			t.Fatal(err)
		}
		wantCodes(t, checkState(tls.ConnectionState{Version: tls.VersionTLS12}), "channel.tls_version no_attestation")
		wantCodes(t, checkState(tls.ConnectionState{Version: tls.VersionTLS13, DidResume: true}), "channel.tls_resumption no_attestation")
		wantCodes(t, checkServerState(good), "channel.tls_key no_attestation")
	})
}

// ticketCache remembers what a server wanted remembered.
type ticketCache struct {
	tls.ClientSessionCache
	mu   sync.Mutex
	puts int
}

func (c *ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.mu.Lock()
	c.puts++
	c.mu.Unlock()
	c.ClientSessionCache.Put(key, s)
}

// C3
func TestNoTickets(t *testing.T) {
	h := newHardware(t)
	connectTwice := func(t *testing.T, addr string) (puts int, resumed bool) {
		cache := &ticketCache{ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		for range 2 {
			conn := rawClient(t, addr, func(c *tls.Config) {
				c.SessionTicketsDisabled, c.ClientSessionCache, c.ServerName = false, cache, "box"
			})
			writeFrame(conn, frameHello, helloFor(attest.PurposeSession).encode())
			if _, _, err := readFrame(conn, slot{frameFull, maxFull}); err != nil {
				t.Fatal(err)
			}
			resumed = resumed || conn.ConnectionState().DidResume
			conn.Close()
		}
		return cache.puts, resumed
	}
	t.Run("box gives none", func(t *testing.T) {
		a := serveApp(t, newTestServer(t, h, nil))
		r := newRelay(t, a.addr, nil)
		if puts, resumed := connectTwice(t, r.addr); puts != 0 || resumed {
			t.Fatalf("%d tickets, resumed %v", puts, resumed)
		}
		// The same with tickets on, to see that this test can see them.
		m := newImpostor(t, h)
		m.conf = func(c *tls.Config) { c.SessionTicketsDisabled, c.VerifyConnection = false, nil }
		rm := newRelay(t, m.listen(t), nil)
		puts, _ := connectTwice(t, rm.addr)
		if puts == 0 {
			t.Fatal("the control gave no ticket")
		}
		if with, without := rm.records(down, 23), r.records(down, 23); with <= without {
			t.Fatalf("%d records with tickets, %d without: a ticket would not be noticed", with, without)
		}
	})
	t.Run("client takes none", func(t *testing.T) {
		m := newImpostor(t, h)
		m.conf = func(c *tls.Config) { c.SessionTicketsDisabled = false }
		addr, c := m.listen(t), newTestClient(t, h, nil)
		for range 2 {
			connect(t, c, addr).Close()
		}
		m.wait(2)
		for i, info := range m.infos {
			// pre_shared_key, early_data, psk_key_exchange_modes (RFC 8446, section 4.2)
			for _, ext := range []uint16{41, 42, 45} {
				if slices.Contains(info.Extensions, ext) {
					t.Errorf("connection %d: client hello has extension %d", i, ext)
				}
			}
		}
		for _, s := range m.states {
			if s.DidResume {
				t.Error("resumed")
			}
		}
		if len(m.states) != 2 {
			t.Errorf("%d connections seen", len(m.states))
		}
	})
}

// C4. The relay holds the box's TLS key, so the victim sees the right key; and
// it passes on genuine evidence, fresh, with the right nonce. This test stays
// for ever.
func TestRelayWithStolenLeafKey(t *testing.T) {
	for _, path := range []string{"full", "fast"} {
		t.Run(path, func(t *testing.T) {
			h := newHardware(t)
			s := newTestServer(t, h, nil)
			a := serveApp(t, s)
			c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge = time.Minute })
			if path == "fast" {
				connect(t, c, a.addr).Close()
			}
			quotes := h.quotes.Load()
			thief := newTerminator(t, a.addr, s.keys.Load().tls.cert)
			_, err := c.DialContext(t.Context(), "tcp", thief.addr)
			// Everything else about the evidence is in order.
			f := wantCodes(t, err, "channel.tls_exporter channel_mismatch", "channel.tls_end channel_mismatch")
			if f.Code() != attest.CodeChannelMismatch || !strings.Contains(err.Error(), "TLS does not end in the box") {
				t.Errorf("error %v", err)
			}
			wantNothingSaid(t, thief, a)
			if fast := h.quotes.Load() == quotes; fast != (path == "fast") {
				t.Errorf("answered fast: %v", fast)
			}
			// Control: the same client, directly.
			mustEcho(t, connect(t, c, a.addr))
		})
	}
}

// wantNothingSaid checks that a man in the middle who can read everything the
// victim says heard the question and nothing else.
func wantNothingSaid(t *testing.T, m *terminator, a *app) {
	t.Helper()
	frames, rest := m.heard()
	if !slices.Equal(frames, []frameType{frameHello}) || len(rest) != 0 {
		t.Errorf("victim said %v and %q, expected one hello", frames, rest)
	}
	if n := a.in.Load(); a.saw() != "" && n > 0 {
		t.Errorf("the application heard %q", a.saw())
	}
}

// C5, and that each field is a check of its own: the hardware signs the
// statement as it is sent, so nothing else can notice.
func TestWrongStatement(t *testing.T) {
	other := attest.Digest{1, 2, 3}
	cases := []struct {
		name   string
		mutual bool
		change func(*attest.Statement)
		want   []string
	}{
		{"purpose", false, func(s *attest.Statement) { s.Purpose = attest.PurposePeer }, []string{"channel.purpose purpose_mismatch"}},
		{"role", true, func(s *attest.Statement) { s.Role = attest.RoleClient }, []string{"channel.role role_mismatch"}},
		{"nonce", false, func(s *attest.Statement) { s.Nonce = other }, []string{"channel.nonce nonce_mismatch"}},
		{"tls key", false, func(s *attest.Statement) { s.SPKI = other }, []string{"channel.tls_key key_mismatch", "channel.tls_end key_mismatch"}},
		{"exporter", false, func(s *attest.Statement) { s.Exporter = other }, []string{"channel.tls_exporter channel_mismatch", "channel.tls_end channel_mismatch"}},
		{"hpke", false, func(s *attest.Statement) { s.HPKE = other }, []string{"channel.hpke_key key_mismatch"}},
		{"attestation key", false, func(s *attest.Statement) { s.AttestationKey = other }, []string{"channel.attestation_key key_mismatch"}},
		{"policy", false, func(s *attest.Statement) { s.Policy = other }, []string{"channel.policy policy_mismatch"}},
		{"age", false, func(s *attest.Statement) { s.NotAfter = s.NotBefore.Add(-time.Hour); s.NotBefore = s.NotAfter }, []string{"channel.time stale_evidence"}},
		{"several", false, func(s *attest.Statement) { s.Nonce, s.Policy = other, other }, []string{"channel.nonce nonce_mismatch", "channel.policy policy_mismatch"}},
	}
	h := newHardware(t)
	for _, fast := range []bool{false, true} {
		for _, tc := range cases {
			if fast && (tc.mutual || tc.name == "attestation key") {
				continue // no fast path there; and another key cannot sign
			}
			t.Run(fmt.Sprintf("fast %v/%s", fast, tc.name), func(t *testing.T) {
				m := newImpostor(t, h)
				if tc.mutual {
					m.conf = func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }
				}
				addr := m.listen(t)
				c := newTestClient(t, h, func(c *ClientConfig) {
					c.MaxAge = time.Minute
					if tc.mutual {
						c.Identity = &Identity{Attester: h, Policy: testPolicy}
					}
				})
				if fast { // learn the key first
					connect(t, c, addr).Close()
					m.wait(1)
				}
				m.change(func() { m.statement, m.fast = tc.change, fast })
				_, err := c.DialContext(t.Context(), "tcp", addr)
				wantCodes(t, err, tc.want...)
				m.wait(1)
				if later := m.later[len(m.later)-1]; len(later) != 0 {
					t.Errorf("the client sent %q after refusing", later)
				}
			})
		}
	}
}

func TestWrongBundle(t *testing.T) {
	cases := []struct {
		name   string
		change func(*attest.Bundle)
		want   []string
	}{
		{"other policy document", func(b *attest.Bundle) { b.Policy = []byte("name: other\n") }, []string{"channel.policy policy_mismatch"}},
		{"other attestation key", func(b *attest.Bundle) { b.AttestationKey = make([]byte, 32) }, []string{"channel.attestation_key key_mismatch"}},
		{"no attestation key", func(b *attest.Bundle) { b.AttestationKey = nil }, []string{"channel.attestation_key key_mismatch"}},
		{"kind not accepted", func(b *attest.Bundle) { b.Evidence.Kind = attest.SNP }, []string{"channel.kind kind_mismatch"}},
		{"statement malformed", func(b *attest.Bundle) { b.Statement = b.Statement[1:] }, []string{"channel.statement malformed"}},
		{"hardware refuses", func(b *attest.Bundle) { b.Evidence.Data[100] ^= 1 }, []string{"hardware.signature bad_signature"}},
		{"hardware and channel", func(b *attest.Bundle) { b.Evidence.Data[100] ^= 1; b.Policy = []byte("x") }, []string{"channel.policy policy_mismatch", "hardware.signature bad_signature"}},
	}
	h := newHardware(t)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			m := newImpostor(t, h)
			m.bundle = tc.change
			_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", m.listen(t))
			wantCodes(t, err, tc.want...)
		})
	}
}

// TestCheckFuncOutcomes: what the CheckFunc says is never taken for more than
// it is.
func TestCheckFuncOutcomes(t *testing.T) {
	ours := []attest.Check{{Name: "channel.nonce", Status: attest.Pass}}
	failed := []attest.Check{{Name: "channel.nonce", Code: attest.CodeNonceMismatch}}
	theirs := &attest.Failure{Checks: []attest.Check{{Name: "channel.nonce", Code: attest.CodeNonceMismatch}, {Name: "code.x", Code: "x"}}}
	wantCodes(t, verdict(ours, nil, nil), "channel.check malformed")
	wantCodes(t, verdict(failed, "result", nil), "channel.nonce nonce_mismatch")
	wantCodes(t, verdict(failed, nil, theirs), "channel.nonce nonce_mismatch", "code.x x")
	wantCodes(t, verdict(ours, "result", theirs), "code.x x")
	wantCodes(t, verdict(ours, "result", &attest.Failure{}), "channel.check malformed")
	wantCodes(t, verdict(ours, nil, io.ErrNoProgress), "channel.check malformed")
	wantCodes(t, verdict(failed, nil, attest.ErrUnavailable), "channel.nonce nonce_mismatch")
	wantUnavailable(t, verdict(ours, nil, attest.ErrUnavailable))
	if err := verdict(ours, "result", nil); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(verdict(ours, nil, io.ErrNoProgress), io.ErrNoProgress) {
		t.Error("the cause was lost")
	}
}

// C6
func TestNonce(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	addr, c := m.listen(t), newTestClient(t, h, nil)
	for range 3 {
		connect(t, c, addr).Close()
	}
	m.wait(3)
	seen := map[[32]byte]bool{{}: true}
	for _, h := range m.hellos {
		if seen[h.nonce] {
			t.Fatalf("nonce %x is zero or used twice", h.nonce)
		}
		seen[h.nonce] = true
	}
	zero := helloFor(attest.PurposeSession)
	zero.nonce = [32]byte{}
	_, err := parseHello(zero.encode())
	wantCodes(t, err, "channel.hello malformed")
}

// C7
func TestReplay(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, nil)
	a := serveApp(t, s)
	spy := rawClient(t, a.addr, nil)
	writeFrame(spy, frameHello, helloFor(attest.PurposeSession).encode())
	_, payload, err := readFrame(spy, slot{frameFull, maxFull})
	if err != nil {
		t.Fatal(err)
	}
	m := newImpostor(t, h)
	m.keys = s.keys.Load() // even with the box's own TLS key
	m.answer = func([]byte) []byte { return frameBytes(frameFull, payload) }
	_, err = newTestClient(t, h, nil).DialContext(t.Context(), "tcp", m.listen(t))
	wantCodes(t, err, "channel.nonce nonce_mismatch", "channel.tls_exporter channel_mismatch", "channel.tls_end channel_mismatch")
}

// C8
func TestFastPath(t *testing.T) {
	h := newHardware(t)
	now := new(clock)
	a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) { c.Now = now.now }))
	c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge, c.Now = 10*time.Minute, now.now })
	dial := func(c *Client) *Session {
		t.Helper()
		// Not DialContext, which would have the box prove itself again as soon
		// as little of MaxAge is left.
		conn, err := c.Handshake(t.Context(), dialTCP(t, a.addr), "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mustEcho(t, conn)
		return sessionOf(t, conn)
	}
	first := dial(c)
	now.advance(9 * time.Minute)
	second := dial(c)
	if first.Fast || !second.Fast || second.Result != "verified" || !second.VerifiedAt.Equal(first.VerifiedAt) || h.quotes.Load() != 1 {
		t.Fatalf("first %v, second %v, %d quotes", first.Fast, second.Fast, h.quotes.Load())
	}
	if second.Statement.Nonce == first.Statement.Nonce || !second.Until.Equal(first.Until) {
		t.Fatal("the fast session is no statement of its own, or extends the proof")
	}
	if dial(newTestClient(t, h, func(c *ClientConfig) { c.MaxAge = time.Hour; c.Now = now.now })).Fast {
		t.Fatal("a client that never verified the key was served fast")
	}
	always := newTestClient(t, h, func(c *ClientConfig) { c.Now = now.now })
	if a, b := dial(always).Fast, dial(always).Fast; a || b || len(always.proven.keys) != 0 {
		t.Fatal("fast with MaxAge 0, or remembered what is of no use")
	}
	c.Forget()
	if dial(c).Fast {
		t.Fatal("fast after Forget")
	}
	now.advance(10 * time.Minute)
	if dial(c).Fast {
		t.Fatal("fast after MaxAge")
	}
	now.advance(-30 * time.Second) // a time server may do that
	if len(c.proven.offers("127.0.0.1")) != 1 {
		t.Fatal("a small step of the clock forgets the key")
	}
	now.advance(-time.Hour)
	if len(c.proven.offers("127.0.0.1")) != 0 {
		t.Fatal("a key verified in the future is offered")
	}
}

// TestOffering: a client with other protocols is the same client in all that it knows.
func TestOffering(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) { c.NextProtos = []string{"h2", "http/1.1"} }))
	c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge, c.NextProtos = time.Hour, []string{"h2", "http/1.1"} })
	other := c.Offering("http/1.1")
	dial := func(c *Client, proto string, fast bool) *tls.Conn {
		t.Helper()
		conn, err := c.Handshake(t.Context(), dialTCP(t, a.addr), "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if got := conn.ConnectionState().NegotiatedProtocol; got != proto || sessionOf(t, conn).Fast != fast {
			t.Fatalf("%q, fast %v; expected %q, %v", got, sessionOf(t, conn).Fast, proto, fast)
		}
		mustEcho(t, conn)
		return conn
	}
	dial(c, "h2", false)
	live := dial(other, "http/1.1", true)
	other.Forget()
	dial(c, "h2", false)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := live.Read(make([]byte, 1)); err == nil {
		t.Error("a connection of the other lives after Close")
	}
}

// C8: the box insists on the fast path.
func TestFastForced(t *testing.T) {
	h := newHardware(t)
	cases := []struct {
		name   string
		maxAge time.Duration
		learn  bool
		change func(*impostor, *Client, *clock)
		want   string
	}{
		{"never verified", time.Minute, false, func(m *impostor, _ *Client, _ *clock) {}, "channel.attestation_age stale_evidence"},
		{"max age 0", 0, true, func(m *impostor, _ *Client, _ *clock) {}, "channel.attestation_age stale_evidence"},
		{"old", time.Minute, true, func(_ *impostor, _ *Client, now *clock) { now.advance(time.Minute) }, "channel.attestation_age stale_evidence"},
		{"forgotten", time.Minute, true, func(_ *impostor, c *Client, _ *clock) { c.Forget() }, "channel.attestation_age stale_evidence"},
		{"policy changed", time.Minute, true, func(m *impostor, _ *Client, _ *clock) { m.policy = []byte("name: new\n") }, "channel.policy policy_mismatch"},
		{"signature", time.Minute, true, func(m *impostor, _ *Client, _ *clock) { m.signature = func(b []byte) { b[0] ^= 1 } }, "channel.signature bad_signature"},
		{"other key signs", time.Minute, true, func(m *impostor, _ *Client, _ *clock) {
			forged := *m.keys.attest
			other := newAttestationKey()
			forged.private = other.private
			keys := *m.keys
			keys.attest = &forged
			m.keys = &keys
		}, "channel.signature bad_signature"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			m, now := newImpostor(t, h), new(clock)
			addr := m.listen(t)
			c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge, c.Now, c.Skew = tc.maxAge, now.now, time.Hour })
			if tc.learn {
				connect(t, c, addr).Close()
				m.wait(1)
			}
			m.change(func() {
				m.fast = true
				tc.change(m, c, now)
			})
			_, err := c.DialContext(t.Context(), "tcp", addr)
			wantCodes(t, err, tc.want)
		})
	}
	t.Run("aged between offer and answer", func(t *testing.T) {
		m := newImpostor(t, h)
		key := &provenKey{hash: m.keys.attest.hash, public: m.keys.attest.public, proof: &proof{at: time.Now()}}
		ch := channel{own: attest.Digest{1}, peer: attest.Digest{2}, export: func([32]byte) ([32]byte, error) { return [32]byte{3}, nil }}
		q := question{purpose: attest.PurposeSession, role: attest.RoleServer, nonce: newNonce()}
		s, err := (&prover{digest: attest.Digest{4}, now: time.Now}).statement(channel{own: ch.peer, export: ch.export}, q, key.hash)
		if err != nil {
			t.Fatal(err)
		}
		key.proof.statement.Policy = s.Policy
		f, err := m.keys.attest.sign(s)
		if err != nil {
			t.Fatal(err)
		}
		e := &newTestClient(t, h, nil).examiner
		at := key.proof.at.Add(30 * time.Second)
		e.now = func() time.Time { return at }
		if _, err := e.examineFast(ch, q, f, []*provenKey{key}, 30*time.Second+1); err != nil {
			t.Fatal(err)
		}
		_, err = e.examineFast(ch, q, f, []*provenKey{key}, 30*time.Second)
		wantCodes(t, err, "channel.attestation_age stale_evidence")
		other := *key
		other.hash[0] ^= 1
		_, err = e.examineFast(ch, q, f, []*provenKey{&other}, time.Hour)
		wantCodes(t, err, "channel.attestation_age stale_evidence")
	})
}

// TestOffers: a box learns only of keys that were verified under its own name,
// and the cache is bounded.
func TestOffers(t *testing.T) {
	p := &provenKeys{maxAge: time.Hour, now: time.Now}
	add := func(host string, n int) {
		hash := attest.Digest{byte(n), byte(n >> 8), 1}
		p.add(host, attest.Digest{byte(n)}, &proof{at: time.Now(), bundle: attest.Bundle{AttestationKey: make([]byte, 32)}, statement: attest.Statement{AttestationKey: hash}})
	}
	for i := range maxProven + 10 {
		add("a", i)
	}
	add("b", 1000)
	if len(p.keys) != maxProven {
		t.Errorf("%d entries, limit %d", len(p.keys), maxProven)
	}
	if n := len(p.offers("a")); n != maxOffers {
		t.Errorf("%d offers", n)
	}
	if o := p.offers("b"); len(o) != 1 || o[0].host != "b" {
		t.Errorf("offers %v", o)
	}
	if first := p.offers("a")[0].hash; first != (attest.Digest{byte(maxProven + 9), 0, 1}) {
		t.Errorf("first offer %s is not the newest", first)
	}
	p.forget(attest.Digest{byte(1000 & 0xff)})
	if len(p.offers("b")) != 0 {
		t.Error("not forgotten")
	}
}

// A refusal after TLS makes the client forget that key.
func TestRefusalForgets(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	addr := m.listen(t)
	c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge = time.Minute })
	connect(t, c, addr).Close()
	m.wait(1)
	m.change(func() { m.bundle = func(b *attest.Bundle) { b.Evidence.Data[0] ^= 1 } })
	if _, err := c.DialContext(t.Context(), "tcp", addr); err == nil {
		t.Fatal("accepted")
	}
	if len(c.proven.offers("127.0.0.1")) != 0 {
		t.Fatal("the key is still offered")
	}
}

// C9
func TestTLSEndsElsewhere(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	c := newTestClient(t, h, func(c *ClientConfig) { c.NextProtos = []string{"h2", "http/1.1"} })
	own, err := newTLSKey()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("proxy with its own key", func(t *testing.T) {
		proxy := newTerminator(t, a.addr, own.cert)
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", proxy.addr)
		wantCodes(t, err, "channel.tls_key key_mismatch", "channel.tls_exporter channel_mismatch", "channel.tls_end key_mismatch")
		wantNotInBox(t, err)
		wantNothingSaid(t, proxy, a)
	})
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("web server h2=%v", h2), func(t *testing.T) {
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request got through") }))
			web.EnableHTTP2 = h2
			web.Config.ErrorLog = log.New(io.Discard, "", 0)
			web.StartTLS()
			defer web.Close()
			_, err := c.DialContext(t.Context(), "tcp", web.Listener.Addr().String())
			wantCodes(t, err, "channel.gate no_attestation")
			if !h2 { // which hangs up on what is no HTTP/2, and says nothing
				wantNotInBox(t, err)
			}
		})
	}
	t.Run("hangs up", func(t *testing.T) {
		m := newImpostor(t, h)
		addr := newRelay(t, m.listen(t), func(r *record) act {
			if r.dir == up && r.app == 1 {
				return hangUp
			}
			return forward
		}).addr
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", addr)
		wantNoAnswer(t, err)
	})
	t.Run("no TLS", func(t *testing.T) {
		web := httptest.NewServer(http.NotFoundHandler())
		defer web.Close()
		_, err := c.DialContext(t.Context(), "tcp", web.Listener.Addr().String())
		wantCodes(t, err, "channel.tls no_attestation")
	})
	t.Run("nobody", func(t *testing.T) {
		_, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1")
		wantUnavailable(t, err)
	})
}

func wantNotInBox(t *testing.T, err error) {
	t.Helper()
	if !strings.Contains(err.Error(), "TLS does not end in the box") {
		t.Errorf("error %q does not say that TLS does not end in the box", err)
	}
}

// wantNoAnswer: a line that ends says nothing of who is at its end.
func wantNoAnswer(t *testing.T, err error) {
	t.Helper()
	wantCodes(t, err, "channel.gate no_attestation")
	if text := err.Error(); strings.Contains(text, textNotInBox) || !strings.Contains(text, "ended before the gate was answered") {
		t.Errorf("error %q", text)
	}
}

// A box whose time for the gate is up says so: a client that was slow, or whose line was,
// has not met something else.
func TestQuestionThatIsLate(t *testing.T) {
	h := newHardware(t)
	err := longer.Try(100*time.Millisecond, func(limit time.Duration) error {
		refused := make(chan error, 1)
		a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) {
			c.GateTimeout = limit
			c.OnRefuse = func(_ net.Addr, err error) { refused <- err }
		}))
		late := newRelay(t, a.addr, func(r *record) act {
			if r.dir == up && r.app == 1 {
				return stall
			}
			return forward
		}).addr
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", late)
		wantUnavailable(t, err)
		if !errors.Is(<-refused, errNoQuestion) {
			return errors.New("the time was over during TLS")
		}
		if text := err.Error(); strings.Contains(text, textNotInBox) || !strings.Contains(text, errNoQuestion.Error()) {
			t.Errorf("error %q", text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// C11
func TestRotate(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, nil)
	a := serveApp(t, s)
	c := newTestClient(t, h, func(c *ClientConfig) { c.MaxAge = time.Minute })
	stream := connect(t, c, a.addr)
	old := s.keys.Load()
	if err := s.Rotate(); err != nil {
		t.Fatal(err)
	}
	mustEcho(t, stream)
	fresh := connect(t, c, a.addr)
	after := sessionOf(t, fresh)
	if after.Fast || after.PeerKey == old.tls.spki || after.Statement.AttestationKey == old.attest.hash {
		t.Fatalf("old keys are still served: %+v", after)
	}
	mustEcho(t, stream)

	// A handshake that began before the rotation gets no answer with old keys.
	_, _, err := gateOver(t, s, old, func(rw io.ReadWriter) error {
		return writeFrame(rw, frameHello, helloFor(attest.PurposeSession, old.attest.hash).encode())
	})
	wantUnavailable(t, err)
}

// gateOver runs the server's gate over a pipe with keys of the caller's choice.
func gateOver(t *testing.T, s *Server, keys *serverKeys, client func(io.ReadWriter) error) (hello, *proof, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		client(far)
		io.Copy(io.Discard, far)
	}()
	ch := channel{rw: near, own: keys.tls.spki, export: func([32]byte) ([32]byte, error) { return [32]byte{1}, nil }}
	return s.gate(t.Context(), ch, keys)
}

// C17
func TestClocks(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	cases := []struct {
		off  time.Duration
		code attest.Code
	}{
		{24 * time.Hour, attest.CodeClock},
		{-24 * time.Hour, attest.CodeClock},
		{-time.Hour, attest.CodeStaleEvidence},
		{time.Hour, attest.CodeStaleEvidence},
		{-30 * time.Second, ""},
		{5*time.Minute + 30*time.Second, ""},
	}
	for _, tc := range cases {
		t.Run(tc.off.String(), func(t *testing.T) {
			now := new(clock)
			now.advance(tc.off)
			c := newTestClient(t, h, func(c *ClientConfig) { c.Now, c.Skew = now.now, time.Minute })
			_, err := c.DialContext(t.Context(), "tcp", a.addr)
			if tc.code != "" {
				wantCodes(t, err, "channel.time "+string(tc.code))
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// mislabelled says that it is SNP and gives evidence of something else.
type mislabelled struct{ *hardware }

func (mislabelled) Kind() attest.Kind { return attest.SNP }

func TestBoxRefuses(t *testing.T) {
	h := newHardware(t)
	t.Run("kind", func(t *testing.T) {
		a := serveApp(t, newTestServer(t, h, nil))
		c := newTestClient(t, h, func(c *ClientConfig) { c.Kinds = []attest.Kind{attest.SNP} })
		_, err := c.DialContext(t.Context(), "tcp", a.addr)
		wantCodes(t, err, "channel.answer kind_mismatch")
	})
	t.Run("no evidence", func(t *testing.T) {
		broken := newHardware(t)
		broken.fail = errors.New("secret detail: /dev/sev-guest is gone")
		refused := make(chan error, 1)
		a := serveApp(t, newTestServer(t, broken, func(c *ServerConfig) { c.OnRefuse = func(_ net.Addr, err error) { refused <- err } }))
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", a.addr)
		wantUnavailable(t, err)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the client was told %v", err)
		}
		if err := <-refused; !errors.Is(err, broken.fail) {
			t.Errorf("the operator was told %v", err)
		}
	})
	t.Run("evidence of another kind", func(t *testing.T) {
		a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) { c.Attester = mislabelled{h} }))
		c := newTestClient(t, h, func(c *ClientConfig) { c.Kinds = []attest.Kind{attest.SNP, attest.SimSNP} })
		_, err := c.DialContext(t.Context(), "tcp", a.addr)
		wantUnavailable(t, err)
	})
	t.Run("evidence too large", func(t *testing.T) { // C14
		verbose := newHardware(t)
		verbose.pad = attest.MaxEvidence
		a := serveApp(t, newTestServer(t, verbose, nil))
		_, err := newTestClient(t, verbose, nil).DialContext(t.Context(), "tcp", a.addr)
		wantUnavailable(t, err)
	})
	t.Run("hardware too slow", func(t *testing.T) {
		slow := newHardware(t)
		slow.delay = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		if err := longer.Try(500*time.Millisecond, func(limit time.Duration) error {
			a := serveApp(t, newTestServer(t, slow, func(c *ServerConfig) { c.GateTimeout = limit }))
			c := newTestClient(t, h, func(c *ClientConfig) { c.Timeout = patience + limit })
			_, err := c.DialContext(t.Context(), "tcp", a.addr)
			var verdict *attest.Failure
			if !errors.Is(err, attest.ErrUnavailable) || errors.As(err, &verdict) || !strings.Contains(err.Error(), "cannot get evidence") {
				return fmt.Errorf("the client was told %w", err) // or the time was over before the hardware was asked
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	t.Run("terminal escapes", func(t *testing.T) {
		m := newImpostor(t, h)
		m.answer = func([]byte) []byte {
			return frameBytes(frameRefuse, refuse{code: "kind_mismatch", text: "\x1b[2Jtrusted\n"}.encode())
		}
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", m.listen(t))
		wantCodes(t, err, "channel.answer kind_mismatch")
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("error %q", err)
		}
	})
	t.Run("not a code", func(t *testing.T) {
		m := newImpostor(t, h)
		m.answer = func([]byte) []byte { return frameBytes(frameRefuse, []byte("\x03A-Btext")) }
		_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", m.listen(t))
		wantCodes(t, err, "channel.refuse malformed")
	})
}

// What ended the gate decides what it is called.
func TestRefusal(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	wantNoAnswer(t, refusal(t.Context(), io.EOF, false))
	wantNoAnswer(t, refusal(t.Context(), fmt.Errorf("atls: waiting for the gate: %w", io.ErrUnexpectedEOF), false))
	wantNoAnswer(t, refusal(t.Context(), &net.OpError{Op: "read", Err: syscall.ECONNRESET}, false))
	alert := refusal(t.Context(), &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, false)
	wantCodes(t, alert, "channel.gate no_attestation")
	if text := alert.Error(); strings.Contains(text, textNotInBox) || !strings.Contains(text, "certificate required") {
		t.Errorf("error %q", text)
	}
	wantCodes(t, refusal(t.Context(), &notGateError{}, false), "channel.gate no_attestation")
	wantCodes(t, refusal(done, &notGateError{}, false), "channel.gate no_attestation")
	wantUnavailable(t, refusal(t.Context(), io.EOF, true))
	wantUnavailable(t, refusal(t.Context(), os.ErrDeadlineExceeded, false))
	wantUnavailable(t, refusal(done, io.EOF, false))
	wantUnavailable(t, tlsRefusal(t.Context(), io.EOF))
	wantUnavailable(t, tlsRefusal(done, errors.New("x")))
	wantCodes(t, tlsRefusal(t.Context(), errors.New("tls: something")), "channel.tls no_attestation")
	if err := refusal(done, nil, true); err != nil {
		t.Error(err)
	}
	// What a client did not show is said to it; why the box has nothing is not.
	lacks := attest.NewFailure("hardware.revocation_ca", attest.CodeNoCRL, "none given", "a list")
	if r := refuseOf(lacks); r.code != attest.CodeNoCRL || !strings.Contains(r.text, "revocation_ca") {
		t.Errorf("%+v", r)
	}
	if r := refuseOf(fmt.Errorf("the operator's secret: %w", attest.ErrUnavailable)); r.code != attest.CodeUnavailable || strings.Contains(r.text, "secret") {
		t.Errorf("%+v", r)
	}
	if r := refuseOf(&attest.Failure{}); r.code != attest.CodeMalformed {
		t.Errorf("%+v", r)
	}
}

// deafConn does not hear of deadlines.
type deafConn struct{ net.Conn }

func (deafConn) SetDeadline(time.Time) error { return nil }

func TestContext(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	stallAt := func(dir direction, app int) string {
		return newRelay(t, a.addr, func(r *record) act {
			if r.dir == dir && r.app >= app {
				return stall
			}
			return forward
		}).addr
	}
	cases := []struct {
		name string
		addr string
	}{
		{"during TLS", stallAt(down, 0)},
		{"question lost", stallAt(up, 1)},
	}
	for _, tc := range cases {
		t.Run(tc.name+", cancelled", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(50*time.Millisecond, cancel)
			defer timer.Stop()
			_, err := newTestClient(t, h, nil).DialContext(ctx, "tcp", tc.addr)
			wantUnavailable(t, err)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
		t.Run(tc.name+", timeout", func(t *testing.T) {
			c := newTestClient(t, h, func(c *ClientConfig) { c.Timeout = 100 * time.Millisecond })
			_, err := c.DialContext(t.Context(), "tcp", tc.addr)
			wantUnavailable(t, err)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("during the check", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newTestClient(t, h, func(c *ClientConfig) {
			c.Check = func(ctx context.Context, _ Presented) (any, error) {
				cancel()
				<-ctx.Done()
				return nil, fmt.Errorf("%w: %w", attest.ErrUnavailable, ctx.Err())
			}
		})
		_, err := c.DialContext(ctx, "tcp", a.addr)
		wantUnavailable(t, err)
	})
	t.Run("too late to be noticed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newTestClient(t, h, func(c *ClientConfig) {
			c.Check = func(context.Context, Presented) (any, error) {
				cancel()
				return "verified", nil
			}
		})
		conn, err := c.Handshake(ctx, deafConn{dialTCP(t, a.addr)}, "box")
		if conn != nil {
			t.Error("a connection from a context that has ended")
		}
		wantUnavailable(t, err)
	})
	t.Run("deadline of the caller's", func(t *testing.T) {
		raw := dialTCP(t, stallAt(up, 1))
		raw.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := newTestClient(t, h, nil).Handshake(t.Context(), raw, "box")
		wantUnavailable(t, err)
	})
	t.Run("ends after the handshake", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		conn, err := newTestClient(t, h, nil).DialContext(ctx, "tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		cancel()
		mustEcho(t, conn)
	})
}

// kindless does not say what it is.
type kindless struct{ *hardware }

func (kindless) Kind() attest.Kind { return 0 }

func TestConfig(t *testing.T) {
	h := newHardware(t)
	check, kinds := h.check, []attest.Kind{attest.SimSNP}
	many := slices.Repeat(kinds, maxKinds+1)
	clients := map[string]ClientConfig{
		"nothing":          {},
		"no check":         {Kinds: kinds},
		"no kinds":         {Check: check},
		"invalid kind":     {Check: check, Kinds: []attest.Kind{0}},
		"kind twice":       {Check: check, Kinds: append(kinds, kinds...)},
		"many kinds":       {Check: check, Kinds: many},
		"negative skew":    {Check: check, Kinds: kinds, Skew: -1},
		"negative age":     {Check: check, Kinds: kinds, MaxAge: -1},
		"negative timeout": {Check: check, Kinds: kinds, Timeout: -1},
		"empty identity":   {Check: check, Kinds: kinds, Identity: &Identity{}},
		"no own policy":    {Check: check, Kinds: kinds, Identity: &Identity{Attester: h}},
	}
	for name, cfg := range clients {
		if c, err := NewClient(cfg); err == nil || c != nil {
			t.Errorf("client %s: %v, %v", name, c, err)
		}
	}
	if _, err := NewClient(clients["many kinds"]); err == nil || !strings.Contains(err.Error(), "17 accepted evidence kinds") {
		t.Errorf("error %v", err)
	}
	policy := testPolicy
	servers := map[string]ServerConfig{
		"nothing":       {},
		"no attester":   {Policy: policy},
		"no kind":       {Attester: kindless{h}, Policy: policy},
		"no policy":     {Attester: h},
		"long policy":   {Attester: h, Policy: make([]byte, attest.MaxPolicy+1)},
		"negative time": {Attester: h, Policy: policy, GateTimeout: -1},
		"negative open": {Attester: h, Policy: policy, MaxHalfOpen: -1},
		"negative many": {Attester: h, Policy: policy, MaxQuotes: -1},
		"peer of none":  {Attester: h, Policy: policy, Peer: &PeerConfig{}},
		"peer age":      {Attester: h, Policy: policy, Peer: &PeerConfig{Check: check, Kinds: kinds, MaxAge: -1}},
	}
	for name, cfg := range servers {
		if s, err := NewServer(cfg); err == nil || s != nil {
			t.Errorf("server %s: %v, %v", name, s, err)
		}
	}
}
