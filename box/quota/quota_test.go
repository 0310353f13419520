package quota

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// uptime is a clock that a test sets.
type uptime struct{ now atomic.Int64 }

func (u *uptime) since() time.Duration    { return time.Duration(u.now.Load()) }
func (u *uptime) advance(d time.Duration) { u.now.Add(int64(d)) }
func perMinute(n int64) *policy.Budget    { return &policy.Budget{Count: n, Per: time.Minute} }
func one(c policy.Caller, u *uptime) *Meter {
	return New(&policy.Policy{Callers: []policy.Caller{c}}, u.since)
}

func TestSequential(t *testing.T) {
	for _, n := range []int64{1, 2, 499, 500, 501, 1000, 5000} {
		u := &uptime{}
		a := one(policy.Caller{Name: "a", Rate: perMinute(n)}, u).Account("a")
		for round := range 3 {
			for i := range n {
				if s := a.Admit(); s != nil {
					t.Fatalf("%d/min: request %d of round %d is refused: %+v", n, i, round, s)
				}
			}
			s := a.Admit()
			if s == nil || s.What != "rate" || s.Never || s.Wait != time.Minute {
				t.Fatalf("%d/min: one more: %+v", n, s)
			}
			u.advance(time.Minute - 1)
			if s := a.Admit(); s == nil || s.Wait != 1 {
				t.Fatalf("%d/min: a nanosecond too early: %+v", n, s)
			}
			u.advance(1)
		}
	}
}

// TestAnyWindow: whatever the times, no stretch of the budget's length has more
// than the budget, and who waits as long as told is admitted.
func TestAnyWindow(t *testing.T) {
	for _, n := range []int64{1, 3, 50, 700} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			u := &uptime{}
			a := one(policy.Caller{Name: "a", Rate: perMinute(n)}, u).Account("a")
			var admitted []time.Duration
			for range 4 * n {
				if s := a.Admit(); s != nil {
					if r.IntN(2) == 0 {
						u.advance(s.Wait)
						if s := a.Admit(); s != nil {
							t.Fatalf("%d/min, seed %d: refused after waiting: %+v", n, seed, s)
						}
						admitted = append(admitted, u.since())
					}
				} else {
					admitted = append(admitted, u.since())
				}
				u.advance(time.Duration(r.Int64N(int64(3 * time.Minute / time.Duration(n)))))
			}
			for i := int(n); i < len(admitted); i++ {
				if gap := admitted[i] - admitted[i-int(n)]; gap < time.Minute {
					t.Fatalf("%d/min, seed %d: %d requests within %s", n, seed, n+1, gap)
				}
			}
			if len(admitted) <= int(n) {
				t.Fatalf("%d/min, seed %d: %d were admitted", n, seed, len(admitted))
			}
		}
	}
}

// TestLate: of a large budget, what was used comes free at most a slot too late.
func TestLate(t *testing.T) {
	const n = 50_000
	u := &uptime{}
	a := one(policy.Caller{Name: "a", Rate: perMinute(n)}, u).Account("a")
	for range n {
		if a.Admit() != nil {
			t.Fatal("refused")
		}
		u.advance(time.Minute / n)
	}
	late := 0
	for range n {
		if a.Admit() != nil {
			late++
		}
		u.advance(time.Minute / n)
	}
	if late > n/slots {
		t.Errorf("%d of %d were refused, expected %d at most", late, n, n/slots)
	}
	if got := len(a.requests[0].ring); got > slots+1 {
		t.Errorf("%d moments are kept", got)
	}
}

// TestTogether: 100 clients at once get exactly the budget.
func TestTogether(t *testing.T) {
	const n = 1234
	u := &uptime{}
	a := one(policy.Caller{Name: "a", Rate: perMinute(n), Quota: &policy.Quota{Bytes: perMinute(100_000)}}, u).Account("a")
	for round := range 2 {
		var admitted, moved atomic.Int64
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				for range 50 {
					if a.Admit() == nil {
						admitted.Add(1)
					}
					// Half of what is reserved is used, as a rule.
					got := a.Reserve(10 + i)
					used := got - got/2
					a.Return(got, used)
					moved.Add(int64(used))
				}
			})
		}
		all.Wait()
		if moved.Load() > 100_000 || a.bytes.held != 0 || a.bytes.within != moved.Load() {
			t.Errorf("round %d: %d bytes were moved, %d are noted and %d held", round, moved.Load(), a.bytes.within, a.bytes.held)
		}
		if got := admitted.Load(); got > n || got < n && moved.Load() < 100_000 {
			t.Errorf("round %d: %d were admitted, expected %d", round, got, n)
		}
		u.advance(time.Minute)
	}
}

func TestExactlyTogether(t *testing.T) {
	u := &uptime{}
	a := one(policy.Caller{Name: "a", Rate: perMinute(777)}, u).Account("a")
	var admitted atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for range 20 {
				if a.Admit() == nil {
					admitted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if admitted.Load() != 777 {
		t.Errorf("%d were admitted, expected 777", admitted.Load())
	}
}

// TestAllOrNothing: what one budget refuses uses nothing of the others, and the
// longest wait is what is told.
func TestAllOrNothing(t *testing.T) {
	u := &uptime{}
	a := one(policy.Caller{Name: "a", Rate: perMinute(2), Quota: &policy.Quota{Requests: &policy.Budget{Count: 3, Per: time.Hour}}}, u).Account("a")
	for i, want := range []string{"", "", "rate", "rate", "rate"} {
		got := ""
		if s := a.Admit(); s != nil {
			got = s.What
		}
		if got != want {
			t.Errorf("request %d: %q, expected %q", i, got, want)
		}
	}
	u.advance(time.Minute)
	if s := a.Admit(); s != nil {
		t.Errorf("the third: %+v; refused requests were counted", s)
	}
	if s := a.Admit(); s == nil || s.What != "quota of requests" || s.Wait != 59*time.Minute {
		t.Errorf("the fourth: %+v", s)
	}
}

func TestBytes(t *testing.T) {
	u := &uptime{}
	a := one(policy.Caller{Name: "a", Quota: &policy.Quota{Bytes: perMinute(100)}}, u).Account("a")
	if !a.Metered() || a.Admit() != nil {
		t.Fatal("no room at the start")
	}
	if got := a.Reserve(60); got != 60 {
		t.Errorf("reserved %d of 60", got)
	}
	if got := a.Reserve(60); got != 40 {
		t.Errorf("reserved %d, expected the 40 that are left", got)
	}
	if s := a.Admit(); s == nil || s.Wait <= 0 || s.Never {
		t.Errorf("while all is reserved: %+v", s)
	}
	u.advance(30 * time.Second)
	a.Return(60, 60)
	a.Return(40, 0)
	if got := a.Reserve(100); got != 40 {
		t.Errorf("reserved %d, expected the 40 that came back", got)
	}
	a.Return(40, 40)
	if s := a.Admit(); s == nil || s.What != "quota of bytes" || s.Wait != time.Minute {
		t.Errorf("all used: %+v", s)
	}
	u.advance(time.Minute - 1)
	if got := a.Reserve(1); got != 0 {
		t.Error("bytes count from when they were moved, not from when they were reserved")
	}
	u.advance(1)
	if got := a.Reserve(1000); got != 100 {
		t.Errorf("after a minute %d are free", got)
	}
}

func TestUnlimitedAndUnknown(t *testing.T) {
	m := one(policy.Caller{Name: "a"}, &uptime{})
	a := m.Account("a")
	for range 1000 {
		if a.Admit() != nil {
			t.Fatal("refused without a budget")
		}
	}
	if a.Metered() || a.Reserve(5) != 5 {
		t.Error("bytes are counted without a quota")
	}
	a.Return(5, 5)
	for _, name := range []string{"", "b"} {
		if s := m.Account(name).Admit(); s == nil || !s.Never {
			t.Errorf("caller %q that is not in the policy: %+v", name, s)
		}
	}
	var none *Account
	if none.Metered() {
		t.Error("no account is metered")
	}
}

// TestApart: callers do not use what is others', and anyone is one caller.
func TestApart(t *testing.T) {
	p := &policy.Policy{Callers: []policy.Caller{{Name: "a", Rate: perMinute(1)}, {Name: "anyone", Anyone: true, Rate: perMinute(1)}}}
	m := New(p, (&uptime{}).since)
	if m.Account("a").Admit() != nil || m.Account("anyone").Admit() != nil {
		t.Error("refused at first")
	}
	if m.Account("a").Admit() == nil || m.Account("anyone").Admit() == nil {
		t.Error("admitted twice")
	}
}

// TestMemory: what is kept is bounded, whatever the budget and the times.
func TestMemory(t *testing.T) {
	for _, n := range []int64{1, 500, 501, 999_999_999} {
		u := &uptime{}
		w := newWindow(perMinute(n), "x")
		for i := range 20_000 {
			u.advance(time.Duration(i%7) * 20 * time.Millisecond)
			if w.full(u.since()) == nil {
				w.use(u.since(), 1)
			}
		}
		if len(w.ring) > slots+1 || w.n > len(w.ring) {
			t.Errorf("%d/min: %d moments of %d", n, w.n, len(w.ring))
		}
	}
	// Rounding must not make room for one more than there is memory for.
	w := newWindow(&policy.Budget{Count: 1000, Per: slots}, "x")
	for i := range 600 {
		w.use(time.Duration(i)/2, 0)
	}
	if len(w.ring) > slots+1 {
		t.Errorf("%d moments", len(w.ring))
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, n := range []int64{100, 999_999_999} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			began := time.Now()
			p := &policy.Policy{Callers: []policy.Caller{{Name: "a", Rate: &policy.Budget{Count: n, Per: time.Minute}}}}
			a := New(p, func() time.Duration { return time.Since(began) }).Account("a")
			b.ReportAllocs()
			for b.Loop() {
				a.Admit()
			}
		})
	}
}
