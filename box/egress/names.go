package egress

import (
	"net/netip"
	"sync"
)

// The addresses of the wire between the app and the gate. 198.18.0.0/15 is for
// tests of networks (RFC 2544); it is used because no host on any network has
// such an address, and it means something on this wire only.
const (
	gateAddress = "198.18.0.1"
	appAddress  = "198.18.0.2"
	// pool is what names are given addresses from.
	pool     = "198.18.16.0/20"
	poolSize = 4096
	// innerNetwork is that of several programs beside one another, and the last of its
	// addresses that of where their wires meet.
	innerNetwork    = "198.18.1.0/24"
	crossingAddress = "198.18.1.254"
	maxPrograms     = 250
)

// names gives each name an address of the pool, for good: whoever looked a name
// up once can use the address as long as the box runs. The names that the policy
// lists have theirs from the start, so that those of a line with a star cannot
// use the pool up before them.
type names struct {
	rules rules
	all   bool // every name has an address, see Config.Wanted
	first netip.Addr

	mu   sync.Mutex
	by   map[string]int
	list []string
}

func newNames(rs rules, all bool) *names {
	n := &names{rules: rs, all: all, first: netip.MustParsePrefix(pool).Addr(), by: map[string]int{}}
	for _, r := range rs {
		if _, known := n.by[r.Host]; !known && r.suffix == "" && !r.address.IsValid() {
			n.by[r.Host] = len(n.list)
			n.list = append(n.list, r.Host)
		}
	}
	return n
}

// address returns the address of a name. The reason says why it has none.
func (n *names) address(name string) (netip.Addr, Reason) {
	if name == "" || !n.all && !n.rules.knows(name) {
		return netip.Addr{}, NameRefused
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	i, known := n.by[name]
	if !known {
		// Each name asked for under a star is one that the resolver outside is
		// shown: this bounds what can be told by choosing them.
		if len(n.list) == poolSize {
			return netip.Addr{}, TooManyNames
		}
		i = len(n.list)
		n.by[name] = i
		n.list = append(n.list, name)
	}
	return n.at(i), ""
}

func (n *names) at(i int) netip.Addr {
	b := n.first.As4()
	v := int(b[2])<<8 + int(b[3]) + i
	return netip.AddrFrom4([4]byte{b[0], b[1], byte(v >> 8), byte(v)})
}

// name returns the name that an address was given to.
func (n *names) name(a netip.Addr) (string, bool) {
	if !netip.MustParsePrefix(pool).Contains(a) {
		return "", false
	}
	b, f := a.As4(), n.first.As4()
	i := (int(b[2])<<8 + int(b[3])) - (int(f[2])<<8 + int(f[3]))
	n.mu.Lock()
	defer n.mu.Unlock()
	if i >= len(n.list) {
		return "", false
	}
	return n.list[i], true
}
