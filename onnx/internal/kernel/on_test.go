package kernel

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

func TestParallelDoesEveryPartOnce(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 7} {
		for _, parts := range []int{0, 1, 2, 100} {
			done := make([]atomic.Int32, parts)
			if err := (&On{Threads: threads}).Parallel(parts, func(p int) { done[p].Add(1) }); err != nil {
				t.Fatal(err)
			}
			for p := range done {
				if n := done[p].Load(); n != 1 {
					t.Errorf("%d threads: part %d of %d done %d times", threads, p, parts, n)
				}
			}
		}
	}
}

func TestParallelEndsWithTheContext(t *testing.T) {
	for _, threads := range []int{1, 3} {
		ctx, cancel := context.WithCancel(t.Context())
		var done atomic.Int32
		err := (&On{Context: ctx, Threads: threads}).Parallel(1000, func(int) {
			if done.Add(1) >= 5 { // each thread itself: who cancels first may be held up before it has
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || done.Load() > 5+int32(threads) {
			t.Errorf("%d threads: %d parts, %v", threads, done.Load(), err)
		}
	}
}

// TestParallelPanicsInTheCaller: a panic in another goroutine would end the
// process, whatever the caller recovers.
func TestParallelPanicsInTheCaller(t *testing.T) {
	for _, threads := range []int{1, 4} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d threads: no panic", threads)
				}
			}()
			_ = (&On{Threads: threads}).Parallel(8, func(p int) {
				if p == 3 {
					panic("part 3")
				}
			})
		}()
	}
}

func TestLevels(t *testing.T) {
	all := Levels()
	if all[0] != Portable || all[len(all)-1] != Best() {
		t.Errorf("%v, best %v", all, Best())
	}
}
