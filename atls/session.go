package atls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Session is what is known about the peer of one connection. It is a copy:
// changing it changes nothing.
type Session struct {
	// Purpose is session, or peer if both ends attested.
	Purpose attest.Purpose
	// Result is what the CheckFunc returned about the peer. It is nil in a box
	// whose caller did not attest.
	Result any
	// Bundle is what the peer's hardware signed. On the fast path it is the
	// bundle of the earlier connection, and Statement is that of this one.
	Bundle    attest.Bundle
	Statement attest.Statement
	// Checks are those of the channel. None of them failed.
	Checks []attest.Check
	// Fast says that the peer answered with its attestation key.
	Fast bool
	// PeerKey is SHA-256 over the SubjectPublicKeyInfo of the peer's TLS key.
	PeerKey attest.Digest
	// VerifiedAt is when the hardware evidence was verified, Until when the
	// connection is cut unless the peer proves itself again. Both are zero in a
	// box whose caller did not attest.
	VerifiedAt, Until time.Time
}

func newSession(purpose attest.Purpose, peer attest.Digest, p *proof) *Session {
	s := &Session{Purpose: purpose, PeerKey: peer}
	if p != nil {
		s.Result, s.Bundle, s.Statement, s.Checks = p.result, p.bundle, p.statement, p.checks
		s.Fast, s.VerifiedAt = p.fast, p.at
	}
	return s
}

// SessionOf returns the session of a connection that came through the gate:
// one returned by [Client.DialContext] or [Client.Handshake], or accepted from
// [Server.Listener]. It reports false for any other connection.
func SessionOf(conn net.Conn) (*Session, bool) {
	c := sessionConnOf(conn)
	if c == nil {
		return nil, false
	}
	s := c.session.Load()
	if s == nil {
		return nil, false
	}
	out := *s
	if l := c.lease.Load(); l != nil {
		out.Until = l.deadline()
	}
	return &out, true
}

// sessionConn lies between TLS and the network. The session hangs here because
// net/http insists on a *tls.Conn, which has no place for it.
type sessionConn struct {
	net.Conn
	session atomic.Pointer[Session] // set when the gate is passed
	lease   atomic.Pointer[lease]   // set if the peer must keep proving itself
	reason  atomic.Pointer[error]   // set when we cut the connection
	once    sync.Once
	closed  error
	// limit is how many bytes may be read in all; zero is no limit. It is set
	// by the goroutine that runs the gate, and lifted when the gate is passed.
	limit, read int64
}

func sessionConnOf(conn net.Conn) *sessionConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, _ := conn.(*sessionConn)
	return c
}

// Read gives nothing more once the lease has run out, whatever a timer does.
func (c *sessionConn) Read(b []byte) (int, error) {
	if c.limit > 0 {
		return c.readLimited(b)
	}
	n, err := c.Conn.Read(b)
	if e := c.over(); e != nil {
		return 0, e
	}
	if err == io.EOF && c.session.Load() != nil {
		err = errTruncated
	}
	return n, err
}

// errTruncated stands for the network's end of a connection where TLS has not
// been told to end (RFC 8446, section 6.1). crypto/tls takes a plain io.EOF, and
// io.ErrUnexpectedEOF itself, for a regular end if they come between two records.
var errTruncated = fmt.Errorf("atls: the connection ended without a TLS close: %w", io.ErrUnexpectedEOF)

// errTooMuch ends a gate in which the peer said more than the gate has room for.
var errTooMuch = errors.New("atls: too many bytes before the gate")

func (c *sessionConn) readLimited(b []byte) (int, error) {
	left := c.limit - c.read
	if left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.read += int64(n)
	return n, err
}

// Write sends nothing more once the lease has run out.
func (c *sessionConn) Write(b []byte) (int, error) {
	if e := c.over(); e != nil {
		return 0, e
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		if e := c.over(); e != nil {
			return n, e
		}
	}
	return n, err
}

// over returns why this connection may not be used any more, or nil.
func (c *sessionConn) over() error {
	if l := c.lease.Load(); l != nil {
		l.expire()
	}
	if e := c.reason.Load(); e != nil {
		return *e
	}
	return nil
}

// cut ends the connection; reads and writes return reason from now on.
func (c *sessionConn) cut(reason error) {
	c.reason.CompareAndSwap(nil, &reason)
	c.closeOnce()
}

func (c *sessionConn) Close() error {
	if l := c.lease.Load(); l != nil {
		l.leave(c)
	}
	return c.closeOnce()
}

func (c *sessionConn) closeOnce() error {
	c.once.Do(func() { c.closed = c.Conn.Close() })
	return c.closed
}
