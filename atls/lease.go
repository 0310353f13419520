package atls

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// DefaultMaxAge is how long a proof carries a live connection where nothing
// else was said.
const DefaultMaxAge = 10 * time.Minute

// CutError is what reads and writes return on a connection that was ended
// because its peer did not prove itself again.
type CutError struct {
	// Cause is the failed re-attestation, or nil if there was none in time.
	Cause error
	// MaxAge is how long a proof counts: less than the configured age if the
	// CheckFunc's result held for less.
	MaxAge time.Duration
}

func (e *CutError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("atls: connection cut: the peer could not prove itself again: %v", e.Cause)
	}
	return fmt.Sprintf("atls: connection cut: the peer did not prove itself again within %s", e.MaxAge)
}

// Unwrap returns the failed re-attestation.
func (e *CutError) Unwrap() error { return e.Cause }

// leases holds the live connections of one client or server by the TLS key of
// their peer. A connection lives as long as the proof of that key is young.
type leases struct {
	maxAge time.Duration
	now    func() time.Time

	mu   sync.Mutex
	held map[attest.Digest]*lease
}

func newLeases(maxAge time.Duration, now func() time.Time) *leases {
	if maxAge <= 0 {
		maxAge = DefaultMaxAge
	}
	return &leases{maxAge: maxAge, now: now, held: make(map[attest.Digest]*lease)}
}

// A renewal proves the peer once more, over a connection of its own.
type renewal func(ctx context.Context) error

// lease is the right to use the connections to one TLS key for a time.
type lease struct {
	all  *leases
	peer attest.Digest
	ctx  context.Context // done when the last connection is gone
	stop context.CancelFunc
	wake chan struct{} // capacity 1: the deadline or the renewal has changed

	mu     sync.Mutex
	proven time.Time     // when the peer was last proven
	life   time.Duration // how long that counts
	retry  time.Duration // how much of it must be left when the peer is asked again
	renew  renewal       // nil if we do not know how to reach the peer
	conns  map[*sessionConn]struct{}
}

// join puts c under the lease of its peer's key, which p proves.
func (l *leases) join(c *sessionConn, peer attest.Digest, p *proof, renew renewal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.held[peer]
	if held == nil {
		held = l.open(peer, p)
	}
	held.mu.Lock()
	held.conns[c] = struct{}{}
	held.mu.Unlock()
	held.update(p, renew)
	c.lease.Store(held)
}

func (l *leases) open(peer attest.Digest, p *proof) *lease {
	held := &lease{all: l, peer: peer, wake: make(chan struct{}, 1), conns: make(map[*sessionConn]struct{})}
	held.rest(p)
	held.ctx, held.stop = context.WithCancel(context.Background())
	l.held[peer] = held
	go held.watch()
	return held
}

// find returns the lease of a key, or nil.
func (l *leases) find(peer attest.Digest) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[peer]
}

// extend notes a fresh proof of a key, if there are connections to it.
func (l *leases) extend(peer attest.Digest, p *proof) {
	if held := l.find(peer); held != nil {
		held.update(p, nil)
	}
}

// cutAll ends every connection.
func (l *leases) cutAll(reason error) {
	l.mu.Lock()
	held := make([]*lease, 0, len(l.held))
	for _, h := range l.held {
		held = append(held, h)
	}
	l.mu.Unlock()
	for _, h := range held {
		h.cut(reason)
	}
}

// rest puts the lease on a proof. It needs the lock held, or nobody else.
func (h *lease) rest(p *proof) {
	h.proven, h.life = p.at, p.life(h.all.maxAge)
	h.retry = h.life / 4
	if h.life < h.all.maxAge && h.retry < minRetry {
		// What the last proof rests on is about to end, and each further one
		// would last less than the one before.
		h.retry = 0
	}
}

// update takes the newest proof for what counts, even if it lasts less long.
func (h *lease) update(p *proof, renew renewal) {
	h.mu.Lock()
	if p.at.After(h.proven) {
		h.rest(p)
	}
	if renew != nil {
		h.renew = renew
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *lease) deadline() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proven.Add(h.life)
}

// left is the time to the deadline.
func (h *lease) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life - age(h.all.now(), h.proven)
}

// expire cuts everything if the deadline has passed.
func (h *lease) expire() {
	if h.left() <= 0 {
		h.mu.Lock()
		life := h.life
		h.mu.Unlock()
		h.cut(&CutError{MaxAge: life})
	}
}

// cut ends every connection under the lease, and the lease.
func (h *lease) cut(reason error) {
	for _, c := range h.end() {
		c.cut(reason)
	}
}

// end takes the lease out of the table and returns what was under it.
func (h *lease) end() []*sessionConn {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	conns := make([]*sessionConn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.drop()
	return conns
}

// leave is called when a connection is closed by its user.
func (h *lease) leave(c *sessionConn) {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
	if len(h.conns) == 0 {
		h.drop()
	}
}

// drop needs both locks held.
func (h *lease) drop() {
	clear(h.conns)
	if h.all.held[h.peer] == h {
		delete(h.all.held, h.peer)
	}
	h.stop()
}

// watch waits for the time to renew, and for the deadline.
func (h *lease) watch() {
	for h.ctx.Err() == nil {
		left := h.left()
		if left <= 0 {
			h.expire()
			return
		}
		h.mu.Lock()
		renew, retry := h.renew, h.retry
		h.mu.Unlock()
		if renew != nil && left <= retry {
			h.tryRenew(renew, left)
			continue
		}
		wait := left
		if renew != nil {
			wait = left - retry
		}
		h.sleep(wait)
	}
}

// tryRenew asks once. If it went well the lease rests on the new proof; if not,
// the next attempt comes when half of what was left is left.
func (h *lease) tryRenew(renew renewal, left time.Duration) {
	ctx, cancel := context.WithTimeout(h.ctx, left)
	defer cancel()
	h.mu.Lock()
	before := h.proven
	h.mu.Unlock()
	err := renew(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || h.proven.After(before) {
		return
	}
	h.retry = 0
	if half := left / 2; half > minRetry {
		h.retry = half
	}
}

// minRetry keeps a client from hammering a box in the last moments of a lease.
const minRetry = time.Second

// sleep returns after d, or when there is something new to look at.
func (h *lease) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-h.ctx.Done():
	case <-h.wake:
	case <-timer.C:
	}
}
