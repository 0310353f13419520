package atls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Listener returns a listener whose Accept returns connections that passed the
// gate, as [*tls.Conn], so that net/http serves HTTP/1.1 or HTTP/2 over them as
// ALPN chose. Gates run beside each other and do not hold up Accept; a
// connection that does not pass never shows up.
func (s *Server) Listener(inner net.Listener) net.Listener {
	ctx, stop := context.WithCancelCause(context.Background())
	return &listener{server: s, inner: inner, ctx: ctx, stop: stop, ready: make(chan *tls.Conn)}
}

type listener struct {
	server *Server
	inner  net.Listener
	ctx    context.Context // ended by Close, or by the inner listener's end
	stop   context.CancelCauseFunc
	ready  chan *tls.Conn
	start  sync.Once
}

func (l *listener) Addr() net.Addr { return l.inner.Addr() }

// Close stops accepting and ends the gates that are under way. Connections
// that have passed go on.
func (l *listener) Close() error {
	l.stop(net.ErrClosed)
	return l.inner.Close()
}

func (l *listener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.run() })
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.ctx.Done():
		return nil, fmt.Errorf("atls: accept: %w", context.Cause(l.ctx))
	}
}

// run accepts until the inner listener ends.
func (l *listener) run() {
	var pause time.Duration
	for {
		raw, err := l.inner.Accept()
		switch {
		case err == nil:
			pause = 0
			l.begin(raw)
		case isTemporary(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			l.wait(pause)
		default:
			l.stop(err)
			return
		}
	}
}

// isTemporary is true for errors such as too many open files, which pass. The
// method is deprecated for general use and has no successor for listeners;
// net/http asks the same.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (l *listener) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

// errHalfOpen is reported for connections over the limit.
var errHalfOpen = errors.New("atls: too many connections that have not passed the gate")

// begin starts a gate, or closes the connection if there are too many. A
// connection counts until it is handed over.
func (l *listener) begin(raw net.Conn) {
	select {
	case l.server.halfOpen <- struct{}{}:
	default:
		raw.Close()
		l.server.report(raw, errHalfOpen)
		return
	}
	go func() {
		defer func() { <-l.server.halfOpen }()
		l.handOver(raw)
	}()
}

func (l *listener) handOver(raw net.Conn) {
	conn, err := l.server.admit(l.ctx, raw)
	if err != nil {
		return
	}
	select {
	case l.ready <- conn:
	case <-l.ctx.Done():
		conn.Close()
	}
}
