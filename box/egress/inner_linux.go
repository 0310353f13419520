package egress

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Several programs have a network each, and a wire each to a crossing that stands
// where the app's network stands otherwise: at the app's end of the wire to the
// gate. The crossing forwards between them and to the gate, and has no route to
// anything else; no program runs in it. It takes from a wire only what comes from
// the address at that wire's other end (RFC 3704, section 2.2), so that no program
// can speak as another one. Nothing is asked by ARP here either.
//
// All of it is routed, so that a program hears nothing that is not for it, and none
// has the loopback interface or the abstract sockets of another.

// firstInner is the index of the first of the crossing's links to the programs.
const firstInner = otherLink + 1

// Mark the ends of the wires in hardware addresses.
const (
	crossingEnd = 3
	programEnd  = 4
)

func innerMAC(end byte, i int) []byte { return []byte{0x02, 0xbb, 0, 0, end, byte(i + 1)} }

// buildInner makes the networks of the programs and joins them.
func (n *Namespace) buildInner() error {
	if n.plan.Programs == 0 {
		return nil
	}
	if n.plan.Programs > maxPrograms {
		return fmt.Errorf("%d programs, limit %d", n.plan.Programs, maxPrograms)
	}
	for range n.plan.Programs {
		f, err := newNetwork()
		if err != nil {
			return err
		}
		n.inner = append(n.inner, f)
	}
	if err := within(n.app, n.buildCrossing); err != nil {
		return fmt.Errorf("the crossing: %w", err)
	}
	for i, f := range n.inner {
		if err := within(f, func() error { return connectProgram(n.plan, i) }); err != nil {
			return fmt.Errorf("the network of program %d: %w", i, err)
		}
	}
	return nil
}

// buildCrossing makes the wires and the crossing's ends of them. It forwards
// nothing before each source is checked.
func (n *Namespace) buildCrossing() error {
	if err := disableIPv6("all"); err != nil {
		return err
	}
	for _, name := range []string{"all", "default"} {
		if err := setIPv4("conf/"+name+"/rp_filter", "1"); err != nil {
			return err
		}
	}
	err := withRoute(func(r *route) {
		r.addressOn(loopback, crossingAddress)
		for i, f := range n.inner {
			link, a := firstInner+i, n.plan.AddressOf(i).String()
			r.wire(ends{link, fmt.Sprintf("p%d", i), innerMAC(crossingEnd, i)}, ends{otherLink, appLink, innerMAC(programEnd, i)}, int(f.Fd()))
			r.up(link)
			r.neighbourOn(link, a, innerMAC(programEnd, i))
			r.addOn(link, path{to: host(a)})
		}
	})
	if err != nil {
		return err
	}
	return setIPv4("ip_forward", "1")
}

// connectProgram makes a program's end: a route to the others and to what the gate
// stands for, and none to anything else.
func connectProgram(p Plan, i int) error {
	if err := disableIPv6(appLink); err != nil {
		return err
	}
	return withRoute(func(r *route) { r.programEnd(p, i) })
}

func (r *route) programEnd(p Plan, i int) {
	r.up(loopback)
	r.address(p.AddressOf(i).String())
	r.up(otherLink)
	r.neighbour(crossingAddress, innerMAC(crossingEnd, i))
	r.add(path{to: host(crossingAddress)})
	r.add(path{to: netip.MustParsePrefix(innerNetwork), via: crossingAddress})
	if p.Proxy == 0 {
		return
	}
	r.add(path{to: host(gateAddress), via: crossingAddress})
	for _, d := range p.destinations() {
		r.add(path{to: d, via: crossingAddress})
	}
}

func setIPv4(name, value string) error {
	return os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0)
}

// ends is one end of a wire: the link's index, name and hardware address.
type ends struct {
	index int
	name  string
	mac   []byte
}

// wire makes a wire: one end here, one in another network.
func (r *route) wire(here, there ends, network int) {
	const vethInfoPeer = 1 // VETH_INFO_PEER, linux/veth.h
	r.do("veth", unix.RTM_NEWLINK, create, linkHeader(here.index, 0), func(e *netlink.AttributeEncoder) {
		e.String(unix.IFLA_IFNAME, here.name)
		e.Bytes(unix.IFLA_ADDRESS, here.mac)
		e.Nested(unix.IFLA_LINKINFO, func(e *netlink.AttributeEncoder) error {
			e.String(unix.IFLA_INFO_KIND, "veth")
			e.Nested(unix.IFLA_INFO_DATA, func(e *netlink.AttributeEncoder) error {
				// The peer is a message of its own: a header and attributes.
				e.Do(vethInfoPeer, func() ([]byte, error) { return there.message(network) })
				return nil
			})
			return nil
		})
	})
}

func (p ends) message(network int) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.String(unix.IFLA_IFNAME, p.name)
	e.Bytes(unix.IFLA_ADDRESS, p.mac)
	e.Uint32(unix.IFLA_NET_NS_FD, uint32(network))
	b, err := e.Encode()
	return append(linkHeader(p.index, 0), b...), err
}
