package schedule

import (
	"cmp"
	"context"
	"time"
)

// slice is how long work beside runs goes on before others may be served. It is less than
// most runs take: who waits for a run waits for a slice, and not for a body of 20 MiB.
const slice = 5 * time.Millisecond

// Work is what a request takes of a processor beside its run, such as reading a long
// body. It has a run, as its caller's, which it gives to others whose turn it is by then
// ([Work.Pause]). One goroutine may use it.
type Work struct {
	s    *Scheduler
	ctx  context.Context
	turn *Turn // nil after an error
}

// Work is [Scheduler.Acquire] for work that can be divided. It must be released, also
// after an error of Pause, and before the same request asks for its run. How long it
// takes does not count for what a run is foreseen to take.
func (s *Scheduler) Work(ctx context.Context, caller string) (*Work, error) {
	t, err := s.acquire(ctx, &s.queries, caller, Part{divided: true})
	if err != nil {
		return nil, err
	}
	return &Work{s, ctx, t}, nil
}

// Rest is Work for what is left of a request that has had its run, such as writing a long
// answer. It is not refused, or the run would have been for nothing, and is the next of
// its caller's.
func (s *Scheduler) Rest(ctx context.Context, caller string) (*Work, error) {
	w := &waiter{caller: caller, part: Part{divided: true}, granted: make(chan struct{})}
	s.mu.Lock()
	s.queries.rejoin(w)
	s.next()
	s.mu.Unlock()
	t, err := s.await(ctx, &s.queries, w, nil)
	if err != nil {
		return nil, err
	}
	return &Work{s, ctx, t}, nil
}

// Pause is called often, between two pieces of the work. Where others are to be served
// first it waits until the work may go on, as the next of its caller's: what has begun is
// not refused, and does not wait again for what its caller sent later. An error is that of
// the context, and the work has no run any more.
func (w *Work) Pause() (err error) {
	switch {
	case w.turn == nil || w.ctx.Err() != nil:
		w.Release()
		return cmp.Or(w.ctx.Err(), context.Canceled)
	case !w.s.goesOn(w.turn.w):
		w.turn, err = w.s.yield(w.ctx, w.turn)
	}
	return err
}

// yield gives the run of work to whoever is next, and waits for another one.
func (s *Scheduler) yield(ctx context.Context, t *Turn) (*Turn, error) {
	w := &waiter{caller: t.w.caller, part: t.w.part, granted: make(chan struct{})}
	s.mu.Lock()
	s.queries.rejoin(w)
	s.let(t.w.run)
	s.mu.Unlock()
	return s.await(ctx, &s.queries, w, nil)
}

// Release ends the work. To call it again does nothing.
func (w *Work) Release() {
	if w.turn != nil {
		w.turn.Release()
		w.turn = nil
	}
}

// goesOn says that work would be served next if it waited, and begins its next slice.
func (s *Scheduler) goesOn(w *waiter) bool {
	took := time.Since(w.run.began)
	if took < slice {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, f := &s.queries, w.flow
	f.clock += took - w.charged
	w.run.began, w.charged = time.Now(), 0
	if s.background.waiting > 0 {
		s.passed++
	}
	if !s.firstOf(f) {
		return false
	}
	w.charged = slice
	c.clock = max(c.clock, f.clock)
	f.clock += slice
	return true
}

// firstOf says that nobody who waits is to be served before a caller.
func (s *Scheduler) firstOf(f *flow) bool {
	if s.turn() == &s.background {
		return false
	}
	next := s.queries.first(func(*flow) bool { return true })
	return next == nil || next.clock >= f.clock
}
