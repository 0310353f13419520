package onnx

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrBusy is wrapped by the error of a run that other runs leave no memory for
// at the moment. It may go well later.
var ErrBusy = errors.New("no memory is free for it now")

// Budget bounds what all runs that share it hold at the same time. Limits bound
// one run; many of them together could still take more than the machine has. It
// is safe for concurrent use.
type Budget struct {
	total int64
	left  atomic.Int64
}

// NewBudget returns a budget of so many bytes, counted as [Limits] counts them:
// the elements of tensors, without the text of strings.
func NewBudget(bytes int64) *Budget {
	b := &Budget{total: bytes}
	b.left.Store(bytes)
	return b
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
	case s.budget.left.Add(-bytes) < 0:
		s.budget.left.Add(bytes)
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
