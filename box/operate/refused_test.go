package operate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

// sent is a stream on which an operator has sent some frames already.
func sent(t *testing.T, limits Limits, to io.Writer, orders ...string) (st *stream, why func() error) {
	t.Helper()
	var in bytes.Buffer
	for _, f := range orders {
		if err := WriteFrame(&in, Kind(f[0]), []byte(f[1:])); err != nil {
			t.Fatal(err)
		}
	}
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	ctx, cancel := context.WithCancelCause(t.Context())
	return &stream{s: New(Config{Limits: limits}), conn: here, in: &in, out: &frames{to: to}, cancel: cancel}, func() error { return context.Cause(ctx) }
}

// TestOrdersAreWhole: what is behind a broken frame is not looked at, and nothing is
// after the end.
func TestOrdersAreWhole(t *testing.T) {
	st, _ := sent(t, some(), io.Discard, "w123", "sa")
	if o, err := st.order(t.Context(), true); err != errFrame || o.args != nil || o.terminal != nil {
		t.Errorf("behind a size of three bytes: %+v, %v", o, err)
	}
	st, _ = sent(t, some(), io.Discard)
	if o, err := st.order(t.Context(), false); err != io.EOF || o.args != nil {
		t.Errorf("nothing was sent: %+v, %v", o, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	st, _ = sent(t, some(), io.Discard, "sa")
	if o, err := st.order(gone, false); !errors.Is(err, context.Canceled) || o.args != nil {
		t.Errorf("after the end: %+v, %v", o, err)
	}
}

// deaf takes nothing.
type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestPassingOnEnds: for whom nothing can be written to, and who got all that a
// session may pass on.
func TestPassingOnEnds(t *testing.T) {
	st, why := sent(t, some(), deaf{})
	if st.passAll([]byte("text")) || why() != errGone {
		t.Errorf("to nobody: %v", why())
	}
	limits := some()
	limits.Bytes = 3
	var out bytes.Buffer
	st, why = sent(t, limits, &out)
	if st.passAll([]byte("text")) || why() != errBytes || out.Len() != 0 {
		t.Errorf("too much: %v, %q", why(), out.Bytes())
	}
}

// TestNoUpgrade: a connection that cannot be taken over is said to be one.
func TestNoUpgrade(t *testing.T) {
	s := New(Config{Limits: some()})
	defer s.Stop()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Upgrade", Protocol)
	x, no := s.Admit(policy.OpExec, r)
	if no != nil {
		t.Fatal(no)
	}
	defer x.End()
	if no := x.Run(httptest.NewRecorder(), r); no == nil || no.Status != http.StatusBadRequest {
		t.Errorf("%+v", no)
	}
}

// TestRestartOfABoxThatStops: what ended a restart is the box's end, not the app.
func TestRestartOfABoxThatStops(t *testing.T) {
	begun := make(chan struct{})
	s := New(Config{Limits: some(), Restart: func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	x, no := s.Admit(policy.OpRestart, r)
	if no != nil {
		t.Fatal(no)
	}
	answer := make(chan *Refusal, 1)
	go func() {
		defer x.End()
		answer <- x.Run(httptest.NewRecorder(), r)
	}()
	<-begun
	s.Stop()
	if no := <-answer; no == nil || no.Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", no)
	}
}
