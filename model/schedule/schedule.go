// Package schedule answers one question: whose run is next?
//
// A box has as many runs at once as it has cores, one thread each: more would only
// make all of them slower. Who finds none free waits. Waiting requests are served
// fair by caller, by the time that each has used and not by how many it has sent: a
// caller with a thousand requests delays another's single one by about one run.
//
// A request that cannot be reached before its deadline is refused at once, with the
// time after which to try again, and so is one that finds the queue full. What a
// refused request would have cost is then there for the others.
//
// Loading and packing models is work of a lower class ([Scheduler.Background]). One
// run is always left to queries, and where there is more than one, background work
// gets a turn after every few queries, so that it ends. A box with a single run loads
// when no query waits.
//
// Requests that say that they may run together ([Scheduler.Join]) share a run if one of
// them is served while others wait: one of each caller, in the order in which they would
// be served, and a second one of a caller only if nobody else waits. Each pays its share
// of the run, by its rows. Nobody waits for others to come, unless the requests say so.
// On a CPU that pays for texts of some twenty tokens, where reading the weights is what
// takes the time, and not for longer ones or for pictures (docs/benchmarks.md). What may
// run together is for others to know: this package takes their word.
//
// What a request takes of a processor beside its run, such as reading a long body, is
// paid like a run ([Scheduler.Work]), and divided: it gives way to others every few
// milliseconds.
//
// The package stands inside the box. Callers are authenticated names; what they send
// and how much of it may be hostile. No goroutine is started, and waiting costs no
// processor time.
package schedule

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits bound who waits. All must be positive.
type Limits struct {
	// Queue is how many requests may wait, all callers and both classes together.
	Queue int
	// Caller is how many of these one caller may have.
	Caller int
}

// Scheduler gives out runs. It is safe for concurrent use.
type Scheduler struct {
	runs   int
	limits Limits

	mu         sync.Mutex
	queries    class
	background class
	passed     int // queries served since background work began to wait
	average    time.Duration
	held       map[any][]*waiter // by their kind: they could run, and wait for others
	batches    uint64
	batched    uint64
}

// share is after how many queries background work that waits gets a turn.
const share = 4

// New returns a scheduler with this many runs, all free.
func New(runs int, l Limits) (*Scheduler, error) {
	if runs <= 0 || l.Queue <= 0 || l.Caller <= 0 {
		return nil, fmt.Errorf("schedule: runs %d, queue %d, queue of one caller %d: all must be positive", runs, l.Queue, l.Caller)
	}
	return &Scheduler{runs: runs, limits: l, queries: newClass(), background: newClass(), held: map[any][]*waiter{}}, nil
}

// Acquire waits for a run on behalf of a caller. Release must be called when the run
// has ended; calling it again does nothing. The error is an [*Overload], or ctx's if
// ctx was cancelled.
func (s *Scheduler) Acquire(ctx context.Context, caller string) (release func(), err error) {
	return released(s.acquire(ctx, &s.queries, caller, Part{}))
}

// Background is Acquire for loading and packing models. How long that takes is not
// foreseen: only a full queue refuses it, and ctx ends the wait.
func (s *Scheduler) Background(ctx context.Context, caller string) (release func(), err error) {
	return released(s.acquire(ctx, &s.background, caller, Part{}))
}

func released(t *Turn, err error) (func(), error) {
	if err != nil {
		return nil, err
	}
	return t.Release, nil
}

// Stats is what goes on at one moment.
type Stats struct {
	Running, Waiting                     int // queries
	BackgroundRunning, BackgroundWaiting int
	// Average is the moving average of a query's run, or of its part of one; zero before
	// the first.
	Average time.Duration
	// Batches is how many runs were shared so far, and Batched by how many requests.
	Batches, Batched uint64
}

// Stats returns what goes on.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.queries.running, s.queries.waiting + s.holds(nil), s.background.running, s.background.waiting, s.average, s.batches, s.batched}
}

// waiter is one request that waits.
type waiter struct {
	caller  string
	part    Part
	flow    *flow
	place   *list.Element
	granted chan struct{} // closed when it has a run
	run     *run
	charged time.Duration
}

func (s *Scheduler) acquire(ctx context.Context, c *class, caller string, p Part) (*Turn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if err := s.admit(ctx, c, caller); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	w := &waiter{caller: caller, part: p, granted: make(chan struct{})}
	held := s.hold(c, w)
	if !held {
		c.join(w)
		s.next()
	}
	s.mu.Unlock()
	var over <-chan time.Time
	if held {
		timer := time.NewTimer(p.Wait)
		defer timer.Stop()
		over = timer.C
	}
	return s.await(ctx, c, w, over)
}

// await waits until a request has a run, and over is when it waits for others no longer.
func (s *Scheduler) await(ctx context.Context, c *class, w *waiter, over <-chan time.Time) (*Turn, error) {
	for {
		select {
		case <-w.granted:
			return &Turn{s: s, w: w}, nil
		case <-over:
			s.mu.Lock()
			if w.place == nil && w.run == nil { // others of its kind may be waited for by now
				s.unhold(w.part.Kind)
			}
			s.mu.Unlock()
		case <-ctx.Done():
			return nil, s.leave(ctx, c, w)
		}
	}
}

// next gives free runs to those whose turn it is. The caller holds the lock.
func (s *Scheduler) next() {
	for s.queries.running+s.background.running < s.runs {
		c := s.turn()
		if c == nil {
			return
		}
		switch {
		case c == &s.background:
			s.passed = 0
		case s.background.waiting > 0:
			s.passed++
		}
		if r := c.serve(s.average); len(r.waiters) > 1 {
			s.batches++
			s.batched += uint64(len(r.waiters))
		}
	}
}

// turn returns the class that is served next, nil if nobody waits who may run.
func (s *Scheduler) turn() *class {
	loads := s.background.waiting > 0 && s.room()
	switch {
	case s.queries.waiting == 0 && !loads:
		return nil
	case s.queries.waiting == 0:
		return &s.background
	case loads && s.runs > 1 && s.passed >= share:
		return &s.background
	}
	return &s.queries
}

// room says that background work may have one more run: the last one is kept for
// queries, unless there is only one.
func (s *Scheduler) room() bool { return s.background.running < max(s.runs-1, 1) }

// let ends one hold on a run, and with the last one the run. The caller holds the lock.
func (s *Scheduler) let(r *run) {
	if r.holds--; r.holds > 0 || len(r.waiters) == 0 {
		return
	}
	took := r.class.end(r)
	if r.class == &s.queries && !r.waiters[0].part.divided {
		s.average = smooth(s.average, took)
	}
	s.next()
}

// leave ends the wait of a request whose context has ended. A run that it was given
// in the same moment goes to the next, unless others share it.
func (s *Scheduler) leave(ctx context.Context, c *class, w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case w.run != nil && w.run.led:
		s.let(w.run)
	case w.run != nil:
		w.run.holds--
		c.cancel(w.run, w)
	case w.place == nil:
		s.drop(w)
	default:
		c.remove(w)
	}
	s.next()
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Overload{What: Deadline, Waiting: c.waiting, RetryAfter: s.retry(c.waiting), cause: ctx.Err()}
}
