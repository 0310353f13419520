package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// target is a host and port that a line allows.
type target struct {
	rule *rule
	host string // as parseHost returns it
}

// target returns what a line allows, or the reason why none does.
func (p *Proxy) target(host string, port uint16) (*target, error) {
	r := p.rules.find(host, port)
	if r == nil {
		return nil, refuse(NotAllowed, "no line of the policy allows this host and port")
	}
	if !r.address.IsValid() {
		if _, why := p.names.address(host); why != "" {
			return nil, refuse(why, "too many different names were used under lines with a star")
		}
	}
	return &target{r, host}, nil
}

// maxTries is how many addresses of a name are tried.
const maxTries = 4

// connect resolves the target, checks the addresses and dials one of them: the
// address that is dialled is the address that was checked, nothing is looked up
// in between. For tls: verify the server there has shown a certificate before.
func (p *Proxy) connect(t *target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.Timeouts.Connect)
	defer cancel()
	addresses, err := p.addresses(ctx, t)
	if err != nil {
		return nil, err
	}
	why := refuse(NotConnected, "the destination does not answer")
	for _, a := range addresses[:min(len(addresses), maxTries)] {
		at := netip.AddrPortFrom(a, t.rule.Port)
		if t.rule.TLS == policy.TLSVerify {
			if err := p.proofs.check(ctx, p.cfg.Dial, at, t.host); err != nil {
				why = err
				continue
			}
		}
		c, err := p.cfg.Dial(ctx, at)
		if err != nil {
			continue
		}
		if !p.track(c) {
			return nil, refuse(NotConnected, "the box is stopping")
		}
		return c, nil
	}
	return nil, why
}

// addresses returns what may be dialled for a target. Addresses of an answer that
// the line does not open are counted and left out.
func (p *Proxy) addresses(ctx context.Context, t *target) ([]netip.Addr, error) {
	found := []netip.Addr{t.rule.address}
	if !t.rule.address.IsValid() {
		var err error
		if found, err = p.answers.lookUp(ctx, t.host); err != nil {
			return nil, refuse(NotResolved, "the host's name does not resolve")
		}
	}
	own, err := p.ownFor(t.rule)
	if err != nil {
		return nil, refuse(BadAddress, "nobody knows which addresses are the box's own")
	}
	refused := func(a netip.Addr) string {
		if slices.Contains(own, a) {
			return "is the box's own"
		}
		return t.rule.refused(a)
	}
	var good []netip.Addr
	for _, a := range found {
		if refused(a) == "" {
			good = append(good, a)
		}
	}
	if len(good) == 0 {
		return nil, refuse(BadAddress, "the host's address "+refused(found[0])+", and the line in the policy does not open such")
	}
	for range len(found) - len(good) {
		p.ledger.refuse(BadAddress, t.rule)
	}
	return good, nil
}

// ownFor are the addresses of the box itself that a line does not open: all of
// them, unless it names an address or may reach private ones.
func (p *Proxy) ownFor(r *rule) ([]netip.Addr, error) {
	if r.Private || r.address.IsValid() {
		return nil, nil
	}
	if p.cfg.Own != nil {
		return p.cfg.Own()
	}
	return interfaceAddresses()
}

func interfaceAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		// Whatever is no network address is none that is dialled either.
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}

// Bounds of an answer. A name is not asked for again before pinned is over, so
// that a server of names cannot say something else for every connection.
const (
	pinned       = time.Minute
	maxAddresses = 16
)

// answers remembers what names resolved to. It holds no more names than the pool.
type answers struct {
	resolver Resolver
	clock    func() time.Time

	mu sync.Mutex
	by map[string]answer
}

type answer struct {
	addresses []netip.Addr
	at        time.Time
}

func newAnswers(r Resolver, clock func() time.Time) *answers {
	return &answers{resolver: r, clock: clock, by: map[string]answer{}}
}

func (a *answers) lookUp(ctx context.Context, name string) ([]netip.Addr, error) {
	now := a.clock()
	a.mu.Lock()
	kept, ok := a.by[name]
	a.mu.Unlock()
	if age := now.Sub(kept.at); ok && age >= 0 && age < pinned {
		return kept.addresses, nil
	}
	found, err := a.resolver.LookupNetIP(ctx, "ip", name+".")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("egress: no address")
	}
	found = slices.Clone(found[:min(len(found), maxAddresses)])
	for i, f := range found {
		// net.Resolver writes IPv4 addresses in the IPv6 form: what the address was
		// in DNS, an A record, is the IPv4 one. An AAAA record of that form comes out
		// the same and is judged by the same rules.
		found[i] = f.Unmap()
	}
	a.mu.Lock()
	a.by[name] = answer{found, now}
	a.mu.Unlock()
	return found, nil
}
