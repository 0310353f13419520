package schedule

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reads is a caller's work of so much time, in pieces of a millisecond; the log gets the
// caller's name with each run that the work is given.
func (l *lab) reads(ctx context.Context, caller string, took time.Duration) {
	go func() {
		w, err := l.s.Work(ctx, caller)
		if err != nil {
			l.t.Errorf("%s: %v", caller, err)
			return
		}
		defer w.Release()
		for last := (*run)(nil); took > 0; took -= time.Millisecond {
			if now := w.turn.w.run; now != last {
				l.mu.Lock()
				l.log, last = append(l.log, caller), now
				l.mu.Unlock()
			}
			time.Sleep(time.Millisecond)
			if err := w.Pause(); err != nil {
				l.t.Errorf("%s: %v", caller, err)
				return
			}
		}
	}()
	synctest.Wait()
}

// TestWorkGivesWay: a run waits for a slice of another caller's work, and not for all of it.
func TestWorkGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		began := time.Now()
		for range 4 {
			l.reads(t.Context(), "reader", time.Second)
		}
		time.Sleep(time.Second / 2)
		asked := time.Now()
		release, err := l.s.Acquire(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(asked); waited > slice {
			t.Errorf("waited %v, expected %v at most", waited, slice)
		}
		time.Sleep(time.Second)
		release()
		synctest.Wait()
		l.s.mu.Lock()
		running := l.s.queries.running
		l.s.mu.Unlock()
		if running != 1 {
			t.Errorf("%d run after the other's, expected the reader's work", running)
		}
		time.Sleep(10 * time.Second)
		if s := l.s.Stats(); s.Running+s.Waiting != 0 {
			t.Errorf("%+v is left", s)
		}
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("all took %v: work went on without a run", took)
		}
	})
}

// TestWorkGoesOn: work keeps its run while others have used more, or nobody waits.
func TestWorkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		for range 3 {
			l.query("heavy", time.Second)
		}
		l.reads(t.Context(), "reader", 100*time.Millisecond)
		time.Sleep(10 * time.Second)
		if got := l.order(); got != "heavy reader heavy heavy" && got != "heavy heavy reader heavy" {
			t.Errorf("served %s, expected the reader's work in one piece", got)
		}
	})
}

// TestWorkIsPaid: work and runs of two callers have the same time.
func TestWorkIsPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.reads(t.Context(), "reader", 2*time.Second)
		for range 20 {
			l.query("other", 100*time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if n := strings.Count(l.order(), "other"); n < 9 || n > 11 {
			t.Errorf("%d runs of 100ms in 2s beside work, expected 10", n)
		}
		time.Sleep(10 * time.Second)
	})
}

// TestWorkLetsLoads: background work gets its turns beside work that does not end.
func TestWorkLetsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		for range 3 {
			l.reads(t.Context(), "reader", time.Second)
		}
		asked := time.Now()
		release, err := l.s.Background(t.Context(), "owner")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if waited := time.Since(asked); waited > 2*share*slice {
			t.Errorf("a load waited %v", waited)
		}
		time.Sleep(10 * time.Second)
	})
}

// TestWorkIsNoRun: slices do not make runs look short, and who forecasts by them.
func TestWorkIsNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.query("a", time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		l.reads(t.Context(), "a", time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := l.s.Stats(); s.Average != time.Second || s.Running != 0 {
			t.Errorf("%+v, expected an average of 1s", s)
		}
	})
}

// TestWorkEnds: work whose context has ended has no run, wherever it is.
func TestWorkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 1, wide)
		ctx, cancel := context.WithCancel(t.Context())
		running, err := s.Work(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := running.Pause(); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, expected %v", err, context.Canceled)
		}
		ctx, cancel = context.WithCancel(t.Context())
		w, err := s.Work(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan func(), 1)
		go func() {
			r, err := s.Acquire(t.Context(), "b")
			if err != nil {
				t.Error(err)
			}
			release <- r
		}()
		synctest.Wait()
		time.Sleep(slice)
		time.AfterFunc(time.Second, cancel)
		if err := w.Pause(); !errors.Is(err, context.Canceled) { // b has its run
			t.Errorf("%v, expected %v", err, context.Canceled)
		}
		if err := w.Pause(); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
		w.Release()
		(<-release)()
		if st := s.Stats(); st.Running+st.Waiting != 0 {
			t.Errorf("%+v is left", st)
		}
	})
}

// TestWorkIsNext: work that gave way goes on before what its caller sent later, and what
// is left of a request after its run begins before that.
func TestWorkIsNext(t *testing.T) {
	for name, begin := range map[string]func(*Scheduler, context.Context, string) (*Work, error){"work": (*Scheduler).Work, "rest": (*Scheduler).Rest} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, 1)
			began := time.Now()
			if name == "rest" {
				l.query("other", time.Millisecond)
				l.query("reader", time.Second)
			}
			took := make(chan time.Duration, 1)
			go func() {
				w, err := begin(l.s, t.Context(), "reader")
				for i := 0; i < 40 && err == nil; i++ {
					time.Sleep(time.Millisecond)
					err = w.Pause()
				}
				took <- time.Since(began)
				if err != nil {
					t.Error(err)
					return
				}
				w.Release()
			}()
			synctest.Wait()
			for range 4 {
				l.query("reader", time.Second)
				l.query("other", slice)
			}
			time.Sleep(20 * time.Second)
			if took := <-took; took > time.Second/2 {
				t.Errorf("%s of 40ms took %v beside runs of its caller that take a second", name, took)
			}
		})
	}
}

// TestWorkIsNotRefused: what has begun, or has had its run, is not refused where a new
// request would be.
func TestWorkIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, s: scheduler(t, 1, Limits{Queue: 2, Caller: 1})}
		l.query("reader", time.Hour) // what a run is foreseen to take
		time.Sleep(2 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 {
			l.reads(ctx, "reader", 4*slice)
			l.query("reader", time.Second)
			l.query("other", slice)
			if _, err := l.s.Work(ctx, "reader"); !errors.As(err, new(*Overload)) {
				t.Errorf("%v, expected no place for a new one", err)
			}
			rest, err := l.s.Rest(ctx, "reader")
			if err != nil {
				t.Fatal(err)
			}
			rest.Release()
			time.Sleep(10 * time.Second)
		}
	})
}
