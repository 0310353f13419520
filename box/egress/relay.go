package egress

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// relay is one connection of the app and the one to its destination.
type relay struct {
	proxy  *Proxy
	rule   *rule
	line   *line
	app    net.Conn
	remote net.Conn
	// moved is when a byte was seen to move last, in either direction.
	moved atomic.Int64
	// once is for the direction that ends the relay first: its reason counts.
	once sync.Once
}

func (p *Proxy) newRelay(t *target, app, remote net.Conn) *relay {
	r := &relay{proxy: p, rule: t.rule, line: &p.ledger.lines[t.rule.index], app: app, remote: remote}
	r.moved.Store(time.Now().UnixNano())
	r.line.connections.Add(1)
	r.line.open.Add(1)
	return r
}

// close ends both connections.
func (r *relay) close() {
	r.proxy.untrack(r.remote)
	r.app.Close()
	r.line.open.Add(-1)
}

// abort ends both directions. It counts why before anybody can see the end: who
// has seen it finds it in the counters.
func (r *relay) abort(why Reason) {
	r.once.Do(func() {
		if why != "" {
			r.proxy.ledger.refuse(why, r.rule)
		}
	})
	r.app.Close()
	r.remote.Close()
}

// both passes bytes in both directions until both have ended.
func (r *relay) both() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.back()
	}()
	r.forth(-1)
	closeWrite(r.remote)
	<-done
}

// back passes on what the destination sends, until it ends.
func (r *relay) back() {
	if r.pass(r.app, r.remote, &r.line.received, -1) {
		closeWrite(r.app)
	}
}

// forth passes on n bytes of the app's, or all if n is negative, and reports
// whether they came.
func (r *relay) forth(n int64) bool { return r.pass(r.remote, r.app, &r.line.sent, n) }

// send sends bytes that were read from the app already.
func (r *relay) send(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), unsplicedChunk)
		if !r.spend(n) {
			return false
		}
		r.remote.SetWriteDeadline(time.Now().Add(r.proxy.cfg.Timeouts.Idle))
		r.count(&r.line.sent, int64(n))
		if _, err := r.remote.Write(b[:n]); err != nil {
			r.abort("")
			return false
		}
		b = b[n:]
	}
	return true
}

// spend takes n bytes of the policy's budgets. Without one left the relay ends.
func (r *relay) spend(n int) bool {
	err := r.proxy.spend.take(r.proxy.pause, int64(n))
	if err != nil {
		r.abort(reasonOf(err, ""))
	}
	return err == nil
}

func (r *relay) count(sum *atomic.Int64, n int64) {
	if n > 0 {
		sum.Add(n)
		r.moved.Store(time.Now().UnixNano())
	}
}

// Bytes are passed on in pieces and counted after each. Where a lot flows, pieces
// are large and go through the kernel alone (splice(2): io.Copy between two TCP
// connections does not bring the bytes into this process), and what flows is
// counted every tick at the latest. Little, and with budgets everything, comes
// through here: each byte is asked for before it is sent, and counted at once.
const (
	splicedChunk   = 4 << 20
	unsplicedChunk = 32 << 10
	spliceAfter    = 256 << 10
	tick           = 250 * time.Millisecond
)

// pass copies n bytes, or all if n is negative. It reports whether the source
// ended in order, or gave all n.
//
// A pause in reading is where counting happens. A pause in writing is the end: the
// kernel may hold bytes by then that were taken from the one side and not given to
// the other.
func (r *relay) pass(to, from net.Conn, sum *atomic.Int64, n int64) bool {
	idle := r.proxy.cfg.Timeouts.Idle
	pause := min(tick, idle/4)
	var buf []byte
	var copied int64
	for n < 0 || copied < n {
		now := time.Now()
		stuck := now.Add(idle + pause)
		from.SetReadDeadline(now.Add(pause))
		to.SetWriteDeadline(stuck)
		left := int64(splicedChunk)
		if n >= 0 {
			left = min(left, n-copied)
		}
		var moved int64
		var err error
		if copied < spliceAfter || !r.proxy.spend.unlimited() {
			if buf == nil {
				buf = make([]byte, unsplicedChunk)
			}
			moved, err = r.piece(to, from, sum, buf[:min(left, unsplicedChunk)])
		} else {
			moved, err = splice(to, from, left, stuck)
			r.count(sum, moved)
		}
		copied += moved
		switch {
		case errors.Is(err, io.EOF):
			return n < 0
		case errors.Is(err, os.ErrDeadlineExceeded):
			if r.idle() {
				r.abort(IdleTooLong)
				return false
			}
		case err != nil:
			r.abort(reasonOf(err, ""))
			return false
		}
	}
	return true
}

// idle reports whether nothing moved in either direction for the idle time.
func (r *relay) idle() bool {
	return time.Since(time.Unix(0, r.moved.Load())) >= r.proxy.cfg.Timeouts.Idle
}

// errStuck is a pause in writing.
var errStuck = refuse(IdleTooLong, "nobody takes the bytes")

// splice copies up to limit bytes. io.EOF means that the source has ended. Which
// of the two deadlines has passed, the error does not say: the one for reading
// is over long before stuck, the one for writing.
func splice(to, from net.Conn, limit int64, stuck time.Time) (int64, error) {
	n, err := io.Copy(to, &io.LimitedReader{R: from, N: limit})
	switch {
	case err == nil && n < limit:
		err = io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(stuck):
		err = errStuck
	}
	return n, err
}

// piece copies what one read gives. It is counted before it is written: who has
// seen an answer finds it in the counters.
func (r *relay) piece(to, from net.Conn, sum *atomic.Int64, buf []byte) (int64, error) {
	n, err := from.Read(buf)
	if n == 0 {
		return 0, err
	}
	if !r.proxy.spend.unlimited() {
		if err := r.proxy.spend.take(r.proxy.pause, int64(n)); err != nil {
			return 0, err
		}
		// A piece that was read is not given up because its bytes were waited for.
		to.SetWriteDeadline(time.Now().Add(r.proxy.cfg.Timeouts.Idle))
	}
	r.count(sum, int64(n))
	wrote, err := to.Write(buf[:n])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errStuck
	}
	return int64(wrote), err
}

func closeWrite(c net.Conn) {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
		return
	}
	c.Close()
}

// spending holds the policy's budgets of bytes, in both directions together.
type spending struct {
	clock func() time.Time

	mu          sync.Mutex
	rate, total *window
}

// window is a budget and what was used of it since a time.
type window struct {
	policy.Budget
	since time.Time
	used  int64
}

func newSpending(rate, total *policy.Budget, clock func() time.Time) *spending {
	s := &spending{clock: clock}
	if rate != nil {
		s.rate = &window{Budget: *rate, since: clock()}
	}
	if total != nil {
		s.total = &window{Budget: *total, since: clock()}
	}
	return s
}

func (s *spending) unlimited() bool { return s.rate == nil && s.total == nil }

// take takes n bytes: at once if the rate has them, else when it has. Of the
// total they are there or they are not.
func (s *spending) take(pause func(time.Duration) bool, n int64) error {
	for {
		wait, err := s.try(n)
		if wait == 0 {
			return err
		}
		if !pause(wait) {
			return net.ErrClosed
		}
	}
}

// try takes n bytes, or says how long to wait for them.
func (s *spending) try(n int64) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if s.total != nil && !s.total.has(now, n) {
		return 0, refuse(OverBytes, "the policy's bytes are used up")
	}
	if s.rate != nil {
		// A rate below one piece would never have a whole piece: a full window may
		// be overdrawn once, and is made up for by waiting.
		if !s.rate.has(now, min(n, s.rate.Count)) {
			return max(s.rate.since.Add(s.rate.Per).Sub(now), time.Millisecond), nil
		}
		s.rate.used += n
	}
	if s.total != nil {
		s.total.used += n
	}
	return 0, nil
}

// has reports whether n more bytes fit. What was overdrawn is carried over. A
// clock that was set back begins no window and prolongs none.
func (w *window) has(now time.Time, n int64) bool {
	if now.Before(w.since) {
		w.since = now
	}
	if w.Per > 0 {
		if passed := int64(now.Sub(w.since) / w.Per); passed > 0 {
			w.used = max(0, w.used-saturated(passed, w.Count))
			w.since = w.since.Add(time.Duration(passed) * w.Per)
		}
	}
	return w.Count > 0 && n <= w.Count-w.used
}

// saturated is a*b, or the largest number.
func saturated(a, b int64) int64 {
	if b > 0 && a > (1<<63-1)/b {
		return 1<<63 - 1
	}
	return a * b
}
