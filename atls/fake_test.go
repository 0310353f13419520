package atls

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

var testPolicy = []byte("name: test\n")

// hardware is a fake: an Ed25519 key signs the 64 bytes.
type hardware struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	quotes  atomic.Int64
	atOnce  atomic.Int64
	most    atomic.Int64
	// delay, fail and pad make it slow, broken, or verbose.
	delay func(ctx context.Context) error
	fail  error
	pad   int
}

func newHardware(t testing.TB) *hardware {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &hardware{public: public, private: private}
}

func (h *hardware) Kind() attest.Kind { return attest.SimSNP }

func (h *hardware) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	h.quotes.Add(1)
	n := h.atOnce.Add(1)
	defer h.atOnce.Add(-1)
	for m := h.most.Load(); n > m && !h.most.CompareAndSwap(m, n); m = h.most.Load() {
	}
	if h.delay != nil {
		if err := h.delay(ctx); err != nil {
			return attest.Evidence{}, nil, err
		}
	}
	if h.fail != nil {
		return attest.Evidence{}, nil, h.fail
	}
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("zero bound")
	}
	return h.sign(b), attest.Endorsements{{Label: "fake", Data: h.public}}, nil
}

func (h *hardware) sign(b attest.Bound) attest.Evidence {
	sum := b.Bytes()
	data := append(sum[:], ed25519.Sign(h.private, sum[:])...)
	return attest.Evidence{Kind: attest.SimSNP, Data: append(data, make([]byte, h.pad)...)}
}

// verify is what a CheckFunc must do at the least: the hardware signed this
// statement. It reports one check.
func (h *hardware) verify(p Presented) attest.Check {
	c := attest.Check{Name: "hardware.signature", Code: attest.CodeBadSignature}
	s, err := attest.ParseStatement(p.Bundle.Statement)
	if err != nil {
		return c
	}
	b, err := s.Bind()
	if err != nil {
		return c
	}
	sum, data := b.Bytes(), p.Bundle.Evidence.Data
	endorsed := len(p.Bundle.Endorsements) == 1 && p.Bundle.Endorsements[0].Label == "fake" && bytes.Equal(p.Bundle.Endorsements[0].Data, h.public)
	if len(data) == 128+h.pad && bytes.Equal(data[:64], sum[:]) && ed25519.Verify(h.public, sum[:], data[64:128]) && endorsed {
		return attest.Check{Name: c.Name, Status: attest.Pass}
	}
	return c
}

func (h *hardware) check(_ context.Context, p Presented) (any, error) {
	c := h.verify(p)
	if c.Status != attest.Pass {
		return nil, &attest.Failure{Checks: []attest.Check{c}}
	}
	return "verified", nil
}

// patience is how long a test waits for what has to happen.
const patience = time.Minute

// clock is a wall clock that tests set.
type clock struct {
	from   time.Time // where it stands still, zero if it runs
	offset atomic.Int64
}

// still is a clock that moves by advance only: both ends of a connection have it.
func still() *clock { return &clock{from: time.Now()} }

func (c *clock) now() time.Time {
	now := c.from
	if now.IsZero() {
		now = time.Now()
	}
	return now.Add(time.Duration(c.offset.Load()))
}
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func newTestServer(t testing.TB, h *hardware, edit func(*ServerConfig)) *Server {
	t.Helper()
	cfg := ServerConfig{Attester: h, Policy: testPolicy, GateTimeout: patience}
	if edit != nil {
		edit(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTestClient(t testing.TB, h *hardware, edit func(*ClientConfig)) *Client {
	t.Helper()
	cfg := ClientConfig{Check: h.check, Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Second, Timeout: patience}
	if edit != nil {
		edit(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// app stands behind the gate: it says a banner, and keeps what it is told.
type app struct {
	addr string
	mu   sync.Mutex
	seen bytes.Buffer
	in   atomic.Int64 // connections handed over
}

const banner = "banner of the application\n"

func serveApp(t testing.TB, s *Server) *app {
	t.Helper()
	inner := listen(t)
	a := &app{addr: inner.Addr().String()}
	l := s.Listener(inner)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			a.in.Add(1)
			go a.serve(conn)
		}
	}()
	return a
}

// serve echoes until the peer is gone.
func (a *app) serve(conn net.Conn) {
	defer conn.Close()
	io.WriteString(conn, banner)
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		a.mu.Lock()
		a.seen.Write(buf[:n])
		a.mu.Unlock()
		if err != nil {
			return
		}
		conn.Write(buf[:n])
	}
}

func (a *app) saw() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dialTCP(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func connect(t testing.TB, c *Client, addr string) net.Conn {
	t.Helper()
	conn, err := c.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func sessionOf(t testing.TB, conn net.Conn) *Session {
	t.Helper()
	s, ok := SessionOf(conn)
	if !ok {
		t.Fatal("connection has no session")
	}
	return s
}

// echo proves that a stream is alive in both directions.
func echo(conn net.Conn, word string) error {
	if _, err := io.WriteString(conn, word); err != nil {
		return err
	}
	var got []byte
	for buf := make([]byte, 256); !strings.HasSuffix(string(got), word); {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return fmt.Errorf("read %q: %w", got, err)
		}
	}
	return nil
}

func mustEcho(t testing.TB, conn net.Conn) {
	t.Helper()
	if err := echo(conn, "hello, box"); err != nil {
		t.Fatalf("echo: %v", err)
	}
}

// wantCodes fails the test unless err is a refusal whose failed checks have
// exactly these names and codes, "name code".
func wantCodes(t testing.TB, err error, want ...string) *attest.Failure {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error is %v, expected a refusal with %q", err, want)
	}
	var got []string
	for _, c := range f.Failed() {
		got = append(got, c.Name+" "+string(c.Code))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("failed checks %q, expected %q", got, want)
	}
	return f
}

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	var f *attest.Failure
	if !errors.Is(err, attest.ErrUnavailable) || errors.As(err, &f) {
		t.Fatalf("error is %v, expected one that wraps ErrUnavailable and is no verdict", err)
	}
}

// impostor is a peer that speaks TLS and the gate, and lies. It serves one
// connection after the other until the test ends.
type impostor struct {
	hw   *hardware
	keys *serverKeys
	// each of these changes one thing about an otherwise honest answer
	conf      func(*tls.Config)
	policy    []byte
	statement func(*attest.Statement)
	bundle    func(*attest.Bundle)
	full      func(*full)
	fast      bool
	signature func([]byte)
	answer    func(honest []byte) []byte // the whole answer, framed
	afterward []byte                     // sent after the answer without waiting

	mu     sync.Mutex
	hellos []hello
	later  [][]byte // what each client sent after its hello
	infos  []*tls.ClientHelloInfo
	states []tls.ConnectionState
	served chan struct{} // one for each connection that has ended
}

func newImpostor(t testing.TB, h *hardware) *impostor {
	t.Helper()
	return &impostor{hw: h, policy: testPolicy, keys: newTestServer(t, h, nil).keys.Load(), served: make(chan struct{}, 64)}
}

// wait returns when n more connections have ended.
func (m *impostor) wait(n int) {
	for range n {
		<-m.served
	}
}

func (m *impostor) listen(t testing.TB) string {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				m.serve(raw)
				m.served <- struct{}{}
			}()
		}
	}()
	return l.Addr().String()
}

// change is for what is changed between two connections.
func (m *impostor) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *impostor) serve(raw net.Conn) {
	defer raw.Close()
	m.change(func() {}) // see every change made so far
	raw.SetDeadline(time.Now().Add(patience))
	conf := m.keys.tlsConf.Clone()
	if m.conf != nil {
		m.conf(conf)
	}
	conf.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.infos = append(m.infos, info)
		return nil, nil
	}
	conn := tls.Server(raw, conf)
	if conn.Handshake() != nil {
		return
	}
	_, payload, err := readFrame(conn, slot{frameHello, maxHello})
	if err != nil {
		return
	}
	h, err := parseHello(payload)
	if err != nil {
		return
	}
	answer := m.reply(newChannel(conn, m.keys.tls.spki), h)
	if m.answer != nil {
		answer = m.answer(answer)
	}
	conn.Write(append(answer, m.afterward...))
	later, _ := io.ReadAll(conn)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hellos, m.later, m.states = append(m.hellos, h), append(m.later, later), append(m.states, conn.ConnectionState())
}

func (m *impostor) reply(ch channel, h hello) []byte {
	p := &prover{policy: m.policy, digest: keyHash(m.policy), now: time.Now}
	s, err := p.statement(ch, question{purpose: h.purpose, role: attest.RoleServer, nonce: h.nonce}, m.keys.attest.hash)
	if err != nil {
		panic(err)
	}
	if m.statement != nil {
		m.statement(&s)
	}
	if m.fast {
		f, err := m.keys.attest.sign(s)
		if err != nil {
			panic(err)
		}
		if m.signature != nil {
			m.signature(f.signature)
		}
		return frameBytes(frameFast, f.encode())
	}
	b := m.hw.bundle(s, m.policy, m.keys.attest.public)
	if m.bundle != nil {
		m.bundle(&b)
	}
	encoded, err := b.Encode()
	if err != nil {
		panic(err)
	}
	f := full{mutual: h.mutual(), bundle: encoded}
	if f.mutual {
		f.nonce, f.kinds = newNonce(), []string{"sim-sev-snp"}
	}
	if m.full != nil {
		m.full(&f)
	}
	return frameBytes(frameFull, f.encode())
}

func (h *hardware) bundle(s attest.Statement, policy, key []byte) attest.Bundle {
	b, err := s.Bind()
	if err != nil {
		panic(err)
	}
	encoded, err := s.Encode()
	if err != nil {
		panic(err)
	}
	return attest.Bundle{
		Evidence: h.sign(b), Endorsements: attest.Endorsements{{Label: "fake", Data: h.public}},
		Statement: encoded, Policy: policy, AttestationKey: key,
	}
}

func frameBytes(typ frameType, payload []byte) []byte {
	var b bytes.Buffer
	writeFrame(&b, typ, payload)
	return b.Bytes()
}

// rawClient is a client that follows no rules after the TLS handshake.
func rawClient(t testing.TB, addr string, edit func(*tls.Config)) *tls.Conn {
	t.Helper()
	cfg := baseConfig(nil)
	cfg.InsecureSkipVerify = true
	if edit != nil {
		edit(cfg)
	}
	conn := tls.Client(dialTCP(t, addr), cfg)
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatalf("raw client: %v", err)
	}
	return conn
}

func helloFor(purpose attest.Purpose, offers ...attest.Digest) hello {
	return hello{nonce: newNonce(), purpose: purpose, kinds: []string{"sim-sev-snp"}, offers: offers}
}
