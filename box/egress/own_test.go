package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// TestOwnAddresses: an app cannot call its own box from outside, where the box would
// take it for a caller with the box's address; other addresses of the same name are
// dialled.
func TestOwnAddresses(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr(publicA), netip.MustParseAddr("2606:2800::1")}
	fails := false
	asks := func(c *Config) {
		c.Own = func() ([]netip.Addr, error) {
			if fails {
				return nil, errors.New("no addresses")
			}
			return own, nil
		}
	}
	o := newOutside()
	private, named := destination("private.example", 80), destination(publicA, 80)
	private.Private = true
	p := newProxy(t, allow(destination("a.example", 80), private, named), o, asks)
	for name, at := range map[string][]string{"a.example": {publicA, publicB, "2606:2800::1", "::ffff:" + publicA}, "private.example": {publicA}} {
		o.resolves(name, at...)
	}
	look := func(host string) string {
		tg, err := p.target(host, 80)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.addresses(t.Context(), tg)
		return fmt.Sprint(a, " ", reasonOf(err, ""))
	}
	for host, want := range map[string]string{"a.example": "[" + publicB + "] ", "private.example": "[" + publicA + "] ", publicA: "[" + publicA + "] "} {
		if got := look(host); got != want {
			t.Errorf("%s: got %s, expected %s", host, got, want)
		}
	}
	counts(t, p, BadAddress, 3)
	fails = true
	if got := look("a.example"); got != "[] "+string(BadAddress) {
		t.Errorf("where nobody knows: %s", got)
	}
	fails, own = false, append(own, netip.MustParseAddr(publicB))
	if got := look("a.example"); got != "[] "+string(BadAddress) {
		t.Errorf("all of them: %s", got)
	}
}

// TestInterfaceAddresses: those of this machine.
func TestInterfaceAddresses(t *testing.T) {
	got, err := interfaceAddresses()
	if err != nil || !slices.Contains(got, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("%v, %v", got, err)
	}
	all, err := net.InterfaceAddrs()
	if err != nil || len(all) != len(got) {
		t.Errorf("%d, expected %d, %v", len(got), len(all), err)
	}
}
