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
// Several waiting requests for one model could be run as one batch. [Scheduler.next]
// is where that would be decided: it knows who is served next and could grant more
// of the same model with it. It is not done: on a CPU it pays for texts of some twenty
// tokens, where reading the weights is what takes the time, and not for longer ones or
// for pictures (docs/benchmarks.md). Who has several short texts sends them as one request.
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
}

// share is after how many queries background work that waits gets a turn.
const share = 4

// New returns a scheduler with this many runs, all free.
func New(runs int, l Limits) (*Scheduler, error) {
	if runs <= 0 || l.Queue <= 0 || l.Caller <= 0 {
		return nil, fmt.Errorf("schedule: runs %d, queue %d, queue of one caller %d: all must be positive", runs, l.Queue, l.Caller)
	}
	return &Scheduler{runs: runs, limits: l, queries: newClass(), background: newClass()}, nil
}

// Acquire waits for a run on behalf of a caller. Release must be called when the run
// has ended; calling it again does nothing. The error is an [*Overload], or ctx's if
// ctx was cancelled.
func (s *Scheduler) Acquire(ctx context.Context, caller string) (release func(), err error) {
	return s.acquire(ctx, &s.queries, caller)
}

// Background is Acquire for loading and packing models. How long that takes is not
// foreseen: only a full queue refuses it, and ctx ends the wait.
func (s *Scheduler) Background(ctx context.Context, caller string) (release func(), err error) {
	return s.acquire(ctx, &s.background, caller)
}

// Stats is what goes on at one moment.
type Stats struct {
	Running, Waiting                     int // queries
	BackgroundRunning, BackgroundWaiting int
	// Average is the moving average of a query's run; zero before the first.
	Average time.Duration
}

// Stats returns what goes on.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.queries.running, s.queries.waiting, s.background.running, s.background.waiting, s.average}
}

// waiter is one request that waits.
type waiter struct {
	flow    *flow
	place   *list.Element
	granted chan struct{} // closed when the run is its own
	charged time.Duration
	began   time.Time
}

func (s *Scheduler) acquire(ctx context.Context, c *class, caller string) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if err := s.admit(ctx, c, caller); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	w := c.join(caller)
	s.next()
	s.mu.Unlock()
	select {
	case <-w.granted:
		return s.release(c, w), nil
	case <-ctx.Done():
		return nil, s.leave(ctx, c, w)
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
		c.serve(s.average)
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

// release returns what ends a run.
func (s *Scheduler) release(c *class, w *waiter) func() {
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.end(c, w)
		})
	}
}

func (s *Scheduler) end(c *class, w *waiter) {
	took := c.end(w)
	if c == &s.queries {
		s.average = smooth(s.average, took)
	}
	s.next()
}

// leave ends the wait of a request whose context has ended. A run that it was given
// in the same moment goes to the next.
func (s *Scheduler) leave(ctx context.Context, c *class, w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.place == nil {
		c.cancel(w)
	} else {
		c.remove(w)
	}
	s.next()
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Overload{What: Deadline, Waiting: c.waiting, RetryAfter: s.retry(c.waiting), cause: ctx.Err()}
}
