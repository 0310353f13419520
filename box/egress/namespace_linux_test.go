package egress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/policy"
)

func newNamespace(t testing.TB, e policy.Egress) *Namespace {
	t.Helper()
	needRoot(t)
	plan, err := NewPlan(e)
	if err != nil {
		t.Fatal(err)
	}
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

// interfaces lists the links of a network and their addresses.
func interfaces(t testing.TB, network *os.File) string {
	t.Helper()
	var all []string
	err := within(network, func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			addresses, _ := l.Addrs()
			all = append(all, fmt.Sprintf("%s %v %s", l.Name, addresses, l.Flags&net.FlagUp))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

// routes is the main IPv4 table of a network: interface and destination.
func routes(t testing.TB, network *os.File) string {
	t.Helper()
	var all []string
	err := within(network, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/route")
		for _, line := range strings.Split(string(text), "\n")[1:] {
			if f := strings.Fields(line); len(f) > 7 {
				all = append(all, f[0]+" "+f[1]+"/"+f[7])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

func TestNoDestination(t *testing.T) {
	n := newNamespace(t, policy.Egress{})
	if got := interfaces(t, n.app); got != "lo [127.0.0.1/8 ::1/128] up" {
		t.Errorf("links %q", got)
	}
	if got := routes(t, n.app); got != "" {
		t.Errorf("routes %q", got)
	}
	l := n.Listeners()
	if n.gate != nil || l.Explicit != nil || l.DNS != nil || l.Transparent != nil {
		t.Error("there is a way out, though no line opens one")
	}
	sums, err := l.Dropped()
	if err != nil || len(sums) != 2 || sums[NoRoute] != 0 {
		t.Errorf("%v, %v", sums, err)
	}
	err = n.Enter(func() error {
		_, err := net.Dial("tcp4", siteAddress+":443")
		return err
	})
	if !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("connecting: %v", err)
	}
	if sums, err := l.Dropped(); err != nil || sums[NoRoute] != 1 {
		t.Errorf("%v, %v", sums, err)
	}
	p := newProxy(t, policy.Egress{}, nil)
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	for p.ledger.counters().Refused[NoRoute] != 1 {
		if _, err := p.Counters(); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestWire(t *testing.T) {
	n := newNamespace(t, allow(destination("a.example", 443), destination("10.1.2.3", 80), destination("10.1.2.3", 81)))
	if got := interfaces(t, n.app); got != "lo [127.0.0.1/8 ::1/128] up, eth0 [198.18.0.2/32] up" {
		t.Errorf("the app's links: %s", got)
	}
	// What the pool and the lines stand for, the proxy itself, and no default.
	if got := routes(t, n.app); got != "eth0 0302010A/FFFFFFFF, eth0 010012C6/FFFFFFFF, eth0 001012C6/00F0FFFF" {
		t.Errorf("the app's routes: %s", got)
	}
	if got := interfaces(t, n.gate); got != "lo [127.0.0.1/8] up, app [198.18.0.1/32] up" {
		t.Errorf("the gate's links: %s", got)
	}
	if got := routes(t, n.gate); got != "app 020012C6/FFFFFFFF" {
		t.Errorf("the gate's routes: %s", got)
	}
	l := n.Listeners()
	if l.Explicit.Addr().String() != "198.18.0.1:3128" || l.DNS.LocalAddr().String() != "198.18.0.1:53" || len(l.Transparent) != 3 {
		t.Errorf("%s %s %d", l.Explicit.Addr(), l.DNS.LocalAddr(), len(l.Transparent))
	}
	if p := n.Plan(); p.Proxy != 3128 {
		t.Errorf("%+v", p)
	}
	path, err := os.Readlink(n.Path())
	if err != nil || !strings.HasPrefix(path, "net:[") {
		t.Errorf("%s is %q, %v", n.Path(), path, err)
	}
}

// TestReachingTheApp: the box connects to what listens on the app's loopback, and
// nothing else of the machine does.
func TestReachingTheApp(t *testing.T) {
	n := newNamespace(t, policy.Egress{})
	var l net.Listener
	err := n.Enter(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := n.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	free := loopbackListener(t)
	free.Close()
	if c, err := n.DialContext(t.Context(), "tcp", free.Addr().String()); err == nil || c != nil {
		t.Error("connected to nobody")
	}
}

// TestNotRoot: who may not make networks is told so, in words for people.
func TestNotRoot(t *testing.T) {
	needRoot(t)
	for _, row := range []struct {
		caps []uintptr
		what string
	}{
		{nil, "unshare"},
		{[]uintptr{unix.CAP_SYS_ADMIN}, "link up"},
	} {
		cmd := exec.Command(program(t))
		cmd.Env = []string{childVariable + "=make"}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: row.caps}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := string(out); !strings.HasPrefix(got, "egress: not enforced: "+row.what+": ") ||
			!strings.HasSuffix(got, "operation not permitted; the app would have the machine's own network. Run as root on Linux\n") {
			t.Errorf("%q", got)
		}
	}
}

// TestHalfBuilt: whatever fails, there is no namespace and nothing left of it.
func TestHalfBuilt(t *testing.T) {
	needRoot(t)
	for name, row := range map[string]struct {
		plan Plan
		want string
	}{
		"the proxy's port is taken":   {Plan{Proxy: 443, Ports: []uint16{443}}, "address already in use"},
		"a port twice":                {Plan{Proxy: 1, Ports: []uint16{443, 443}}, "address already in use"},
		"an address that is not IPv4": {Plan{Proxy: 1, Addresses: []netip.AddrPort{netip.MustParseAddrPort("[2606::1]:443")}}, "nftables"},
		"the app's own address":       {Plan{Proxy: 1, Addresses: []netip.AddrPort{netip.MustParseAddrPort("198.18.0.1:443")}}, "route to"},
	} {
		n, err := NewNamespace(row.plan)
		var not *NotEnforcedError
		if err == nil || n != nil || errors.As(err, &not) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, expected %q", name, err, row.want)
		}
	}
}

func makeNamespace(string) string {
	_, err := NewNamespace(Plan{})
	var not *NotEnforcedError
	if !errors.As(err, &not) {
		return fmt.Sprintf("another error: %v", err)
	}
	return err.Error()
}

// TestKilled: a box that is killed leaves its app without a wire.
func TestKilled(t *testing.T) {
	needRoot(t)
	box := exec.Command("/proc/self/exe")
	box.Env = []string{childVariable + "=box"}
	box.Stderr = os.Stderr
	in, err := box.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := box.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	var app int
	if _, err := fmt.Fscan(bufio.NewReader(out), &app); err != nil {
		t.Fatal(err)
	}
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", app))
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	if got := interfaces(t, network); !strings.Contains(got, "eth0") {
		t.Errorf("before: %s", got)
	}
	if err := box.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	box.Wait()
	// The kernel takes a namespace down in the background; the test's time limit
	// ends this if it never does.
	for strings.Contains(interfaces(t, network), "eth0") {
	}
	syscall.Kill(app, syscall.SIGKILL)
}

// aBox makes a network and starts an app in it, which outlives it: a copy of the
// test's program that waits for the end of its input.
func aBox(string) string {
	plan, err := NewPlan(allow(destination("a.example", 443)))
	if err != nil {
		return err.Error()
	}
	n, err := NewNamespace(plan)
	if err != nil {
		return err.Error()
	}
	app := exec.Command("/proc/self/exe")
	app.Env = []string{actVariable + "=1"}
	app.Stdin = os.Stdin
	if err := n.Enter(app.Start); err != nil {
		return err.Error()
	}
	fmt.Println(app.Process.Pid)
	io.Copy(io.Discard, os.Stdin)
	return ""
}

func TestStatistics(t *testing.T) {
	for text, want := range map[string]int64{
		"Ip: A OutNoRoutes B\nIp: 1 42 3\n": 42, "Icmp: OutNoRoutes\nIcmp: 1\nIp: OutNoRoutes\nIp: 7\n": 7,
		"": -1, "Ip: A\nIp: 1\n": -1, "Ip: A OutNoRoutes\nIp: 1\n": -1, "Ip: OutNoRoutes\nIp: x\n": -1, "\n": -1,
	} {
		if n, err := snmpColumn(strings.NewReader(text)); (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	for text, want := range map[string]int64{
		"Ip6InReceives 1\nIp6OutNoRoutes  42\n": 42, "": -1, "Ip6OutNoRoutes x\n": -1, "Ip6OutNoRoutes\n": -1, "XIp6OutNoRoutes 1\n": -1,
	} {
		if n, err := snmp6Line(strings.NewReader(text)); (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	if n, err := statistic("/proc/self/net/none", snmpColumn); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestFamilies: what is started by Enter makes sockets of the network's families.
func TestFamilies(t *testing.T) {
	n := newNamespace(t, policy.Egress{})
	for family, want := range map[int]error{
		unix.AF_UNIX: nil, unix.AF_INET: nil, unix.AF_INET6: nil, unix.AF_NETLINK: nil,
		unix.AF_VSOCK: unix.EAFNOSUPPORT, unix.AF_ALG: unix.EAFNOSUPPORT, unix.AF_BLUETOOTH: unix.EAFNOSUPPORT, unix.AF_TIPC: unix.EAFNOSUPPORT, 9999: unix.EAFNOSUPPORT,
	} {
		err := n.Enter(func() error {
			fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("family %d: %v, expected %v", family, err, want)
		}
	}
	err := n.Enter(func() error {
		fds, err := unix.Socketpair(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
		if err == nil {
			unix.Close(fds[0])
			unix.Close(fds[1])
		}
		return err
	})
	if !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("socketpair: %v", err)
	}
	var flags int
	if err := n.Enter(func() (err error) {
		flags, err = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		return err
	}); err != nil || flags != 1 {
		t.Errorf("no_new_privs %d, %v", flags, err)
	}
}

func BenchmarkNamespace(b *testing.B) {
	needRoot(b)
	plan, err := NewPlan(allow(destination("a.example", 443)))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n, err := NewNamespace(plan)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		n.Close()
		b.StartTimer()
	}
}
