package audit

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// settable is a clock that stands still between its settings.
type settable struct{ at atomic.Int64 }

func (s *settable) now() time.Time     { return time.Unix(0, s.at.Load()).UTC() }
func (s *settable) set(when time.Time) { s.at.Store(when.UnixNano()) }

// TestKeyThatEnded: nothing is signed with a key that its evidence vouches for no
// longer. The log goes on, says so, and another key signs what is open.
func TestKeyThatEnded(t *testing.T) {
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var clock settable
	clock.set(begin)
	out := newSink()
	cfg := config(t, out)
	first := newKey(t)
	first.until = begin.Add(time.Hour)
	cfg.Key, cfg.Now, cfg.HeadEvery = first, clock.now, 3
	l := open(t, cfg, First())
	l.Decided(allow("clinic"))
	clock.set(first.until) // the last moment
	last := l.Head()
	if at, _, err := AnchorOf(last); err != nil || at.Sequence != 2 || l.Err() != nil {
		t.Fatalf("at its end: %+v, %v, %v", at, err, l.Err())
	}
	clock.set(first.until.Add(time.Nanosecond))
	for range 5 {
		l.Decided(allow("clinic"))
	}
	if err := l.Err(); l.Head() != last || err == nil || !strings.Contains(err.Error(), "may sign until 2026-11-22T13:00:00Z") {
		t.Errorf("signed after its end, or nothing said: %v", err)
	}
	if err := l.Rekey(first); err == nil {
		t.Error("a key that ended is taken again")
	}
	if err := l.Rekey(newKey(t)); err != nil {
		t.Fatal(err)
	}
	l.Close(t.Context())
	r := sound(t, out.bytes())
	if len(r.Runs) != 2 || r.Runs[0].Tail != 5 || r.Runs[1].Tail != 0 || r.Allowed != 6 {
		t.Errorf("%+v", r.Runs)
	}
	if _, err := New(cfg, First()); err == nil {
		t.Error("a log is begun with a key that ended")
	}
}

// TestKeyThatEndedClockBack: a clock that is set back wakes up no key.
func TestKeyThatEndedClockBack(t *testing.T) {
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var clock settable
	clock.set(begin)
	cfg := config(t, newSink())
	key := newKey(t)
	key.until = begin.Add(time.Hour)
	cfg.Key, cfg.Now = key, clock.now
	l := open(t, cfg, First())
	last := l.Head()
	clock.set(begin.Add(2 * time.Hour))
	l.Decided(allow("clinic"))
	clock.set(begin)
	if l.Head() != last {
		t.Error("signed with a key that ended")
	}
}

// TestBindTime: heads from before or behind the life of the key do not count.
func TestBindTime(t *testing.T) {
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var clock settable
	clock.set(begin)
	out := newSink()
	cfg := config(t, out)
	key := newKey(t)
	cfg.Key, cfg.Now = key, clock.now
	l := open(t, cfg, First())
	clock.set(begin.Add(time.Hour))
	l.Decided(allow("clinic"))
	l.Head()
	clock.set(begin.Add(2 * time.Hour))
	if err := l.Rekey(key); err != nil { // another run by the same key
		t.Fatal(err)
	}
	l.Close(t.Context())
	r := sound(t, out.bytes())
	const slack = 5 * time.Minute
	for _, tc := range []struct {
		from, until time.Time
		failed      string
	}{
		{begin, begin.Add(2 * time.Hour), ""},
		{begin.Add(slack), begin.Add(2*time.Hour - slack), ""},
		{begin.Add(slack + 1), begin.Add(2 * time.Hour), "receipt.time"},
		{begin, begin.Add(2*time.Hour - slack - 1), "receipt.end"},
	} {
		for _, run := range r.Runs {
			var failed []string
			for _, c := range r.Bind(run, attest.Statement{NotBefore: tc.from, NotAfter: tc.until}, attest.Evidence{}) {
				if c.Status != attest.Pass && (c.Name == "receipt.time" || c.Name == "receipt.end") {
					failed = append(failed, c.Name)
				}
			}
			if strings.Join(failed, " ") != tc.failed {
				t.Errorf("%s to %s: %q, expected %q", tc.from, tc.until, failed, tc.failed)
			}
		}
	}
	names := 0
	for _, c := range (Report{}).Bind(Run{}, attest.Statement{}, attest.Evidence{}) {
		if c.Name == "receipt.time" {
			names++
		}
	}
	if names != 0 {
		t.Error("a run without a head has a time")
	}
}

// TestBindTimeOfOthers: what other keys signed, and runs without a head, have no say.
func TestBindTimeOfOthers(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	run := Run{Key: [32]byte{1}, Heads: 1, From: at, Until: at}
	r := Report{Runs: []Run{run, {Key: [32]byte{1}}, {Key: [32]byte{2}, Heads: 1, From: at.Add(-time.Hour), Until: at.Add(time.Hour)}}}
	n := 0
	for _, c := range r.Bind(run, attest.Statement{NotBefore: at, NotAfter: at}, attest.Evidence{}) {
		if c.Name == "receipt.time" || c.Name == "receipt.end" {
			n++
			if c.Status != attest.Pass {
				t.Errorf("%+v", c)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d checks of times", n)
	}
}

// TestTimesOfHeads: the earliest and the latest count, whatever their order.
func TestTimesOfHeads(t *testing.T) {
	key := newKey(t)
	key.until = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var v verifier
	head := func(when time.Time) string {
		l := &Log{cfg: Config{Key: key, Now: ticking()}, seq: 1, lastTime: when}
		token, err := l.sign()
		if err != nil {
			t.Fatal(err)
		}
		return v.head(record{Type: typeHead, Seq: 1, JWS: token})
	}
	for _, when := range []time.Time{at, at.Add(-time.Hour), at.Add(time.Hour), at} {
		if why := head(when); why != "" {
			t.Fatal(why)
		}
	}
	if run := v.run(); !run.From.Equal(at.Add(-time.Hour)) || !run.Until.Equal(at.Add(time.Hour)) || run.Heads != 4 {
		t.Errorf("%+v", run)
	}
	if why := head(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)); why != "a head without a time" {
		t.Errorf("%q", why)
	}
}
