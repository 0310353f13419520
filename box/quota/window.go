package quota

import (
	"time"

	"github.com/blindbox/blindbox/policy"
)

// slots is how many moments a window tells apart.
const slots = 500

// window is what was used of one budget within its time. It is a ring of
// moments, each with what was used then.
type window struct {
	what   string
	limit  int64
	per    time.Duration
	within int64 // in the ring, all together
	held   int64 // reserved and not used yet

	ring  []moment // grows to slots + 1 at most
	first int      // the oldest
	n     int
}

// moment is what was used between from and at.
type moment struct {
	from, at time.Duration
	count    int64
}

func newWindow(b *policy.Budget, what string) *window {
	return &window{what: what, limit: max(b.Count, 0), per: max(b.Per, 0)}
}

func (w *window) left() int64 { return w.limit - w.within - w.held }

// forget drops what was used longer ago than the budget's time.
func (w *window) forget(now time.Duration) {
	for w.n > 0 && now-w.ring[w.first].at >= w.per {
		w.within -= w.ring[w.first].count
		w.first = (w.first + 1) % len(w.ring)
		w.n--
	}
}

// full says that there is no room for one more, or returns nil.
func (w *window) full(now time.Duration) *Spent {
	w.forget(now)
	switch {
	case w.left() > 0:
		return nil
	case w.limit == 0:
		return &Spent{What: w.what, Never: true}
	case w.n == 0:
		// All of it is reserved by what is under way, and nobody knows how long
		// that takes.
		return &Spent{What: w.what, Wait: time.Second}
	}
	return &Spent{What: w.what, Wait: w.per - (now - w.ring[w.first].at)}
}

// use notes what was used now.
func (w *window) use(now time.Duration, count int64) {
	w.forget(now)
	w.within += count
	if last := w.last(); last != nil && (last.at == now || w.n > slots || w.limit > slots && now-last.from < w.per/slots) {
		// It counts from its end, so what lies in it is kept too long and never
		// too short.
		last.at, last.count = now, last.count+count
		return
	}
	if w.n == len(w.ring) {
		w.grow()
	}
	w.ring[(w.first+w.n)%len(w.ring)] = moment{from: now, at: now, count: count}
	w.n++
}

func (w *window) last() *moment {
	if w.n == 0 {
		return nil
	}
	return &w.ring[(w.first+w.n-1)%len(w.ring)]
}

// grow makes room for one more moment, slots + 1 at most: an old one and those of
// the slots behind it.
func (w *window) grow() {
	ring := make([]moment, min(max(2*len(w.ring), 8), slots+1))
	for i := range w.n {
		ring[i] = w.ring[(w.first+i)%len(w.ring)]
	}
	w.ring, w.first = ring, 0
}
