// Package client is the SDK for programs that call a box. It answers one
// question: how do I send a request so that nothing leaves my program before
// the box has proven itself?
//
// A [Client] puts the pieces together: it opens an attested connection
// (package atls), has the evidence verified (attest/snp and one package for
// every other kind of hardware that the trust file accepts) and appraises it by
// that file (package appraise). Only then is the first byte of a request written. It is an [http.RoundTripper] for https URLs, and gives
// plain connections with [Client.Dial].
//
//	trust, err := appraise.ParseTrust(file)
//	...
//	c, err := client.New(trust)
//	...
//	resp, err := c.HTTP().Get("https://box.example/v2")
//
// A box that is refused gives a [*RefusedError] with the whole
// [appraise.Result]; one that could not be reached or asked gives an error that
// wraps [attest.ErrUnavailable]. A refusal in which nothing speaks against the box
// but that something is missing, such as a revocation list, is both.
//
// The package stands with the relying party. It trusts the trust file it was
// given, the vendors' pinned roots, and nothing that comes over the network. It uses
// no proxy from the environment and no certificate authority.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse"
)

// DefaultTimeout bounds the time from the first packet to the verdict.
const DefaultTimeout = 30 * time.Second

// A Client talks to boxes that its trust file accepts, and to nothing else. It
// is safe for concurrent use. Connections are kept and used again; each proves
// itself anew before its proof is older than the trust file's max_age, and is
// cut if it cannot.
type Client struct {
	options options
	engine  atomic.Pointer[engine]
	// mu is held to replace the engine and to end with it.
	mu     sync.Mutex
	closed bool
}

// New returns a Client that accepts what trust accepts.
func New(trust *appraise.Trust, opts ...Option) (*Client, error) {
	c := &Client{options: options{timeout: DefaultTimeout, now: time.Now, chains: DefaultChains}}
	for _, o := range opts {
		if err := o(&c.options); err != nil {
			return nil, err
		}
	}
	e, err := newEngine(trust, &c.options)
	if err != nil {
		return nil, err
	}
	c.engine.Store(e)
	return c, nil
}

// An Option changes how a Client works. None of them weakens what it verifies.
type Option func(*options) error

type options struct {
	now      func() time.Time
	apiKey   string
	identity *atls.Identity
	cert     *tls.Certificate
	onResult func(Verification)
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	timeout  time.Duration
	floors   endorse.Floors
	chains   int
}

// WithClock sets the clock by which certificates, statements and ages are
// judged, instead of time.Now.
func WithClock(now func() time.Time) Option {
	return func(o *options) error {
		if now == nil {
			return errors.New("client: no clock given")
		}
		o.now = now
		return nil
	}
}

// WithAPIKey sends "Authorization: Bearer key" with every request that has no
// Authorization of its own. The key goes only to boxes that were accepted.
func WithAPIKey(key string) Option {
	return func(o *options) error {
		if key == "" {
			return errors.New("client: the api key is empty")
		}
		o.apiKey = key
		return nil
	}
}

// WithCertificate shows a TLS client certificate to boxes that ask for one, whose
// policy has callers with certificates. TLS shows it before the box is verified.
// It cannot stand beside WithIdentity.
func WithCertificate(c *tls.Certificate) Option {
	return func(o *options) error {
		if c == nil || len(c.Certificate) == 0 || c.PrivateKey == nil {
			return errors.New("client: a certificate without its chain or its key")
		}
		o.cert = c
		return nil
	}
}

// WithIdentity makes every connection mutual: this program proves itself to
// the box as well. It then runs in a box of its own.
func WithIdentity(id *atls.Identity) Option {
	return func(o *options) error {
		if id == nil {
			return errors.New("client: no identity given")
		}
		o.identity = id
		return nil
	}
}

// WithAttester makes every connection mutual: this program runs in a box of its
// own, whose hardware a is, under the policy document that is bound at its launch.
// A box whose policy names this one as a caller (`attested`) knows it by that, with
// no key. It shows its evidence after the other box has proven itself, and talks
// only to boxes that ask for it. Each connection takes a piece of evidence on both
// sides, so connections are worth keeping.
func WithAttester(a attest.Attester, policy []byte) Option {
	return func(o *options) error {
		if a == nil || len(policy) == 0 {
			return errors.New("client: no attester, or no policy of the box that this program runs in")
		}
		return WithIdentity(&atls.Identity{Attester: a, Policy: policy})(o)
	}
}

// Verification is one appraisal of one box's evidence.
type Verification struct {
	Result appraise.Result
	Bundle attest.Bundle
}

// WithOnResult calls f after every appraisal, whether the box was accepted or
// not, also when a live connection is proven again. A connection on the fast
// path rests on an earlier appraisal and makes no call. f must not block and
// must be safe for concurrent use.
func WithOnResult(f func(Verification)) Option {
	return func(o *options) error {
		o.onResult = f
		return nil
	}
}

// WithDialer opens the network connections, instead of a net.Dialer.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) error {
		if dial == nil {
			return errors.New("client: no dialer given")
		}
		o.dial = dial
		return nil
	}
}

// WithTimeout bounds the time from the first packet to the verdict, instead of
// [DefaultTimeout]. A context that ends earlier counts too.
func WithTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("client: timeout %s, expected more than none", d)
		}
		o.timeout = d
		return nil
	}
}

// WithFloors refuses boxes that staple a vendor's list which is older than one
// that was seen before, and notes what accepted boxes staple. Vendors' lists have
// dates, but an old one can still be in force and lack what was withdrawn since.
// *cache.Dir of package endorse/cache keeps floors across programs. f must be
// safe for concurrent use.
func WithFloors(f endorse.Floors) Option {
	return func(o *options) error {
		if f == nil {
			return errors.New("client: no floors given")
		}
		o.floors = f
		return nil
	}
}

// WithChains keeps what vendors say about that many machines, verified, instead of
// [DefaultChains]: certificates, lists, TCB data and manifests are verified when a
// machine is met first, and a connection that shows the same bytes again costs one
// or two signatures. Dates are compared at every use, and nothing is kept that was
// refused. With 0 nothing is kept, and every connection verifies everything. For
// boxes in simulation and bare TPMs nothing is ever kept, nor for a TDX quote that
// comes with an event log.
func WithChains(n int) Option {
	return func(o *options) error {
		if n < 0 {
			return fmt.Errorf("client: %d chains, expected 0 or more", n)
		}
		o.chains = n
		return nil
	}
}

// Dial opens an attested connection to a box and returns it with the Result it
// rests on. Nothing of the application has been sent over it. On error there is
// no connection, and a Result only if one was reached.
func (c *Client) Dial(ctx context.Context, network, addr string) (net.Conn, *appraise.Result, error) {
	e := c.engine.Load()
	conn, err := e.dial(ctx, e.plain, network, addr)
	if err != nil {
		return nil, refusedResult(err), err
	}
	result, ok := ResultOf(conn)
	if !ok {
		conn.Close()
		return nil, nil, errors.New("client: a connection without a result")
	}
	return conn, &result, nil
}

// ResultOf returns the Result that a connection from [Client.Dial] rests on.
func ResultOf(conn net.Conn) (appraise.Result, bool) {
	session, ok := atls.SessionOf(conn)
	if !ok {
		return appraise.Result{}, false
	}
	result, ok := session.Result.(appraise.Result)
	return result, ok
}

// Verify asks the box at an https URL for fresh hardware evidence and appraises
// it. It sends no request. The Result and the Bundle are returned with an
// error, too, if the box showed something that was refused.
func (c *Client) Verify(ctx context.Context, rawURL string) (appraise.Result, attest.Bundle, error) {
	addr, err := Address(rawURL)
	if err != nil {
		return appraise.Result{}, attest.Bundle{}, err
	}
	e := c.engine.Load()
	ctx, seen := withNote(ctx)
	conn, err := e.dial(ctx, e.fresh, "tcp", addr)
	if err == nil {
		conn.Close()
	}
	v := seen.last()
	return v.Result, v.Bundle, err
}

// Address returns the host and port that an https URL stands for.
func Address(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return "", fmt.Errorf("client: %w", err)
	case u.Scheme != "https":
		return "", fmt.Errorf("client: scheme %q, expected https", u.Scheme)
	case u.Hostname() == "":
		return "", fmt.Errorf("client: no host in %q", u.Redacted())
	case u.Port() == "":
		return net.JoinHostPort(u.Hostname(), "443"), nil
	}
	return net.JoinHostPort(u.Hostname(), u.Port()), nil
}

// Trust returns what the Client accepts now.
func (c *Client) Trust() *appraise.Trust { return c.engine.Load().trust }

// SetTrust replaces what the Client accepts. Every connection that rests on
// the old trust is cut, and every box proves itself anew. On error nothing has
// changed.
func (c *Client) SetTrust(trust *appraise.Trust) error {
	e, err := newEngine(trust, &c.options)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.Join(errClosed, e.close())
	}
	return c.engine.Swap(e).close()
}

// CloseIdleConnections closes the connections that no request is using.
func (c *Client) CloseIdleConnections() { c.engine.Load().closeIdle() }

// Close cuts every connection. Requests fail from then on.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.engine.Load().close()
}
