package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/blindbox/blindbox/policy"
)

// NotEnforcedError says that this machine does not let us give the app a network
// of its own. Whoever goes on without must say so to people: the app reaches
// whatever the machine reaches.
type NotEnforcedError struct{ Err error }

func (e *NotEnforcedError) Error() string {
	return fmt.Sprintf("egress: not enforced: %v; the app would have the machine's own network. Run as root on Linux", e.Err)
}

func (e *NotEnforcedError) Unwrap() error { return e.Err }

// Plan is what a [Namespace] is made of: what may pass the wire. The zero Plan is
// no wire at all.
type Plan struct {
	// Ports are those of names; Addresses are those that lines name.
	Ports     []uint16
	Addresses []netip.AddrPort
	// Proxy is the port of the explicit proxy; 0 if there is no wire.
	Proxy uint16
	// Record gives the app a route to everything, which ends at the gate, and a copy of
	// what it sends to whoever learns a policy from it. See [NewRecordingPlan].
	Record bool
	// Programs is how many programs share what the policy allows, each in a network of
	// its own, and reach one another. 0 is one app that is alone.
	Programs int
}

// AddressOf is the address of one of several programs, from 0 on.
func (p *Plan) AddressOf(i int) netip.Addr {
	a := netip.MustParsePrefix(innerNetwork).Addr().As4()
	a[3] = byte(i + 1)
	return netip.AddrFrom4(a)
}

// NewPlan derives a Plan from the policy's section.
func NewPlan(e policy.Egress) (Plan, error) {
	rs, err := compile(e)
	if len(rs) == 0 {
		return Plan{}, err
	}
	var p Plan
	for _, r := range rs {
		switch {
		case !r.address.IsValid():
			if !slices.Contains(p.Ports, r.Port) {
				p.Ports = append(p.Ports, r.Port)
			}
		case wire().Contains(r.address):
			err = errors.Join(err, fmt.Errorf("egress: line %d: %s is an address of the wire between the app and the proxy", r.Line, r.Host))
		case r.address.Is4():
			// The wire has no IPv6. Such an address is reached by CONNECT.
			p.Addresses = append(p.Addresses, netip.AddrPortFrom(r.address, r.Port))
		}
	}
	if err != nil {
		return Plan{}, err
	}
	const firstProxy = 3128
	for p.Proxy = firstProxy; slices.Contains(rs.ports(), p.Proxy); p.Proxy++ {
	}
	return p, nil
}

// wire is the network of the addresses in names.go.
func wire() netip.Prefix { return netip.MustParsePrefix("198.18.0.0/15") }

// ports returns every port that something is listened on for the app, each once.
func (p *Plan) ports() []uint16 {
	ports := slices.Clone(p.Ports)
	for _, a := range p.Addresses {
		if !slices.Contains(ports, a.Port()) {
			ports = append(ports, a.Port())
		}
	}
	return ports
}

// Listeners returns the sockets in the gate. They are empty if there is no wire.
func (n *Namespace) Listeners() Listeners { return n.listeners }

// ResolvConf is what /etc/resolv.conf must be for the app to find the answerer.
// Without a wire there is none.
func (p *Plan) ResolvConf() string {
	if p.Proxy == 0 {
		return ""
	}
	return "nameserver " + gateAddress + "\noptions timeout:2 attempts:2\n"
}

// Environment tells programs about the proxy, in both spellings: curl reads
// http_proxy only, others HTTP_PROXY.
func (p *Plan) Environment() map[string]string {
	if p.Proxy == 0 {
		return nil
	}
	url := "http://" + net.JoinHostPort(gateAddress, strconv.Itoa(int(p.Proxy)))
	const local = "localhost,127.0.0.1,::1"
	return map[string]string{
		"HTTP_PROXY": url, "http_proxy": url, "HTTPS_PROXY": url, "https_proxy": url,
		"NO_PROXY": local, "no_proxy": local,
	}
}
