package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The hostile app: the test's own program, started in the app's network as another
// account. Each attack returns what happened; "THROUGH" begins what must not.

const (
	actVariable   = "EGRESS_TEST_ACT"
	childVariable = "EGRESS_TEST_CHILD"
	through       = "THROUGH"
)

// attacks are by name. The argument is what the test passes.
func attacks() map[string]func(arg string) string {
	return map[string]func(string) string{
		"tcp":            func(a string) string { return dialOut("tcp4", a) },
		"tcp6":           func(a string) string { return dialOut("tcp6", a) },
		"udp":            func(a string) string { return dialOut("udp4", a) },
		"udp6":           func(a string) string { return dialOut("udp6", a) },
		"unix":           func(a string) string { return dialOut("unix", a) },
		"route then tcp": func(a string) string { return own(func() string { return dialOut("tcp4", a) }) },
		"route then udp": func(a string) string { return own(func() string { return dialOut("udp4", a) }) },
		"route then udp, patiently": func(a string) string {
			return own(func() string { return dialFor("udp4", a, 10*time.Second) })
		},
		"route then icmp": func(a string) string { return own(func() string { return raw(unix.IPPROTO_ICMP, a) }) },
		"route then sctp": func(a string) string { return own(func() string { return raw(132, a) }) },
		"flush then udp":  func(a string) string { return own(func() string { return flush() + dialOut("udp4", a) }) },
		"exec then udp":   again,
		"icmp raw":        func(a string) string { return raw(unix.IPPROTO_ICMP, a) },
		"icmp ping":       ping,
		"frame":           frame,
		"vsock":           vsock,
		"io_uring":        ioUring,
		"resolve":         resolve,
		"dns tcp":         func(string) string { return knock(gateAddress, 53) },
		"get":             get,
		"raw http":        rawHTTP,
		"https":           https,
		"connect":         connectRaw,
		"plain on tls":    func(a string) string { return exchangeRaw(a, "SSH-2.0-x\r\n") },
		"transparent":     transparentHTTPS,
		"greet":           greet,
		"inherited":       inherited,
		"open":            openFile,
		"setns":           setns,
		"pidfd":           pidfd,
		"new network":     newUserNetwork,
		"make":            makeNamespace,
		"box":             aBox,
	}
}

// act is the hostile app: it tries one attack for each line it is sent.
func act() int {
	all, lines := attacks(), bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		line, err := strconv.Unquote(lines.Text())
		name, arg, _ := strings.Cut(line, "\x1f")
		f, ok := all[name]
		if err != nil || !ok {
			return 1
		}
		fmt.Printf("%q\n", f(arg))
	}
	return 0
}

// child is the hostile app's child, which tries one.
func child(attack string) int {
	name, arg, _ := strings.Cut(attack, "\x1f")
	fmt.Println(attacks()[name](arg))
	return 0
}

// what names an error by its cause, which says at which layer it was refused.
func what(err error) string {
	var no syscall.Errno
	switch {
	case err == nil:
		return through
	case errors.As(err, &no):
		return unix.ErrnoName(no)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	}
	return err.Error()
}

// patience is how long is waited for what must not come.
const patience = 100 * time.Millisecond

func dialOut(network, address string) string { return dialFor(network, address, patience) }

func dialFor(network, address string, patience time.Duration) string {
	c, err := net.DialTimeout(network, address, time.Minute)
	if err != nil {
		return what(err)
	}
	defer c.Close()
	if !strings.HasPrefix(network, "udp") {
		return through
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		return what(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	_, err = c.Read(make([]byte, 100))
	return what(err)
}

// knock begins a TCP connection that nobody answers: the first packet is sent
// before connect(2) returns.
func knock(address string, port int) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return what(err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(address).As4(), Port: port})
	if !errors.Is(err, unix.EINPROGRESS) {
		return what(err)
	}
	// A signal may end the wait early: that is no answer either.
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds())); n > 0 {
		return through
	}
	return "no answer"
}

// own makes the network the attacker's, as far as CAP_NET_ADMIN goes: a default
// route to the other end, for as long as f runs.
func own(f func() string) string {
	change := func(kind uint16, flags netlink.HeaderFlags) error {
		return withRoute(func(r *route) {
			header := make([]byte, unix.SizeofRtMsg)
			header[0], header[4], header[5], header[7] = unix.AF_INET, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RTN_UNICAST
			r.do("default route", kind, flags, header, func(e *netlink.AttributeEncoder) {
				e.Uint32(unix.RTA_OIF, otherLink)
				e.Bytes(unix.RTA_GATEWAY, netip.MustParseAddr(gateAddress).AsSlice())
			})
		})
	}
	if err := change(unix.RTM_NEWROUTE, create); err != nil {
		return "no route: " + what(err)
	}
	defer change(unix.RTM_DELROUTE, 0)
	return f()
}

func flush() string {
	c, err := nftables.New()
	if err != nil {
		return what(err)
	}
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		return what(err)
	}
	return "flushed, then "
}

func again(arg string) string {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childVariable + "=udp\x1f" + arg}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.Output()
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(out))
}

func raw(protocol int, address string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, protocol)
	if err != nil {
		return what(err)
	}
	defer unix.Close(fd)
	echo := []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}
	to := &unix.SockaddrInet4{Addr: netip.MustParseAddr(address).As4()}
	if err := unix.Sendto(fd, echo, 0, to); err != nil {
		return what(err)
	}
	return receive(fd)
}

func ping(address string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	if err != nil {
		return what(err)
	}
	defer unix.Close(fd)
	return through
}

func receive(fd int) string {
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return what(err)
	}
	_, _, err := unix.Recvfrom(fd, make([]byte, 2048), 0)
	if errors.Is(err, unix.EAGAIN) {
		return "no answer"
	}
	return what(err)
}

// frame sends what stands in arg past the whole network stack of the app's side:
// "arp", "ipv6", "other", "spoofed" (TCP from an address that is not the app's),
// "fragment" (a later part of a UDP packet), "vlan".
func frame(kind string) string {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return what(err)
	}
	defer unix.Close(fd)
	b := append(append([]byte{}, gateMAC()...), appMAC()...)
	ether := func(protocol uint16, body ...byte) { b = append(binary.BigEndian.AppendUint16(b, protocol), body...) }
	switch kind {
	case "arp":
		ether(unix.ETH_P_ARP, make([]byte, 46)...)
	case "ipv6":
		ether(unix.ETH_P_IPV6, append([]byte{0x60, 0, 0, 0, 0, 8, 17, 64}, make([]byte, 60)...)...)
	case "other":
		ether(0x88b5, make([]byte, 46)...)
	case "spoofed":
		ether(unix.ETH_P_IP, ipv4(unix.IPPROTO_TCP, 0, "198.18.0.9", "198.18.16.0", tcpSYN(443))...)
	case "fragment":
		ether(unix.ETH_P_IP, ipv4(unix.IPPROTO_UDP, 100, appAddress, gateAddress, append([]byte{9, 9, 0, 53}, make([]byte, 30)...))...)
	}
	to := &unix.SockaddrLinklayer{Ifindex: otherLink, Halen: 6}
	copy(to.Addr[:], gateMAC())
	if err := unix.Sendto(fd, b, 0, to); err != nil {
		return what(err)
	}
	return "sent"
}

func ipv4(protocol byte, fragment uint16, from, to string, body []byte) []byte {
	b := []byte{0x45, 0, 0, byte(20 + len(body)), 0, 1, byte(fragment >> 8), byte(fragment), 64, protocol, 0, 0}
	b = append(b, netip.MustParseAddr(from).AsSlice()...)
	b = append(b, netip.MustParseAddr(to).AsSlice()...)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum>>16+sum&0xffff))
	return append(b, body...)
}

func tcpSYN(port uint16) []byte {
	b := make([]byte, 40)
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], port)
	b[12], b[13] = 5<<4, 2
	return b
}

func vsock(string) string {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(fd) // nothing is connected to: it would be the host of this machine
	}
	return what(err)
}

func ioUring(string) string {
	var params [120]byte
	_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafePointer(&params[0])), 0)
	if errno == 0 {
		return through
	}
	return unix.ErrnoName(errno)
}

func appResolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", gateAddress+":53")
	}}
}

func resolve(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found, err := appResolver().LookupNetIP(ctx, "ip", name)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such name"
	case err != nil:
		return err.Error()
	case wire().Contains(found[0].Unmap()):
		return "found in the pool"
	}
	return through
}

func proxyURL() string { return "http://" + gateAddress + ":3128" }

func roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(os.Getenv("EGRESS_TEST_CA")))
	return pool
}

func certificateTime() time.Time { return newClock().Now() }

// get fetches a URL. A name is looked up and reached transparently; with "proxy "
// before it, by the proxy that HTTP_PROXY would name.
func get(arg string) string {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(), Time: certificateTime}}
	transport.DialContext = (&net.Dialer{Resolver: appResolver()}).DialContext
	if rest, ok := strings.CutPrefix(arg, "proxy "); ok {
		arg = rest
		u, _ := url.Parse(proxyURL())
		transport.Proxy = http.ProxyURL(u)
	}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	resp, err := client.Get(arg)
	if err != nil {
		return reason(err.Error())
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s", resp.StatusCode, body)
	}
	return through + " " + string(body)
}

func reason(text string) string {
	for _, known := range []string{"no such host", "Forbidden", "Bad Gateway", "EOF", "connection reset", "network is unreachable"} {
		if strings.Contains(text, known) {
			return known
		}
	}
	return text
}

// rawHTTP sends bytes to a name's port 80, transparently: "NAME<TAB>BYTES".
func rawHTTP(arg string) string {
	name, text, _ := strings.Cut(arg, "\t")
	address, err := lookUp(name)
	if err != nil {
		return err.Error()
	}
	return exchangeRaw(address+":80", text)
}

func lookUp(name string) (string, error) {
	found, err := appResolver().LookupNetIP(context.Background(), "ip4", name)
	if err != nil {
		return "", err
	}
	return found[0].Unmap().String(), nil
}

func exchangeRaw(address, text string) string {
	if host, port, _ := net.SplitHostPort(address); !strings.Contains(host, "198.") {
		found, err := lookUp(host)
		if err != nil {
			return err.Error()
		}
		address = found + ":" + port
	}
	c, err := net.DialTimeout("tcp4", address, time.Minute)
	if err != nil {
		return what(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, text)
	answer, _ := io.ReadAll(c)
	hellos := strings.Count(string(answer), "hello from")
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return fmt.Sprintf("%d hellos, %s", hellos, line)
}

// https opens CONNECT to one host and speaks TLS to another, and HTTP to a third:
// "CONNECT SNI HOST", "-" is no server name.
func https(arg string) string {
	parts := strings.Fields(arg)
	c, err := tunnel(parts[0] + ":443")
	if err != nil {
		return reason(err.Error())
	}
	defer c.Close()
	return overTLS(c, parts[1], parts[2])
}

// transparentHTTPS connects to the address of a name and speaks TLS to another:
// "NAME SNI HOST".
func transparentHTTPS(arg string) string {
	parts := strings.Fields(arg)
	address, err := lookUp(parts[0])
	if err != nil {
		return err.Error()
	}
	c, err := net.DialTimeout("tcp4", address+":443", time.Minute)
	if err != nil {
		return what(err)
	}
	defer c.Close()
	return overTLS(c, parts[1], parts[2])
}

func overTLS(c net.Conn, serverName, host string) string {
	c.SetDeadline(time.Now().Add(time.Minute))
	cfg := &tls.Config{ServerName: strings.TrimPrefix(serverName, "-"), InsecureSkipVerify: true}
	if strings.HasPrefix(serverName, "ech:") {
		cfg.ServerName = serverName[4:]
		cfg.MinVersion = tls.VersionTLS13
		cfg.InsecureSkipVerify = false
		cfg.EncryptedClientHelloConfigList = echList()
	}
	t := tls.Client(c, cfg)
	if err := t.Handshake(); err != nil {
		return reason(what(err))
	}
	fmt.Fprintf(t, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
	answer, _ := io.ReadAll(t)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return through + " " + body
}

func tunnel(target string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp4", gateAddress+":3128", time.Minute)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), &http.Request{Method: "CONNECT"})
	if err != nil {
		c.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		c.Close()
		return nil, errors.New(resp.Status)
	}
	return c, nil
}

func connectRaw(target string) string {
	c, err := tunnel(target)
	if err != nil {
		return err.Error()
	}
	c.Close()
	return through
}

// greet reads what a server says first, and has it say something back.
func greet(arg string) string {
	name, port, _ := net.SplitHostPort(arg)
	address, err := lookUp(name)
	if err != nil {
		return err.Error()
	}
	c, err := net.DialTimeout("tcp4", net.JoinHostPort(address, port), time.Minute)
	if err != nil {
		return what(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	first, _ := r.ReadString('\n')
	io.WriteString(c, "\x00echo\n")
	second, _ := r.ReadString('\n')
	return fmt.Sprintf("%s %q %q", through, first, second)
}

// inherited looks for sockets and networks that someone left open.
func inherited(string) string {
	var found []string
	for fd := 3; fd < 1024; fd++ {
		to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && (strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "net:")) {
			found = append(found, to)
		}
	}
	if len(found) > 0 {
		return through + " " + strings.Join(found, " ")
	}
	return "none"
}

func openFile(name string) string {
	f, err := os.Open(name)
	if err == nil {
		f.Close()
	}
	return what(err)
}

func setns(name string) string {
	fd, err := unix.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return what(err)
	}
	return what(unix.Setns(fd, unix.CLONE_NEWNET))
}

// pidfd tries to take a file from another process: "PID FD".
func pidfd(arg string) string {
	var pid, fd int
	fmt.Sscan(arg, &pid, &fd)
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return what(err)
	}
	_, err = unix.PidfdGetfd(p, fd, 0)
	return what(err)
}

// newUserNetwork becomes root of a namespace of its own.
func newUserNetwork(address string) string {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childVariable + "=route then udp\x1f" + address}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
	}
	out, err := cmd.Output()
	if err != nil {
		return what(err)
	}
	return string(bytes.TrimSpace(out))
}
