package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse"
)

// engine is everything that depends on one Trust. It is replaced as a whole, so
// that nothing which an old trust accepted is used under a new one.
type engine struct {
	trust     *appraise.Trust
	verifiers map[attest.Kind]attest.Verifier
	onResult  func(Verification)
	floors    endorse.Floors // nil: nothing was seen before
	timeout   time.Duration
	closed    atomic.Bool

	// multi offers HTTP/2 and HTTP/1.1, plain HTTP/1.1 alone, for requests that want a
	// connection for themselves; fresh takes no fast path.
	multi, plain, fresh *atls.Client
	transport, single   *http.Transport
}

const (
	protoH2 = "h2"
	protoH1 = "http/1.1"
)

func newEngine(trust *appraise.Trust, o *options) (*engine, error) {
	if trust == nil {
		return nil, errors.New("client: no trust given: nothing would decide which box is acceptable")
	}
	e := &engine{trust: trust, onResult: o.onResult, floors: o.floors, timeout: o.timeout}
	var err error
	if e.verifiers, err = verifiersFor(trust, newChains(o.chains)); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		out    **atls.Client
		maxAge time.Duration
		protos []string
	}{
		{&e.multi, trust.MaxAge(), []string{protoH2, protoH1}},
		{&e.fresh, 0, []string{protoH1}},
	} {
		*c.out, err = atls.NewClient(atls.ClientConfig{
			Check: e.check, Kinds: KindsFor(trust), MaxAge: c.maxAge, Skew: trust.ClockSkew(), Now: o.now,
			Timeout: o.timeout, NextProtos: c.protos, Identity: o.identity, Certificate: o.cert, Dial: o.dial,
		})
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
	}
	e.plain = e.multi.Offering(protoH1)
	e.transport, e.single = e.newTransport(e.multi), e.newTransport(e.plain)
	return e, nil
}

// newTransport speaks HTTP over attested connections only.
func (e *engine) newTransport(c *atls.Client) *http.Transport {
	return &http.Transport{
		// A proxy from the environment would be told where we connect to, and
		// could not be connected through anyway.
		Proxy: nil,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("client: a connection without attestation was asked for")
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return e.dial(ctx, c, network, addr)
		},
		ForceAttemptHTTP2: true,
		// A larger answer comes in fewer frames, each of which costs the box a
		// goroutine, two TLS records and a wake-up. The memory for a frame stays
		// with the connection.
		HTTP2:                  &http.HTTP2Config{MaxReadFrameSize: 256 << 10},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 1 << 20,
	}
}

var errClosed = errors.New("client: closed, or its trust was replaced")

// dial opens one attested connection.
func (e *engine) dial(ctx context.Context, c *atls.Client, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	ctx, seen := withNote(ctx)
	if e.closed.Load() {
		return nil, errClosed
	}
	conn, err := c.DialContext(ctx, network, addr)
	if err != nil {
		return nil, refused(addr, seen.last(), err)
	}
	if e.closed.Load() {
		conn.Close()
		return nil, errClosed
	}
	return conn, nil
}

// check is what package atls calls before it lets anything through.
func (e *engine) check(ctx context.Context, p atls.Presented) (any, error) {
	in := appraise.Input{Statement: p.Statement, Channel: p.Checks, Policy: p.Bundle.Policy}
	in.Claims, in.Err = e.verify(p.Bundle, p.At)
	result := e.trust.Appraise(in, p.At)
	verification := Verification{Result: result, Bundle: p.Bundle}
	noteIn(ctx, verification)
	if e.onResult != nil {
		e.onResult(verification)
	}
	if err := refusalOf(result); err != nil {
		return nil, err
	}
	if e.floors != nil {
		if err := endorse.RaiseFloors(e.floors, in.Claims, p.Bundle.Endorsements); err != nil {
			return nil, fmt.Errorf("client: what was seen could not be noted: %w", err)
		}
	}
	return result, nil
}

// verify has the evidence verified by the Verifier of its kind, and what is
// stapled compared with what was seen before.
func (e *engine) verify(b attest.Bundle, at time.Time) (*attest.Claims, error) {
	v, ok := e.verifiers[b.Evidence.Kind]
	if !ok {
		return nil, attest.NewFailure("hardware.evidence", attest.CodeKindMismatch,
			b.Evidence.Kind.String(), "a kind that the trust file accepts")
	}
	claims, err := v.Verify(b.Evidence, b.Endorsements, at)
	return endorse.AboveFloors(e.floors, claims, err, b.Endorsements)
}

func (e *engine) closeIdle() {
	e.transport.CloseIdleConnections()
	e.single.CloseIdleConnections()
}

func (e *engine) close() error {
	e.closed.Store(true)
	e.closeIdle()
	return errors.Join(e.multi.Close(), e.fresh.Close())
}

// note carries the last verification from the check, deep in a handshake, to
// whoever asked for the connection.
type note struct {
	mu sync.Mutex
	v  Verification
	// outer is the note of an enclosing call.
	outer *note
}

type noteKey struct{}

func withNote(ctx context.Context) (context.Context, *note) {
	outer, _ := ctx.Value(noteKey{}).(*note)
	n := &note{outer: outer}
	return context.WithValue(ctx, noteKey{}, n), n
}

func noteIn(ctx context.Context, v Verification) {
	n, _ := ctx.Value(noteKey{}).(*note)
	for ; n != nil; n = n.outer {
		n.mu.Lock()
		n.v = v
		n.mu.Unlock()
	}
}

func (n *note) last() Verification {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.v
}
