package plan

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"
)

// idle is the frames of a program that wait for another run: as many as can run at the
// same time, those that ran last. Memory from before is faster than new one.
type idle struct {
	mu     sync.Mutex
	frames []*parked // those that wait longest first
}

// parked is a frame that waits. Who takes it out of there has it.
type parked struct {
	frame atomic.Pointer[frame]
	bound *Bound
	end   func() // says to the budget that it waits no longer; nil: none counts it
}

// take returns the frame, once.
func (w *parked) take() *frame {
	f := w.frame.Swap(nil)
	if w.end != nil {
		w.end()
	}
	return f
}

// waiting returns a frame of a binding that waits; nil if there is none.
func (p *Program) waiting(b *Bound, l *ledger) *frame {
	if f := l.waited(b); f != nil {
		return f
	}
	return p.idle.get(b)
}

// park lets a frame wait. Its memory counts for the budget of the run that had it, which
// may drop it. The budget must not keep a program alive, so it knows the frame weakly.
// Where no budget counts it, the frame of a graph inside waits in its run only.
func (p *Program) park(f *frame, l *ledger) {
	if p.options.inner && !l.budgeted() {
		l.wait(f)
		return
	}
	w := &parked{bound: f.bound}
	w.frame.Store(f)
	at := weak.Make(w)
	w.end = l.keep(f.bound.arena, func() {
		if w := at.Value(); w != nil {
			w.frame.Store(nil)
		}
	})
	p.idle.add(w)
}

// add lets the frame that has waited longest go if there are too many.
func (s *idle) add(w *parked) {
	s.mu.Lock()
	s.frames = append(s.frames, w)
	var gone *parked
	if len(s.frames) > runtime.GOMAXPROCS(0) {
		gone = s.frames[0]
		s.frames = slices.Delete(s.frames, 0, 1)
	}
	s.mu.Unlock()
	if gone != nil {
		gone.take()
	}
}

// get returns a frame of a binding that waits, the last one first; nil if there is none.
func (s *idle) get(b *Bound) *frame {
	for {
		w := s.last(b)
		if w == nil {
			return nil
		}
		if f := w.take(); f != nil {
			return f
		}
	}
}

func (s *idle) last(b *Bound) *parked {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range slices.Backward(s.frames) {
		if w.bound == b {
			s.frames = slices.Delete(s.frames, i, i+1)
			return w
		}
	}
	return nil
}
