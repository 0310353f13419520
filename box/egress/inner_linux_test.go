package egress

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/policy"
)

// several makes the networks of a number of programs.
func several(t testing.TB, e policy.Egress, programs int) *Namespace {
	t.Helper()
	needRoot(t)
	plan, err := NewPlan(e)
	if err != nil {
		t.Fatal(err)
	}
	plan.Programs = programs
	n, err := NewNamespace(plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// in runs f in the network of a program.
func (n *Namespace) in(t testing.TB, i int, f func() error) {
	t.Helper()
	if err := within(n.inner[i], f); err != nil {
		t.Errorf("program %d: %v", i, err)
	}
}

// greets listens in a program's network and says its name to who connects, and
// whom it takes that for.
func greets(t testing.TB, n *Namespace, i int, network, address string) {
	t.Helper()
	n.in(t, i, func() error {
		l, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "this is %d, and you %s", i, host)
				c.Close()
			}
		}()
		return nil
	})
}

func said(network, address string) (string, error) {
	c, err := net.DialTimeout(network, address, time.Minute)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// TestPrograms: programs reach one another by their addresses, at one port each,
// and share neither loopback nor abstract sockets; nothing else has a route.
func TestPrograms(t *testing.T) {
	n := several(t, policy.Egress{}, 3)
	for i := range 3 {
		greets(t, n, i, "tcp4", "0.0.0.0:8000")
	}
	greets(t, n, 0, "tcp4", "127.0.0.1:9000")
	greets(t, n, 0, "unix", "@own")
	for i := range 3 {
		if got, want := interfaces(t, n.inner[i]), fmt.Sprintf("lo [127.0.0.1/8 ::1/128] up, eth0 [198.18.1.%d/32] up", i+1); got != want {
			t.Errorf("the links of %d: %s", i, got)
		}
		if got := routes(t, n.inner[i]); got != "eth0 000112C6/00FFFFFF, eth0 FE0112C6/FFFFFFFF" {
			t.Errorf("the routes of %d: %s", i, got)
		}
		for j := range 3 {
			n.in(t, i, func() error {
				got, err := said("tcp4", net.JoinHostPort(n.plan.AddressOf(j).String(), "8000"))
				if want := fmt.Sprintf("this is %d, and you %s", j, n.plan.AddressOf(i)); got != want {
					return fmt.Errorf("%d says %q, %v, expected %q", j, got, err, want)
				}
				return nil
			})
		}
	}
	for _, row := range []struct {
		network, address string
		want             error
	}{
		{"tcp4", "127.0.0.1:9000", unix.ECONNREFUSED},
		{"tcp4", "198.18.1.1:9000", unix.ECONNREFUSED},
		{"unix", "@own", unix.ECONNREFUSED},
		{"tcp4", crossingAddress + ":22", unix.ECONNREFUSED},
		{"tcp4", "198.18.1.4:8000", unix.ENETUNREACH},
		{"tcp4", gateAddress + ":53", unix.ENETUNREACH},
		{"tcp4", "8.8.8.8:53", unix.ENETUNREACH},
		{"tcp4", "169.254.169.254:80", unix.ENETUNREACH},
		{"tcp6", "[2001:db8::1]:80", unix.ENETUNREACH},
	} {
		n.in(t, 1, func() error {
			if got, err := said(row.network, row.address); !errors.Is(err, row.want) {
				return fmt.Errorf("%s says %q, %v, expected %v", row.address, got, err, row.want)
			}
			return nil
		})
	}
	// Where programs meet there is no IPv6, on no wire.
	if err := within(n.app, func() error {
		for _, link := range []string{"all", "lo", "p0", "p1", "p2"} {
			text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + link + "/disable_ipv6")
			if errors.Is(err, os.ErrNotExist) && link == "all" {
				return nil // a kernel without it
			}
			if err != nil || string(text) != "1\n" {
				t.Errorf("disable_ipv6 of %s at the crossing is %q, %v", link, text, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	sums, err := n.Listeners().Dropped()
	if err != nil || sums[NoRoute] < 3 {
		t.Errorf("counted %v, %v", sums, err)
	}
}

// TestProgramsCannotLie: what a program sends under another one's address, or under
// one of the gate's, arrives nowhere.
func TestProgramsCannotLie(t *testing.T) {
	n := several(t, allow(destination("a.example", 443)), 3)
	var heard net.PacketConn
	n.in(t, 2, func() (err error) {
		heard, err = net.ListenPacket("udp4", "0.0.0.0:7000")
		return err
	})
	t.Cleanup(func() { heard.Close() })
	const truth = "198.18.1.1"
	send := func(all ...string) {
		for _, from := range all {
			n.in(t, 0, func() error { return sendFrom(from, "198.18.1.3", 7000) })
		}
	}
	// A wire loses what is sent before both of its ends have seen that they are up.
	b := make([]byte, 100)
	for deadline := time.Now().Add(time.Minute); ; {
		send(truth)
		heard.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := heard.ReadFrom(b); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	send("198.18.1.2", gateAddress, "198.18.16.1", crossingAddress, "127.0.0.1", "8.8.8.8")
	n.in(t, 0, func() error { return sendMarked(truth, "198.18.1.3", 7000, 2) })
	heard.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		_, from, err := heard.ReadFrom(b)
		if err != nil || !strings.HasPrefix(from.String(), truth+":") {
			t.Fatalf("heard from %v, %v", from, err)
		}
		// What is sent on one wire arrives in order: all lies would be here.
		if from.String() == truth+":514" {
			return
		}
	}
}

// sendFrom sends one datagram whose header says it is from somebody.
func sendFrom(from, to string, port uint16) error { return sendMarked(from, to, port, 1) }

// sendMarked does so from a port that begins with mark, and ends with it.
func sendMarked(from, to string, port uint16, mark byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const size = 28 // headers of IPv4 (RFC 791) and UDP (RFC 768)
	b := make([]byte, size)
	b[0], b[3], b[8], b[9] = 0x45, size, 64, unix.IPPROTO_UDP
	source, destination := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	copy(b[12:], source[:])
	copy(b[16:], destination[:])
	b[20], b[21], b[22], b[23], b[25] = mark, mark, byte(port>>8), byte(port), 8
	return unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: destination})
}

// TestProgramsGate: every program goes through the one gate, by the same rules.
func TestProgramsGate(t *testing.T) {
	w := newWorldOf(t, allow(destination("site.example", 80)), 2)
	w.resolves("site.example", siteAddress)
	for i := range 2 {
		w.ns.in(t, i, func() error {
			c, err := net.DialTimeout("tcp4", gateAddress+":3128", time.Minute)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprint(c, "GET http://site.example/ HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")
			b, err := io.ReadAll(c)
			if !strings.HasPrefix(string(b), "HTTP/1.1 200") {
				return fmt.Errorf("the proxy says %q, %v", b, err)
			}
			return nil
		})
		w.ns.in(t, i, func() error {
			if _, err := said("tcp4", gateAddress+":22"); !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("a port of the gate: %v", err)
			}
			if _, err := said("tcp4", siteAddress+":80"); !errors.Is(err, unix.ENETUNREACH) {
				return fmt.Errorf("an address outside: %v", err)
			}
			return nil
		})
	}
	if got := w.refused(t); got[PacketTCP] != 2 || got[NoRoute] < 2 {
		t.Errorf("counted %v", got)
	}
}

func TestTooManyPrograms(t *testing.T) {
	needRoot(t)
	before := descriptors(t)
	if n, err := NewNamespace(Plan{Programs: maxPrograms + 1}); n != nil || err == nil || !strings.Contains(err.Error(), "251 programs, limit 250") {
		t.Errorf("%v, %v", n, err)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
