package schedule

import (
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
	s      *Scheduler
	ctx    context.Context
	caller string
	turn   *Turn // nil after an error
}

// Work is [Scheduler.Acquire] for work that can be divided. It must be released, also
// after an error of Pause, and before the same request asks for its run. How long it
// takes does not count for what a run is foreseen to take.
func (s *Scheduler) Work(ctx context.Context, caller string) (*Work, error) {
	w := &Work{s: s, ctx: ctx, caller: caller}
	return w, w.take()
}

func (w *Work) take() (err error) {
	w.turn, err = w.s.acquire(w.ctx, &w.s.queries, w.caller, Part{divided: true})
	return err
}

// Pause is called often, between two pieces of the work. Where others are to be served
// first it waits until the work may go on. After an error the work has no run any more;
// it is that of Acquire.
func (w *Work) Pause() error {
	if w.turn == nil || w.ctx.Err() == nil && w.s.goesOn(w.turn.w) {
		return w.ctx.Err()
	}
	w.Release()
	return w.take()
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
