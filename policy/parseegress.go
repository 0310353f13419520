package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

func (b *builder) egress(d *strictyaml.OrNone[egressDoc]) {
	b.policy.Egress.Line = d.Pos.Line
	if d.Value == nil {
		return
	}
	e := &b.policy.Egress
	e.Connections = or(d.Value.Connections, DefaultConnections)
	e.Rate = b.byteBudget(d.Value.Rate, "egress.rate")
	e.Bytes = b.byteBudget(d.Value.Bytes, "egress.bytes")
	first := map[string]strictyaml.Pos{}
	for i, one := range d.Value.Allow {
		at := fmt.Sprintf("egress.allow[%d]", i)
		e.Allow = append(e.Allow, b.destination(one, at))
		b.unique(first, text{Value: one.Host.Value + " " + strconv.Itoa(one.Port.Value), Pos: one.Pos}, at, "host and port")
	}
}

const httpsPort = 443

func (b *builder) destination(d destinationDoc, at string) Destination {
	out := Destination{
		Host: d.Host.Value, Port: uint16(d.Port.Value), TLS: TLS(d.TLS.Value),
		Private: d.Private.Value, Line: d.Pos.Line,
	}
	addr, isAddr := address(out.Host)
	switch {
	case isAddr && addr.String() != out.Host:
		b.refuseText(d.Host, at+".host", "the address in its usual form, "+addr.String())
	case addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		b.refuseText(d.Host, at+".host", "the address of one machine")
	case isAddr && !public(addr) && !out.Private:
		b.refuseText(d.Host, at+".host", "private: true beside an address that is not public")
	case isAddr && (out.TLS == TLSPass || out.TLS == TLSVerify):
		b.refuseText(d.TLS, at+".tls", "a host with a name, since an address has none that TLS could show")
	case !isAddr && !isHost(out.Host):
		b.refuseText(d.Host, at+".host", forms()["host"].expected)
	}
	if out.TLS == "" {
		out.TLS = defaultTLS(out.Host, out.Port)
	}
	return out
}

// defaultTLS is what is asked of a connection if the document does not say.
func defaultTLS(host string, port uint16) TLS {
	if _, isAddr := address(host); !isAddr && port == httpsPort {
		return TLSPass
	}
	return TLSAny
}

func address(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// public reports whether an address is one of the open internet. The list is
// that of RFC 6890 as far as it is routed at all: private, loopback, link-local
// (the metadata services of clouds are there), shared address space.
func public(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// isHost reports whether s is a name that can be looked up (RFC 1123, section
// 2.1), or "*." and such a name of at least two labels.
func isHost(s string) bool {
	name, wildcard := strings.CutPrefix(s, "*.")
	labels := strings.Split(name, ".")
	if len(name) > 253 || wildcard && len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
	}
	// A name whose last label is a number is an address to some resolvers.
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}
