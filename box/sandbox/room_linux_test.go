package sandbox

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
)

// TestDialWhileClosing: a request that is on its way when the app is stopped is
// refused. It must not end the box.
func TestDialWhileClosing(t *testing.T) {
	ns, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	r := &room{ns: ns, calls: make(chan func()), closed: make(chan struct{})}
	r.close()
	if _, err := r.dial(t.Context(), netip.MustParseAddrPort("127.0.0.1:80")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, expected %v", err, net.ErrClosed)
	}
}
