package egress

import (
	"errors"
	"net"
	"testing"
)

// TestCloseAtOnce: a proxy that is closed while it begins to serve leaves nothing
// behind, whichever comes first.
func TestCloseAtOnce(t *testing.T) {
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := newProxy(t, allow(destination("a.example", 80)), newOutside())
		served := make(chan error, 1)
		go func() { served <- p.Serve(Listeners{Explicit: l}) }()
		p.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is open: %v", err)
		}
	}
	p := newProxy(t, allow(destination("a.example", 80)), newOutside())
	p.Close()
	if p.begin() {
		t.Error("begun after the end")
	}
}
