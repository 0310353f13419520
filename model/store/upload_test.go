package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func begin(t testing.TB, s *Store, owner string, spec Spec) *Upload {
	t.Helper()
	u, err := s.Begin(owner, spec)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLength: what is declared is not trusted, neither shorter nor longer.
func TestLength(t *testing.T) {
	s := open(t, sealedOn(t, 1<<20))
	data := file("a", 1000)
	_, err := send(s, "anna", Spec{Name: "a", Length: 999}, data)
	is(t, err, func(e *LengthError) bool { return e.Seen == 1000 && e.Declared == 999 })
	u := begin(t, s, "anna", Spec{Name: "a", Length: 1000})
	if _, err := u.Write(data[:999]); err != nil {
		t.Fatal(err)
	}
	_, err = u.Finish(context.Background())
	is(t, err, func(e *LengthError) bool { return e.Seen == 999 && e.Declared == 1000 })
	if _, err := u.Write(data[999:]); err != nil {
		t.Error(err)
	}
	if _, err := u.Finish(context.Background()); err != nil {
		t.Error(err)
	}
	mustHave(t, s, "anna", "a", data)
	_, err = s.Begin("anna", Spec{Name: "b", Length: 1 << 62})
	is(t, err, func(e *QuotaError) bool { return e.What == "bytes" && e.Seen > e.Limit && e.Limit == 500*kib })
	nothingElse(t, s, "anna", 1)
}

// nothingElse checks that an owner has that many models, and that nothing of any
// upload is left.
func nothingElse(t testing.TB, s *Store, owner string, models int) {
	t.Helper()
	own := s.Stats(owner).Own
	if own.Models != models || own.Uploads != 0 || len(s.uploads) != 0 {
		t.Errorf("%+v, %d uploads; expected %d models and nothing else", own, len(s.uploads), models)
	}
	if err := s.invariants(); err != nil {
		t.Error(err)
	}
}

func TestExpectedDigest(t *testing.T) {
	s := open(t, sealedOn(t, 1<<20))
	data := file("a", 1000)
	_, err := send(s, "anna", Spec{Name: "a", Expected: Digest{1}}, data)
	is(t, err, func(e *DigestError) bool { return e.Expected == Digest{1} && e.Seen != Digest{} })
	nothingElse(t, s, "anna", 0)

	for at, d := range []Digest{{1}, sha256.Sum256(data)} { // announced when all of it is here
		u := begin(t, s, "anna", Spec{Name: "a"})
		_, err := u.Write(data)
		must(t, err, u.Expect(d), u.Expect(d))
		is[*ConflictError](t, u.Expect(Digest{2}), nil)
		if u.Spec().Expected != d {
			t.Errorf("%+v", u.Spec())
		}
		if _, err = u.Finish(context.Background()); at == 0 {
			is(t, err, func(e *DigestError) bool { return e.Expected == d })
		} else if err != nil {
			t.Error(err)
		}
	}
	nothingElse(t, s, "anna", 1)
}

// TestCut: a connection that breaks in the middle leaves an upload that goes on.
func TestCut(t *testing.T) {
	s := open(t, sealedOn(t, 2<<20))
	data := file("a", 300*kib)
	u := begin(t, s, "anna", Spec{Name: "a", Length: int64(len(data))})
	cut := errors.New("connection reset")
	at := int64(0)
	for _, n := range []int{1, 100, 70 * kib, 0} {
		in := io.MultiReader(bytes.NewReader(data[at:at+int64(n)]), iotest.ErrReader(cut))
		got, err := u.Append(at, in)
		if at += int64(n); got != int64(n) || !errors.Is(err, cut) || u.Offset() != at {
			t.Errorf("%d bytes, %v; offset %d, expected %d", got, err, u.Offset(), at)
		}
		_, err = s.Upload("ben", u.ID())
		is[*NoUploadError](t, err, nil)
		if again, err := s.Upload("anna", u.ID()); again != u {
			t.Error(err)
		}
	}
	for _, wrong := range []int64{0, at - 1, at + 1, 1 << 62} {
		_, err := u.Append(wrong, bytes.NewReader(data[at:]))
		is(t, err, func(e *OffsetError) bool { return e.Seen == wrong && e.Expected == at })
	}
	if _, err := u.Append(at, bytes.NewReader(data[at:])); err != nil {
		t.Error(err)
	}
	if _, err := u.Finish(context.Background()); err != nil {
		t.Error(err)
	}
	mustHave(t, s, "anna", "a", data)
	_, err := s.Upload("anna", u.ID())
	is[*NoUploadError](t, err, nil)
	_, err = u.Finish(context.Background())
	is[*NoUploadError](t, err, nil)
	nothingElse(t, s, "anna", 1)
}

// TestIdle: an upload without bytes ends; until then it counts.
func TestIdle(t *testing.T) {
	on := sealedOn(t, 2<<20)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, on)
		u := begin(t, s, "anna", Spec{Name: "a"})
		for range 5 {
			if _, err := u.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(IdleTime - time.Second)
		}
		if own := s.Stats("anna").Own; own.Uploads != 1 || own.Bytes != 5000 || s.Stats("").Memory != 5000 {
			t.Errorf("%+v", own)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		nothingElse(t, s, "anna", 0)
		_, err := u.Write([]byte("x"))
		is[*NoUploadError](t, err, nil)
		_, err = s.Upload("anna", u.ID())
		is[*NoUploadError](t, err, nil)
	})
}

// TestSilentSender: the same for one who keeps the connection open and says nothing.
func TestSilentSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		u := begin(t, s, "anna", Spec{Name: "a"})
		in, out := io.Pipe()
		var err error
		done := make(chan struct{})
		go func() { _, err = u.ReadFrom(in); close(done) }()
		time.Sleep(IdleTime + time.Second)
		if _, err := s.Upload("anna", u.ID()); err == nil {
			t.Error("still there")
		}
		_, _ = out.Write([]byte("late"))
		<-done
		is[*NoUploadError](t, err, nil)
		_ = in.Close()
		synctest.Wait()
		nothingElse(t, s, "anna", 0)
	})
}

// TestTwoWriters: one at a time; the other is told so and waits for nothing.
func TestTwoWriters(t *testing.T) {
	s := open(t, nil)
	u := begin(t, s, "anna", Spec{Name: "a"})
	in, out := io.Pipe()
	var first sync.WaitGroup
	first.Go(func() { _, _ = u.ReadFrom(in); _ = in.Close() })
	_, _ = out.Write([]byte("a"))
	_, write := u.Write([]byte("b"))
	_, appended := u.Append(0, bytes.NewReader(nil))
	_, finish := u.Finish(context.Background())
	for _, err := range []error{write, appended, finish} {
		is[*ConflictError](t, err, nil)
	}
	u.Abort() // takes effect in the middle of the other's write
	_, _ = out.Write([]byte("c"))
	first.Wait()
	u.Abort()
	eventually(t, func() bool { return s.Stats("anna").Own == Usage{} })
	nothingElse(t, s, "anna", 0)
}

// eventually waits for what another goroutine does soon.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	for range 60_000 {
		if done() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("did not happen")
}

// TestManyModels is the documented way to exhaust BlindAI: one owner sends the same
// model again and again with another comment in it. Here he has his quota.
func TestManyModels(t *testing.T) {
	t.Parallel()
	disk := sealedOn(t, 8<<20)
	for name, c := range map[string]struct {
		change func(*Config)
		size   int
		what   string // the quota that ends it
		kept   int
	}{
		"bytes":  {func(c *Config) { c.OwnerBytes = 50 * kib }, 3 * kib, "bytes", 16},
		"models": {disk, 3 * kib, "models", 20},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, c.change)
			ben := file("ben's", 20*kib)
			mustSend(t, s, "ben", Spec{Name: "m"}, ben)
			for i := range 2000 {
				data := append(file("m", c.size), fmt.Sprint("doc_string ", i)...)
				_, err := send(s, "eve", Spec{Name: fmt.Sprint("m", i)}, data)
				if i >= c.kept {
					is(t, err, func(e *QuotaError) bool { return e.What == c.what && e.Seen > e.Limit })
				} else if err != nil {
					t.Error(err)
				}
				st := s.Stats("eve")
				if st.Own.Bytes > 100*kib || st.Own.Models > 20 || st.Memory > 120*kib || st.Disk > 120*kib {
					t.Fatalf("after %d: %+v", i, st)
				}
			}
			mustHave(t, s, "ben", "m", ben)
			mustSend(t, s, "ben", Spec{Name: "another"}, file("b", 20*kib))
			nothingElse(t, s, "eve", c.kept)
		})
	}
}

func TestQuotas(t *testing.T) {
	s := open(t, func(c *Config) { c.OwnerModels, c.OwnerBytes = 3, 1000 })
	mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 400))
	for length, all := range map[int64]int64{601: 1001, 2000: 2400, math.MaxInt64: math.MaxInt64} {
		_, err := s.Begin("anna", Spec{Name: "b", Length: length})
		is(t, err, func(e *QuotaError) bool { return e.What == "bytes" && e.Seen == all && e.Limit == 1000 })
	}
	u := begin(t, s, "anna", Spec{Name: "b"})
	begin(t, s, "anna", Spec{Name: "c"})
	_, err := s.Begin("anna", Spec{Name: "d"})
	is(t, err, func(e *QuotaError) bool { return e.What == "uploads at once" && e.Seen == 3 && e.Limit == 2 })
	_, err = u.Write(file("b", 601))
	is(t, err, func(e *QuotaError) bool { return e.What == "bytes" && e.Seen == 1001 && e.Limit == 1000 })
	large := begin(t, s, "ben", Spec{Name: "b"})
	_, err = large.Write(file("b", 1001))
	is(t, err, func(e *QuotaError) bool { return e.Alone && e.Seen == 1001 })
	_, err = s.Upload("ben", large.ID())
	is[*NoUploadError](t, err, nil)
	if _, err := u.Write(file("b", 600)); err != nil { // the quota exactly
		t.Error(err)
	}
	if _, err := u.Finish(context.Background()); err != nil {
		t.Error(err)
	}
	_, err = s.Begin("anna", Spec{Name: "d"})
	is(t, err, func(e *QuotaError) bool { return e.What == "models" && e.Seen == 4 && e.Limit == 3 })
	if err := s.Delete("anna", Reference{Name: "a"}); err != nil {
		t.Error(err)
	}
	_, err = s.Begin("anna", Spec{Name: "d", Length: 401})
	is(t, err, func(e *QuotaError) bool { return e.What == "bytes" })
	begin(t, s, "anna", Spec{Name: "d", Length: 400})
	mustSend(t, s, "ben", Spec{Name: "a"}, file("a", 400))
}

// TestMemoryOfAnOwner: models that hold more than their files say do not take the box's
// memory for one owner. With a disk they make room for others.
func TestMemoryOfAnOwner(t *testing.T) {
	small := func(c *Config) { c.Memory, c.OwnerBytes = 1000, 500 }
	s := open(t, small)
	double := file("double", 200)
	mustSend(t, s, "eve", Spec{Name: "a"}, double)
	mustSend(t, s, "eve", Spec{Name: "b"}, double) // is the same in memory
	_, err := send(s, "eve", Spec{Name: "c"}, file("double c", 60))
	is(t, err, func(e *QuotaError) bool { return e.What == "bytes of memory" && e.Seen == 520 && e.Limit == 500 })
	mustSend(t, s, "ben", Spec{Name: "a"}, file("double", 250))
	nothingElse(t, s, "eve", 2)
	disk := sealedOn(t, 1<<20)
	s = open(t, func(c *Config) { disk(c); small(c) })
	mustSend(t, s, "eve", Spec{Name: "a"}, double)
	mustSend(t, s, "eve", Spec{Name: "c"}, file("double c", 200))
}

// TestFullMemory: without a disk a full box refuses; what is there stays.
func TestFullMemory(t *testing.T) {
	s := open(t, func(c *Config) { c.Memory, c.OwnerBytes = 1000, 2000 })
	a := file("a", 600)
	mustSend(t, s, "anna", Spec{Name: "a"}, a)
	u := begin(t, s, "ben", Spec{Name: "b"})
	b := file("b", 600)
	_, err := u.Write(b)
	is(t, err, func(e *FullError) bool { return e.What == "memory" && e.Need == 600 && e.Limit == 1000 && !e.Never })
	mustHave(t, s, "anna", "a", a)
	is[*ConflictError](t, s.Unload("anna", Reference{Name: "a"}), nil)
	if err := s.Delete("anna", Reference{Name: "a"}); err != nil {
		t.Error(err)
	}
	if _, err := u.Write(b); err != nil { // the upload was not lost
		t.Error(err)
	}
	if _, err := u.Finish(context.Background()); err != nil {
		t.Error(err)
	}
	_, err = send(s, "anna", Spec{Name: "a"}, file("a", 1001))
	is(t, err, func(e *FullError) bool { return e.Never && e.Need == 1001 })
	u = begin(t, s, "anna", Spec{Name: "a"})
	if _, err := u.Write(file("double", 300)); err != nil {
		t.Error(err)
	}
	_, err = u.Finish(context.Background())
	is(t, err, func(e *FullError) bool { return e.Need == 600 && !e.Never })
	if err := s.Delete("ben", Reference{Name: "b"}); err != nil {
		t.Error(err)
	}
	_, err = send(s, "ben", Spec{Name: "b"}, file("double", 501))
	is(t, err, func(e *FullError) bool { return e.Need == 1002 && e.Never })
	if _, err := u.Finish(context.Background()); err != nil { // there is room now
		t.Error(err)
	}
	nothingElse(t, s, "anna", 1)
}

// TestArriving: what one owner's uploads hold is not all that there is, however slowly
// they go on.
func TestArriving(t *testing.T) {
	on := sealedOn(t, 1<<20)
	s := open(t, func(c *Config) { on(c); c.Memory, c.Arriving = 1000, 500 })
	held := begin(t, s, "eve", Spec{Name: "a"})
	if _, err := held.Write(file("a", 400)); err != nil {
		t.Fatal(err)
	}
	more := begin(t, s, "eve", Spec{Name: "b"})
	_, err := more.Write(file("b", 200))
	is(t, err, func(e *FullError) bool {
		return e.What == "memory for one caller's uploads" && e.Limit == 500 && !e.Never
	})
	mustSend(t, s, "ben", Spec{Name: "a"}, file("a", 500))
	held.Abort()
	large := begin(t, s, "eve", Spec{Name: "c"})
	_, err = large.Write(file("c", 501))
	is(t, err, func(e *FullError) bool { return e.Need == 501 && e.Never })
	_, err = s.Upload("eve", large.ID()) // there is no sense in waiting for room
	is[*NoUploadError](t, err, nil)
	if _, err := more.Write(file("b", 500)); err != nil {
		t.Error(err)
	}
	if _, err := more.Finish(context.Background()); err != nil {
		t.Error(err)
	}
	nothingElse(t, s, "eve", 1)
	if _, err := Open(Config{Arriving: -1}); err == nil || !strings.Contains(err.Error(), "must not be negative") {
		t.Error(err)
	}
}

// TestFullDisk is the bound of the policy; what the disk itself says is in the tests
// of crashes.
func TestFullDisk(t *testing.T) {
	s := open(t, sealedOn(t, 5000))
	a := file("a", 3000)
	mustSend(t, s, "anna", Spec{Name: "a"}, a)
	_, err := send(s, "ben", Spec{Name: "b"}, file("b", 3000))
	is(t, err, func(e *FullError) bool { return e.What == "disk" && e.Limit == 5000 && !e.Never })
	_, err = send(s, "ben", Spec{Name: "b"}, file("b", 6000))
	is(t, err, func(e *FullError) bool { return e.What == "disk" && e.Never })
	mustHave(t, s, "anna", "a", a)
	if err := s.Delete("anna", Reference{Name: "a"}); err != nil {
		t.Error(err)
	}
	mustSend(t, s, "ben", Spec{Name: "b"}, file("b", 3000))
	nothingElse(t, s, "ben", 1)
}

// TestSameFile: a stranger who has the same file learns nothing from it, and his copy
// is his own.
func TestSameFile(t *testing.T) {
	l := &reader{}
	s := open(t, func(c *Config) { sealedOn(t, 1<<20)(c); c.Loader = l })
	data := file("a", 1000)
	mustSend(t, s, "anna", Spec{Name: "a"}, data)
	before := l.count()
	mustSend(t, s, "ben", Spec{Name: "b"}, data)
	if l.count() != before+1 {
		t.Error("the second upload was not loaded: its time says that the first exists")
	}
	if st := s.Stats("ben"); st.Own.Bytes != 1000 || st.Own.Memory != 1000 || st.Memory != 2000 || st.Disk > 1500 {
		t.Errorf("%+v", st)
	}
	if err := s.Unload("ben", Reference{Name: "b"}); err != nil {
		t.Error(err)
	}
	if e, _ := s.Get("ben", Reference{Name: "b"}); e.State != Idle {
		t.Errorf("ben's is %s because anna's is", e.State)
	}
	if err := s.Delete("anna", Reference{Name: "a"}); err != nil {
		t.Error(err)
	}
	mustHave(t, s, "ben", "b", data)
	nothingElse(t, s, "ben", 1)
}

// TestBadFiles: a loader that refuses, panics, gives nothing or never ends is that
// upload's error alone.
func TestBadFiles(t *testing.T) {
	on := sealedOn(t, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, on)
		good := file("good", 100)
		mustSend(t, s, "anna", Spec{Name: "good"}, good)
		_, err := send(s, "anna", Spec{Name: "m"}, file("refuse", 100))
		is(t, err, func(e *LoadError) bool { return !e.Panic && e.Model == "anna~m" })
		_, err = send(s, "anna", Spec{Name: "m"}, file("panic", 100))
		is(t, err, func(e *LoadError) bool { return e.Panic })
		_, err = send(s, "anna", Spec{Name: "m"}, file("nothing", 100))
		is[*LoadError](t, err, nil)
		_, err = send(s, "anna", Spec{Name: "m"}, file("wait", 100))
		is(t, err, func(e *SlowError) bool { return e.Limit == time.Minute && e.Model == "anna~m" })
		mustHave(t, s, "anna", "good", good)
		synctest.Wait()
		nothingElse(t, s, "anna", 1)
	})
}

// early is a loader that returns before the end of the file.
type early struct {
	err error
	neg bool
}

func (l early) Load(_ context.Context, _ string, r io.Reader) (Ready, error) {
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil || l.err != nil {
		return nil, errors.Join(err, l.err)
	}
	if l.neg {
		return &weights{bytes: -1}, nil
	}
	return &weights{bytes: 10}, nil
}

// TestEarlyLoader: what a loader does not read counts, is hashed and sealed all the
// same; an error of his ends the upload at once.
func TestEarlyLoader(t *testing.T) {
	s := open(t, func(c *Config) { sealedOn(t, 8<<20)(c); c.Loader, c.OwnerBytes, c.Memory = early{}, 4<<20, 4<<20 })
	data := file("a", 1<<20)
	e := mustSend(t, s, "anna", Spec{Name: "a"}, data)
	if e.Size != 1<<20 || e.Memory != 10 || s.Stats("").Memory != 10 {
		t.Errorf("%+v", e)
	}
	if err := s.Unload("anna", e.Reference()); err != nil {
		t.Error(err)
	}
	if err := s.Load(context.Background(), "anna", e.Reference()); err != nil {
		t.Error(err)
	}
	s.config.Loader = early{err: errors.New("no model")}
	u := begin(t, s, "anna", Spec{Name: "b"})
	n, err := io.Copy(u, bytes.NewReader(data))
	is[*LoadError](t, err, nil)
	if n > 2*part {
		t.Errorf("took %d bytes of a file that was refused", n)
	}
	s.config.Loader = early{neg: true}
	if _, err := send(s, "anna", Spec{Name: "b"}, data); err == nil {
		t.Error("a model of a negative size")
	}
	eventually(t, func() bool { return s.Stats("anna").Own.Uploads == 0 })
	nothingElse(t, s, "anna", 1)
}

// slowReader is a loader that works for a second on each part.
type slowReader struct{}

func (slowReader) Load(_ context.Context, _ string, r io.Reader) (Ready, error) {
	for {
		_, err := r.Read(make([]byte, 10))
		switch {
		case errors.Is(err, io.EOF):
			return &weights{bytes: 1}, nil
		case err != nil:
			return nil, err
		}
		time.Sleep(time.Second)
	}
}

// TestLoadTime: a sender may be slow, a loader may not.
func TestLoadTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *Config) { c.Loader, c.LoadTime = slowReader{}, 10*time.Second })
		u := begin(t, s, "anna", Spec{Name: "a"})
		for range 9 {
			if _, err := u.Write(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
		}
		if _, err := u.Finish(context.Background()); err != nil {
			t.Error(err)
		}
		_, err := send(s, "anna", Spec{Name: "b"}, make([]byte, 200))
		is[*SlowError](t, err, nil)
		synctest.Wait()
		nothingElse(t, s, "anna", 1)
	})
}

// TestFinishAgain: who does not wait for the end of the loading may ask again.
func TestFinishAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		s := open(t, func(c *Config) { c.Loader = &reader{block: block} })
		u := begin(t, s, "anna", Spec{Name: "a"})
		if _, err := u.Write(file("block", 100)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := u.Finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		n, err := u.Append(100, bytes.NewReader([]byte("more")))
		if is(t, err, func(e *ConflictError) bool { return strings.Contains(e.Why, "takes no more bytes") }); n != 0 || u.Offset() != 100 {
			t.Errorf("%d bytes more, at %d", n, u.Offset())
		}
		close(block)
		if _, err := u.Finish(context.Background()); err != nil {
			t.Error(err)
		}
		nothingElse(t, s, "anna", 1)
	})
}

// TestStuckLoader: one that never returns holds its owner's share, nobody else's.
func TestStuckLoader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		s := open(t, func(c *Config) { c.Loader = &reader{block: block} })
		for range 2 {
			_, err := send(s, "eve", Spec{Name: "a"}, file("block", 100))
			is[*SlowError](t, err, nil)
		}
		_, err := s.Begin("eve", Spec{Name: "b"})
		is[*QuotaError](t, err, nil)
		if s.Stats("eve").Memory != 200 {
			t.Error("what a loader holds is not counted")
		}
		data := file("a", 100)
		mustSend(t, s, "ben", Spec{Name: "a"}, data)
		mustHave(t, s, "ben", "a", data)
		close(block)
		synctest.Wait()
		nothingElse(t, s, "eve", 0)
	})
}
