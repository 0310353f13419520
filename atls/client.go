package atls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// DefaultTimeout bounds TLS handshake and gate on the client's side. Hardware
// takes up to a second for a quote, and somebody may be waiting before us.
const DefaultTimeout = 30 * time.Second

// ClientConfig says how a Client judges boxes. Check and Kinds are required.
type ClientConfig struct {
	// Check decides whether a box is acceptable. See [CheckFunc].
	Check CheckFunc
	// Kinds of evidence that are accepted, 1 to 16.
	Kinds []attest.Kind
	// MaxAge is how long hardware evidence counts: so long a box may answer on
	// the fast path, and so long a live connection lives without a fresh proof.
	// Zero means full evidence on every connection; live connections then need
	// a fresh proof every [DefaultMaxAge]. A result of Check can make it less.
	MaxAge time.Duration
	// Skew is how far the two clocks may differ. Zero means not at all.
	Skew time.Duration
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Timeout bounds TLS handshake and gate together, [DefaultTimeout] if zero.
	Timeout time.Duration
	// NextProtos are offered by ALPN, such as "h2" and "http/1.1".
	NextProtos []string
	// Identity makes every gate mutual: the client proves itself as well, and
	// talks only to boxes that ask for it. Such gates never take the fast path.
	Identity *Identity
	// Certificate, if it is not nil, is shown to boxes that ask for one. It is
	// shown before they are proven: keep it to those that may know who is
	// calling. It cannot stand beside Identity, which has a key of its own.
	Certificate *tls.Certificate
	// Dial opens the connections of DialContext, a net.Dialer if nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Client opens attested connections. What it learned about boxes is kept in
// it and nowhere else: two clients with different checks share nothing. It is
// safe for concurrent use.
type Client struct {
	examiner
	proven  *provenKeys
	live    *leases
	maxAge  time.Duration
	timeout time.Duration
	protos  []string
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	// key and prover are set in a client that attests itself.
	key    *tlsKey
	prover *prover
	// certificate is nil in a client that shows none.
	certificate *tls.Certificate
}

// NewClient returns an error if anything that must be said was not.
func NewClient(cfg ClientConfig) (*Client, error) {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	ex, err := newExaminer(cfg.Check, cfg.Kinds, cfg.Skew, now)
	if err != nil {
		return nil, err
	}
	if cfg.MaxAge < 0 || cfg.Timeout < 0 {
		return nil, fmt.Errorf("atls: negative max age %s or timeout %s", cfg.MaxAge, cfg.Timeout)
	}
	c := &Client{
		examiner: *ex,
		proven:   &provenKeys{maxAge: cfg.MaxAge, now: now},
		live:     newLeases(cfg.MaxAge, now),
		maxAge:   cfg.MaxAge,
		timeout:  orDefault(cfg.Timeout, DefaultTimeout),
		protos:   slices.Clone(cfg.NextProtos),
		dial:     cfg.Dial,
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	c.certificate = cfg.Certificate
	if cfg.Identity == nil {
		return c, nil
	}
	if cfg.Certificate != nil {
		return nil, fmt.Errorf("atls: a certificate and an identity, expected one of them at most: TLS shows one key")
	}
	if c.key, err = newTLSKey(); err != nil {
		return nil, err
	}
	c.prover, err = newProver(cfg.Identity.Attester, cfg.Identity.Policy, DefaultMaxQuotes, now)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Offering is c with other protocols to offer by ALPN. Both are one in all that was
// learned about boxes: what one has proven, the other asks again on the fast path, and
// [Client.Forget] and [Client.Close] of either are those of both.
func (c *Client) Offering(protos ...string) *Client {
	other := *c
	other.protos = slices.Clone(protos)
	return &other
}

func newExaminer(check CheckFunc, kinds []attest.Kind, skew time.Duration, now func() time.Time) (*examiner, error) {
	switch {
	case check == nil:
		return nil, fmt.Errorf("atls: no check given: nothing would decide whether the peer is acceptable")
	case len(kinds) == 0 || len(kinds) > maxKinds:
		return nil, fmt.Errorf("atls: %d accepted evidence kinds, expected 1 to %d", len(kinds), maxKinds)
	case skew < 0:
		return nil, fmt.Errorf("atls: negative clock skew %s", skew)
	}
	for i, k := range kinds {
		if !k.Valid() || slices.Contains(kinds[:i], k) {
			return nil, fmt.Errorf("atls: accepted evidence kind %s is unknown or given twice", k)
		}
	}
	return &examiner{check: check, kinds: slices.Clone(kinds), skew: skew, now: now}, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// DialContext opens a connection that ends in a box which passed the check.
// The net.Conn is a [*tls.Conn], so this can be the DialTLSContext of an
// http.Transport. While the connection lives the box is asked for a fresh
// proof before the old one is MaxAge old, over a connection of its own to the
// same address; without one the connection is cut.
func (c *Client) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("atls: address %q: %w", addr, err)
	}
	raw, err := c.dialRaw(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn, err := c.handshake(ctx, raw, host, func(peer attest.Digest) renewal {
		return func(ctx context.Context) error { return c.renew(ctx, network, addr, host, peer) }
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (c *Client) dialRaw(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := c.dial(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("atls: %w: %w", attest.ErrUnavailable, err)
	}
	return raw, nil
}

// Handshake runs TLS and the gate over conn and returns the proven connection,
// over which nothing of the application has been sent yet. On error conn is
// closed. The error is an [*attest.Failure], or wraps [attest.ErrUnavailable].
//
// The connection is cut when its proof is MaxAge old, unless [Client.Reattest]
// renewed it.
func (c *Client) Handshake(ctx context.Context, conn net.Conn, serverName string) (*tls.Conn, error) {
	return c.handshake(ctx, conn, serverName, nil)
}

func (c *Client) handshake(ctx context.Context, raw net.Conn, name string, renewer func(peer attest.Digest) renewal) (*tls.Conn, error) {
	g := &passed{sc: &sessionConn{Conn: raw}}
	if err := c.pass(ctx, g, name, attest.Digest{}); err != nil {
		raw.Close()
		return nil, err
	}
	var renew renewal
	if renewer != nil {
		renew = renewer(g.ch.peer)
	}
	g.sc.session.Store(newSession(c.purpose(), g.ch.peer, g.proof))
	c.live.join(g.sc, g.ch.peer, g.proof, renew)
	return g.conn, nil
}

// passed is a connection on its way through the gate. The proof is set only
// if the gate is open at both ends, the channel as soon as TLS stands.
type passed struct {
	conn  *tls.Conn
	sc    *sessionConn
	ch    channel
	proof *proof
}

// pass runs TLS and the gate. If only is not zero, the box must have that TLS
// key and must show hardware evidence. The context's end makes whatever is
// being read or written fail at once.
func (c *Client) pass(ctx context.Context, p *passed, name string, only attest.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	release := context.AfterFunc(ctx, func() { p.sc.SetDeadline(time.Unix(1, 0)) })
	err := c.run(ctx, p, name, only)
	if !release() && err == nil {
		// The deadline has been set and the connection is of no use any more.
		err = refusal(ctx, context.Cause(ctx), true)
	}
	return err
}

func (c *Client) run(ctx context.Context, p *passed, name string, only attest.Digest) error {
	p.conn = tls.Client(p.sc, c.tlsConfig(name))
	if err := p.conn.HandshakeContext(ctx); err != nil {
		return tlsRefusal(ctx, err)
	}
	if err := checkServerState(p.conn.ConnectionState()); err != nil {
		return err
	}
	p.ch = newChannel(p.conn, c.ownKey())
	if !only.IsZero() && p.ch.peer != only {
		return &otherBoxError{want: only, got: p.ch.peer}
	}
	return c.ask(ctx, p, name, !only.IsZero())
}

// ask is the gate once TLS stands.
func (c *Client) ask(ctx context.Context, p *passed, name string, hardware bool) error {
	var known []*provenKey
	if !hardware && c.prover == nil {
		known = c.proven.offers(name)
	}
	proven, err := c.gate(ctx, p.ch, known)
	if hardware && isLost(err) {
		// TLS has shown the key of a box that was proven before, so this is not
		// somebody else who does not know the gate. Anyone can break a line.
		err = fmt.Errorf("atls: the box could not be asked again: %w: %w", attest.ErrUnavailable, err)
	}
	if err = refusal(ctx, err, false); err != nil {
		var failure *attest.Failure
		if errors.As(err, &failure) {
			c.proven.forget(p.ch.peer)
		}
		return err
	}
	p.proof = proven
	if !proven.fast {
		c.proven.add(name, p.ch.peer, proven)
	}
	return nil
}

func (c *Client) ownKey() attest.Digest {
	if c.key == nil {
		return attest.Digest{}
	}
	return c.key.spki
}

func (c *Client) purpose() attest.Purpose {
	if c.prover != nil {
		return attest.PurposePeer
	}
	return attest.PurposeSession
}

// tlsConfig is made anew for each connection and has no session cache.
func (c *Client) tlsConfig(name string) *tls.Config {
	cfg := baseConfig(c.protos)
	cfg.ServerName = name
	// A certificate could only say that somebody paid for a name. The box's
	// certificate is signed by itself; the gate takes the place of the chain,
	// and refuses unless hardware vouches for this key and this connection.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = checkServerState
	switch {
	case c.key != nil:
		cfg.Certificates = []tls.Certificate{c.key.cert}
	case c.certificate != nil:
		cfg.Certificates = []tls.Certificate{*c.certificate}
	}
	return cfg
}

// gate asks, judges the answer, and accepts. It sends nothing after the
// question unless the answer was good.
func (c *Client) gate(ctx context.Context, ch channel, known []*provenKey) (*proof, error) {
	a, err := c.meet(ctx, ch, known)
	if err != nil {
		return nil, err
	}
	if err := c.accept(ctx, ch, a); err != nil {
		// The box is proven: whatever broke now is no sign of something else.
		return nil, refusal(ctx, err, true)
	}
	return a.proof, nil
}

// answered is a question with an answer that was good.
type answered struct {
	hello hello
	full  full // zero after a fast answer
	proof *proof
}

// meet asks the box to prove itself, and judges the answer.
func (c *Client) meet(ctx context.Context, ch channel, known []*provenKey) (*answered, error) {
	h := hello{nonce: newNonce(), purpose: c.purpose(), kinds: kindNames(c.kinds), offers: hashes(known)}
	if err := writeFrame(ch.rw, frameHello, h.encode()); err != nil {
		return nil, err
	}
	typ, payload, err := readFrame(ch.rw, slot{frameFull, maxFull}, slot{frameFast, maxFast}, slot{frameRefuse, maxRefuse})
	if err != nil {
		return nil, err
	}
	var answer full
	if typ == frameFull {
		if answer, err = parseFull(payload); err != nil {
			return nil, err
		}
	}
	q := question{purpose: h.purpose, role: attest.RoleServer, nonce: h.nonce}
	p, err := c.judge(ctx, ch, q, typ, payload, answer, known)
	if err != nil {
		return nil, err
	}
	return &answered{hello: h, full: answer, proof: p}, nil
}

// judge comes to a verdict on the box's answer.
func (c *Client) judge(ctx context.Context, ch channel, q question, typ frameType, payload []byte, answer full, known []*provenKey) (*proof, error) {
	switch typ {
	case frameFull:
		if answer.mutual != (q.purpose == attest.PurposePeer) {
			return nil, malformed("full", "mutual %v in a gate for purpose %s", answer.mutual, q.purpose)
		}
		return c.examine(ctx, ch, q, answer.bundle)
	case frameFast:
		f, err := parseFast(payload)
		if err != nil {
			return nil, err
		}
		return c.examineFast(ch, q, f, known, c.maxAge)
	default:
		r, err := parseRefuse(payload)
		if err != nil {
			return nil, err
		}
		return nil, answerOf(r)
	}
}

// accept tells the box that it may begin, in a mutual gate with evidence of
// our own. That is shown only now, to a box that has been proven.
func (c *Client) accept(ctx context.Context, ch channel, a *answered) error {
	if !a.hello.mutual() {
		return writeFrame(ch.rw, frameAccept, nil)
	}
	evidence, err := c.identify(ctx, ch, a.hello, a.full)
	if err != nil {
		return err
	}
	if err := writeFrame(ch.rw, frameAccept, evidence); err != nil {
		return err
	}
	typ, payload, err := readFrame(ch.rw, slot{frameAccepted, 0}, slot{frameRefuse, maxRefuse})
	if err != nil || typ == frameAccepted {
		return err
	}
	r, err := parseRefuse(payload)
	if err != nil {
		return err
	}
	return answerOf(r)
}

// identify answers the box's question about ourselves.
func (c *Client) identify(ctx context.Context, ch channel, h hello, answer full) ([]byte, error) {
	switch {
	case answer.nonce == h.nonce:
		return nil, attest.NewFailure("channel.peer_nonce", attest.CodeNonceMismatch, "our own nonce", "one that the box chose")
	case !slices.Contains(answer.kinds, c.prover.attester.Kind().String()):
		return nil, attest.NewFailure("channel.peer_kind", attest.CodeKindMismatch,
			fmt.Sprintf("the box accepts %q", answer.kinds), c.prover.attester.Kind().String())
	}
	q := question{purpose: attest.PurposePeer, role: attest.RoleClient, nonce: answer.nonce}
	s, err := c.prover.statement(ch, q, attest.Digest{})
	if err != nil {
		return nil, err
	}
	return c.prover.full(ctx, s, nil)
}

// Forget drops everything that was learned about boxes, so that the next
// connection to each shows hardware evidence. Live connections go on.
func (c *Client) Forget() { c.proven.clear() }

// Close cuts every live connection. The client can be used again.
func (c *Client) Close() error {
	c.live.cutAll(net.ErrClosed)
	return nil
}
