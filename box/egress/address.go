package egress

import "net/netip"

// What a name may resolve to is decided by what an address is for, after the
// IANA registries of special-purpose addresses (RFC 6890 and later). A name that
// resolves into somebody's network is how a stranger's DNS server makes the box
// knock at doors that only it can reach.

// prefixes is a set of addresses, with the reason why they are in it.
type prefixes []struct {
	prefix, why string
}

func (ps prefixes) find(a netip.Addr) string {
	for _, p := range ps {
		if netip.MustParsePrefix(p.prefix).Contains(a) {
			return p.why
		}
	}
	return ""
}

// never are addresses that no line opens. Loopback is the box itself: its door,
// its models, its evidence.
func never() prefixes {
	return prefixes{
		{"0.0.0.0/8", "is no destination"},
		{"127.0.0.0/8", "is the box itself"},
		{"224.0.0.0/4", "is multicast"},
		{"255.255.255.255/32", "is broadcast"},
		{"::/128", "is no destination"},
		{"::1/128", "is the box itself"},
		{"ff00::/8", "is multicast"},
		// Addresses that hold another one: whoever routes them decides which.
		{"::/96", "holds an IPv4 address"},
		{"::ffff:0:0/96", "holds an IPv4 address"},
		{"::ffff:0:0:0/96", "holds an IPv4 address"},
		{"64:ff9b::/96", "holds an IPv4 address"},
		{"64:ff9b:1::/48", "holds an IPv4 address"},
		{"2001::/32", "holds an IPv4 address"},
		{"2002::/16", "holds an IPv4 address"},
	}
}

// named are open to a line that names the address itself, and to no other: they
// answer questions about the machine to whoever asks from it.
func named() prefixes {
	return prefixes{
		{"169.254.0.0/16", "is link-local or a cloud's metadata"},
		{"100.100.100.200/32", "is a cloud's metadata"},
		{"168.63.129.16/32", "is a cloud's metadata"},
		{"192.0.0.0/24", "is for protocols or a cloud's metadata"},
		{"fe80::/10", "is link-local"},
		{"fd00:ec2::/32", "is a cloud's metadata"},
		{"fd20:ce::/32", "is a cloud's metadata"},
		{"fd00:42::/32", "is a cloud's metadata"},
		{"192.0.2.0/24", "is for documentation"},
		{"192.31.196.0/24", "is for name servers"},
		{"192.52.193.0/24", "is for multicast relays"},
		{"192.88.99.0/24", "is for relays"},
		{"192.175.48.0/24", "is for name servers"},
		{"198.51.100.0/24", "is for documentation"},
		{"203.0.113.0/24", "is for documentation"},
		{"240.0.0.0/4", "is reserved"},
		{"2001::/23", "is for protocols"},
		{"2001:db8::/32", "is for documentation"},
		{"3fff::/20", "is for documentation"},
		{"2620:4f:8000::/48", "is for name servers"},
		{"fec0::/10", "is site-local"},
	}
}

// private are open to a line with private: true, and to one that names the address.
func private() prefixes {
	return prefixes{
		{"10.0.0.0/8", "is private"},
		{"172.16.0.0/12", "is private"},
		{"192.168.0.0/16", "is private"},
		{"100.64.0.0/10", "is a carrier's"},
		{"198.18.0.0/15", "is for benchmarks"},
		{"fc00::/7", "is private"},
	}
}

// global is what IANA has given out to be routed (RFC 4291, section 2.4).
const global = "2000::/3"

// unreachable says why no line may open an address, or "".
func unreachable(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "is none"
	case a.Zone() != "":
		return "has a zone"
	}
	return never().find(a)
}

// refused says why a rule does not open an address that its name resolved to,
// or that it names; "" if it does.
func (r *rule) refused(a netip.Addr) string {
	if why := unreachable(a); why != "" {
		return why
	}
	if r.address.IsValid() {
		if r.address != a {
			return "is not the one that the line names"
		}
		return ""
	}
	if why := named().find(a); why != "" {
		return why
	}
	if holdsIPv4(a) {
		return "holds an IPv4 address"
	}
	why := private().find(a)
	switch {
	case why == "" && a.Is6() && !netip.MustParsePrefix(global).Contains(a):
		return "is not global"
	case r.Private:
		return ""
	}
	return why
}

// holdsIPv4 recognises an ISATAP interface identifier, 0000:5efe or 0200:5efe
// before an IPv4 address (RFC 5214, section 6.1).
func holdsIPv4(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
