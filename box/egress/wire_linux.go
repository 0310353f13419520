package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The wire, in rtnetlink(7). Both ends know each other's hardware address, so
// nothing is asked by ARP; every route is written here.
const (
	gateLink, appLink   = "app", "eth0"
	loopback, otherLink = 1, 2 // indexes of links in both networks
)

func gateMAC() []byte { return []byte{0x02, 0xbb, 0, 0, 0, 1} }
func appMAC() []byte  { return []byte{0x02, 0xbb, 0, 0, 0, 2} }

// route speaks rtnetlink in the calling thread's network and collects errors.
type route struct {
	c    *netlink.Conn
	errs []error
	// again has what is there already made anew; otherwise it is an error.
	again bool
}

func withRoute(f func(*route)) error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	r := &route{c: c}
	f(r)
	return errors.Join(append(r.errs, c.Close())...)
}

// do sends one request and waits for its acknowledgement. After an error nothing
// more is sent.
func (r *route) do(what string, kind uint16, flags netlink.HeaderFlags, header []byte, attributes func(*netlink.AttributeEncoder)) {
	if len(r.errs) > 0 {
		return
	}
	e := netlink.NewAttributeEncoder()
	if attributes != nil {
		attributes(e)
	}
	body, err := e.Encode()
	if err == nil {
		_, err = r.c.Execute(netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | netlink.Acknowledge | flags},
			Data:   append(header, body...),
		})
	}
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", what, err))
	}
}

const create = netlink.Create | netlink.Excl

// put creates addresses, neighbours and routes.
func (r *route) put() netlink.HeaderFlags {
	if r.again {
		return netlink.Create | netlink.Replace
	}
	return create
}

// linkHeader is struct ifinfomsg of linux/rtnetlink.h.
func linkHeader(index int, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], flags)
	return b
}

func (r *route) up(index int) {
	r.do("link up", unix.RTM_NEWLINK, 0, linkHeader(index, unix.IFF_UP), nil)
}

// address gives the link an address that is alone in its network.
func (r *route) address(a string) { r.addressOn(otherLink, a) }

func (r *route) addressOn(link int, a string) {
	ip := netip.MustParseAddr(a).AsSlice()
	header := []byte{unix.AF_INET, 32, 0, unix.RT_SCOPE_UNIVERSE, 0, 0, 0, 0} // struct ifaddrmsg
	binary.NativeEndian.PutUint32(header[4:], uint32(link))
	r.do("address", unix.RTM_NEWADDR, r.put(), header, func(e *netlink.AttributeEncoder) {
		e.Bytes(unix.IFA_LOCAL, ip)
		e.Bytes(unix.IFA_ADDRESS, ip)
	})
}

// neighbour says who has the address at the other end.
func (r *route) neighbour(a string, mac []byte) { r.neighbourOn(otherLink, a, mac) }

func (r *route) neighbourOn(link int, a string, mac []byte) {
	const permanent = 0x80     // NUD_PERMANENT, linux/neighbour.h
	header := make([]byte, 12) // struct ndmsg
	header[0], header[8] = unix.AF_INET, permanent
	binary.NativeEndian.PutUint32(header[4:], uint32(link))
	r.do("neighbour", unix.RTM_NEWNEIGH, r.put(), header, func(e *netlink.AttributeEncoder) {
		e.Bytes(unix.NDA_DST, netip.MustParseAddr(a).AsSlice())
		e.Bytes(unix.NDA_LLADDR, mac)
	})
}

// path is one route.
type path struct {
	to    netip.Prefix
	via   string // an address, or "" if the other end has it
	local bool   // to this network itself
}

func (r *route) add(p path) { r.addOn(otherLink, p) }

func (r *route) addOn(index int, p path) {
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1] = unix.AF_INET, byte(p.to.Bits())
	header[4], header[5], header[6], header[7] = unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST
	link := uint32(index)
	switch {
	case p.local:
		header[4], header[6], header[7] = unix.RT_TABLE_LOCAL, unix.RT_SCOPE_HOST, unix.RTN_LOCAL
		link = loopback
	case p.via != "":
		header[6] = unix.RT_SCOPE_UNIVERSE
	}
	r.do("route to "+p.to.String(), unix.RTM_NEWROUTE, r.put(), header, func(e *netlink.AttributeEncoder) {
		e.Bytes(unix.RTA_DST, p.to.Addr().AsSlice())
		e.Uint32(unix.RTA_OIF, link)
		if p.via != "" {
			e.Bytes(unix.RTA_GATEWAY, netip.MustParseAddr(p.via).AsSlice())
		}
	})
}

func host(a string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(a), 32) }

// destinations are all addresses that a connection of the app's may be to, besides
// the proxy's own.
func (p *Plan) destinations() []netip.Prefix {
	all := []netip.Prefix{netip.MustParsePrefix(pool)}
	seen := map[netip.Addr]bool{}
	for _, a := range p.Addresses {
		if !seen[a.Addr()] {
			all = append(all, netip.PrefixFrom(a.Addr(), 32))
		}
		seen[a.Addr()] = true
	}
	return all
}

func loopbackUp() error { return withRoute(func(r *route) { r.up(loopback) }) }

// connectGate makes the wire and this end of it. Every destination is an address
// of the gate itself: a connection to it ends here, in a socket of the proxy's.
func connectGate(p Plan, app int) error {
	return withRoute(func(r *route) {
		r.up(loopback)
		r.wire(ends{otherLink, gateLink, gateMAC()}, ends{otherLink, appLink, appMAC()}, app)
		r.address(gateAddress)
		r.up(otherLink)
		r.add(path{to: host(appAddress)})
		r.neighbour(appAddress, appMAC())
		if p.Programs > 0 {
			r.add(path{to: netip.MustParsePrefix(innerNetwork), via: appAddress})
		}
		for _, d := range p.destinations() {
			r.add(path{to: d, local: true})
		}
	})
}

// connectApp makes the app's end: a route to the proxy and to what it stands for,
// and none to anything else. There is no default route,
// but for learning, and that one ends at the gate as well.
func connectApp(p Plan) error {
	if err := disableIPv6(appLink); err != nil {
		return err
	}
	return withRoute(func(r *route) { r.appEnd(p) })
}

func (r *route) appEnd(p Plan) {
	r.address(appAddress)
	r.up(otherLink)
	r.add(path{to: host(gateAddress)})
	r.neighbour(gateAddress, gateMAC())
	for _, d := range p.destinations() {
		r.add(path{to: d, via: gateAddress})
	}
	if p.Record {
		r.add(path{to: netip.PrefixFrom(netip.IPv4Unspecified(), 0), via: gateAddress})
	}
}

// cut removes the wire, both ends of it.
func cut() error {
	return withRoute(func(r *route) { r.do("cutting the wire", unix.RTM_DELLINK, 0, linkHeader(otherLink, 0), nil) })
}
