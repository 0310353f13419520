package kernel

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

func TestShareGivesLanesToOneAtATime(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 5} {
		on := On{Threads: threads}
		for _, parts := range []int{0, 1, 3, 200} {
			done := make([]atomic.Int32, parts)
			busy := make([]atomic.Bool, on.Workers())
			err := on.Share(parts, func(lane, part int) {
				if !busy[lane].CompareAndSwap(false, true) {
					t.Errorf("%d threads: two parts on lane %d", threads, lane)
				}
				done[part].Add(1)
				busy[lane].Store(false)
			})
			if err != nil {
				t.Fatal(err)
			}
			for part := range done {
				if n := done[part].Load(); n != 1 {
					t.Errorf("%d threads: part %d of %d done %d times", threads, part, parts, n)
				}
			}
		}
	}
}

func TestShareEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Int32
	err := (&On{Context: ctx, Threads: 2}).Share(1000, func(_, _ int) {
		if done.Add(1) >= 5 { // each lane itself: who cancels first may be held up before it has
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || done.Load() > 7 {
		t.Errorf("%d parts, %v", done.Load(), err)
	}
}
