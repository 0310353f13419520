package egress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

func destination(host string, port uint16) policy.Destination {
	return policy.Destination{Host: host, Port: port, TLS: policy.TLSAny, Line: 7}
}

func allow(ds ...policy.Destination) policy.Egress {
	return policy.Egress{Allow: ds, Connections: 8}
}

func TestCompileRefuses(t *testing.T) {
	withTLS := destination("a.example", 443)
	withTLS.TLS = ""
	many := make([]policy.Destination, maxRules+1)
	for _, row := range []struct {
		name string
		e    policy.Egress
		want string
	}{
		{"port 0", allow(destination("a.example", 0)), "line 7: port 0"},
		{"no tls mode", allow(withTLS), `tls ""`},
		{"empty host", allow(destination("", 1)), `host ""`},
		{"upper case", allow(destination("A.example", 1)), `host "A.example"`},
		{"final dot", allow(destination("a.example.", 1)), `host "a.example."`},
		{"star alone", allow(destination("*", 1)), `host "*"`},
		{"star over a top-level domain", allow(destination("*.example", 1)), `host "*.example"`},
		{"star in a label", allow(destination("a*.b.example", 1)), `host "a*.b.example"`},
		{"star in the middle", allow(destination("a.*.example", 1)), `host "a.*.example"`},
		{"two stars", allow(destination("*.*.example", 1)), `host "*.*.example"`},
		{"short address", allow(destination("127.1", 1)), `host "127.1"`},
		{"loopback", allow(destination("127.0.0.1", 1)), "is the box itself"},
		{"loopback, IPv6", allow(destination("::1", 1)), "is the box itself"},
		{"all addresses", allow(destination("0.0.0.0", 1)), "is no destination"},
		{"multicast", allow(destination("224.0.0.1", 1)), "is multicast"},
		{"mapped", allow(destination("::ffff:8.8.8.8", 1)), "holds an IPv4 address"},
		{"zone", allow(destination("fe80::1%eth0", 1)), "has a zone"},
		{"address written in a second way", allow(destination("2001:DB8::1", 1)), "as it is usually written"},
		{"twice", allow(destination("a.example", 1), destination("a.example", 1)), "stands at line 7 already"},
		{"too many lines", allow(many...), "1025 destinations"},
		{"negative connections", policy.Egress{Connections: -1}, "-1 connections"},
		{"too many connections", policy.Egress{Connections: maxConnections + 1}, "65537 connections"},
	} {
		t.Run(row.name, func(t *testing.T) {
			rs, err := compile(row.e)
			if err == nil || !strings.Contains(err.Error(), row.want) || rs != nil {
				t.Errorf("%v, %v, expected an error with %q", rs, err, row.want)
			}
		})
	}
	_, err := compile(allow(destination("A", 0), destination("b.example", 0), destination("*", 1)))
	if err == nil || strings.Count(err.Error(), "line 7") != 3 {
		t.Errorf("not every line is in the error: %v", err)
	}
	if rs, err := compile(policy.Egress{Allow: make([]policy.Destination, 0), Connections: maxConnections}); err != nil || len(rs) != 0 {
		t.Errorf("%v, %v", rs, err)
	}
	all := make([]policy.Destination, maxRules)
	for i := range all {
		all[i] = destination(fmt.Sprintf("h%d.example", i), 1)
	}
	if _, err := compile(allow(all...)); err != nil {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	rs, err := compile(allow(
		destination("*.example.com", 443), destination("api.example.com", 443), destination("*.deep.example.com", 443),
		destination("api.example.com", 8443), destination("10.0.0.5", 5432), destination("2606:2800::1", 443),
	))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		host string
		port uint16
		line int // index, -1 for none
	}{
		{"api.example.com", 443, 1}, {"api.example.com", 8443, 3}, {"api.example.com", 80, -1},
		{"www.example.com", 443, 0}, {"www.example.com", 8443, -1}, {"example.com", 443, -1}, {".example.com", 443, -1},
		{"a.b.example.com", 443, -1}, {"x.deep.example.com", 443, 2}, {"deep.example.com", 443, 0},
		{"evilexample.com", 443, -1}, {"example.com.evil.example", 443, -1}, {"", 443, -1},
		{"10.0.0.5", 5432, 4}, {"10.0.0.5", 443, -1}, {"10.0.0.50", 5432, -1}, {"2606:2800::1", 443, 5},
	} {
		got := indexOf(rs.find(row.host, row.port))
		if got != row.line {
			t.Errorf("%s port %d: line %d, expected %d", row.host, row.port, got, row.line)
		}
		if knows := rs.knows(row.host); row.line >= 0 && !knows {
			t.Errorf("%s is not known", row.host)
		}
	}
	if rs.knows("evil.example") {
		t.Error("a name that no line is about is known")
	}
	if got := fmt.Sprint(rs.ports()); got != "[443 8443 5432]" {
		t.Error(got)
	}
}

func TestParseHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"a.example": "a.example", "API.Example": "api.example", "_dmarc.a.example": "_dmarc.a.example", "localhost": "localhost",
		"xn--bcher-kva.example": "xn--bcher-kva.example", "1.2.3.4": "1.2.3.4", "[2606:2800::1]": "2606:2800::1", long + ".example": long + ".example",
		"a1.e2": "a1.e2",
		"":      "", "a.example.": "", ".a": "", "a..b": "", "-a.example": "", "a-.example": "", "a b": "", "a\x00.example": "", "a/b": "",
		"127.1": "", "0x7f.1": "", "2130706433": "", "1.2.3.4.5": "", "a.0x7f": "", "a.1": "", "01.2.3.4": "",
		"2606:2800::1": "", "[1.2.3.4]": "", "[fe80::1%25eth0]": "", "[fe80::1%eth0]": "", "[2606:2800:0::1]": "", "[::1": "", "a@b": "", "a:1": "",
		long + "a.example": "", strings.Repeat("a.", 126) + "ab": "", "\u212a.example": "", "ａ.example": "", "*.example": "",
	} {
		got, ok := parseHost(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, expected %q", in, got, ok, want)
		}
	}
	if _, ok := hostName(strings.Repeat("a.", 126) + "b"); !ok {
		t.Error("253 characters are a name")
	}
}

func TestRefusedAddresses(t *testing.T) {
	plain := &rule{Destination: destination("a.example", 443)}
	open := &rule{Destination: destination("a.example", 443)}
	open.Private = true
	// never: whatever the line says. named: only if it names the address. private:
	// also with private: true. "" is public.
	for address, class := range map[string]string{
		"8.8.8.8": "", "93.184.216.34": "", "1.1.1.1": "", "172.32.0.1": "", "100.63.255.255": "", "100.128.0.1": "", "9.255.255.255": "", "198.17.255.255": "", "198.20.0.1": "",
		"169.253.1.1": "", "223.255.255.255": "", "2606:2800::1": "", "2a00::1": "", "2001:4860:4860::8888": "", "3ffe::1": "",
		"0.0.0.0": "never", "0.1.2.3": "never", "127.0.0.1": "never", "127.255.255.254": "never", "224.0.0.1": "never", "239.1.1.1": "never", "255.255.255.255": "never",
		"::": "never", "::1": "never", "::7f00:1": "never", "::ffff:8.8.8.8": "never", "::ffff:0:808:808": "never", "64:ff9b::808:808": "never", "64:ff9b:1::1": "never",
		"2002:808:808::1": "never", "2001:0:1::1": "never", "ff02::1": "never",
		"169.254.169.254": "named", "169.254.0.1": "named", "168.63.129.16": "named", "100.100.100.200": "named", "192.0.0.192": "named", "fe80::1": "named", "fec0::1": "named",
		"fd00:ec2::254": "named", "fd20:ce::254": "named", "fd00:42::42": "named", "192.0.2.1": "named", "198.51.100.1": "named", "203.0.113.1": "named", "240.0.0.1": "named",
		"192.31.196.1": "named", "192.52.193.1": "named", "192.88.99.1": "named", "192.175.48.1": "named", "2001:1::1": "named", "2001:db8::1": "named", "3fff::1": "named", "2620:4f:8000::1": "named",
		"2606:2800::5efe:808:808": "named", "2606:2800::200:5efe:a00:1": "named", "4000::1": "named", "100::1": "named", "5f00::1": "named",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private", "100.64.0.1": "private", "100.127.255.255": "private",
		"198.18.0.1": "private", "198.19.255.255": "private", "fc00::1": "private", "fd12:3456::1": "private",
	} {
		a := netip.MustParseAddr(address)
		naming := &rule{Destination: destination(address, 443), address: a}
		for _, row := range []struct {
			line *rule
			what string
			open bool
		}{
			{plain, "a plain line", class == ""},
			{open, "private: true", class == "" || class == "private"},
			{naming, "the address itself", class != "never"},
		} {
			if why := row.line.refused(a); (why == "") != row.open {
				t.Errorf("%s with %s: %q, expected open %v", address, row.what, why, row.open)
			}
		}
	}
	other := &rule{address: netip.MustParseAddr("8.8.8.8")}
	if other.refused(netip.MustParseAddr("1.1.1.1")) == "" {
		t.Error("a line that names an address opens another")
	}
	if plain.refused(netip.Addr{}) == "" || plain.refused(netip.MustParseAddr("2606:2800::1%eth0")) == "" {
		t.Error("no address, or one with a zone, is open")
	}
}

func TestPlan(t *testing.T) {
	p, err := NewPlan(policy.Egress{})
	if err != nil || p.Proxy != 0 || p.ResolvConf() != "" || p.Environment() != nil {
		t.Errorf("no destination: %+v, %v", p, err)
	}
	p, err = NewPlan(allow(destination("a.example", 443), destination("b.example", 443), destination("10.1.1.1", 5432), destination("2606::1", 443), destination("c.example", 3128)))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", p); got != "{Ports:[443 3128] Addresses:[10.1.1.1:5432] Proxy:3129 Record:false Programs:0}" {
		t.Error(got)
	}
	if got := fmt.Sprint(p.ports()); got != "[443 3128 5432]" {
		t.Error(got)
	}
	if e := p.Environment(); e["http_proxy"] != "http://198.18.0.1:3129" || e["HTTPS_PROXY"] != e["http_proxy"] || !strings.Contains(e["NO_PROXY"], "127.0.0.1") {
		t.Error(e)
	}
	if !strings.Contains(p.ResolvConf(), "nameserver 198.18.0.1\n") {
		t.Error(p.ResolvConf())
	}
	for _, bad := range []policy.Egress{allow(destination("198.18.3.4", 80)), allow(destination("x", 0))} {
		if p, err := NewPlan(bad); err == nil || p.Proxy != 0 {
			t.Errorf("%+v, %v", p, err)
		}
	}
}

func TestNames(t *testing.T) {
	rs, err := compile(allow(destination("*.wild.example", 443), destination("a.example", 443), destination("a.example", 80), destination("10.0.0.1", 1)))
	if err != nil {
		t.Fatal(err)
	}
	n := newNames(rs, false)
	if a, why := n.address("a.example"); why != "" || a.String() != "198.18.16.0" {
		t.Errorf("%s %q", a, why)
	}
	if a, why := n.address("b.example"); why != NameRefused || a.IsValid() {
		t.Errorf("%s %q", a, why)
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("h%d.wild.example", i)
		a, why := n.address(name)
		if why != "" {
			if why != TooManyNames || len(n.list) != poolSize {
				t.Errorf("%q after %d names", why, len(n.list))
			}
			break
		}
		if back, ok := n.name(a); !ok || back != name {
			t.Fatalf("%s has %s, which has %q", name, a, back)
		}
	}
	if a, why := n.address("a.example"); why != "" || a.String() != "198.18.16.0" {
		t.Error("a name of a line has lost its address to those of a star")
	}
	if last, ok := n.name(netip.MustParseAddr("198.18.31.255")); !ok || last == "" {
		t.Error("the pool is not used to its end")
	}
	for _, a := range []string{"198.18.15.255", "198.18.32.0", "10.0.0.1", "::1", "2606::1"} {
		if name, ok := n.name(netip.MustParseAddr(a)); ok {
			t.Errorf("%s is %q", a, name)
		}
	}
	if name, ok := newNames(rs, false).name(netip.MustParseAddr("198.18.16.1")); ok {
		t.Errorf("an address that no name was given is %q", name)
	}
}
