package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// gate is a loader whose loads of sealed files wait, if a test says so.
type gate struct {
	reader
	hold  atomic.Pointer[chan struct{}]
	at    atomic.Int32 // loads that have begun
	fails atomic.Bool
}

func (g *gate) Load(ctx context.Context, options string, r io.Reader) (Ready, error) {
	g.at.Add(1)
	if g.fails.Load() {
		panic("a hostile model")
	}
	if hold := g.hold.Load(); hold != nil {
		select {
		case <-*hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return g.reader.Load(ctx, options, r)
}

// held makes loads wait; the function lets them go on.
func (g *gate) held() func() {
	c := make(chan struct{})
	g.hold.Store(&c)
	return func() { g.hold.Store(nil); close(c) }
}

func gated(t testing.TB, change func(*Config)) (*Store, *gate) {
	g := &gate{}
	on := sealedOn(t, 8<<20)
	return open(t, func(c *Config) {
		on(c)
		c.Loader = g
		if change != nil {
			change(c)
		}
	}), g
}

// idle uploads a model and lets it go back to its file.
func idle(t testing.TB, s *Store, owner, name string, size int) []byte {
	t.Helper()
	data := file(name, size)
	e := mustSend(t, s, owner, Spec{Name: name}, data)
	if err := s.Unload(owner, e.Reference()); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOneFlight: fifty who ask at once wait for one load.
func TestOneFlight(t *testing.T) {
	s, g := gated(t, nil)
	data := idle(t, s, "anna", "m", 1000)
	before := g.at.Load()
	release := g.held()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { mustHave(t, s, "anna", "m", data) })
	}
	waiting(t, s, 50)
	release()
	all.Wait()
	if n := g.at.Load() - before; n != 1 {
		t.Errorf("%d loads", n)
	}
	nothingElse(t, s, "anna", 1)
}

// waiting waits until so many wait for one load.
func waiting(t *testing.T, s *Store, n int) {
	t.Helper()
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, u := range s.units {
			return u.flight != nil && u.flight.waiters == n
		}
		return false
	})
}

// TestNobodyWaits: a load ends with the last who waits for it, and the next begins
// another.
func TestNobodyWaits(t *testing.T) {
	s, g := gated(t, nil)
	data := idle(t, s, "anna", "m", 1000)
	release := g.held()
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for range 3 {
		all.Go(func() {
			if _, err := s.Use(ctx, "anna", Reference{Name: "m"}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	eventually(t, func() bool { return g.at.Load() == 2 })
	waiting(t, s, 3) // who comes later begins another
	if e, _ := s.Get("anna", Reference{Name: "m"}); e.State != Loading {
		t.Errorf("state %s", e.State)
	}
	cancel()
	all.Wait()
	eventually(t, func() bool { return s.Stats("").Memory == 0 })
	release()
	mustHave(t, s, "anna", "m", data)
	nothingElse(t, s, "anna", 1)
}

// TestOneLeaves: the others still get what they wait for.
func TestOneLeaves(t *testing.T) {
	s, g := gated(t, nil)
	data := idle(t, s, "anna", "m", 1000)
	release := g.held()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.Use(ctx, "anna", Reference{Name: "m"}) })
	eventually(t, func() bool { return g.at.Load() == 2 })
	all.Go(func() { mustHave(t, s, "anna", "m", data) })
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, u := range s.units {
			return u.flight.waiters == 2
		}
		return false
	})
	cancel()
	release()
	all.Wait()
	eventually(t, func() bool { return s.invariants() == nil })
}

// TestPanicInLoad is an error of those who wait for this model, once.
func TestPanicInLoad(t *testing.T) {
	s, g := gated(t, nil)
	data := idle(t, s, "anna", "m", 1000)
	g.fails.Store(true)
	_, err := s.Use(context.Background(), "anna", Reference{Name: "m"})
	is(t, err, func(e *LoadError) bool { return e.Panic && e.Model == "anna~m" })
	g.fails.Store(false)
	mustHave(t, s, "anna", "m", data)
	nothingElse(t, s, "anna", 1)
}

// TestBlockedLoads: an owner whose loads never end has no more of them than its
// quota; nobody else's upload, use or deletion waits for them.
func TestBlockedLoads(t *testing.T) {
	on := sealedOn(t, 8<<20)
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		l := &reader{block: make(chan struct{})}
		close(l.block)
		s := open(t, func(c *Config) { on(c); c.Loader = l })
		for i := range 4 {
			e := mustSend(t, s, "eve", Spec{Name: fmt.Sprint("m", i)}, append(file("block", 100), byte(i)))
			must(t, s.Unload("eve", e.Reference()))
		}
		l.block = block
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				_, err := s.Use(ctx, "eve", Reference{Name: fmt.Sprint("m", i)})
				var slow *SlowError
				var none *NotFoundError // the one that is deleted below
				if !errors.As(err, &slow) && !errors.As(err, &none) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		if got := s.Stats("eve"); got.Memory != 202 {
			t.Errorf("%+v: expected two loads", got)
		}
		began := time.Now()
		data := file("b", 100)
		e := mustSend(t, s, "ben", Spec{Name: "m"}, data)
		must(t, s.Unload("ben", e.Reference()))
		mustHave(t, s, "ben", "m", data)
		must(t, s.Delete("ben", e.Reference()), s.Delete("eve", Reference{Name: "m3"}))
		if took := time.Since(began); took != 0 {
			t.Errorf("another owner waited %v", took)
		}
		all.Wait()
		if got := s.Stats("eve"); got.Memory != 202 {
			t.Errorf("%+v: what stuck loaders hold is not counted", got)
		}
		close(block)
		synctest.Wait()
		nothingElse(t, s, "eve", 3)
	})
}

// TestDeleteInUse: from then on nobody finds it; who has it keeps it; the memory goes
// with the last of them.
func TestDeleteInUse(t *testing.T) {
	for name, change := range map[string]func(*Config){"memory": nil, "disk": sealedOn(t, 8<<20)} {
		t.Run(name, func(t *testing.T) {
			s := open(t, change)
			data := file("m", 1000)
			e := mustSend(t, s, "anna", Spec{Name: "m", Visibility: Shared}, data)
			first, err := s.Use(context.Background(), "anna", e.Reference())
			must(t, err)
			second, err := s.Use(context.Background(), "ben", e.Reference())
			must(t, err, s.Delete("anna", e.Reference()))
			for _, caller := range []string{"anna", "ben"} {
				_, err := s.Use(context.Background(), caller, e.Reference())
				notFound(t, err)
			}
			first.Release()
			first.Release()
			if s.Stats("").Memory != 1000 || !bytes.Equal(second.Ready().(*weights).data, data) {
				t.Error("a model in use was freed")
			}
			gone := weak.Make(second.Ready().(*weights))
			second.Release()
			if second.Ready() != nil || s.Stats("").Memory != 0 {
				t.Errorf("%d bytes after the last release", s.Stats("").Memory)
			}
			// A goroutine that ends may have it for a moment.
			eventually(t, func() bool { runtime.GC(); return gone.Value() == nil })
			runtime.KeepAlive(s)
			nothingElse(t, s, "anna", 0)
		})
	}
}

// TestDeleteWhileLoading: who waits for it is told that there is none.
func TestDeleteWhileLoading(t *testing.T) {
	s, g := gated(t, nil)
	idle(t, s, "anna", "m", 1000)
	release := g.held()
	var all sync.WaitGroup
	all.Go(func() {
		_, err := s.Use(context.Background(), "anna", Reference{Name: "m"})
		notFound(t, err)
	})
	eventually(t, func() bool { return g.at.Load() == 2 })
	must(t, s.Delete("anna", Reference{Name: "m"}))
	all.Wait()
	release()
	eventually(t, func() bool { return s.Stats("").Memory == 0 })
	eventually(t, func() bool { return s.invariants() == nil })
}

func states(t testing.TB, s *Store, owner string) string {
	t.Helper()
	list, err := s.List(owner)
	must(t, err)
	out := ""
	for _, e := range list {
		if e.State == Loaded {
			out += e.Name
		}
	}
	return out
}

// TestEviction: the least recently used goes, never one in use or pinned.
func TestEviction(t *testing.T) {
	s, _ := gated(t, func(c *Config) { c.Memory = 4500 })
	send := func(name string) { mustSend(t, s, "anna", Spec{Name: name}, file(name, 1000)) }
	for _, n := range []string{"a", "b", "c", "d"} {
		send(n)
	}
	mustHave(t, s, "anna", "a", file("a", 1000))
	send("e")
	if got := states(t, s, "anna"); got != "acde" {
		t.Errorf("ready %s, expected b to go", got)
	}
	h, err := s.Use(context.Background(), "anna", Reference{Name: "c"})
	must(t, err, s.Pin(context.Background(), "anna", Reference{Name: "d"}))
	send("f")
	send("g")
	if got := states(t, s, "anna"); got != "cdfg" {
		t.Errorf("ready %s, expected a and e to go", got)
	}
	must(t, s.Pin(context.Background(), "anna", Reference{Name: "g"}))
	is(t, s.Pin(context.Background(), "anna", Reference{Name: "f"}), func(e *FullError) bool { return e.What == "pinned memory" && e.Need == 1000 && e.Limit == 2250 })
	must(t, s.Unpin("anna", Reference{Name: "d"}), s.Unpin("anna", Reference{Name: "d"}))
	h.Release()
	mustHave(t, s, "anna", "b", file("b", 1000))
	if got := states(t, s, "anna"); got != "bcfg" {
		t.Errorf("ready %s, expected d to go", got)
	}
	if got := s.Stats("anna"); got.Counts.Evictions != 4 || got.Own.Pinned != 1000 {
		t.Errorf("%+v", got)
	}
	nothingElse(t, s, "anna", 7)
}

// TestPinnedStays, however long nobody has used it.
func TestPinnedStays(t *testing.T) {
	s, _ := gated(t, func(c *Config) { c.Memory = 3500 })
	mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 1000))
	must(t, s.Pin(context.Background(), "anna", Reference{Name: "a"}))
	for _, n := range []string{"b", "c", "d", "e"} {
		mustSend(t, s, "anna", Spec{Name: n}, file(n, 1000))
	}
	if got := states(t, s, "anna"); got != "ade" {
		t.Errorf("ready %s", got)
	}
	is(t, s.Unload("anna", Reference{Name: "a"}), func(e *ConflictError) bool { return e.Model == "anna~a" })
}

// TestUnloadInUse: it goes with its last user.
func TestUnloadInUse(t *testing.T) {
	s, _ := gated(t, nil)
	data := file("m", 1000)
	e := mustSend(t, s, "anna", Spec{Name: "m"}, data)
	h, err := s.Use(context.Background(), "anna", e.Reference())
	must(t, err, s.Unload("anna", e.Reference()))
	mustHave(t, s, "anna", "m", data)
	if s.Stats("").Memory != 1000 {
		t.Error("freed while used")
	}
	h.Release()
	if s.Stats("").Memory != 0 {
		t.Error("not freed")
	}
	must(t, s.Unload("anna", e.Reference()))
	mustHave(t, s, "anna", "m", data)
}

// TestWaitForMemory: a load waits for models in use, for as long as a load may take.
func TestWaitForMemory(t *testing.T) {
	on := sealedOn(t, 8<<20)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *Config) { on(c); c.Memory = 1500 })
		a, b := file("a", 1000), file("b", 1000)
		mustSend(t, s, "anna", Spec{Name: "a"}, a)
		mustSend(t, s, "ben", Spec{Name: "b"}, b)
		h, err := s.Use(context.Background(), "anna", Reference{Name: "a"})
		must(t, err)
		began := time.Now()
		_, err = s.Use(context.Background(), "ben", Reference{Name: "b"})
		is(t, err, func(e *FullError) bool { return e.What == "memory" && !e.Never })
		if took := time.Since(began); took != time.Minute {
			t.Errorf("after %v", took)
		}
		time.AfterFunc(time.Second, h.Release)
		mustHave(t, s, "ben", "b", b)
		synctest.Wait()
		nothingElse(t, s, "anna", 1)
	})
}

// TestGrownModel: one that needs more memory when it is loaded again than it did is
// counted with what it needs.
func TestGrownModel(t *testing.T) {
	s, _ := gated(t, nil)
	data := idle(t, s, "anna", "double", 1000)
	s.mu.Lock()
	for _, e := range s.owners["anna"].entries {
		e.Memory = 10
	}
	s.mu.Unlock()
	mustHave(t, s, "anna", "double", data)
	if e, _ := s.Get("anna", Reference{Name: "double"}); e.Memory != 2000 {
		t.Errorf("memory %d", e.Memory)
	}
	nothingElse(t, s, "anna", 1)
}

// TestSealedAnew: an upload of the same bytes replaces the file while it is loaded.
func TestSealedAnew(t *testing.T) {
	var s *Store
	var data []byte
	var once sync.Once
	on := sealedOn(t, 8<<20)
	s = open(t, func(c *Config) {
		on(c)
		c.step = func(at string) {
			if at == "load.open" {
				once.Do(func() { mustSend(t, s, "ben", Spec{Name: "m"}, data) })
			}
		}
	})
	data = idle(t, s, "anna", "m", 1000)
	mustHave(t, s, "anna", "m", data)
	nothingElse(t, s, "anna", 1)
}

// TestRace is for the race detector: everything at once.
func TestRace(t *testing.T) {
	t.Parallel()
	s, _ := gated(t, func(c *Config) { c.Memory, c.OwnerLoads = 5000, 4 })
	ctx := context.Background()
	var all sync.WaitGroup
	for i := range 6 {
		owner := fmt.Sprint("owner", i%3)
		all.Go(func() {
			for n := range 30 {
				name := fmt.Sprint("m", n%4)
				r := Reference{Name: name}
				switch (n + i) % 7 {
				case 0, 1:
					_, _ = send(s, owner, Spec{Name: name, Visibility: Shared}, file(name, 500+n%2))
				case 2:
					_ = s.Delete(owner, r)
				case 3:
					_ = s.Unload(owner, r)
				case 4:
					_, _ = s.List(owner)
					s.Stats(owner)
				case 5:
					if s.Pin(ctx, owner, r) == nil {
						_ = s.Unpin(owner, r)
					}
				}
				short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
				if h, err := s.Use(short, fmt.Sprint("owner", n%3), Reference{Name: owner + "~" + name}); err == nil {
					if h.Ready() == nil {
						t.Error("not ready")
					}
					h.Release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	eventually(t, func() bool { return s.invariants() == nil })
	if err := s.invariants(); err != nil {
		t.Error(err)
	}
}
