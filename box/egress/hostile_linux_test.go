package egress

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/policy"
)

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(actVariable); ok {
		os.Exit(act())
	}
	if attack, ok := os.LookupEnv(childVariable); ok {
		os.Exit(child(attack))
	}
	os.Exit(m.Run())
}

func unsafePointer(b *byte) unsafe.Pointer { return unsafe.Pointer(b) }

// who the hostile app is.
type who int

const (
	nobody  who = iota // no capability at all
	captain            // CAP_NET_ADMIN and CAP_NET_RAW over the app's own network
	guest              // nobody, under gVisor
)

// app is the hostile app as it runs, once for each of who it may be.
type app struct {
	in  io.Writer
	out *bufio.Reader
}

func (w *world) start(t testing.TB, as who) *app {
	t.Helper()
	cmd := exec.Command(program(t))
	if as == guest {
		cmd = w.underGVisor(t)
	}
	cmd.Env = []string{actVariable + "=1", "EGRESS_TEST_CA=" + w.ca.pem()}
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	enter := w.ns.Enter
	switch as {
	case guest:
		enter = func(start func() error) error { return start() } // runsc does it
	case captain:
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
	default:
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := enter(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &app{in, bufio.NewReader(out)}
}

func (a *app) attack(t testing.TB, name, arg string) string {
	t.Helper()
	fmt.Fprintf(a.in, "%q\n", name+"\x1f"+arg)
	line, err := a.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: the app ended: %v", name, err)
	}
	saw, err := strconv.Unquote(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("%s: %q: %v", name, line, err)
	}
	return strings.ReplaceAll(strings.TrimSpace(saw), "\n", " ")
}

// The policy of the hostile app's box.
func hostilePolicy() policy.Egress {
	line := func(host string, port uint16, tls policy.TLS, private bool) policy.Destination {
		return policy.Destination{Host: host, Port: port, TLS: tls, Private: private}
	}
	e := policy.Egress{Connections: 16, Allow: []policy.Destination{
		line("site.example", 443, policy.TLSPass, false),
		line("site.example", 80, policy.TLSAny, false),
		line("site.example", 5432, policy.TLSAny, false),
		line("shop.example", 443, policy.TLSVerify, false),
		line("wrong.example", 443, policy.TLSVerify, false),
		line("*.wild.example", 443, policy.TLSPass, false),
		line("rebind.example", 80, policy.TLSAny, false),
		line("meta.example", 80, policy.TLSAny, true),
		line("mapped.example", 80, policy.TLSAny, false),
		line("nat64.example", 80, policy.TLSAny, true),
		line("local.example", 80, policy.TLSAny, true),
		line("lost.example", 80, policy.TLSAny, false),
		line(innerAddress, 80, policy.TLSAny, true),
	}}
	for i := range e.Allow {
		e.Allow[i].Line = i + 1
	}
	return e
}

func fillZone(w *internet) {
	for _, name := range []string{"site.example", "shop.example", "wrong.example", "a.wild.example", "secret.wild.example"} {
		w.resolves(name, siteAddress)
	}
	w.resolves("wrong.example", siteAddress)
	w.resolves("other.example", otherAddress)
	w.resolves("rebind.example", siteAddress, innerAddress)
	w.resolves("meta.example", "169.254.169.254")
	w.resolves("mapped.example", "::ffff:10.7.7.7")
	w.resolves("nat64.example", "64:ff9b::a07:707")
	w.resolves("local.example", "127.0.0.1")
}

// TestHostileGuest is the same under gVisor, whose network takes the app's end of the
// wire: the rules at the other end do not mind.
func TestHostileGuest(t *testing.T) {
	w := newWorld(t, hostilePolicy())
	fillZone(w.internet)
	tryAll(t, w, map[who]*app{nobody: w.start(t, guest)}, map[string]seen{
		// What has no route is refused by gVisor's network, where nobody counts.
		"direct address":     {"ENETUNREACH", ""},
		"IPv6":               {"ENETUNREACH", ""},
		"IPv6 over UDP":      {"ENETUNREACH", ""},
		"UDP":                {"ENETUNREACH", ""},
		"DNS server outside": {"ENETUNREACH", ""},
		"a child after exec": {"ENETUNREACH", ""},
		// It is the list of system calls of package sandbox that refuses the socket.
		"ICMP, ping socket": {unasked, ""},
		// The processes of the machine are not there.
		"file of the launcher, /proc/PID/fd": {"ENOENT", ""},
		"memory of the launcher":             {"ENOENT", ""},
		"network of the launcher, setns":     {"ENOENT", ""},
	})
}

// unasked is a row that is left out.
const unasked = "unasked"

// seen is what an app saw, and how it is counted.
type seen struct {
	saw    string
	reason Reason
}

// TestHostileApp is what an app tries that wants out. Every row says what the app
// saw, and how the box counts and reports it; "" stands for what the kernel
// refuses at the system call, where nothing is sent and nothing to be counted.
func TestHostileApp(t *testing.T) {
	w := newWorld(t, hostilePolicy())
	fillZone(w.internet)
	tryAll(t, w, map[who]*app{nobody: w.start(t, nobody), captain: w.start(t, captain)}, nil)
}

// tryAll has the apps that there are try everything. differ is by row.
func tryAll(t *testing.T, w *world, apps map[who]*app, differ map[string]seen) {
	abstract := fmt.Sprintf("@egress-test-%d", os.Getpid())
	host, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	// What a careless launcher would leave open: a connection to the outside.
	open, err := w.dial(t.Context(), netip.MustParseAddrPort(siteAddress+":5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	self := os.Getpid()

	for _, row := range []struct {
		name   string
		as     who
		attack string
		arg    string
		saw    string // what the app saw begins with this
		reason Reason // how it is counted
	}{
		{"direct address", nobody, "tcp", siteAddress + ":443", "ENETUNREACH", NoRoute},
		{"direct address, own default route", captain, "route then tcp", siteAddress + ":443", "ECONNREFUSED", PacketTCP},
		{"IPv6", nobody, "tcp6", "[2606:2800:220:1::1]:443", "ENETUNREACH", NoRouteIPv6},
		{"IPv6 over UDP", nobody, "udp6", "[2606:2800:220:1::1]:443", "ENETUNREACH", NoRouteIPv6},
		{"IPv6 past the stack", captain, "frame", "ipv6", "sent", PacketIPv6},
		{"UDP", nobody, "udp", siteAddress + ":9999", "ENETUNREACH", NoRoute},
		{"UDP, own default route", captain, "route then udp", siteAddress + ":9999", "no answer", PacketUDP},
		{"UDP to the proxy", nobody, "udp", gateAddress + ":3128", "no answer", PacketUDP},
		{"UDP to an allowed name's address", nobody, "udp", "198.18.16.0:9999", "no answer", PacketUDP},
		{"QUIC to an allowed name's address", nobody, "udp", "198.18.16.0:443", "no answer", PacketQUIC},
		{"QUIC, own default route", captain, "route then udp", siteAddress + ":443", "no answer", PacketQUIC},
		{"another port of an allowed name", nobody, "tcp", "198.18.16.0:22", "ECONNREFUSED", PacketTCP},
		{"an allowed port of an address nobody was given", nobody, "connect", "unknown.example:443", "403 Forbidden", NotAllowed},
		{"the answerer's port over TCP", nobody, "dns tcp", "", "no answer", PacketDNS},
		{"ICMP, ping socket", nobody, "icmp ping", gateAddress, "EACCES", ""},
		{"ICMP, raw socket", nobody, "icmp raw", gateAddress, "EPERM", ""},
		{"ICMP, raw socket with the capability", captain, "icmp raw", gateAddress, "no answer", PacketICMP},
		{"ICMP, own default route", captain, "route then icmp", siteAddress, "no answer", PacketICMP},
		{"another protocol", captain, "route then sctp", siteAddress, "no answer", PacketOther},
		{"packet socket", nobody, "frame", "arp", "EPERM", ""},
		{"ARP", captain, "frame", "arp", "sent", PacketARP},
		{"another Ethernet protocol", captain, "frame", "other", "sent", PacketOther},
		{"TCP from another's address", captain, "frame", "spoofed", "sent", PacketTCP},
		{"a fragment without a port", captain, "frame", "fragment", "sent", PacketFragment},
		{"DNS server outside", nobody, "udp", dnsAddress + ":53", "ENETUNREACH", NoRoute},
		{"DNS server outside, own default route", captain, "route then udp", dnsAddress + ":53", "no answer", PacketDNS},
		{"name that no line is about", nobody, "resolve", "other.example", "no such name", NameRefused},
		{"DNS tunnel", nobody, "resolve", "c2VjcmV0.tunnel.example", "no such name", NameRefused},
		{"DNS tunnel under an allowed name", nobody, "resolve", "c2VjcmV0.site.example", "no such name", NameRefused},
		{"DNS tunnel under a star, two labels", nobody, "resolve", "c2Vj.cmV0.wild.example", "no such name", NameRefused},
		{"abstract Unix socket of the host's side", nobody, "unix", abstract, "ECONNREFUSED", ""},
		{"vsock", nobody, "vsock", "", "EAFNOSUPPORT", ""},
		{"vsock with capabilities", captain, "vsock", "", "EAFNOSUPPORT", ""},
		{"io_uring, which makes sockets of its own", captain, "io_uring", "", "ENOSYS", ""},
		{"redirect to another host", nobody, "get", "http://site.example/?to=http://other.example/", "no such host", NameRefused},
		{"redirect to another host, by the proxy", nobody, "get", "proxy http://site.example/?to=http://other.example/", "403", NotAllowed},
		{"redirect to an address, by the proxy", nobody, "get", "proxy http://site.example/?to=http://" + otherAddress + "/", "403", NotAllowed},
		{"redirect to metadata, by the proxy", nobody, "get", "proxy http://site.example/?to=http://169.254.169.254/", "403", NotAllowed},
		{"CONNECT to another host", nobody, "connect", "other.example:443", "403 Forbidden", NotAllowed},
		{"CONNECT to the address of an allowed host", nobody, "connect", siteAddress + ":443", "403 Forbidden", NotAllowed},
		{"CONNECT to another port", nobody, "connect", "site.example:22", "403 Forbidden", NotAllowed},
		{"CONNECT to the box itself", nobody, "connect", "127.0.0.1:80", "403 Forbidden", NotAllowed},
		{"CONNECT to an address in disguise", nobody, "connect", "0x7f.1:80", "400 Bad Request", BadHead},
		{"server name is not CONNECT's", nobody, "https", "site.example other.example other.example", "EOF", OtherHost},
		{"no server name", nobody, "https", "site.example - site.example", "EOF", OtherHost},
		{"server name is not the address's", nobody, "transparent", "site.example other.example other.example", "EOF", OtherHost},
		{"encrypted ClientHello behind the right name", nobody, "https", "site.example ech:hidden.example hidden.example", "EOF", HiddenName},
		{"no TLS where a line asks for it", nobody, "plain on tls", "site.example:443", "0 hellos", NoTLS},
		{"Host is not the address's", nobody, "raw http", "site.example\tGET / HTTP/1.1\r\nHost: other.example\r\n\r\n", "0 hellos, HTTP/1.1 403", OtherHost},
		{"a second request for another host", nobody, "raw http", "site.example\tGET / HTTP/1.1\r\nHost: site.example\r\n\r\nGET / HTTP/1.1\r\nHost: other.example\r\n\r\n", "", SecondAsk},
		{"a request in the body of another", nobody, "raw http", "site.example\tPOST / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "0 hellos, HTTP/1.1 400", BadHead},
		{"name resolves to metadata", nobody, "get", "http://meta.example/", "403", BadAddress},
		{"name resolves to the box itself", nobody, "get", "http://local.example/", "403", BadAddress},
		{"name resolves to a private address as IPv6", nobody, "get", "http://mapped.example/", "403", BadAddress},
		{"name resolves to an address in NAT64", nobody, "get", "http://nat64.example/", "403", BadAddress},
		{"name does not resolve", nobody, "get", "http://lost.example/", "502", NotResolved},
		{"certificate of another name", nobody, "https", "wrong.example wrong.example wrong.example", "Bad Gateway", BadProof},
		{"inherited descriptors", nobody, "inherited", "", "none", ""},
		{"file of the launcher, /proc/PID/fd", nobody, "open", fmt.Sprintf("/proc/%d/fd/0", self), "EACCES", ""},
		{"memory of the launcher", nobody, "open", fmt.Sprintf("/proc/%d/mem", self), "EACCES", ""},
		{"network of the launcher, setns", nobody, "setns", fmt.Sprintf("/proc/%d/ns/net", self), "EACCES", ""},
		{"network of the launcher, setns with capabilities", captain, "setns", fmt.Sprintf("/proc/%d/ns/net", self), "EACCES", ""},
		{"the gate, setns", captain, "setns", fmt.Sprintf("/proc/%d/fd/%d", self, w.ns.gate.Fd()), "EACCES", ""},
		{"network of process 1, setns", captain, "setns", "/proc/1/ns/net", "EACCES", ""},
		{"connection of the launcher, pidfd_getfd", captain, "pidfd", fmt.Sprintf("%d %d", self, fdOf(t, open)), "EPERM", ""},
		{"flushing the rules", captain, "flush then udp", siteAddress + ":9999", "flushed, then no answer", PacketUDP},
		{"a child after exec", nobody, "exec then udp", siteAddress + ":9999", "ENETUNREACH", NoRoute},
		{"a child after exec, to an allowed name's address", nobody, "exec then udp", "198.18.16.0:443", "no answer", PacketQUIC},
		{"root of a network of its own", nobody, "new network", siteAddress + ":9999", "no route", ""},
	} {
		if apps[row.as] == nil {
			continue
		}
		if other, ok := differ[row.name]; ok {
			row.saw, row.reason = other.saw, other.reason
		}
		if row.saw == unasked {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			before := w.refused(t)
			hits, queries := w.seen()
			saw := apps[row.as].attack(t, row.attack, row.arg)
			if !strings.HasPrefix(saw, row.saw) || strings.Contains(saw, through) {
				t.Errorf("the app saw %q, expected %q", saw, row.saw)
			}
			after := w.refused(t)
			if row.reason != "" && after[row.reason] <= before[row.reason] {
				t.Errorf("%q was not counted: before %v, after %v", row.reason, before, after)
			}
			if row.reason == "" && fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("counted, though nothing was sent: before %v, after %v", before, after)
			}
			nowHits, nowQueries := w.seen()
			for _, h := range nowHits[len(hits):] {
				if !strings.HasPrefix(h, siteAddress+":80 site.example/") {
					t.Errorf("a server outside saw %q", h)
				}
			}
			for _, q := range nowQueries[len(queries):] {
				if strings.Contains(q, "c2V") || q == "other.example" {
					t.Errorf("the DNS server outside was asked for %q", q)
				}
			}
		})
	}
	t.Run("rebinding", func(t *testing.T) {
		if saw := apps[nobody].attack(t, "get", "http://rebind.example/"); !strings.HasPrefix(saw, through) {
			t.Fatalf("the first answer is public: %q", saw)
		}
		before := w.refused(t)[BadAddress]
		w.clock.add(2 * pinned)
		saw := apps[nobody].attack(t, "get", "http://rebind.example/")
		if after := w.refused(t)[BadAddress]; !strings.HasPrefix(saw, "403") || after != before+1 {
			t.Errorf("saw %q, counted %d, before %d", saw, after, before)
		}
	})
	t.Run("reported", func(t *testing.T) {
		counted := w.refused(t)
		w.proxy.Close()
		w.reports.Lock()
		defer w.reports.Unlock()
		for why, n := range counted {
			if w.reported[why] < n {
				t.Errorf("%s: %d counted, %d reported", why, n, w.reported[why])
			}
		}
	})
}

// TestAllowed is the same app, doing what it may.
func TestAllowed(t *testing.T) {
	w := newWorld(t, hostilePolicy())
	fillZone(w.internet)
	app := w.start(t, nobody)
	for _, row := range []struct{ name, attack, arg, saw string }{
		{"TLS by the name's address", "transparent", "site.example site.example site.example", "hello from " + siteAddress + ":443 to site.example"},
		{"TLS by CONNECT", "https", "site.example SITE.example site.example", "hello from " + siteAddress + ":443"},
		{"TLS of a verified name", "get", "https://shop.example/", "hello from " + siteAddress + ":443 to shop.example"},
		{"TLS of a verified name by the proxy", "get", "proxy https://shop.example/", "hello from " + siteAddress + ":443 to shop.example"},
		{"TLS of a star's name", "get", "https://a.wild.example/", "hello from " + siteAddress + ":443 to a.wild.example"},
		{"HTTP by the name's address", "get", "http://site.example/", "hello from " + siteAddress + ":80 to site.example"},
		{"HTTP by the proxy", "get", "proxy http://site.example/", "hello from " + siteAddress + ":80 to site.example"},
		{"HTTP to an address that a line names", "get", "http://" + innerAddress + "/", "hello from " + innerAddress + ":80"},
		{"a server that speaks first", "greet", "site.example:5432", `"ready\n" "\x00echo\n"`},
		{"a name of the pool", "resolve", "site.example", "found in the pool"},
		// Both names are behind one address and one certificate's owner. What is said
		// inside TLS cannot be seen (docs/egress.md).
		{"domain fronting is not stopped", "https", "site.example site.example elsewhere.example", "hello from " + siteAddress + ":443 to elsewhere.example"},
	} {
		t.Run(row.name, func(t *testing.T) {
			saw := app.attack(t, row.attack, row.arg)
			if !strings.Contains(saw, row.saw) {
				t.Errorf("the app saw %q, expected %q", saw, row.saw)
			}
		})
	}
	c, err := w.proxy.Counters()
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range c.Destinations[:4] {
		if d.Connections == 0 || d.Sent == 0 || d.Received == 0 {
			t.Errorf("line %d: %+v", i+1, d)
		}
	}
}

// TestWithoutRules shows that the rules are what stops a packet: a way out of the
// gate is made, a packet does not take it, the rules are removed, it does.
func TestWithoutRules(t *testing.T) {
	w := newWorld(t, hostilePolicy())
	app := w.start(t, captain)
	if err := joinNetworks(w.ns.gate, w.network, appAddress, siteAddress); err != nil {
		t.Fatal(err)
	}
	forward := func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }
	if err := within(w.ns.gate, forward); err != nil {
		t.Fatal(err)
	}
	const to = siteAddress + ":9999"
	if saw := app.attack(t, "route then udp", to); saw != "no answer" {
		t.Fatalf("with the rules: %q", saw)
	}
	w.broken = true
	err := within(w.ns.gate, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(theTable())
		return c.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
	if saw := app.attack(t, "route then udp, patiently", to); saw != through {
		t.Fatalf("without the rules the packet should have got out, or this test shows nothing: %q", saw)
	}
	if _, err := w.proxy.Counters(); err == nil {
		t.Error("the rules are gone, and the counters are read without an error")
	}
}

func fdOf(t *testing.T, c net.Conn) int {
	t.Helper()
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := rc.Control(func(n uintptr) { fd = int(n) }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// echList is an ECHConfigList with one config of the draft that Go speaks.
func echList() []byte {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil
	}
	public := key.PublicKey().Bytes()
	contents := []byte{1, 0, 0x20}
	contents = binary.BigEndian.AppendUint16(contents, uint16(len(public)))
	contents = append(contents, public...)
	contents = append(contents, 0, 4, 0, 1, 0, 1) // HKDF-SHA256, AES-128-GCM
	const outer = "site.example"
	contents = append(contents, 32, byte(len(outer)))
	contents = append(contents, outer...)
	contents = append(contents, 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(contents)))
	config = append(config, contents...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}
