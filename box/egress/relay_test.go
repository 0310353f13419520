package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

func TestSpending(t *testing.T) {
	c := newClock()
	minute := &policy.Budget{Count: 100, Per: time.Minute}
	try := func(s *spending, n int64) string {
		wait, err := s.try(n)
		return fmt.Sprint(wait, " ", reasonOf(err, ""))
	}
	steps := func(s *spending, rows ...any) {
		t.Helper()
		for i := 0; i < len(rows); i += 3 {
			c.add(rows[i].(time.Duration))
			if got := try(s, int64(rows[i+1].(int))); got != rows[i+2].(string) {
				t.Errorf("step %d: %s, expected %s", i/3, got, rows[i+2])
			}
		}
	}
	none := newSpending(nil, nil, c.Now)
	if !none.unlimited() || newSpending(minute, nil, c.Now).unlimited() || newSpending(nil, minute, c.Now).unlimited() {
		t.Error("unlimited")
	}
	steps(none, time.Duration(0), 1<<40, "0s ")
	steps(newSpending(nil, minute, c.Now),
		time.Duration(0), 60, "0s ",
		time.Second, 41, "0s bytes",
		time.Second, 40, "0s ",
		time.Second, 1, "0s bytes",
		57*time.Second-1, 1, "0s bytes",
		time.Duration(1), 100, "0s ",
		-time.Hour, 1, "0s bytes",
		time.Minute-1, 1, "0s bytes",
		time.Duration(1), 100, "0s ",
		10*time.Minute, 101, "0s bytes",
		time.Duration(0), 100, "0s ")
	steps(newSpending(minute, nil, c.Now),
		time.Duration(0), 60, "0s ",
		time.Second, 60, "59s ",
		59*time.Second, 60, "0s ",
		// Overdrawn by one piece, made up for by waiting.
		time.Minute, 250, "0s ",
		time.Duration(0), 1, "1m0s ",
		time.Minute, 1, "1m0s ",
		time.Minute, 1, "0s ",
		time.Hour-500*time.Microsecond, 100, "0s ",
		500*time.Microsecond-1, 1, "1ms ")
	steps(newSpending(nil, &policy.Budget{}, c.Now), time.Hour, 1, "0s bytes")
	both := newSpending(minute, &policy.Budget{Count: 120, Per: time.Hour}, c.Now)
	steps(both, time.Duration(0), 100, "0s ", time.Duration(0), 20, "1m0s ", time.Minute, 20, "0s ", time.Minute, 1, "0s bytes")

	waited := 0
	s := newSpending(minute, nil, c.Now)
	if err := s.take(nil, 100); err != nil {
		t.Fatal(err)
	}
	if err := s.take(func(d time.Duration) bool { waited++; c.add(d); return true }, 10); err != nil || waited != 1 {
		t.Errorf("%v after %d pauses", err, waited)
	}
	if err := s.take(func(time.Duration) bool { return false }, 100); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if saturated(1<<40, 1<<40) != 1<<63-1 || saturated(3, 4) != 12 || saturated(5, 0) != 0 {
		t.Error("saturated")
	}
}

// TestBytesAreCut: never more than the policy's bytes pass, in both directions.
func TestBytesAreCut(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	o.serve(t, publicA+":25", func(c net.Conn) { io.Copy(c, c) })
	e := allow(destination("a.example", 25))
	e.Bytes = &policy.Budget{Count: 1000, Per: time.Hour}
	p := newProxy(t, e, o)
	for i, refusals := range []int64{1, 2} {
		got := say(t, p, "", "CONNECT a.example:25 HTTP/1.1\r\n\r\n\x00"+strings.Repeat("x", 599))
		if !strings.HasPrefix(got, "HTTP/1.1 200") || len(got) > 500 {
			t.Errorf("%q", got)
		}
		d := p.ledger.counters().Destinations[0]
		if d.Sent < 600 || d.Sent+d.Received > 1000 || d.Refused[OverBytes] != refusals {
			t.Errorf("connection %d: %+v", i, d)
		}
	}
}

// TestLargeTransfers: what goes through the kernel arrives whole, both ways.
func TestLargeTransfers(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	o.serve(t, publicA+":25", func(c net.Conn) {
		io.Copy(c, c)
		c.(*net.TCPConn).CloseWrite()
	})
	for _, limited := range []bool{false, true} {
		e := allow(destination("a.example", 25))
		if limited {
			e.Rate = &policy.Budget{Count: 1 << 40, Per: time.Second}
		}
		p := newProxy(t, e, o)
		app, c := pair(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.explicit(c)
			c.Close()
		}()
		const size = 12 << 20
		sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		go func() {
			io.WriteString(app, "CONNECT a.example:25 HTTP/1.1\r\n\r\n")
			app.Write(sent)
			app.(*net.TCPConn).CloseWrite()
		}()
		answer := make([]byte, len("HTTP/1.1 200 OK\r\n\r\n"))
		if _, err := io.ReadFull(app, answer); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(app)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes of %d came back, or others: %v", len(got), len(sent), err)
		}
		app.Close()
		<-done
		if d := p.ledger.counters().Destinations[0]; d.Sent != size || d.Received != size || d.Open != 0 {
			t.Errorf("%+v", d)
		}
		counts(t, p)
	}
}

// patient is a connection that says when its reader has waited in vain.
type patient struct {
	net.Conn
	deadlines chan struct{}
}

func (p patient) SetReadDeadline(at time.Time) error {
	select {
	case p.deadlines <- struct{}{}:
	default:
	}
	return p.Conn.SetReadDeadline(at)
}

// TestStuck: a receiver that takes nothing ends the connection, for the reason that
// nothing moved, whichever way the bytes go.
func TestStuck(t *testing.T) {
	p := newProxy(t, allow(destination("a.example", 25)), nil, func(c *Config) { c.Timeouts.Idle = 20 * time.Millisecond })
	for _, before := range []int{0, spliceAfter} {
		app, appSide := pair(t)
		remoteSide, remote := pair(t)
		go io.Copy(app, zeros{})
		if before > 0 {
			go io.ReadFull(remote, make([]byte, before))
		}
		r := p.newRelay(&target{p.rules[0], "a.example"}, appSide, remoteSide)
		before := p.ledger.counters().Refused[IdleTooLong]
		if r.forth(-1) || p.ledger.counters().Refused[IdleTooLong] != before+1 {
			t.Errorf("ended for %v, expected %q once", p.ledger.counters().Refused, IdleTooLong)
		}
		r.close()
		app.Close()
		remote.Close()
	}
}

// TestSendFails: what cannot be sent ends the relay at once.
func TestSendFails(t *testing.T) {
	p := newProxy(t, allow(destination("a.example", 25)), nil)
	app, appSide := pair(t)
	remoteSide, remote := pair(t)
	defer app.Close()
	defer remote.Close()
	remoteSide.Close()
	r := p.newRelay(&target{p.rules[0], "a.example"}, appSide, remoteSide)
	if r.send([]byte("x")) {
		t.Error("sent on a closed connection")
	}
	if _, err := appSide.Write([]byte("x")); err == nil {
		t.Error("the app's connection is open")
	}
	r.close()
	counts(t, p)
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestIdle: a direction that is silent stays open as long as bytes move in the
// other, and ends when none do.
func TestIdle(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	p := newProxy(t, allow(destination("a.example", 25)), o, func(c *Config) { c.Timeouts.Idle = 20 * time.Millisecond })
	app, appSide := pair(t)
	remoteSide, remote := pair(t)
	defer app.Close()
	defer remote.Close()
	waits := make(chan struct{})
	r := p.newRelay(&target{p.rules[0], "a.example"}, patient{appSide, waits}, remoteSide)
	r.moved.Store(time.Now().Add(time.Hour).UnixNano())
	done := make(chan bool)
	go func() { done <- r.forth(1) }()
	for range 5 {
		select {
		case <-waits: // each is a wait that ended without a byte
		case <-done:
			t.Fatal("a silent direction was ended while the other moved")
		}
	}
	io.WriteString(app, "x")
	for ended := false; !ended; {
		select {
		case <-waits:
		case ok := <-done:
			ended = true
			if !ok {
				t.Error("a silent direction was ended while the other moved")
			}
		}
	}
	r.moved.Store(time.Now().Add(-time.Hour).UnixNano())
	if r.forth(1) || p.ledger.counters().Refused[IdleTooLong] != 1 {
		t.Errorf("ended for %v, expected %q once", p.ledger.counters().Refused, IdleTooLong)
	}
	r.close()
	counts(t, p, IdleTooLong, 1)
}

func TestLedger(t *testing.T) {
	o := newOutside()
	p := newProxy(t, allow(destination("a.example", 80), destination("b.example", 81)), o)
	l := p.ledger
	for range 5 {
		l.refuse(OtherHost, p.rules[1])
	}
	l.refuse(OtherHost, p.rules[0])
	l.refuse(NotAllowed, nil)
	o.add(reportEvery - 1)
	l.refuse(OtherHost, p.rules[1])
	o.add(1)
	l.refuse(OtherHost, p.rules[1])
	o.add(-time.Hour)
	l.refuse(OtherHost, p.rules[1])
	l.refuse(NotAllowed, nil)
	l.refuse(NotAllowed, nil)
	want := "[{other host b.example 81 7 1} {other host a.example 80 7 1} {not allowed  0 0 1} {other host b.example 81 7 6} {other host b.example 81 7 1} {not allowed  0 0 1}]"
	if got := fmt.Sprint(o.events); got != want {
		t.Errorf("reported\n%s, expected\n%s", got, want)
	}
	counts(t, p, OtherHost, 9, NotAllowed, 3)
	c := l.counters()
	if c.Destinations[0].Refused[OtherHost] != 1 || c.Destinations[1].Refused[OtherHost] != 8 || c.Destinations[1].Host != "b.example" || c.Destinations[1].Port != 81 {
		t.Errorf("%+v", c)
	}
	p.Close()
	if last := o.events[len(o.events)-1]; len(o.events) != 7 || last.Reason != NotAllowed || last.Count != 1 {
		t.Errorf("not flushed: %+v", o.events)
	}
	l.flush()
	if len(o.events) != 7 {
		t.Error("flushed twice")
	}
}

func TestDropped(t *testing.T) {
	o := newOutside()
	p := newProxy(t, allow(), o)
	now := map[Reason]int64{PacketUDP: 3, NoRoute: 0}
	var fail error
	p.ledger.watch(func() (map[Reason]int64, error) { return now, fail })
	counts(t, p, PacketUDP, 3)
	now = map[Reason]int64{PacketUDP: 5, NoRoute: 1}
	counts(t, p, PacketUDP, 5, NoRoute, 1)
	now = map[Reason]int64{PacketUDP: 4, NoRoute: 1} // cannot be, and takes nothing back
	counts(t, p, PacketUDP, 5, NoRoute, 1)
	now = map[Reason]int64{PacketUDP: 6, NoRoute: 1}
	counts(t, p, PacketUDP, 6, NoRoute, 1)
	fail = errors.New("gone")
	if c, err := p.Counters(); err == nil || c != nil {
		t.Errorf("%v, %v", c, err)
	}
}
