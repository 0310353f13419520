package schedule

import (
	"context"
	"fmt"
	"math"
	"time"
)

// What is why a request was refused.
type What string

// Reasons to refuse.
const (
	// Queue: as many requests wait as may.
	Queue What = "queue"
	// Caller: this caller has as many waiting requests as one may have.
	Caller What = "queue of one caller"
	// Deadline: no run would be, or was, free before the request's deadline.
	Deadline What = "deadline"
)

// Overload says that a request is not run.
type Overload struct {
	What What
	// Waiting is how many requests wait that count here; Limit is how many may, zero
	// if the reason is no number.
	Waiting, Limit int
	// Wait is the estimate that was too long. It is zero if the request did wait until
	// its deadline.
	Wait time.Duration
	// RetryAfter is when to try again: at least a second, at most a minute.
	RetryAfter time.Duration

	cause error
}

func (o *Overload) Error() string {
	switch {
	case o.What == Deadline && o.Wait > 0:
		return fmt.Sprintf("schedule: the request would begin in about %v, after its deadline; try again in %v", o.Wait, o.RetryAfter)
	case o.What == Deadline:
		return fmt.Sprintf("schedule: no run became free before the request's deadline; try again in %v", o.RetryAfter)
	}
	return fmt.Sprintf("schedule: the %s is full: %d requests wait, limit %d; try again in %v", o.What, o.Waiting, o.Limit, o.RetryAfter)
}

// Unwrap returns context.DeadlineExceeded if the deadline passed while waiting.
func (o *Overload) Unwrap() error { return o.cause }

// admit refuses a request for which there is no place, or no time.
func (s *Scheduler) admit(ctx context.Context, c *class, caller string) error {
	if s.free(c) {
		return nil
	}
	all := s.queries.waiting + s.background.waiting + s.holds(nil)
	if own := c.own(caller) + s.holds(&caller); own >= s.limits.Caller {
		return &Overload{What: Caller, Waiting: own, Limit: s.limits.Caller, RetryAfter: s.retry(own)}
	}
	if all >= s.limits.Queue {
		return &Overload{What: Queue, Waiting: all, Limit: s.limits.Queue, RetryAfter: s.retry(all)}
	}
	end, ok := ctx.Deadline()
	if !ok || c == &s.background {
		return nil
	}
	if wait := s.time(c.ahead(caller) + 1); wait > time.Until(end) {
		return &Overload{What: Deadline, Waiting: c.waiting, Wait: wait, RetryAfter: s.retry(c.waiting)}
	}
	return nil
}

// free says that a request would run at once.
func (s *Scheduler) free(c *class) bool {
	if c.waiting > 0 || s.queries.running+s.background.running >= s.runs {
		return false
	}
	return c == &s.queries || s.queries.waiting == 0 && s.room()
}

// time estimates how long until this many runs have ended. Until the first has, it
// is zero: everybody is admitted.
func (s *Scheduler) time(n int) time.Duration {
	each := max(s.average/time.Duration(s.runs), 0)
	if each > 0 && int64(n) > math.MaxInt64/int64(each) {
		return math.MaxInt64
	}
	return time.Duration(n) * each
}

// retry is when a queue of n requests will have room.
func (s *Scheduler) retry(n int) time.Duration {
	return min(max(s.time(n), time.Second), time.Minute)
}

// smooth moves an average towards what was seen, an eighth of the way.
func smooth(average, seen time.Duration) time.Duration {
	if average == 0 {
		return max(seen, 1)
	}
	return max(average+(seen-average)/8, 1)
}
