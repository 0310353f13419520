package audit

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// TestRingAfter: a ring that begins in the middle of a log says so, and what it holds
// is whole, also behind a line that was torn elsewhere.
func TestRingAfter(t *testing.T) {
	file := &bytes.Buffer{}
	cfg := Config{Key: newKey(t), Callers: []string{"clinic"}, Sink: file, Now: time.Now}
	l, err := New(cfg, First())
	if err != nil {
		t.Fatal(err)
	}
	l.Decided(allow("clinic"))
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string][]byte{"whole": file.Bytes(), "torn": file.Bytes()[:file.Len()-9]} {
		state, err := Resume(bytes.NewReader(old))
		if err != nil {
			t.Fatal(err)
		}
		ring := NewRing(1 << 20)
		ring.After(state)
		cfg.Sink = ring
		next, err := New(cfg, state)
		if err != nil {
			t.Fatal(err)
		}
		at := next.Decided(allow("clinic"))
		if next.LastHead() == "" {
			t.Error("no head")
		}
		if err := next.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(bytes.NewReader(ring.Bytes()), at)
		if err != nil || r.Fault != nil || r.First != state.next || r.Anchors != 1 || len(r.Runs) != 1 {
			t.Errorf("%s: %v, %+v, fault %+v", name, err, r, r.Fault)
		}
	}
}
