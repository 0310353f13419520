package egress

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"

	"github.com/blindbox/blindbox/policy"
)

// Attempt is a place that an app tried to connect to, in the app's own words. Only
// whoever asks for it with [Config.Wanted] is told: it is for learning a policy on a
// developer's own machine, with requests of the developer's own.
type Attempt struct {
	// Host is a name or an address. Port is 0 if there is none.
	Host string
	Port uint16
	// Protocol is "tcp", "udp", "icmp" or a number; "dns" for a name that was looked
	// up, whether it was used or not.
	Protocol string
}

// NewRecordingPlan is NewPlan with a wire in any case, over which the app can try to
// reach everything: every name has an address, every address a route to the gate.
// It can reach what it could with NewPlan, and no more.
func NewRecordingPlan(plan Plan) Plan {
	const firstProxy = 3128
	if plan.Proxy == 0 {
		plan.Proxy = firstProxy
	}
	plan.Record = true
	return plan
}

func (p *Proxy) wanted(host string, port uint16, protocol string) {
	if p.cfg.Wanted != nil {
		p.cfg.Wanted(Attempt{Host: host, Port: port, Protocol: protocol})
	}
}

// watchTap reads copies of the packets that the app sent, from the IP header on.
func (p *Proxy) watchTap(tap io.Reader) error {
	buf := make([]byte, 128)
	for {
		n, err := tap.Read(buf)
		if err != nil {
			return fmt.Errorf("egress: %w", err)
		}
		if to, protocol, ok := firstPacket(buf[:n]); ok {
			host, named := p.names.name(to.Addr())
			if !named {
				host = to.Addr().String()
			}
			p.wanted(host, to.Port(), protocol)
		}
	}
}

// firstPacket reads where a packet of the app's goes, if it begins something: a SYN
// (RFC 9293, section 3.1), or anything that is no TCP. What goes to the proxy itself
// is said by the proxy.
func firstPacket(b []byte) (to netip.AddrPort, protocol string, ok bool) {
	const minimum, tcp, udp, icmp = 20, 6, 17, 1
	if len(b) < minimum || b[0]>>4 != 4 {
		return to, "", false
	}
	rest := b[min(int(b[0]&0xf)*4, len(b)):]
	source, destination := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if source.String() == gateAddress || destination.String() == gateAddress {
		return to, "", false
	}
	port := uint16(0)
	if len(rest) >= 4 {
		port = binary.BigEndian.Uint16(rest[2:])
	}
	switch b[9] {
	case tcp:
		const flags, syn, ack = 13, 0x02, 0x10
		ok = len(rest) > flags && rest[flags]&(syn|ack) == syn
		return netip.AddrPortFrom(destination, port), "tcp", ok
	case udp:
		return netip.AddrPortFrom(destination, port), "udp", true
	case icmp:
		return netip.AddrPortFrom(destination, 0), "icmp", true
	}
	return netip.AddrPortFrom(destination, 0), fmt.Sprintf("protocol %d", b[9]), true
}

// connections is how many the proxy serves at once. What is learned from a policy
// without any has to get as far as saying where it wants to go.
func (c *Config) connections() int {
	if c.Wanted != nil && len(c.Egress.Allow) == 0 {
		return policy.DefaultConnections
	}
	return c.Egress.Connections
}
