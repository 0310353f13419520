package atls

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// direction of a record through a relay.
type direction int

const (
	up   direction = iota // client to box
	down                  // box to client
)

// act is what a relay does with one TLS record.
type act int

const (
	forward act = iota
	drop
	stall // keep the connection open and pass nothing more in this direction
	last  // pass it, then end this direction
	hangUp
)

// record is one TLS record as it crosses the wire.
type record struct {
	dir  direction
	n    int  // index among the records of its direction
	app  int  // index among the application-data records of its direction, -1 if it is none
	typ  byte // 20 change cipher spec, 21 alert, 22 handshake, 23 application data (RFC 8446, section 5.1)
	data []byte
	// upApp is how many application-data records the client had sent before.
	upApp int
}

// relay is a man in the middle who holds no key: it sees TLS records, and may
// pass, change, drop or hold back each of them.
type relay struct {
	addr   string
	target string
	judge  func(r *record) act

	mu    sync.Mutex
	log   []record
	upApp int
}

func newRelay(t testing.TB, target string, judge func(r *record) act) *relay {
	t.Helper()
	l := listen(t)
	r := &relay{addr: l.Addr().String(), target: target, judge: judge}
	go func() {
		for {
			victim, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(victim)
		}
	}()
	return r
}

func (r *relay) serve(victim net.Conn) {
	defer victim.Close()
	box, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer box.Close()
	for _, c := range []net.Conn{victim, box} {
		c.SetDeadline(time.Now().Add(patience))
	}
	var both sync.WaitGroup
	both.Go(func() { r.pump(up, victim, box) })
	both.Go(func() { r.pump(down, box, victim) })
	both.Wait()
}

func (r *relay) pump(dir direction, from, to net.Conn) {
	for n, app := 0, 0; ; n++ {
		head := make([]byte, 5)
		if _, err := io.ReadFull(from, head); err != nil {
			halfClose(to)
			return
		}
		data := append(head, make([]byte, binary.BigEndian.Uint16(head[3:]))...)
		if _, err := io.ReadFull(from, data[5:]); err != nil {
			halfClose(to)
			return
		}
		rec := r.note(dir, n, &app, data)
		switch r.decide(rec) {
		case forward:
			to.Write(rec.data)
		case drop:
		case stall:
			io.Copy(io.Discard, from)
			return
		case last:
			to.Write(rec.data)
			halfClose(to)
			io.Copy(io.Discard, from)
			return
		case hangUp:
			to.Close()
			from.Close()
			return
		}
	}
}

func (r *relay) note(dir direction, n int, app *int, data []byte) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := record{dir: dir, n: n, app: -1, typ: data[0], data: data, upApp: r.upApp}
	if rec.typ == 23 {
		rec.app = *app
		*app++
		if dir == up {
			r.upApp++
		}
	}
	r.log = append(r.log, rec)
	return &rec
}

func (r *relay) decide(rec *record) act {
	if r.judge == nil {
		return forward
	}
	return r.judge(rec)
}

// records returns how many records of that type went that way.
func (r *relay) records(dir direction, typ byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, rec := range r.log {
		if rec.dir == dir && rec.typ == typ {
			n++
		}
	}
	return n
}

func halfClose(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
	}
}

// terminator is a man in the middle who ends TLS with a key of his choice and
// opens a connection of his own to the box: a load balancer, or a thief.
type terminator struct {
	addr string
	mu   sync.Mutex
	up   []byte // what the victim said, in clear
}

func newTerminator(t testing.TB, target string, cert tls.Certificate) *terminator {
	t.Helper()
	l := listen(t)
	m := &terminator{addr: l.Addr().String()}
	go func() {
		for {
			victim, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(victim, target, cert)
		}
	}()
	return m
}

func (m *terminator) serve(raw net.Conn, target string, cert tls.Certificate) {
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	victim := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
	if victim.Handshake() != nil {
		return
	}
	box, err := tls.Dial("tcp", target, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer box.Close()
	box.SetDeadline(time.Now().Add(patience))
	go func() {
		io.Copy(victim, box)
		raw.Close()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := victim.Read(buf)
		m.mu.Lock()
		m.up = append(m.up, buf[:n]...)
		m.mu.Unlock()
		if n > 0 {
			box.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// heard returns the type of each frame that the victim sent, and whatever is
// no frame.
func (m *terminator) heard() (frames []frameType, rest []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest = m.up
	for len(rest) >= frameHeader && string(rest[:4]) == GateMagic {
		n := frameHeader + int(binary.BigEndian.Uint32(rest[5:]))
		if n > len(rest) {
			break
		}
		frames, rest = append(frames, frameType(rest[4])), rest[n:]
	}
	return frames, rest
}
