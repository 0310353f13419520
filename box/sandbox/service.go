package sandbox

import (
	"fmt"
	"net/netip"
)

// listenService is the address of a program beside the app.
func (c *Config) listenService() (address, error) {
	if c.Listen == "" {
		return address{}, nil
	}
	a, err := netip.ParseAddrPort(c.Listen)
	if err != nil || !a.Addr().Is4() || !a.Addr().IsGlobalUnicast() || a.Port() == 0 {
		return address{}, fmt.Errorf("sandbox: address %.80q of a service, expected ADDRESS:PORT in its network", c.Listen)
	}
	return address{tcp: a}, nil
}
