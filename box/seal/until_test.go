package seal

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// TestKeyThatEnded: nothing is signed with a key that its evidence vouches for no
// longer, and whoever flushes or closes is told.
func TestKeyThatEnded(t *testing.T) {
	id, sink, key := identity(t), &kept{}, newKey(t)
	key.until = today().Add(time.Hour)
	var late atomic.Int64
	cfg := config(t, id.Recipient(), sink)
	cfg.Key, cfg.Now = key, func() time.Time { return today().Add(time.Duration(late.Load())) }
	l := open(t, cfg)
	late.Store(int64(time.Hour)) // the last moment
	l.Event("in time")
	if err := l.Flush(); err != nil || len(sink.list()) != 1 {
		t.Fatalf("at its end: %v, %d segments", err, len(sink.list()))
	}
	late.Add(1)
	l.Event("late")
	if err := l.Flush(); err == nil || !strings.Contains(err.Error(), "may sign until 2026-11-22T13:00:00Z") {
		t.Errorf("after its end: %v", err)
	}
	if err := l.Close(t.Context()); err == nil || len(sink.list()) != 1 {
		t.Errorf("closed: %v, %d segments", err, len(sink.list()))
	}
	if _, err := New(cfg); err == nil {
		t.Error("a log is begun with a key that ended")
	}
}

// TestBindTime: what was printed before or behind the life of the key does not count.
func TestBindTime(t *testing.T) {
	id, sink := identity(t), &kept{}
	cfg := config(t, id.Recipient(), sink)
	var at atomic.Int64
	cfg.Now = func() time.Time { return today().Add(time.Duration(at.Load())) }
	l := open(t, cfg)
	l.Event("first")
	at.Store(int64(time.Hour))
	l.Event("last")
	l.Close(t.Context())
	r, err := NewReader(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, sealed := range sink.list() {
		if err := r.Each(strings.NewReader(string(sealed)), func(Segment) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	const slack = 5 * time.Minute
	for _, tc := range []struct {
		from, until time.Duration
		failed      string
	}{
		{0, time.Hour, ""}, {slack, time.Hour - slack, ""}, {slack + 1, time.Hour, "receipt.time"}, {0, time.Hour - slack - 1, "receipt.end"},
	} {
		var failed []string
		for _, c := range r.Logs()[0].Bind(attest.Statement{NotBefore: today().Add(tc.from), NotAfter: today().Add(tc.until)}, attest.Evidence{}) {
			if c.Status != attest.Pass && (c.Name == "receipt.time" || c.Name == "receipt.end") {
				failed = append(failed, c.Name)
			}
		}
		if strings.Join(failed, " ") != tc.failed {
			t.Errorf("%+v: %q", tc, failed)
		}
	}
}

// TestSpan: the earliest and the latest entry count, and no entry has no time.
func TestSpan(t *testing.T) {
	var c Chain
	for _, check := range c.Bind(attest.Statement{}, attest.Evidence{}) {
		if check.Name == "receipt.time" {
			t.Error("a log without an entry has a time")
		}
	}
	for _, after := range []time.Duration{0, -time.Hour, time.Hour, 0} {
		c.span(today().Add(after))
	}
	if !c.From.Equal(today().Add(-time.Hour)) || !c.Until.Equal(today().Add(time.Hour)) {
		t.Errorf("%s to %s", c.From, c.Until)
	}
}
