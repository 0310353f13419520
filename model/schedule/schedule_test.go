package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func scheduler(t *testing.T, runs int, l Limits) *Scheduler {
	t.Helper()
	s, err := New(runs, l)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wide is limits that nothing in a test reaches.
var wide = Limits{Queue: 1 << 20, Caller: 1 << 20}

// run is one request of a test; the log gets the caller's name when it begins.
type lab struct {
	t   *testing.T
	s   *Scheduler
	mu  sync.Mutex
	log []string
	now map[string]int // running
}

func newLab(t *testing.T, runs int) *lab {
	return &lab{t: t, s: scheduler(t, runs, wide), now: map[string]int{}}
}

func (l *lab) query(caller string, took time.Duration) { l.start(l.s.Acquire, caller, took) }
func (l *lab) load(caller string, took time.Duration)  { l.start(l.s.Background, caller, took) }

// start sends a request and returns when it runs or waits.
func (l *lab) start(acquire func(context.Context, string) (func(), error), caller string, took time.Duration) {
	go func() {
		release, err := acquire(context.Background(), caller)
		if err != nil {
			l.t.Errorf("%s: %v", caller, err)
			return
		}
		l.mu.Lock()
		l.log = append(l.log, caller)
		l.mu.Unlock()
		time.Sleep(took)
		release()
	}()
	synctest.Wait()
}

// waiting is a request that has not joined a queue.
func waiting(caller string) *waiter { return &waiter{caller: caller, granted: make(chan struct{})} }

func (l *lab) order() string { l.mu.Lock(); defer l.mu.Unlock(); return strings.Join(l.log, " ") }

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		runs int
		l    Limits
	}{{0, wide}, {-1, wide}, {1, Limits{Queue: 1}}, {1, Limits{Caller: 1}}, {1, Limits{}}} {
		if s, err := New(c.runs, c.l); err == nil || s != nil {
			t.Errorf("%+v: accepted", c)
		}
	}
}

// TestRunsAtOnce: never more than there are, and all of them if there is work.
func TestRunsAtOnce(t *testing.T) {
	for _, runs := range []int{1, 2, 7} {
		synctest.Test(t, func(t *testing.T) {
			s := scheduler(t, runs, wide)
			var mu sync.Mutex
			running, most := 0, 0
			var all sync.WaitGroup
			for i := range 100 {
				all.Go(func() {
					release, err := s.Acquire(t.Context(), fmt.Sprint("caller ", i%3))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					release()
					release() // does nothing
				})
			}
			began := time.Now()
			all.Wait()
			if took := time.Since(began); most != runs || took != time.Duration((100+runs-1)/runs)*time.Second {
				t.Errorf("%d runs: at most %d at once, all took %v", runs, most, took)
			}
			if got := s.Stats(); got.Running+got.Waiting != 0 || got.Average != time.Second {
				t.Errorf("afterwards: %+v", got)
			}
			s.queries.forget()
			if len(s.queries.flows) != 0 {
				t.Errorf("%d callers are remembered", len(s.queries.flows))
			}
		})
	}
}

// TestFlood: a caller with 1,000 requests delays another's single one by one run.
func TestFlood(t *testing.T) {
	for _, runs := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, runs)
			for range 1000 {
				l.query("flood", time.Second)
			}
			time.Sleep(10*time.Second + 500*time.Millisecond)
			began := time.Now()
			release, err := l.s.Acquire(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			if wait := time.Since(began); wait > time.Second {
				t.Errorf("%d runs: waited %v for a run, expected at most one run's time", runs, wait)
			}
			release()
			time.Sleep(2000 * time.Second)
		})
	}
}

// TestByTime: callers share the time, not the number of runs.
func TestByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		for range 100 {
			l.query("long", 10*time.Second)
			l.query("short", time.Second)
		}
		time.Sleep(99*time.Second + time.Millisecond)
		long, short := strings.Count(l.order(), "long"), strings.Count(l.order(), "short")
		if short < 40 || long > 6 {
			t.Errorf("in 99 s %d long runs of 10 s and %d short ones of 1 s", long, short)
		}
		time.Sleep(2000 * time.Second)
	})
}

// TestNoSaving: who did not ask for long does not get all of the runs afterwards.
func TestNoSaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		for range 200 {
			l.query("busy", time.Second)
		}
		time.Sleep(100*time.Second + 500*time.Millisecond)
		l.mu.Lock()
		l.log = nil
		l.mu.Unlock()
		for range 20 {
			l.query("back", time.Second)
		}
		time.Sleep(10 * time.Second)
		if got := strings.Count(l.order(), "busy"); got < 4 {
			t.Errorf("order %q: the busy one had %d of 10 runs", l.order(), got)
		}
		time.Sleep(2000 * time.Second)
	})
}

// TestOrderOfOne: one caller's requests are served as they came.
func TestOrderOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 1, wide)
		var got []int
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				release, err := s.Acquire(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, i)
				time.Sleep(time.Second)
				release()
			})
			synctest.Wait()
		}
		all.Wait()
		for i, n := range got {
			if i != n {
				t.Fatalf("served in the order %v", got)
			}
		}
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 1, Limits{Queue: 5, Caller: 3})
		ctx, cancel := context.WithCancel(t.Context())
		wait := func(caller string) {
			go func() { _, _ = s.Acquire(ctx, caller) }()
			synctest.Wait()
		}
		for range 4 { // one runs
			wait("a")
		}
		var o *Overload
		if _, err := s.Acquire(ctx, "a"); !errors.As(err, &o) || o.What != Caller || o.Waiting != 3 || o.Limit != 3 || o.RetryAfter < time.Second {
			t.Errorf("the fourth of one caller: %v", err)
		}
		wait("b")
		wait("c")
		if _, err := s.Acquire(ctx, "d"); !errors.As(err, &o) || o.What != Queue || o.Waiting != 5 || o.Limit != 5 || o.RetryAfter < time.Second {
			t.Errorf("the sixth of all: %v", err)
		}
		if _, err := s.Background(ctx, "d"); !errors.As(err, &o) || o.What != Queue {
			t.Errorf("a load behind a full queue: %v", err)
		}
		cancel()
		synctest.Wait()
		if got := s.Stats(); got.Waiting != 0 || got.Running != 1 {
			t.Errorf("after all have left: %+v", got)
		}
	})
}

// TestDeadline: who cannot be reached in time is refused at once; who can is not.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		for range 16 { // the average becomes 1 s
			l.query("a", time.Second)
		}
		time.Sleep(time.Minute)
		for range 12 { // 2 run, 10 wait
			l.query("a", time.Second)
		}
		try := func(caller string, within time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			began := time.Now()
			release, err := l.s.Acquire(ctx, caller)
			if err == nil {
				release()
			}
			return time.Since(began), err
		}
		var o *Overload
		if took, err := try("a", 5*time.Second); !errors.As(err, &o) || o.What != Deadline || took != 0 || o.Wait != 5500*time.Millisecond || o.RetryAfter != 5*time.Second {
			t.Errorf("11th of the caller in 5 s: %v after %v", err, took)
		}
		if took, err := try("b", 1500*time.Millisecond); err != nil || took > time.Second {
			t.Errorf("another caller's first in 1.5 s: %v after %v", err, took)
		}
		if _, err := try("a", time.Minute); err != nil {
			t.Errorf("the caller's in a minute: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

// TestDeadlinePasses: the estimate was wrong; the wait ends with the deadline.
func TestDeadlinePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 1, wide)
		release, err := s.Acquire(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Acquire(ctx, "b")
		var o *Overload
		if !errors.As(err, &o) || o.What != Deadline || o.Wait != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Acquire(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a deadline that is over: %v", err)
		}
		release()
		if release, err = s.Acquire(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		release()
	})
}

// TestCancelled: a request that goes away leaves no gap, also when it is given its
// run in the same moment.
func TestCancelled(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			s := scheduler(t, 1+rng.IntN(3), wide)
			var all sync.WaitGroup
			for i := range 30 {
				ctx, cancel := context.WithCancel(t.Context())
				took := time.Duration(rng.IntN(4)) * time.Second
				all.Go(func() {
					release, err := s.Acquire(ctx, fmt.Sprint(i%4))
					if err != nil {
						return
					}
					time.Sleep(took)
					release()
				})
				time.AfterFunc(time.Duration(rng.IntN(6))*time.Second, cancel) // in the same moment as releases
			}
			all.Wait()
			if got := s.Stats(); got.Running+got.Waiting+got.BackgroundRunning+got.BackgroundWaiting != 0 {
				t.Fatalf("seed %d: %+v", seed, got)
			}
			time.Sleep(time.Minute)
		})
	}
}

// TestGivenAndGone is the moment in which a run is given to a request that leaves:
// the run goes to the next one, and the caller is not charged.
func TestGivenAndGone(t *testing.T) {
	s := scheduler(t, 1, wide)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	s.mu.Lock()
	w, other := waiting("a"), waiting("b")
	s.queries.join(w)
	s.next()
	s.queries.join(other)
	s.mu.Unlock()
	cancel()
	if err := s.leave(ctx, &s.queries, w); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-other.granted:
	default:
		t.Error("the run was lost")
	}
	if f := s.queries.flows["a"]; f != nil && f.clock > s.queries.clock {
		t.Errorf("charged %v for nothing", f.clock)
	}
}

// TestBackground: loads leave one run to queries, and end.
func TestBackground(t *testing.T) {
	for _, runs := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, runs)
			for range 10 {
				l.load("load", 5*time.Second)
			}
			if got, most := l.s.Stats().BackgroundRunning, max(runs-1, 1); got != most {
				t.Errorf("%d runs: %d loads at once, expected %d", runs, got, most)
			}
			for range 100 {
				l.query("query", time.Second)
			}
			time.Sleep(50 * time.Second)
			order := l.order()
			if runs > 1 && strings.Count(order, "load") < 6 {
				t.Errorf("%d runs: loads starve: %s", runs, order)
			}
			if runs > 1 && strings.Count(order, "query") < 50 {
				t.Errorf("%d runs: queries have less than a run: %s", runs, order)
			}
			if got := strings.Count(order, "load"); runs == 1 && got != 1 {
				t.Errorf("one run: %d loads ran while queries waited: %s", got, order)
			}
			time.Sleep(time.Hour)
			if order := l.order(); strings.Count(order, "load") != 10 || strings.Count(order, "query") != 100 {
				t.Errorf("%d runs: not all ran: %s", runs, order)
			}
		})
	}
}

// TestBackgroundAverage: how long loads take says nothing about queries.
func TestBackgroundAverage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		l.load("a", time.Hour)
		l.query("a", time.Second)
		time.Sleep(2 * time.Hour)
		if got := l.s.Stats().Average; got != time.Second {
			t.Errorf("average %v", got)
		}
	})
}

// TestFairness is a property: of callers that always have work, none gets more time
// than another by more than what is running, whatever lengths their runs have.
func TestFairness(t *testing.T) {
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			runs, callers := 1+rng.IntN(4), 2+rng.IntN(5)
			const longest = 100
			l := scheduler(t, runs, wide)
			used := make([]time.Duration, callers)
			ctx, cancel := context.WithCancel(t.Context())
			var mu sync.Mutex
			var all sync.WaitGroup
			for c := range callers {
				scale := 1 + rng.IntN(longest)
				for range 2 * runs { // so that the caller has always one that waits
					own := rand.New(rand.NewPCG(rng.Uint64(), 3))
					all.Go(func() {
						for {
							release, err := l.Acquire(ctx, fmt.Sprint(c))
							if err != nil {
								return
							}
							took := time.Duration(1+own.IntN(scale)) * time.Millisecond
							time.Sleep(took)
							mu.Lock()
							used[c] += took
							mu.Unlock()
							release()
						}
					})
				}
			}
			bound := time.Duration(2*(runs+1)*longest) * time.Millisecond
			for range 20 {
				time.Sleep(time.Duration(1+rng.IntN(2000)) * time.Millisecond)
				mu.Lock()
				for a := range used {
					for b := range used[:a] {
						if d := (used[a] - used[b]).Abs(); d > bound {
							t.Errorf("seed %d, %d runs: callers %d and %d differ by %v, bound %v: %v", seed, runs, a, b, d, bound, used)
						}
					}
				}
				mu.Unlock()
			}
			cancel()
			all.Wait()
		})
	}
}

// TestManyNames: callers that have gone are not remembered.
func TestManyNames(t *testing.T) {
	s := scheduler(t, 1, wide)
	hold, err := s.Acquire(t.Context(), "always")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Acquire(ctx, fmt.Sprint("name ", i)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		s.mu.Lock()
		w := waiting(fmt.Sprint("name ", i))
		s.queries.join(w)
		s.mu.Unlock()
		_ = s.leave(ctx, &s.queries, w)
	}
	hold()
	if n := len(s.queries.flows); n > 1 {
		t.Errorf("%d callers are remembered", n)
	}
}

// TestRealClock is for the race detector: many goroutines, real time.
func TestRealClock(t *testing.T) {
	s := scheduler(t, 2, Limits{Queue: 50, Caller: 20})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			for n := range 50 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*time.Millisecond)
				acquire := s.Acquire
				if n%7 == 0 {
					acquire = s.Background
				}
				if release, err := acquire(ctx, fmt.Sprint(i%5)); err == nil {
					release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if got := s.Stats(); got.Running+got.Waiting+got.BackgroundRunning+got.BackgroundWaiting != 0 {
		t.Errorf("%+v", got)
	}
}

func TestEstimateNeverOverflows(t *testing.T) {
	s := scheduler(t, 1, wide)
	s.average = 1 << 60
	if got := s.time(1 << 40); got <= 0 {
		t.Errorf("time %v", got)
	}
	if got := s.retry(1 << 40); got != time.Minute {
		t.Errorf("retry %v", got)
	}
}

func BenchmarkAcquire(b *testing.B) {
	s, err := New(2, wide)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		release, err := s.Acquire(context.Background(), "a")
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}
