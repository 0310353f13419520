package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/blindbox/blindbox/policy"
)

// rule is one line of the policy.
type rule struct {
	policy.Destination
	index   int        // its place in policy.Egress.Allow
	suffix  string     // ".example.com" of a wildcard
	address netip.Addr // valid if the line names an address
}

type rules []*rule

// Bounds of a policy's section: each port is a listener, each line some rules.
const (
	maxRules       = 1024
	maxConnections = 65536
)

// compile checks what the package relies on. The policy's parser has checked
// most of it; a policy that was built in memory was not parsed.
func compile(e policy.Egress) (rules, error) {
	var errs []error
	if len(e.Allow) > maxRules {
		return nil, fmt.Errorf("egress: %d destinations, expected %d at most", len(e.Allow), maxRules)
	}
	if e.Connections < 0 || e.Connections > maxConnections {
		errs = append(errs, fmt.Errorf("egress: %d connections, expected 0 to %d", e.Connections, maxConnections))
	}
	seen := map[string]int{}
	var all rules
	for i, d := range e.Allow {
		r, err := compileLine(d, i)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		key := fmt.Sprintf("%s %d", d.Host, d.Port)
		if first, twice := seen[key]; twice {
			errs = append(errs, fmt.Errorf("egress: line %d: %s port %d stands at line %d already", d.Line, d.Host, d.Port, first))
		}
		seen[key] = d.Line
		all = append(all, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

func compileLine(d policy.Destination, index int) (*rule, error) {
	refuse := func(seen, expected string) (*rule, error) {
		return nil, fmt.Errorf("egress: line %d: %s, expected %s", d.Line, seen, expected)
	}
	if d.Port == 0 {
		return refuse("port 0", "1 to 65535")
	}
	if d.TLS != policy.TLSAny && d.TLS != policy.TLSPass && d.TLS != policy.TLSVerify {
		return refuse(fmt.Sprintf("tls %q", d.TLS), "any, pass or verify")
	}
	r := &rule{Destination: d, index: index}
	if a, err := netip.ParseAddr(d.Host); err == nil {
		if why := unreachable(a); why != "" || a.String() != d.Host {
			return refuse(fmt.Sprintf("address %s %s", d.Host, why), "an address outside the box, as it is usually written")
		}
		r.address = a
		return r, nil
	}
	name, wildcard := strings.CutPrefix(d.Host, "*.")
	if n, ok := hostName(name); !ok || n != name || wildcard && !strings.Contains(name, ".") {
		return refuse(fmt.Sprintf("host %q", d.Host), "a name in lower case, a star and a name, or an address")
	}
	if wildcard {
		r.suffix = "." + name
	}
	return r, nil
}

// matches reports whether the line is about a host, given as parseHost returns
// it. A star stands for exactly one label, as it does in certificates (RFC 9525,
// section 6.3), so that the line cannot be used to ask for names of any length.
func (r *rule) matches(host string) bool {
	if r.suffix == "" {
		return host == r.Host
	}
	label, ok := strings.CutSuffix(host, r.suffix)
	return ok && label != "" && !strings.Contains(label, ".")
}

// find returns the line that allows a host and port, or nil. A line that names
// the host comes before one with a star: it may ask for more.
func (rs rules) find(host string, port uint16) *rule {
	var star *rule
	for _, r := range rs {
		switch {
		case r.Port != port || !r.matches(host):
		case r.suffix == "":
			return r
		case star == nil || len(r.suffix) > len(star.suffix):
			star = r
		}
	}
	return star
}

// knows reports whether some line is about a host, whatever the port.
func (rs rules) knows(host string) bool {
	for _, r := range rs {
		if r.matches(host) {
			return true
		}
	}
	return false
}

// ports returns every port that a line names, each once.
func (rs rules) ports() []uint16 {
	var ports []uint16
	seen := map[uint16]bool{}
	for _, r := range rs {
		if !seen[r.Port] {
			ports = append(ports, r.Port)
		}
		seen[r.Port] = true
	}
	return ports
}

// parseHost returns the one form of a host that the rules are compared with: a
// name in lower case, or an address as netip writes it. Whatever some program
// could take for another host is none.
func parseHost(s string) (string, bool) {
	if strings.HasPrefix(s, "[") {
		inner, ok := strings.CutSuffix(s[1:], "]")
		a, err := netip.ParseAddr(inner)
		return inner, ok && err == nil && a.Is6() && a.Zone() == "" && a.String() == inner
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return s, a.Is4() && a.String() == s
	}
	return hostName(s)
}

// maxName is the longest name without a final dot (RFC 1035, section 2.3.4).
const maxName = 253

// hostName returns a DNS name in lower case. The last label may not begin with
// a digit: "127.1" and "0x7f.1" are addresses to some programs.
func hostName(s string) (string, bool) {
	if len(s) > maxName {
		return "", false
	}
	s = lower(s)
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !isLabel(l) {
			return "", false
		}
	}
	if last := labels[len(labels)-1]; '0' <= last[0] && last[0] <= '9' {
		return "", false
	}
	return s, true
}

func isLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		if c := l[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// lower is for ASCII only: strings.ToLower turns the Kelvin sign into a k.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
