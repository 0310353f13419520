package atls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Each step of the gate that fails ends it there and says what it was: the next
// step would often refuse as well, but for a reason that sends people looking
// in the wrong place.

var errNoName = errors.New("a connection that cannot be named")

func nameless([32]byte) ([32]byte, error) { return [32]byte{}, errNoName }

func named(nonce [32]byte) ([32]byte, error) { return nonce, nil }

// line gives what it was loaded with, takes so many frames, and knows whether
// anybody read after a write that failed.
type line struct {
	io.Reader
	frames int
	broken bool
	after  bool
}

func (l *line) Write(p []byte) (int, error) {
	if l.frames--; l.frames < 0 {
		l.broken = true
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (l *line) Read(p []byte) (int, error) {
	l.after = l.after || l.broken
	return l.Reader.Read(p)
}

func TestConnectionWithoutAName(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	c := newTestClient(t, h, func(c *ClientConfig) { c.Identity = &Identity{Attester: h, Policy: testPolicy} })
	s := newTestServer(t, h, nil)
	q := question{purpose: attest.PurposeSession, role: attest.RoleServer, nonce: newNonce()}
	box := channel{own: m.keys.tls.spki, export: named}
	ch := channel{peer: m.keys.tls.spki, export: nameless}
	const want = "channel.tls_exporter no_attestation"

	t.Run("full answer", func(t *testing.T) {
		f, err := parseFull(m.reply(box, hello{nonce: q.nonce, purpose: q.purpose})[frameHeader:])
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.examine(t.Context(), ch, q, f.bundle)
		wantCodes(t, err, want)
		if p != nil {
			t.Error("a proof without a connection")
		}
	})
	t.Run("fast answer", func(t *testing.T) {
		statement, err := s.prover.statement(box, q, m.keys.attest.hash)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.keys.attest.sign(statement)
		if err != nil {
			t.Fatal(err)
		}
		known := &provenKey{hash: m.keys.attest.hash, public: m.keys.attest.public, proof: &proof{statement: statement, at: time.Now()}}
		p, err := c.examineFast(ch, q, f, []*provenKey{known}, time.Hour)
		wantCodes(t, err, want)
		if p != nil {
			t.Error("a proof without a connection")
		}
	})
	t.Run("box", func(t *testing.T) {
		rw := &line{frames: 1}
		err := s.answer(t.Context(), channel{rw: rw, own: box.own, export: nameless}, helloFor(q.purpose), s.keys.Load(), newNonce())
		if !errors.Is(err, errNoName) || rw.frames != 1 {
			t.Errorf("error %v, %d frames sent", err, 1-rw.frames)
		}
	})
	t.Run("caller", func(t *testing.T) {
		_, err := c.identify(t.Context(), ch, helloFor(attest.PurposePeer), full{mutual: true, nonce: newNonce(), kinds: []string{"sim-sev-snp"}})
		if !errors.Is(err, errNoName) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("tls", func(t *testing.T) {
		// crypto/tls names no connection that might be renegotiated.
		near, far := net.Pipe()
		defer near.Close()
		go tls.Server(far, s.keys.Load().tlsConf).Handshake()
		conf := c.tlsConfig("box")
		conf.Renegotiation = tls.RenegotiateOnceAsClient
		conn := tls.Client(near, conf)
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if name, err := newChannel(conn, attest.Digest{}).export(newNonce()); err == nil || name != [32]byte{} {
			t.Errorf("name %x, error %v", name, err)
		}
	})
}

func TestMalformedAnswers(t *testing.T) {
	h := newHardware(t)
	m := newImpostor(t, h)
	addr := m.listen(t)
	cases := []struct {
		name, want string
		typ        frameType
		payload    []byte
	}{
		{"full", "channel.full malformed", frameFull, []byte{2}},
		{"fast", "channel.fast malformed", frameFast, []byte{0}},
		{"fast without a statement", "channel.statement malformed", frameFast, fast{signature: make([]byte, 64)}.encode()},
		{"refuse", "channel.refuse malformed", frameRefuse, []byte{1, 'X'}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			m.change(func() { m.answer = func([]byte) []byte { return frameBytes(tc.typ, tc.payload) } })
			_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", addr)
			wantCodes(t, err, tc.want)
		})
	}
	t.Run("hello", func(t *testing.T) {
		s := newTestServer(t, h, nil)
		_, _, err := gateOver(t, s, s.keys.Load(), func(rw io.ReadWriter) error { return writeFrame(rw, frameHello, []byte{1}) })
		wantCodes(t, err, "channel.hello malformed")
	})
}

// What the box says to a caller's evidence.
func TestAnswerToTheCaller(t *testing.T) {
	h := newHardware(t)
	cases := []struct {
		name, want string
		afterward  []byte
	}{
		{"nothing", "", nil},
		{"an unreadable no", "channel.refuse malformed", frameBytes(frameRefuse, []byte{1, 'X'})},
		{"a no", "channel.answer expired", frameBytes(frameRefuse, refuse{code: attest.CodeExpired}.encode())},
	}
	c := newTestClient(t, h, func(c *ClientConfig) { c.Identity = &Identity{Attester: h, Policy: testPolicy} })
	a := &answered{hello: helloFor(attest.PurposePeer), full: full{mutual: true, nonce: newNonce(), kinds: []string{"sim-sev-snp"}}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			ch := channel{rw: &line{Reader: bytes.NewReader(tc.afterward), frames: 1}, own: attest.Digest{1}, export: named}
			err := c.accept(t.Context(), ch, a)
			if tc.want != "" {
				wantCodes(t, err, tc.want)
			} else if !errors.Is(err, io.EOF) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("our evidence is not sent", func(t *testing.T) {
		rw := &line{Reader: bytes.NewReader(frameBytes(frameAccepted, nil))}
		err := c.accept(t.Context(), channel{rw: rw, own: attest.Digest{1}, export: named}, a)
		if !errors.Is(err, io.ErrClosedPipe) || rw.after {
			t.Errorf("error %v, read on: %v", err, rw.after)
		}
	})
}

func TestQuestionThatIsNotSent(t *testing.T) {
	rw := &line{Reader: bytes.NewReader(frameBytes(frameRefuse, refuse{code: attest.CodeExpired}.encode()))}
	if _, err := newTestClient(t, newHardware(t), nil).meet(t.Context(), channel{rw: rw}, nil); !errors.Is(err, io.ErrClosedPipe) || rw.after {
		t.Errorf("error %v, read on: %v", err, rw.after)
	}
}

func TestCallerBreaksOff(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, func(c *ServerConfig) { c.Peer = &PeerConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}} })
	meet := func(sent []byte) error {
		_, err := s.meet(t.Context(), channel{rw: &line{Reader: bytes.NewReader(sent)}, export: named}, newNonce())
		return err
	}
	wantCodes(t, meet(frameBytes(frameHello, nil)), "channel.frame malformed")
	whole := frameBytes(frameAccept, make([]byte, 64))
	if err := meet(whole[:len(whole)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

func TestShortFrame(t *testing.T) {
	whole := frameBytes(frameAccept, make([]byte, 64))
	for n := range whole {
		if _, payload, err := readFrame(bytes.NewReader(whole[:n]), slot{frameAccept, 64}); err == nil || payload != nil {
			t.Errorf("%d of %d bytes: payload %x, error %v", n, len(whole), payload, err)
		}
	}
}

// A statement that says nothing is neither signed nor shown to the hardware.
func TestEmptyStatement(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, nil)
	if b, err := s.prover.quote(t.Context(), attest.Statement{}, nil); err == nil || b != nil {
		t.Errorf("bundle %x, error %v", b, err)
	}
	if n := h.quotes.Load(); n != 0 {
		t.Errorf("the hardware was asked %d times", n)
	}
	keys := s.keys.Load()
	if f, err := keys.attest.sign(attest.Statement{}); err == nil || f.signature != nil {
		t.Errorf("signature %x, error %v", f.signature, err)
	}
	rw := &line{frames: 1}
	// A channel of no key: there is no statement about it.
	err := s.answer(t.Context(), channel{rw: rw, export: named}, helloFor(attest.PurposeSession, keys.attest.hash), keys, newNonce())
	if err == nil || rw.frames != 1 {
		t.Errorf("error %v, %d frames sent", err, 1-rw.frames)
	}
}

// A verdict is a verdict, also if it came about because something broke.
func TestVerdictOverABrokenLine(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	verdict := fmt.Errorf("%w; %w", attest.NewFailure("channel.nonce", attest.CodeNonceMismatch, "a", "b"), io.EOF)
	if isLost(verdict) {
		t.Error("nobody would be told")
	}
	if !isLost(io.EOF) {
		t.Error("there is nobody to tell")
	}
	if err := tlsRefusal(done, verdict); !errors.Is(err, verdict) || errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestSessionOfAnUnprovenConnection(t *testing.T) {
	raw, _ := net.Pipe()
	if s, ok := SessionOf(tls.Client(&sessionConn{Conn: raw}, baseConfig(nil))); ok || s != nil {
		t.Errorf("session %v", s)
	}
}

func TestAddressWithoutPort(t *testing.T) {
	dialled := false
	c := newTestClient(t, newHardware(t), func(c *ClientConfig) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) {
			dialled = true
			return nil, errors.New("no")
		}
	})
	if _, err := c.DialContext(t.Context(), "tcp", "box"); err == nil || errors.Is(err, attest.ErrUnavailable) || dialled {
		t.Errorf("error %v, dialled %v", err, dialled)
	}
}

// A gate that opened when its time was up has a deadline set, if anybody heard
// of it: it is not handed over.
func TestGateThatOpensTooLate(t *testing.T) {
	h := newHardware(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.delay = func(context.Context) error { cancel(); return nil }
	s := newTestServer(t, h, nil)
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	go func() {
		if conn, err := newTestClient(t, h, nil).Handshake(context.Background(), near, "box"); err == nil {
			io.ReadFull(conn, make([]byte, frameHeader))
			near.Close()
		}
	}()
	conn, err := s.admit(ctx, deafConn{far})
	if conn != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("connection %v, error %v", conn != nil, err)
	}
}
