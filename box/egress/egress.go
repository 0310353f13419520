// Package egress answers one question: where does what leaves the app go?
//
// Nowhere, unless a line of the policy names the place. Two layers say so, each
// without the other:
//
//   - [Namespace] is a network of the app's own. With no line it has nothing but
//     loopback. With lines it has one wire, whose other end lies in a second
//     namespace, the gate, which the app cannot enter and which has no other
//     interface: nothing is forwarded there, nothing could be. Rules on the
//     gate's end drop every packet that is not for the proxy.
//   - [Proxy] listens in the gate. It takes CONNECT, plain HTTP and, for
//     programs that know of no proxy, whatever is sent to the addresses that its
//     own DNS made up for the names the policy lists. It resolves names itself,
//     refuses addresses that are inside somebody's network, dials exactly the
//     address that it checked, and looks whether the bytes ask for the host the
//     line names.
//
// It stands inside the box, between the app, which is hostile here, and a
// network that belongs to the host, which is hostile too. It does not decrypt:
// what an allowed destination is sent, it cannot know (docs/egress.md says what
// else is not stopped).
//
// Nothing that the app chose, no name, path or byte, is in a [Counters] or an
// [Event]: both speak in lines of the policy and in reasons.
package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Resolver turns a name into addresses. *net.Resolver is one. The name ends in
// a dot, so that no search list applies.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dial connects to an address that was checked.
type Dial func(ctx context.Context, address netip.AddrPort) (net.Conn, error)

// DialTCP is the Dial of the machine's own network.
func DialTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address.String())
}

// Timeouts bound what the app or a destination can keep waiting. All are required.
type Timeouts struct {
	// Head is how long the app may take to say what it wants: a CONNECT, a
	// request's head, a ClientHello.
	Head time.Duration
	// Connect is how long resolving, connecting and, for tls: verify, the look at
	// the certificate may take together.
	Connect time.Duration
	// Idle is how long a connection may go without a byte in either direction.
	Idle time.Duration
}

// DefaultTimeouts are those of a box.
func DefaultTimeouts() Timeouts {
	return Timeouts{Head: 10 * time.Second, Connect: 15 * time.Second, Idle: 5 * time.Minute}
}

// Config is what a [Proxy] is made of. All but Roots and Report are required.
type Config struct {
	// Egress is the policy's section. The zero value allows nothing.
	Egress   policy.Egress
	Resolver Resolver
	Dial     Dial
	Clock    func() time.Time
	Timeouts Timeouts
	// Roots are who may sign the certificates of destinations with tls: verify.
	// Required if there is one.
	Roots *x509.CertPool
	// Own are the addresses of the machine itself, at this moment: an app that calls
	// its own box would speak with the box's address. They are open to lines that may
	// reach private addresses. Those of its interfaces if nil.
	Own func() ([]netip.Addr, error)
	// Report is told of refusals, at most once a second for each reason. It is
	// called by the goroutine that refuses, and must be quick. nil tells nobody.
	Report func(Event)
	// Wanted is told each place that the app tries to reach, allowed or not. It is for
	// learning a policy on a developer's own machine; with it every name has an
	// address, and the app reaches no more than without. nil, as in every box that is
	// one, tells nobody.
	Wanted func(Attempt)
}

// Proxy passes on what the policy allows. It is safe for concurrent use.
type Proxy struct {
	cfg     Config
	rules   rules
	names   *names
	answers *answers
	proofs  *proofs
	ledger  *ledger
	spend   *spending
	slots   chan struct{}

	ctx  context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	closers map[closer]struct{} // every listener and connection
	wg      sync.WaitGroup
}

// closer is a listener or a connection: what Close ends.
type closer interface{ Close() error }

// New checks the configuration and returns a Proxy that does not listen yet.
func New(cfg Config) (*Proxy, error) {
	rules, err := compile(cfg.Egress)
	if err := errors.Join(err, cfg.check()); err != nil {
		return nil, err
	}
	p := &Proxy{
		cfg: cfg, rules: rules,
		names:   newNames(rules, cfg.Wanted != nil),
		answers: newAnswers(cfg.Resolver, cfg.Clock),
		proofs:  newProofs(cfg.Roots, cfg.Clock),
		ledger:  newLedger(rules, cfg.Clock, cfg.Report),
		spend:   newSpending(cfg.Egress.Rate, cfg.Egress.Bytes, cfg.Clock),
		slots:   make(chan struct{}, cfg.connections()),
		closers: map[closer]struct{}{},
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p, nil
}

func (c *Config) check() error {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("egress: the configuration has no %s", what))
		}
	}
	require(c.Resolver != nil, "Resolver")
	require(c.Dial != nil, "Dial")
	require(c.Clock != nil, "Clock")
	require(c.Timeouts.Head > 0 && c.Timeouts.Connect > 0 && c.Timeouts.Idle > 0, "Timeouts")
	for _, d := range c.Egress.Allow {
		require(d.TLS != policy.TLSVerify || c.Roots != nil, fmt.Sprintf("Roots, and line %d asks for tls: verify", d.Line))
	}
	return errors.Join(errs...)
}

// Listeners is where a Proxy takes connections.
type Listeners struct {
	// Explicit is for programs that know of the proxy.
	Explicit net.Listener
	// Transparent take what is sent to an address of the proxy's DNS, or to an
	// address that a line of the policy names: where a connection wanted to go is
	// its local address.
	Transparent []net.Listener
	// DNS answers for the names that the policy lists.
	DNS net.PacketConn
	// Tap has copies of what the app sends, if the Plan says Record; nil otherwise.
	Tap io.ReadCloser
	// Dropped returns how many packets the rules dropped since the start.
	Dropped func() (map[Reason]int64, error)
}

// pollEvery is how often the counters of dropped packets are read, so that they
// are reported although nobody asks.
const pollEvery = time.Second

// Serve takes connections until Close. It closes the listeners. The error says
// why it ended if it was not asked to; no listener is left open then.
func (p *Proxy) Serve(l Listeners) error {
	if !p.adopt(l) || !p.begin() {
		return net.ErrClosed
	}
	p.ledger.watch(l.Dropped)
	serve := map[closer]func() error{}
	if l.Explicit != nil {
		serve[l.Explicit] = func() error { return p.accept(l.Explicit, p.explicit) }
	}
	for _, t := range l.Transparent {
		serve[t] = func() error { return p.accept(t, p.transparent) }
	}
	if l.DNS != nil {
		serve[l.DNS] = func() error { return p.answerDNS(l.DNS) }
	}
	if l.Tap != nil {
		serve[l.Tap] = func() error { return p.watchTap(l.Tap) }
	}
	ended := make(chan error, len(serve)+1)
	for _, f := range serve {
		p.goes(func() { ended <- f() })
	}
	if l.Dropped != nil {
		p.goes(func() { ended <- p.poll() })
	}
	p.wg.Done() // all of them count by themselves now
	var err error
	select {
	case <-p.ctx.Done(): // asked to
	case err = <-ended:
		if p.ctx.Err() != nil {
			err = nil
		}
	}
	p.Close()
	return err
}

// poll looks at the dropped packets until Close.
func (p *Proxy) poll() error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return nil
		case <-tick.C:
			if err := p.ledger.poll(); err != nil {
				return err
			}
		}
	}
}

// begin counts one that starts others, unless the proxy is closed: Close may be
// called at the same time, and must wait for all or prevent them.
func (p *Proxy) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Add(1)
	return true
}

// goes runs f, which Close waits for. Only what Close waits for itself may call it.
func (p *Proxy) goes(f func()) {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		f()
	}()
}

// adopt makes Close end the listeners. It closes them itself if that was before.
func (p *Proxy) adopt(l Listeners) bool {
	all := []closer{}
	if l.Explicit != nil {
		all = append(all, l.Explicit)
	}
	if l.DNS != nil {
		all = append(all, l.DNS)
	}
	if l.Tap != nil {
		all = append(all, l.Tap)
	}
	for _, t := range l.Transparent {
		all = append(all, t)
	}
	open := true
	for _, c := range all {
		open = p.track(c) && open
	}
	return open
}

// track makes Close close c. If the proxy is closed already, c is too.
func (p *Proxy) track(c closer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.closers[c] = struct{}{}
	return true
}

func (p *Proxy) untrack(c closer) {
	p.mu.Lock()
	delete(p.closers, c)
	p.mu.Unlock()
	c.Close()
}

// Close ends every connection and returns when nothing of the proxy runs. What
// was refused and not reported yet is.
func (p *Proxy) Close() {
	p.stop()
	p.mu.Lock()
	p.closed = true
	for c := range p.closers {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	p.ledger.flush()
}

// accept serves each connection of a listener in a goroutine. At most the
// policy's number are served at a time; one more is closed at once.
func (p *Proxy) accept(l net.Listener, serve func(net.Conn)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			if isTemporary(err) && p.pause(50*time.Millisecond) {
				continue
			}
			return fmt.Errorf("egress: %w", err)
		}
		select {
		case p.slots <- struct{}{}:
		default:
			p.ledger.refuse(TooMany, nil)
			c.Close()
			continue
		}
		if !p.track(c) {
			<-p.slots
			continue
		}
		p.goes(func() {
			defer func() { <-p.slots }()
			defer p.untrack(c)
			serve(c)
		})
	}
}

// pause waits, and reports false if the proxy was closed.
func (p *Proxy) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// isTemporary reports whether accepting may work again: the machine is out of
// file descriptors, or the peer was gone before it was accepted.
func isTemporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}
