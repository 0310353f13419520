package kernel

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// On says on what a loop runs: until when, with which instructions, on how many
// threads. The zero value runs portable code on one thread and never ends early.
// It is immutable and safe for concurrent use.
type On struct {
	Context context.Context // nil: nothing ends the run
	Level   Level
	Threads int // goroutines that work at the same time; 0 and 1: the caller's alone
}

// Err returns the context's error. Long loops ask at least every millisecond.
func (o *On) Err() error {
	if o.Context == nil {
		return nil
	}
	return o.Context.Err()
}

// Workers returns the number of goroutines that share the work, at least 1.
func (o *On) Workers() int { return max(1, o.Threads) }

// Parallel calls do(part) for each part from 0 to parts-1, on up to Threads
// goroutines, and returns when all are done. Before each part it looks at the
// context; once that has ended no further part begins and its error is returned.
// The parts must not depend on each other or on which goroutine has them: then
// the result is the same for every number of threads. Nothing spins: a thread
// without work ends. A panic in a part is raised again in the caller.
func (o *On) Parallel(parts int, do func(part int)) error {
	workers := min(o.Workers(), parts)
	if workers <= 1 {
		for part := range parts {
			if err := o.Err(); err != nil {
				return err
			}
			do(part)
		}
		return o.Err()
	}
	var next atomic.Int64
	var panicked atomic.Pointer[any]
	work := func() {
		defer func() {
			if r := recover(); r != nil {
				panicked.CompareAndSwap(nil, &r)
			}
		}()
		for o.Err() == nil && panicked.Load() == nil {
			part := int(next.Add(1)) - 1
			if part >= parts {
				return
			}
			do(part)
		}
	}
	var wait sync.WaitGroup
	for range workers - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
	if r := panicked.Load(); r != nil {
		panic(fmt.Sprintf("kernel: in a part: %v", *r))
	}
	return o.Err()
}
