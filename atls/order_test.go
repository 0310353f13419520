package atls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// flipper passes everything on, with one bit of one direction flipped, and
// keeps what was written.
type flipper struct {
	net.Conn
	at   int // bit, counted from the start; negative for none
	sent []byte
}

func (f *flipper) Write(b []byte) (int, error) {
	out := bytes.Clone(b)
	if i := f.at/8 - len(f.sent); f.at >= 0 && i >= 0 && i < len(out) {
		out[i] ^= 1 << (f.at % 8)
	}
	f.sent = append(f.sent, out...)
	return f.Conn.Write(out)
}

// gatePair is both ends of a gate over a pipe, without TLS, so that a man in
// the middle can be let inside what TLS protects.
type gatePair struct {
	server *Server
	client *Client
	known  []*provenKey
}

type outcome struct {
	clientErr, serverErr error
	proof, peer          *proof
	up, down             []byte // what each side sent, the application's word last
}

const (
	wordUp   = "<application: up>"
	wordDown = "<application: down>"
)

// run does one gate with bit up flipped in what the client sends, or down in
// what the box sends. Each side says its word as soon as its gate is open.
func (g gatePair) run(upBit, downBit int) outcome {
	near, far := net.Pipe()
	deadline := time.Now().Add(patience)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	c, s := &flipper{Conn: near, at: upBit}, &flipper{Conn: far, at: downBit}
	export := func(nonce [32]byte) ([32]byte, error) {
		nonce[0] ^= 0x5a // any function of the nonce that both ends share
		return nonce, nil
	}
	keys := g.server.keys.Load()
	clientKey := attest.Digest{}
	if g.client.key != nil {
		clientKey = g.client.key.spki
	}
	var o outcome
	var both sync.WaitGroup
	both.Go(func() {
		defer near.Close()
		ch := channel{rw: c, own: clientKey, peer: keys.tls.spki, export: export}
		if o.proof, o.clientErr = g.client.gate(context.Background(), ch, g.known); o.clientErr == nil {
			io.WriteString(c, wordUp)
			io.Copy(io.Discard, near)
		}
	})
	both.Go(func() {
		defer far.Close()
		ch := channel{rw: s, own: keys.tls.spki, peer: clientKey, export: export}
		if _, o.peer, o.serverErr = g.server.gate(context.Background(), ch, keys); o.serverErr == nil {
			io.ReadFull(far, make([]byte, len(wordUp)))
			io.WriteString(s, wordDown)
		}
	})
	both.Wait()
	o.up, o.down = c.sent, s.sent
	return o
}

// C1: whatever byte of the gate is changed, one side refuses, and no
// side that refused has sent a byte of the application.
func TestEveryByteOfTheGate(t *testing.T) {
	h := newHardware(t)
	peer := &PeerConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second}
	for _, path := range []string{"full", "fast", "mutual"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := gatePair{
					server: newTestServer(t, h, func(c *ServerConfig) { c.Peer = peer }),
					client: newTestClient(t, h, func(c *ClientConfig) {
						c.MaxAge = time.Hour * 24 * 365
						if path == "mutual" {
							c.Identity = &Identity{Attester: h, Policy: testPolicy}
						}
					}),
				}
				if path == "fast" {
					g.known = learn(t, g)
				}
				clean := g.run(-1, -1)
				if clean.clientErr != nil || clean.serverErr != nil || clean.proof.fast != (path == "fast") {
					t.Fatalf("undisturbed gate: client %v, server %v", clean.clientErr, clean.serverErr)
				}
				gateUp, gateDown := len(clean.up)-len(wordUp), len(clean.down)-len(wordDown)
				t.Logf("%d bytes up, %d bytes down", gateUp, gateDown)
				for bit := range eachByte(gateUp) {
					o := g.run(bit, -1)
					if path == "fast" && o.clientErr == nil && o.serverErr == nil && !o.proof.fast {
						continue // the offered hash was hit: the box answered in full, which proves more
					}
					judge(t, "up", bit, o)
				}
				for bit := range eachByte(gateDown) {
					judge(t, "down", bit, g.run(-1, bit))
				}
			})
		})
	}
}

// eachByte yields two bits of each of n bytes: the lowest, which makes small
// changes to numbers and letters, and the highest, which makes large ones.
func eachByte(n int) iter.Seq[int] {
	return func(yield func(bit int) bool) {
		for i := range n {
			if !yield(8*i) || !yield(8*i+7) {
				return
			}
		}
	}
}

func learn(t *testing.T, g gatePair) []*provenKey {
	t.Helper()
	o := g.run(-1, -1)
	if o.clientErr != nil || o.serverErr != nil {
		t.Fatal(o.clientErr, o.serverErr)
	}
	g.client.proven.add("box", g.server.keys.Load().tls.spki, o.proof)
	return g.client.proven.offers("box")
}

func judge(t *testing.T, dir string, bit int, o outcome) {
	t.Helper()
	if o.clientErr != nil && o.proof != nil || o.serverErr != nil && o.peer != nil {
		t.Errorf("bit %d %s: a proof together with an error: client %v, box %v", bit, dir, o.clientErr, o.serverErr)
	}
	switch {
	case o.clientErr == nil && o.serverErr == nil:
		t.Errorf("bit %d %s: both sides opened the gate", bit, dir)
	case o.clientErr != nil && bytes.Contains(o.up, []byte(wordUp)):
		t.Errorf("bit %d %s: the client refused (%v) and sent application bytes", bit, dir, o.clientErr)
	case o.serverErr != nil && bytes.Contains(o.down, []byte(wordDown)):
		t.Errorf("bit %d %s: the box refused (%v) and sent application bytes", bit, dir, o.serverErr)
	}
}

// C1 on the wire: a man in the middle flips a bit of each byte of each TLS
// record from the first to the one that opens the gate.
func TestFlippedByteOnTheWire(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	c := newTestClient(t, h, func(c *ClientConfig) { c.Timeout = 5 * time.Second }) // for what gets stuck

	clean := newRelay(t, a.addr, nil)
	conn := connect(t, newTestClient(t, h, nil), clean.addr)
	// Nothing came down after the answer yet that is the gate's: the banner is
	// the first record of the application.
	mustEcho(t, conn)
	conn.Close()
	wantSaid := a.saw()

	const stride = 7 // a bad MAC is a bad MAC: some bytes of each record do
	targets := gateRecords(clean)
	for _, target := range targets {
		for at := 0; at < len(target.data); at += stride {
			flip := func(r *record) act {
				if r.dir != target.dir || r.n != target.n {
					return forward
				}
				r.data[min(at, len(r.data)-1)] ^= 0x10
				return last
			}
			handed := a.in.Load()
			conn, err := c.DialContext(t.Context(), "tcp", newRelay(t, a.addr, flip).addr)
			if err == nil {
				// The client was satisfied before its accept was damaged.
				io.WriteString(conn, "must not arrive")
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				if b, _ := io.ReadAll(conn); len(b) != 0 {
					t.Errorf("record %d of direction %d, byte %d: the application said %q", target.n, target.dir, at, b)
				}
				conn.Close()
			}
			if target.typ != 20 && a.in.Load() != handed {
				t.Errorf("record %d of direction %d, byte %d: handed over", target.n, target.dir, at)
			}
		}
	}
	if a.saw() != wantSaid {
		t.Errorf("the application heard %q", a.saw())
	}
	t.Logf("%d records", len(targets))
}

// gateRecords returns the records up to the client's accept.
func gateRecords(r *relay) []record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []record
	for _, rec := range r.log {
		// Up: Finished, hello, accept. Down: the flight, and the answer after
		// two records of the client.
		if rec.typ == 20 || rec.dir == up && rec.app > 2 || rec.dir == down && rec.upApp > 2 {
			continue // change_cipher_spec means nothing in TLS 1.3 (RFC 8446, D.4)
		}
		out = append(out, rec)
	}
	return out
}

// C1: a caller that does not accept gets nothing of the application, and
// nothing of his gets there.
func TestNothingWithoutAccept(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	cases := map[string][]byte{
		"application data at once": []byte("POST / HTTP/1.1\r\n\r\n"),
		"a second hello":           frameBytes(frameHello, helloFor(attest.PurposeSession).encode()),
		"accept with a payload":    frameBytes(frameAccept, []byte("x")),
		"unknown type":             frameBytes(frameType(99), nil),
		"half an accept":           []byte(GateMagic + "\x05"),
		"nothing":                  nil,
	}
	for name, second := range cases {
		t.Run(name, func(t *testing.T) {
			conn := rawClient(t, a.addr, nil)
			// Both at once, to catch a box that reads ahead.
			first := frameBytes(frameHello, helloFor(attest.PurposeSession).encode())
			conn.Write(append(first, second...))
			conn.CloseWrite()
			got, _ := io.ReadAll(conn)
			if len(got) == 0 || bytes.Contains(got, []byte(banner)) {
				t.Errorf("the box said %q", got)
			}
		})
	}
	if a.in.Load() != 0 || a.saw() != "" {
		t.Errorf("%d connections handed over, application heard %q", a.in.Load(), a.saw())
	}
}

// The gate reads its own bytes and no more: what follows in the same TLS
// record belongs to the application.
func TestNoOverRead(t *testing.T) {
	h := newHardware(t)
	t.Run("box", func(t *testing.T) {
		a := serveApp(t, newTestServer(t, h, nil))
		conn := rawClient(t, a.addr, nil)
		all := frameBytes(frameHello, helloFor(attest.PurposeSession).encode())
		all = append(all, frameBytes(frameAccept, nil)...)
		early := strings.Repeat("early bird ", 10_000)
		go conn.Write(append(all, early...))
		if _, _, err := readFrame(conn, slot{frameFull, maxFull}); err != nil {
			t.Fatal(err)
		}
		want := banner + early
		got := make([]byte, len(want))
		if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Fatalf("%d of %d bytes came back, or not the same: %v", n, len(want), err)
		}
	})
	t.Run("client", func(t *testing.T) {
		m := newImpostor(t, h)
		m.afterward = []byte("early banner")
		conn := connect(t, newTestClient(t, h, nil), m.listen(t))
		got := make([]byte, len(m.afterward))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "early banner" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

// What the client says after its question when the answer is wrong: nothing,
// whatever the wrong is.
func TestClientSaysNothingAfterRefusing(t *testing.T) {
	h := newHardware(t)
	cases := map[string]func(*impostor){
		"evidence":  func(m *impostor) { m.bundle = func(b *attest.Bundle) { b.Evidence.Data[3] ^= 1 } },
		"statement": func(m *impostor) { m.statement = func(s *attest.Statement) { s.Nonce[0] ^= 1 } },
		"frame":     func(m *impostor) { m.answer = func(b []byte) []byte { b[4] = 77; return b } },
		"magic":     func(m *impostor) { m.answer = func(b []byte) []byte { b[0] = 'X'; return b } },
		"too large": func(m *impostor) { m.answer = func(b []byte) []byte { b[5] = 0x7f; return b } },
		"truncated": func(m *impostor) { m.answer = func(b []byte) []byte { return append(b[:5:5], 0, 0, 0, 1, 2) } },
		"refusal":   func(m *impostor) { m.answer = func([]byte) []byte { return frameBytes(frameRefuse, []byte("\x01x")) } },
		"mutual": func(m *impostor) {
			m.full = func(f *full) { f.mutual, f.nonce, f.kinds = true, newNonce(), []string{"k"} }
		},
		"garbage fast": func(m *impostor) { m.answer = func([]byte) []byte { return frameBytes(frameFast, make([]byte, 10)) } },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			m := newImpostor(t, h)
			change(m)
			conn, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", m.listen(t))
			var f *attest.Failure
			if !errors.As(err, &f) || conn != nil {
				t.Fatalf("connection %v, error %v", conn, err)
			}
			m.wait(1)
			if len(m.later) != 1 || len(m.later[0]) != 0 {
				t.Errorf("the client sent %q", m.later)
			}
		})
	}
}

// The bytes up to the verdict are TLS and one frame. The relay holds no key
// and counts.
func TestRecordsBeforeTheVerdict(t *testing.T) {
	h := newHardware(t)
	a := serveApp(t, newTestServer(t, h, nil))
	release := make(chan struct{})
	r := newRelay(t, a.addr, nil)
	reached := make(chan struct{})
	c := newTestClient(t, h, func(c *ClientConfig) {
		c.Check = func(ctx context.Context, p Presented) (any, error) {
			close(reached)
			<-release
			return h.check(ctx, p)
		}
	})
	done := make(chan net.Conn, 1)
	go func() {
		conn, _ := c.DialContext(context.Background(), "tcp", r.addr)
		done <- conn
	}()
	<-reached
	// Finished and hello; the box waits for accept.
	if n := r.records(up, 23); n != 2 {
		t.Errorf("%d records of the client before the verdict, expected 2", n)
	}
	if a.in.Load() != 0 {
		t.Error("handed over before accept")
	}
	before := r.records(down, 23)
	close(release)
	conn := <-done
	if conn == nil {
		t.Fatal("no connection")
	}
	defer conn.Close()
	mustEcho(t, conn.(*tls.Conn))
	if r.records(down, 23) == before {
		t.Error("the control saw no record of the application")
	}
}

// breaks reads what was put there and can write so many frames, no more.
type breaks struct {
	io.Reader
	frames int
	answer func(frame []byte) []byte
}

func (b *breaks) Write(p []byte) (int, error) {
	if b.frames--; b.frames < 0 {
		return 0, io.ErrClosedPipe
	}
	if b.answer != nil {
		b.Reader = bytes.NewReader(b.answer(p))
	}
	return len(p), nil
}

// A peer that has proven itself over a line that then breaks leaves an error,
// and no proof beside it that somebody could take for a verdict.
func TestNoProofWithAnError(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	export := func(nonce [32]byte) ([32]byte, error) { return nonce, nil }
	t.Run("client", func(t *testing.T) {
		ch := channel{peer: m.keys.tls.spki, export: export, rw: &breaks{frames: 1, answer: func(frame []byte) []byte {
			asked, err := parseHello(frame[9:])
			if err != nil {
				t.Fatal(err)
			}
			return m.reply(channel{own: m.keys.tls.spki, export: export}, asked)
		}}}
		p, err := newTestClient(t, h, nil).gate(t.Context(), ch, nil)
		if p != nil {
			t.Error("a proof together with an error")
		}
		wantUnavailable(t, err)
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error is %v, expected that it names the broken line", err)
		}
	})
	t.Run("box", func(t *testing.T) {
		peer := &PeerConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second}
		s := newTestServer(t, h, func(c *ServerConfig) { c.Peer = peer })
		q := question{purpose: attest.PurposePeer, role: attest.RoleClient, nonce: newNonce()}
		caller := channel{own: attest.Digest{1}, export: export}
		statement, err := (&prover{digest: keyHash(testPolicy), now: time.Now}).statement(caller, q, attest.Digest{})
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := h.bundle(statement, testPolicy, nil).Encode()
		if err != nil {
			t.Fatal(err)
		}
		ch := channel{own: attest.Digest{2}, peer: caller.own, export: export,
			rw: &breaks{Reader: bytes.NewReader(frameBytes(frameAccept, encoded))}}
		if p, err := s.meet(t.Context(), ch, q.nonce); p != nil || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("proof %v, error %v", p != nil, err)
		}
	})
}
