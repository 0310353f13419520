package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// party is requests of a test that may run together; the log has a line for each run.
type party struct {
	t    *testing.T
	s    *Scheduler
	mu   sync.Mutex
	runs []string
	errs []error
}

// ask sends a request of a kind and returns when it runs or waits. Whoever leads a run
// takes a second for it.
func (p *party) ask(ctx context.Context, caller string, of Part) {
	of.Item = fmt.Sprint(caller, of.Rows)
	go func() {
		turn, err := p.s.Join(ctx, caller, of)
		if err != nil {
			p.mu.Lock()
			p.errs = append(p.errs, err)
			p.mu.Unlock()
			return
		}
		defer turn.Release()
		items, end, leads := turn.Lead()
		if !leads {
			return
		}
		p.mu.Lock()
		p.runs = append(p.runs, strings.Trim(fmt.Sprint(items), "[]"))
		p.mu.Unlock()
		time.Sleep(time.Second)
		end()
	}()
	synctest.Wait()
}

func (p *party) log() string { p.mu.Lock(); defer p.mu.Unlock(); return strings.Join(p.runs, ", ") }

// busy takes the only run for a time.
func (p *party) busy(took time.Duration) {
	release, err := p.s.Acquire(context.Background(), "busy")
	if err != nil {
		p.t.Fatal(err)
	}
	time.AfterFunc(took, release)
}

// one is a request of one row of a kind.
func one(kind any) Part { return Part{Kind: kind, Rows: 1, Size: 8} }

// TestTogether: what waits for the same runs together, in the order in which it would be
// served, and nothing else does.
func TestTogether(t *testing.T) {
	type asked struct {
		caller string
		part   Part
	}
	rows := func(n int) Part { return Part{Kind: "k", Rows: n, Size: 8} }
	for _, c := range []struct {
		name string
		asks []asked
		runs string
	}{
		{"three callers", []asked{{"a", one("k")}, {"b", one("k")}, {"c", one("k")}}, "a1 b1 c1"},
		{"kinds", []asked{{"a", one("k")}, {"b", one("l")}, {"c", one("k")}, {"d", one("l")}}, "a1 c1, b1 d1"},
		{"no kind", []asked{{"a", Part{Rows: 1, Size: 8}}, {"b", Part{Rows: 1, Size: 8}}}, "a1, b1"},
		{"one caller", []asked{{"a", one("k")}, {"a", one("k")}, {"a", one("k")}}, "a1 a1 a1"},
		{"one caller does not fill it while another waits", []asked{{"a", one("k")}, {"a", one("k")}, {"a", one("k")}, {"b", one("l")}, {"c", one("k")}}, "a1 c1, b1, a1 a1"},
		{"others first", []asked{{"a", one("k")}, {"a", one("k")}, {"a", one("k")}, {"b", one("k")}}, "a1 b1 a1 a1"},
		{"rows", []asked{{"a", rows(3)}, {"b", rows(4)}, {"c", rows(2)}, {"d", rows(1)}}, "a3 b4 d1, c2"},
		{"too many rows", []asked{{"a", rows(8)}, {"b", rows(1)}, {"c", rows(9)}, {"d", rows(1)}}, "a8, b1 d1, c9"},
		{"behind another of its caller's", []asked{{"a", one("k")}, {"b", one("l")}, {"b", one("k")}}, "a1 b1, b1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &party{t: t, s: scheduler(t, 1, wide)}
				p.busy(time.Minute)
				for _, a := range c.asks {
					p.ask(t.Context(), a.caller, a.part)
				}
				time.Sleep(time.Hour)
				if got := p.log(); got != c.runs {
					t.Errorf("ran %s, expected %s", got, c.runs)
				}
				if s := p.s.Stats(); s.Running+s.Waiting != 0 || s.Average < time.Second/8 {
					t.Errorf("afterwards: %+v", s)
				}
			})
		})
	}
}

// TestShareOfRun: each pays for its rows, together they pay for the run.
func TestShareOfRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t, s: scheduler(t, 1, wide)}
		p.busy(time.Minute)
		p.ask(t.Context(), "a", Part{Kind: "k", Rows: 3, Size: 8})
		p.ask(t.Context(), "b", Part{Kind: "k", Rows: 1, Size: 8})
		p.ask(t.Context(), "a", one("l"))
		p.ask(t.Context(), "b", one("l"))
		time.Sleep(time.Minute)
		before := map[string]time.Duration{}
		p.s.mu.Lock()
		start := p.s.queries.flows["a"].clock - p.s.queries.flows["b"].clock
		p.s.mu.Unlock()
		time.Sleep(time.Second + time.Millisecond)
		p.s.mu.Lock()
		for _, name := range []string{"a", "b"} {
			before[name] = p.s.queries.flows[name].clock
		}
		p.s.mu.Unlock()
		if got := before["a"] - before["b"] - start; got != time.Second/2 {
			t.Errorf("three rows paid %v more than one, expected %v", got, time.Second/2)
		}
		time.Sleep(time.Hour)
		if s := p.s.Stats(); s.Batches != 2 || s.Batched != 4 {
			t.Errorf("%+v, expected 2 runs of 4 requests", s)
		}
	})
}

// TestLeavesTogether: who leaves takes nothing from the others, whenever it does.
func TestLeavesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t, s: scheduler(t, 1, wide)}
		p.busy(time.Minute)
		gone, leave := context.WithCancel(t.Context())
		p.ask(t.Context(), "a", one("k"))
		p.ask(gone, "b", one("k"))
		p.ask(t.Context(), "c", one("k"))
		leave()
		time.Sleep(time.Hour)
		if got := p.log(); got != "a1 c1" || len(p.errs) != 1 || !errors.Is(p.errs[0], context.Canceled) {
			t.Errorf("ran %s, errors %v", got, p.errs)
		}
	})
	// In the moment in which the run is given: to those that stay, or to the next.
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 1, wide)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a, b, c := waiting("a"), waiting("b"), waiting("c")
		a.part, b.part = Part{Kind: 1, Rows: 1, Size: 4, Item: "a"}, Part{Kind: 1, Rows: 2, Size: 4, Item: "b"}
		s.mu.Lock()
		for _, w := range []*waiter{a, b, c} {
			s.queries.join(w)
		}
		s.next()
		s.mu.Unlock()
		_ = s.leave(ctx, &s.queries, a)
		turn := &Turn{s: s, w: b}
		if items, end, leads := turn.Lead(); !leads || !slices.Equal(items, []any{"b"}) {
			t.Errorf("leads %v %v", leads, items)
		} else {
			end()
		}
		if got := s.Stats(); got.Running != 1 || got.Waiting != 1 {
			t.Errorf("%+v: the run ended before its request was done", got)
		}
		turn.Release()
		turn.Release()
		<-c.granted
		_ = s.leave(ctx, &s.queries, c)
		if got := s.Stats(); got.Running+got.Waiting != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	})
	// After another one began to compute: the run goes on without who left.
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 1, wide)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a, b := waiting("a"), waiting("b")
		a.part, b.part = one(1), one(1)
		s.mu.Lock()
		s.queries.join(a)
		s.queries.join(b)
		s.next()
		s.mu.Unlock()
		turn := &Turn{s: s, w: a}
		items, end, _ := turn.Lead()
		_ = s.leave(ctx, &s.queries, b)
		turn.Release()
		if got := s.Stats(); len(items) != 2 || got.Running != 1 {
			t.Errorf("%v %+v: the run is over before who computes it says so", items, got)
		}
		end()
		end()
		if got := s.Stats(); got.Running+got.Waiting != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

// TestWaitsForOthers: a request that could run waits for others of its kind, at most as
// long as it says, and not if it says nothing.
func TestWaitsForOthers(t *testing.T) {
	wait := func(kind any) Part { return Part{Kind: kind, Rows: 1, Size: 3, Wait: time.Millisecond} }
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t, s: scheduler(t, 2, wide)}
		p.ask(t.Context(), "now", one("k"))
		if p.log() != "now1" {
			t.Error("it waited without being asked to")
		}
		p.ask(t.Context(), "a", wait("w"))
		p.ask(t.Context(), "b", wait("w"))
		if got := p.s.Stats(); got.Waiting != 2 || p.log() != "now1" {
			t.Errorf("%+v, ran %s: it did not wait", got, p.log())
		}
		p.ask(t.Context(), "c", wait("w")) // with it the run is full
		if p.log() != "now1, a1 b1 c1" {
			t.Errorf("ran %s", p.log())
		}
		time.Sleep(time.Minute)
		p.ask(t.Context(), "d", wait("w"))
		time.Sleep(time.Millisecond)
		if synctest.Wait(); p.log() != "now1, a1 b1 c1, d1" {
			t.Errorf("ran %s: it waited for longer than it said", p.log())
		}
		gone, leave := context.WithCancel(t.Context())
		p.ask(gone, "e", wait("x"))
		leave()
		synctest.Wait()
		if got := p.s.Stats(); got.Waiting != 0 || len(p.errs) != 1 || len(p.s.held) != 0 {
			t.Errorf("%+v, errors %v: it waits on", got, p.errs)
		}
		time.Sleep(time.Minute)
	})
	synctest.Test(t, func(t *testing.T) { // each caller's share of the queue counts those, too
		s := scheduler(t, 1, Limits{Queue: 10, Caller: 1})
		p := &party{t: t, s: s}
		p.ask(t.Context(), "a", wait("w"))
		p.busy(time.Second)
		p.ask(t.Context(), "a", wait("w"))
		var over *Overload
		if len(p.errs) != 1 || !errors.As(p.errs[0], &over) || over.What != Caller {
			t.Errorf("%v, expected a refusal", p.errs)
		}
		time.Sleep(time.Minute)
	})
}

// TestManyTogether: requests of many kinds that come and leave as they like. Runs are
// never more than there are, each request is computed once, and nothing is left.
func TestManyTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, 3, wide)
		r := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		running, done := 0, map[int]int{}
		var all sync.WaitGroup
		for i := range 2000 {
			caller := fmt.Sprint("caller ", r.IntN(7))
			p := Part{Kind: r.IntN(4), Rows: 1 + r.IntN(4), Size: 6, Wait: time.Duration(r.IntN(2)) * 3 * time.Millisecond, Item: i}
			stays, starts, took := time.Duration(r.IntN(200))*time.Millisecond, time.Duration(r.IntN(4000))*time.Millisecond, time.Duration(1+r.IntN(9))*time.Millisecond
			all.Go(func() {
				time.Sleep(starts)
				ctx, cancel := context.WithTimeout(t.Context(), stays)
				defer cancel()
				turn, err := s.Join(ctx, caller, p)
				if err != nil {
					return
				}
				defer turn.Release()
				items, end, leads := turn.Lead()
				if !leads {
					return
				}
				defer end()
				rows := 0
				mu.Lock()
				if running++; running > 3 {
					t.Errorf("%d runs at once", running)
				}
				for _, item := range items {
					done[item.(int)]++
					rows++
				}
				mu.Unlock()
				time.Sleep(took)
				mu.Lock()
				running--
				mu.Unlock()
				if rows > 6 {
					t.Errorf("%d requests in one run", rows)
				}
			})
		}
		all.Wait()
		for item, times := range done {
			if times != 1 {
				t.Errorf("request %d was computed %d times", item, times)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.queries.forget(); s.queries.running+s.queries.waiting+len(s.held)+len(s.queries.flows) != 0 || s.batches == 0 {
			t.Errorf("afterwards %d run, %d wait, %d are held, %d callers, %d batches", s.queries.running, s.queries.waiting, len(s.held), len(s.queries.flows), s.batches)
		}
	})
}
