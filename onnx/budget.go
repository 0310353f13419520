package onnx

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrBusy is wrapped by the error of a run that other runs leave no memory for
// at the moment. It may go well later.
var ErrBusy = errors.New("no memory is free for it now")

// Budget bounds what all runs that share it hold at the same time. Limits bound
// one run; many of them together could still take more than the machine has. It
// is safe for concurrent use.
//
// Memory of a run that is over waits for the next one, and counts as long as it does.
// What has waited longest is dropped when a run needs more than is left.
type Budget struct {
	total int64
	left  atomic.Int64
	mu    sync.Mutex
	waits []*waiting // longest first
}

// waiting is memory that no run holds.
type waiting struct {
	bytes int64
	drop  func()
}

// NewBudget returns a budget of so many bytes, counted as [Limits] counts them:
// the elements of tensors, without the text of strings.
func NewBudget(bytes int64) *Budget {
	b := &Budget{total: bytes}
	b.left.Store(bytes)
	return b
}

// take takes bytes, in the place of what waits if need be.
func (b *Budget) take(bytes int64) bool {
	if b.left.Add(-bytes) >= 0 {
		return true
	}
	b.left.Add(bytes)
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if b.left.Add(-bytes) >= 0 {
			return true
		}
		b.left.Add(bytes)
		if len(b.waits) == 0 {
			return false
		}
		b.waits[0].drop()
		b.left.Add(b.waits[0].bytes)
		b.waits = slices.Delete(b.waits, 0, 1)
	}
}

// end is the end of a wait, unless it was dropped before.
func (b *Budget) end(w *waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range slices.Backward(b.waits) { // those before may be of sessions that are gone
		if other == w {
			b.waits = slices.Delete(b.waits, i, i+1)
			b.left.Add(w.bytes)
			return
		}
	}
}

// Share is what one run holds of a budget. It is for one run at a time.
type Share struct {
	budget *Budget
	held   int64
}

// Share returns a share that holds nothing yet.
func (b *Budget) Share() *Share { return &Share{budget: b} }

// Release gives everything back. It may be called again.
func (s *Share) Release() {
	s.budget.left.Add(s.held)
	s.held = 0
}

// Take adds to the share. An error that wraps [ErrBusy] says that other shares have
// what is missing, one that wraps [ErrLimit] that the whole budget would not do.
func (s *Share) Take(bytes int64) error {
	switch {
	case bytes > s.budget.total-s.held:
		return fmt.Errorf("%w: %d bytes more than the %d held, at most %d in all runs together", ErrLimit, bytes, s.held, s.budget.total)
	case !s.budget.take(bytes):
		return ErrBusy
	}
	s.held += bytes
	return nil
}

// Give takes from the share what is not needed any more.
func (s *Share) Give(bytes int64) {
	s.budget.left.Add(bytes)
	s.held -= bytes
}

// Absorb moves all that another share of the same budget holds to this one.
func (s *Share) Absorb(other *Share) {
	s.held += other.held
	other.held = 0
}

// Keep takes bytes from the share that wait for another run and still count for the
// budget, until end is called or the budget needs them and calls drop, which must not
// call the budget.
func (s *Share) Keep(bytes int64, drop func()) (end func()) {
	b, w := s.budget, &waiting{bytes, drop}
	s.held -= bytes
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits = append(b.waits, w)
	return func() { b.end(w) }
}
