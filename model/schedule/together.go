package schedule

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// Part is what a request says that may share its run with others.
type Part struct {
	// Kind is equal for requests that may run together, with ==. A nil one, as that of the
	// zero Part, runs alone.
	Kind any
	// Rows is how much of a run the request is, and Size how many rows one run may have;
	// it is the same for all of a kind. A request with more rows runs alone.
	Rows, Size int
	// Wait is how long the request waits for others though it could run; 0 takes with it
	// only those that wait already.
	Wait time.Duration
	// Item is for whoever runs it.
	Item any

	divided bool // it is no run: see Work
}

// shares says that a request may run with others.
func (p *Part) shares() bool { return p.Kind != nil && p.Rows > 0 && p.Rows < p.Size }

// foreseen is what a request is charged before it has run.
func (p *Part) foreseen(average time.Duration) time.Duration {
	if p.divided {
		return slice
	}
	return max(average, 1)
}

// run is one run and who shares it.
type run struct {
	class   *class
	waiters []*waiter
	rows    int
	holds   int // requests that have not released it, and who computes
	led     bool
	began   time.Time
}

// share is what a request has to pay of the time that a run took.
func (r *run) share(w *waiter, took time.Duration) time.Duration {
	if len(r.waiters) == 1 {
		return took
	}
	return max(time.Duration(float64(took)*float64(w.part.Rows)/float64(r.rows)), 1)
}

// Turn is a request's part of a run.
type Turn struct {
	s    *Scheduler
	w    *waiter
	once sync.Once
}

// Join is [Scheduler.Acquire] for a request that may share its run. Every request that it
// returns a turn to calls [Turn.Lead], and later [Turn.Release].
func (s *Scheduler) Join(ctx context.Context, caller string, p Part) (*Turn, error) {
	return s.acquire(ctx, &s.queries, caller, p)
}

// Lead tells one of the requests of a run to compute it: it is given the items of all,
// its own too, and calls end when it is done. The others' answers are its affair; those
// who left before are not among them. The run is over when it has ended and all requests
// have released their turns.
func (t *Turn) Lead() (items []any, end func(), leads bool) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	r := t.w.run
	if r.led {
		return nil, nil, false
	}
	r.led = true
	r.holds++
	for _, w := range r.waiters {
		items = append(items, w.part.Item)
	}
	var once sync.Once
	return items, func() { once.Do(func() { t.s.release(r) }) }, true
}

// Release ends this request's part. To call it again does nothing.
func (t *Turn) Release() { t.once.Do(func() { t.s.release(t.w.run) }) }

func (s *Scheduler) release(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.let(r)
}

// company adds to a run those that may share it: of every other caller one, as they
// would be served, and then more of the same callers if no other one waits for anything.
func (c *class) company(r *run, average time.Duration) {
	first := r.waiters[0]
	if !first.part.shares() {
		return
	}
	in := map[*flow]bool{first.flow: true}
	next := func(may func(*flow) bool) bool {
		f := c.first(func(f *flow) bool { return may(f) && f.fits(r) != nil })
		if f == nil {
			return false
		}
		in[f] = true
		c.enter(r, f.fits(r).Value.(*waiter), average)
		return true
	}
	for next(func(f *flow) bool { return !in[f] }) {
	}
	if c.first(func(f *flow) bool { return !in[f] }) != nil {
		return
	}
	for next(func(*flow) bool { return true }) {
	}
}

// fits is a caller's first request that there is room for in a run of its kind.
func (f *flow) fits(r *run) *list.Element {
	with := &r.waiters[0].part
	for e := f.queue.Front(); e != nil; e = e.Next() {
		if p := &e.Value.(*waiter).part; p.shares() && p.Kind == with.Kind && p.Rows <= with.Size-r.rows {
			return e
		}
	}
	return nil
}

// hold has a request wait for others of its kind, if it could run at once or such ones
// are waited for already. With the last that there is room for all of them join the
// queue.
func (s *Scheduler) hold(c *class, w *waiter) bool {
	p := &w.part
	if !p.shares() || p.Wait <= 0 || len(s.held[p.Kind]) == 0 && !s.free(c) {
		return false
	}
	s.held[p.Kind] = append(s.held[p.Kind], w)
	rows := 0
	for _, w := range s.held[p.Kind] {
		rows += w.part.Rows
	}
	if rows >= p.Size {
		s.unhold(p.Kind)
	}
	return true
}

// unhold lets requests join the queue that have waited for others.
func (s *Scheduler) unhold(kind any) {
	for _, w := range s.held[kind] {
		s.queries.join(w)
	}
	delete(s.held, kind)
	s.next()
}

// drop takes out a request that waits for others no longer.
func (s *Scheduler) drop(w *waiter) {
	kind := w.part.Kind
	s.held[kind] = slices.DeleteFunc(s.held[kind], func(other *waiter) bool { return other == w })
	if len(s.held[kind]) == 0 {
		delete(s.held, kind)
	}
}

// holds is how many requests wait for others: those of a caller, or all.
func (s *Scheduler) holds(caller *string) int {
	n := 0
	for _, held := range s.held {
		for _, w := range held {
			if caller == nil || w.caller == *caller {
				n++
			}
		}
	}
	return n
}
