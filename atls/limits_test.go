package atls

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/longer"
)

// neverReader fails the test if anybody reads on after a length that is over
// the limit.
type neverReader struct{ t *testing.T }

func (r neverReader) Read([]byte) (int, error) {
	r.t.Error("read past a length that is over the limit")
	return 0, io.EOF
}

// C14: a length is refused before anything is allocated or read for it.
func TestFrameLimits(t *testing.T) {
	for _, s := range []slot{{frameHello, maxHello}, {frameFull, maxFull}, {frameFast, maxFast}, {frameRefuse, maxRefuse}, {frameAccept, 0}, {frameAccept, attest.MaxBundle}, {frameAccepted, 0}} {
		for _, n := range []uint32{uint32(s.max) + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			head := append([]byte(GateMagic), byte(s.typ))
			head = binary.BigEndian.AppendUint32(head, n)
			_, _, err := readFrame(io.MultiReader(bytes.NewReader(head), neverReader{t}), s)
			wantCodes(t, err, "channel.frame too_large")
		}
		ok := append([]byte(GateMagic), byte(s.typ))
		ok = binary.BigEndian.AppendUint32(ok, uint32(s.max))
		ok = append(ok, make([]byte, s.max)...)
		if typ, payload, err := readFrame(bytes.NewReader(ok), s); err != nil || typ != s.typ || len(payload) != s.max {
			t.Errorf("%s of %d bytes: %v", s.typ, s.max, err)
		}
	}
}

// The limits of the frames are those of their parsers.
func TestLargestMessages(t *testing.T) {
	kinds := make([]string, maxKinds)
	for i := range kinds {
		kinds[i] = string(bytes.Repeat([]byte{byte('a' + i)}, maxKindName))
	}
	h := hello{nonce: [32]byte{1}, purpose: attest.PurposePeer, kinds: kinds, offers: make([]attest.Digest, maxOffers)}
	if b := h.encode(); len(b) != maxHello {
		t.Errorf("largest hello has %d bytes, limit %d", len(b), maxHello)
	} else if _, err := parseHello(b); err != nil {
		t.Error(err)
	}
	f := full{mutual: true, nonce: [32]byte{1}, kinds: kinds, bundle: make([]byte, attest.MaxBundle)}
	if b := f.encode(); len(b) != maxFull {
		t.Errorf("largest full has %d bytes, limit %d", len(b), maxFull)
	} else if _, err := parseFull(b); err != nil {
		t.Error(err)
	}
	// Without the box's question there is room for a bundle that is too large.
	f = full{bundle: make([]byte, attest.MaxBundle+1)}
	_, err := parseFull(f.encode())
	wantCodes(t, err, "channel.bundle too_large")
	r := refuse{code: "0123456789012345678901234567890123456789", text: string(make([]byte, 2*maxReason))}
	if b := r.encode(); len(b) != maxRefuse {
		t.Errorf("largest refusal has %d bytes, limit %d", len(b), maxRefuse)
	}
}

func TestParsersRefuse(t *testing.T) {
	good := hello{nonce: [32]byte{1}, purpose: attest.PurposeSession, kinds: []string{"a", "b"}}
	change := func(f func(*hello)) []byte {
		h := good
		f(&h)
		return h.encode()
	}
	long := string(make([]byte, maxKindName+1))
	hellos := map[string][]byte{
		"empty":         nil,
		"short":         good.encode()[:40],
		"trailing":      append(good.encode(), 0),
		"other end":     append(good.encode()[:len(good.encode())-1], 'x'),
		"zero nonce":    change(func(h *hello) { h.nonce = [32]byte{} }),
		"purpose hpke":  change(func(h *hello) { h.purpose = attest.PurposeHPKE }),
		"purpose zero":  change(func(h *hello) { h.purpose = 0 }),
		"no kinds":      change(func(h *hello) { h.kinds = nil }),
		"kind twice":    change(func(h *hello) { h.kinds = []string{"a", "a"} }),
		"nameless kind": change(func(h *hello) { h.kinds = []string{""} }),
		"long kind":     change(func(h *hello) { h.kinds = []string{long} }),
		"many kinds":    change(func(h *hello) { h.kinds = make([]string, maxKinds+1) }),
		"many offers":   change(func(h *hello) { h.offers = make([]attest.Digest, maxOffers+1) }),
	}
	session := good.encode()
	session[33] = 1
	hellos["mutual session"] = session
	third := good.encode()
	third[33] = 2
	hellos["flag of 2"] = third
	for name, data := range hellos {
		_, err := parseHello(data)
		if err == nil {
			t.Errorf("hello, %s: accepted", name)
			continue
		}
		wantCodes(t, err, "channel.hello malformed")
	}
	if _, err := parseHello(good.encode()); err != nil {
		t.Error(err)
	}
	fulls := map[string][]byte{
		"empty":      nil,
		"flag of 2":  {2},
		"zero nonce": full{mutual: true, kinds: []string{"a"}}.encode(),
		"no kinds":   full{mutual: true, nonce: [32]byte{1}}.encode(),
	}
	for name, data := range fulls {
		_, err := parseFull(data)
		if err == nil {
			t.Errorf("full, %s: accepted", name)
			continue
		}
		wantCodes(t, err, "channel.full malformed")
	}
	fasts := map[string][]byte{
		"empty":     nil,
		"short":     fast{statement: []byte("s"), signature: make([]byte, 63)}.encode(),
		"trailing":  fast{statement: []byte("s"), signature: make([]byte, 65)}.encode(),
		"statement": fast{statement: make([]byte, attest.MaxStatement+1), signature: make([]byte, 64)}.encode(),
	}
	for name, data := range fasts {
		_, err := parseFast(data)
		if err == nil {
			t.Errorf("fast, %s: accepted", name)
			continue
		}
		wantCodes(t, err, "channel.fast malformed")
	}
	if r, err := parseRefuse(refuse{code: "clock", text: "a\x1b[2J\u202eb\n"}.encode()); err != nil || r.text != "a?[2J?b?" {
		t.Errorf("refusal %+v, %v", r, err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "no code": {0}, "code cut": {9, 'a'}, "capital": {1, 'A'}, "long code": append([]byte{40}, bytes.Repeat([]byte{'a'}, 40)...),
		"long text": append([]byte{1, 'a'}, make([]byte, maxReason+1)...),
	} {
		_, err := parseRefuse(data)
		if err == nil {
			t.Errorf("refuse, %s: accepted", name)
			continue
		}
		wantCodes(t, err, "channel.refuse malformed")
	}
}

// C14: whoever does not get on with it is closed.
func TestGateTimeout(t *testing.T) {
	if err := longer.Try(300*time.Millisecond, func(limit time.Duration) error { return gateEnds(t, limit) }); err != nil {
		t.Error(err)
	}
}

// gateEnds returns an error where the time was over before the peer fell silent.
func gateEnds(t *testing.T, limit time.Duration) error {
	h := newHardware(t)
	refused := make(chan error, 4)
	a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) {
		c.GateTimeout = limit
		c.OnRefuse = func(_ net.Addr, err error) { refused <- err }
	}))
	cfg := baseConfig(nil)
	cfg.InsecureSkipVerify = true
	silent := map[string]func(*tls.Conn) error{
		"no TLS":   func(*tls.Conn) error { return nil },
		"no hello": (*tls.Conn).Handshake,
		"no accept": func(conn *tls.Conn) error {
			return errors.Join(conn.Handshake(), writeFrame(conn, frameHello, helloFor(attest.PurposeSession).encode()))
		},
	}
	for name, begin := range silent {
		raw := dialTCP(t, a.addr)
		raw.SetDeadline(time.Now().Add(patience + 2*limit))
		if err := begin(tls.Client(raw, cfg)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.Copy(io.Discard, raw); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%s: still open", name)
		}
		if err := <-refused; err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if a.in.Load() != 0 {
		t.Error("handed over")
	}
	// The deadline is the gate's only.
	conn, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", a.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := echo(conn, "in time"); err != nil {
		return err
	}
	time.Sleep(limit * 4 / 3)
	return echo(conn, "after the gate's time")
}

// C14: one more than MaxHalfOpen is closed at once, and those that pass make
// room.
func TestMaxHalfOpen(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, func(c *ServerConfig) { c.MaxHalfOpen = 3 })
	a := serveApp(t, s)
	var open []net.Conn
	for range 3 {
		conn := rawClient(t, a.addr, nil) // TLS stands, so it has been accepted
		open = append(open, conn)
	}
	conn := dialTCP(t, a.addr)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
		t.Fatalf("the fourth: %d bytes, %v", n, err)
	}
	_, err := newTestClient(t, h, nil).DialContext(t.Context(), "tcp", a.addr)
	wantUnavailable(t, err)
	for _, c := range open {
		c.Close()
	}
	// Each gate notices and leaves.
	for range 3 {
		s.halfOpen <- struct{}{}
	}
	for range 3 {
		<-s.halfOpen
	}
	for range 5 { // more than three in a row
		mustEcho(t, connect(t, newTestClient(t, h, nil), a.addr))
	}
}

// nullConn is a peer that never says anything, in as little memory as can be,
// so that what is measured is ours.
type nullConn struct {
	done chan struct{}
	once sync.Once
	said bytes.Reader // what it says before it falls silent
	idle func()       // told when it does
}

func (c *nullConn) Read(b []byte) (int, error) {
	if n, _ := c.said.Read(b); n > 0 {
		return n, nil
	}
	if c.idle != nil {
		c.idle()
	}
	<-c.done
	return 0, io.EOF
}

func (c *nullConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *nullConn) Close() error                     { c.once.Do(func() { close(c.done) }); return nil }
func (c *nullConn) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c *nullConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c *nullConn) SetDeadline(time.Time) error      { return nil }
func (c *nullConn) SetReadDeadline(time.Time) error  { return nil }
func (c *nullConn) SetWriteDeadline(time.Time) error { return nil }

// heldMemory is what is in use after a collection: heap and stacks.
func heldMemory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// C14: as many half-open gates as are allowed, in bounded memory, and the
// next one refused.
func TestTenThousandHalfOpen(t *testing.T) {
	l := newPipeListener()
	var refused atomic.Int64
	s := newTestServer(t, newHardware(t), func(c *ServerConfig) {
		c.OnRefuse = func(net.Addr, error) { refused.Add(1) }
	})
	gate := s.Listener(l)
	go gate.Accept()
	before := heldMemory()
	for range DefaultMaxHalfOpen {
		l.conns <- &nullConn{done: make(chan struct{})}
	}
	extra := &nullConn{done: make(chan struct{})}
	l.conns <- extra
	<-extra.done
	each := (heldMemory() - before) / DefaultMaxHalfOpen
	t.Logf("%d bytes for each of %d silent connections", each, DefaultMaxHalfOpen)
	if each > 24<<10 {
		t.Errorf("%d bytes for each half-open gate, limit 24 KiB", each)
	}
	if n := refused.Load(); n != 1 {
		t.Errorf("%d refused, expected the one over the limit", n)
	}
	gate.Close()
	for range DefaultMaxHalfOpen { // all of them end
		s.halfOpen <- struct{}{}
	}
}

// greedyHello is the beginning of a ClientHello of 64 KiB, the largest that
// crypto/tls would read, in records.
func greedyHello(size int) []byte {
	hello := append([]byte{1, 0, 0xff, 0xff}, make([]byte, size)...) // handshake type 1, length 65,535
	var wire []byte
	for part := range slices.Chunk(hello, 4<<10) {
		wire = append(wire, 22, 3, 1, byte(len(part)>>8), byte(len(part)))
		wire = append(wire, part...)
	}
	return wire
}

// C14: what a caller can make us hold by saying as much as it may.
func TestGreedyClientHello(t *testing.T) {
	const n = 200
	l := newPipeListener()
	refused := make(chan error, n+1)
	gate := newTestServer(t, newHardware(t), func(c *ServerConfig) {
		c.OnRefuse = func(_ net.Addr, err error) { refused <- err }
	}).Listener(l)
	defer gate.Close()
	go gate.Accept()

	c := &nullConn{done: make(chan struct{})}
	c.said.Reset(greedyHello(60 << 10))
	l.conns <- c
	<-c.done
	if err := <-refused; !errors.Is(err, errTooMuch) {
		t.Errorf("refused for %v", err)
	}

	before := heldMemory()
	var read sync.WaitGroup
	read.Add(n)
	for range n {
		c := &nullConn{done: make(chan struct{}), idle: read.Done}
		c.said.Reset(greedyHello(maxBeforeGate - 64))
		l.conns <- c
	}
	read.Wait()
	each := (heldMemory() - before) / n
	t.Logf("%d bytes for each connection that says as much as it may", each)
	if each > 128<<10 {
		t.Errorf("%d bytes each, limit 128 KiB", each)
	}
}

// C14: the same for connections that did TLS and the question, and then stop.
// Fewer of them, because a TLS handshake takes time.
func TestHalfOpenAfterTLS(t *testing.T) {
	const n = 200
	h := newHardware(t)
	s := newTestServer(t, h, nil)
	l := newPipeListener()
	gate := s.Listener(l)
	defer gate.Close()
	go gate.Accept()
	c := newTestClient(t, h, nil)
	measure := func() int64 {
		for range n {
			near, err := l.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { near.Close() })
			silent := &passed{sc: &sessionConn{Conn: near}}
			stop := errors.New("stop here")
			c.examiner.check = func(context.Context, Presented) (any, error) { return nil, stop }
			if err := c.run(t.Context(), silent, "box", attest.Digest{}); !errors.Is(err, stop) {
				t.Fatal(err)
			}
		}
		return heldMemory()
	}
	first := measure()
	each := (measure() - first) / n
	t.Logf("%d bytes for each connection that waits for accept", each)
	if each > 128<<10 {
		t.Errorf("%d bytes each, limit 128 KiB", each)
	}
}

// Strangers decide how often the box asks its hardware, but not how much of it
// at once.
func TestQuotesBound(t *testing.T) {
	h := newHardware(t)
	h.delay = func(context.Context) error { time.Sleep(5 * time.Millisecond); return nil }
	a := serveApp(t, newTestServer(t, h, func(c *ServerConfig) { c.MaxQuotes = 2 }))
	c := newTestClient(t, h, nil)
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if conn, err := c.DialContext(t.Context(), "tcp", a.addr); err != nil {
				t.Error(err)
			} else {
				conn.Close()
			}
		})
	}
	all.Wait()
	if h.most.Load() > 2 || h.quotes.Load() != 12 {
		t.Errorf("%d at once of %d", h.most.Load(), h.quotes.Load())
	}
}

// Close ends the gates that are under way, and not the streams.
func TestListenerClose(t *testing.T) {
	h := newHardware(t)
	s := newTestServer(t, h, func(c *ServerConfig) { c.GateTimeout = 2 * patience })
	inner := listen(t)
	l := s.Listener(inner)
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			accepted <- conn
		}
	}()
	conn := connect(t, newTestClient(t, h, nil), inner.Addr().String())
	theirs := <-accepted
	go io.Copy(theirs, theirs)
	half := rawClient(t, inner.Addr().String(), nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	half.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, half); isTimeout(err) {
		t.Error("a half-open gate outlives the listener")
	}
	mustEcho(t, conn)
}

// flakyListener fails in passing before it works.
type flakyListener struct {
	net.Listener
	left atomic.Int64
}

type passingError struct{}

func (passingError) Error() string   { return "too many open files" }
func (passingError) Temporary() bool { return true }

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, passingError{}
	}
	return l.Listener.Accept()
}

func TestListenerErrors(t *testing.T) {
	h := newHardware(t)
	flaky := &flakyListener{Listener: listen(t)}
	flaky.left.Store(3)
	l := newTestServer(t, h, nil).Listener(flaky)
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.Copy(conn, conn)
		}
	}()
	mustEcho(t, connect(t, newTestClient(t, h, nil), flaky.Addr().String()))

	dead := listen(t)
	dead.Close()
	if _, err := newTestServer(t, h, nil).Listener(dead).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a dead listener: %v", err)
	}
}
