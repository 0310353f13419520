package egress

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/policy"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making networks needs root")
	}
}

// internet is a network that the test made, with servers at addresses that are
// public elsewhere.
type internet struct {
	network *os.File
	ca      *authority
	clock   *clock

	mu      sync.Mutex
	hits    []string                  // what servers saw
	queries []string                  // names that the DNS server was asked for
	zone    map[string][][]netip.Addr // answers, the last of which stays
	close   []io.Closer
}

const (
	siteAddress  = "93.184.216.34"
	otherAddress = "151.101.1.140"
	dnsAddress   = "9.9.9.9"
	innerAddress = "10.7.7.7"
)

func newInternet(t testing.TB, c *clock) *internet {
	t.Helper()
	network, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	w := &internet{network: network, clock: c, ca: newAuthority(t, c.Now()), zone: map[string][][]netip.Addr{}}
	t.Cleanup(w.end)
	err = within(network, func() error {
		if err := loopbackUp(); err != nil {
			return err
		}
		return withRoute(func(r *route) {
			for _, a := range []string{siteAddress, otherAddress, dnsAddress, innerAddress, "169.254.169.254"} {
				r.add(path{to: host(a), local: true})
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	site := w.ca.issue(t, []string{"site.example", "shop.example", "a.wild.example"}, net.ParseIP(siteAddress).To4())
	w.serveTLS(t, siteAddress+":443", site)
	w.serveTLS(t, otherAddress+":443", w.ca.issue(t, []string{"other.example"}))
	for _, a := range []string{siteAddress, otherAddress, innerAddress, "169.254.169.254"} {
		w.serveHTTP(t, a+":80", nil)
	}
	w.serveEcho(t, siteAddress+":5432")
	for _, a := range []string{siteAddress + ":443", siteAddress + ":9999", dnsAddress + ":9999"} {
		w.serveUDP(t, a)
	}
	w.serveDNS(t, dnsAddress+":53")
	return w
}

func (w *internet) end() {
	for _, c := range w.close {
		c.Close()
	}
	w.network.Close()
}

func (w *internet) hit(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hits = append(w.hits, what)
}

func (w *internet) seen() (hits, queries []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.hits), slices.Clone(w.queries)
}

func (w *internet) resolves(name string, answers ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range answers {
		var all []netip.Addr
		for _, s := range strings.Fields(a) {
			all = append(all, netip.MustParseAddr(s))
		}
		w.zone[name] = append(w.zone[name], all)
	}
}

func (w *internet) listen(t testing.TB, address string) net.Listener {
	t.Helper()
	var l net.Listener
	err := within(w.network, func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.close = append(w.close, l)
	return l
}

func (w *internet) serveHTTP(t testing.TB, address string, l net.Listener) {
	t.Helper()
	if l == nil {
		l = w.listen(t, address)
	}
	s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.hit(address + " " + r.Host + r.URL.Path)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(rw, r, to, http.StatusFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "hello from %s to %s with %d bytes", address, r.Host, len(body))
	})}
	w.close = append(w.close, s)
	go s.Serve(l)
}

func (w *internet) serveTLS(t testing.TB, address string, cert tls.Certificate) {
	t.Helper()
	w.serveHTTP(t, address, tls.NewListener(w.listen(t, address), &tls.Config{Certificates: []tls.Certificate{cert}}))
}

// serveEcho greets first, as servers of mail and databases do.
func (w *internet) serveEcho(t testing.TB, address string) {
	t.Helper()
	l := w.listen(t, address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "ready\n")
				io.Copy(c, c)
			}()
		}
	}()
}

func (w *internet) packets(t testing.TB, address string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	err := within(w.network, func() (err error) {
		c, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.close = append(w.close, c)
	return c
}

func (w *internet) serveUDP(t testing.TB, address string) {
	t.Helper()
	c := w.packets(t, address)
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			w.hit("udp " + address)
			c.WriteTo([]byte("answer"), from)
		}
	}()
}

// serveDNS answers from the zone, and remembers every name it was asked for.
func (w *internet) serveDNS(t testing.TB, address string) {
	t.Helper()
	c := w.packets(t, address)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if q, err := parseQuestion(buf[:n]); err == nil {
				c.WriteTo(w.answer(q), from)
			}
		}
	}()
}

func (w *internet) answer(q *question) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queries = append(w.queries, q.name)
	answers := w.zone[q.name]
	if len(answers) == 0 {
		return q.answer(rcodeNotFound, netip.Addr{})
	}
	if q.kind == typeA && len(answers) > 1 {
		w.zone[q.name] = answers[1:]
	}
	b := q.answer(rcodeOK, netip.Addr{})
	for _, a := range answers[0] {
		if a.Is4() != (q.kind == typeA) {
			continue
		}
		binary.BigEndian.PutUint16(b[6:], binary.BigEndian.Uint16(b[6:])+1)
		b = append(b, 0xc0, dnsHeader)
		b = binary.BigEndian.AppendUint16(b, q.kind)
		b = append(b, 0, classIN, 0, 0, 0, 1, 0, byte(len(a.AsSlice())))
		b = append(b, a.AsSlice()...)
	}
	return b
}

// dial is how the proxy connects to the test's internet.
func (w *internet) dial(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	var c net.Conn
	err := within(w.network, func() (err error) {
		c, err = DialTCP(ctx, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (w *internet) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var c net.Conn
		err := within(w.network, func() (err error) {
			var d net.Dialer
			c, err = d.DialContext(ctx, network, dnsAddress+":53")
			return err
		})
		if err != nil {
			return nil, err
		}
		return c, nil
	}}
}

// world is an app's network, the proxy and an internet behind it.
type world struct {
	*internet
	ns    *Namespace
	proxy *Proxy

	broken   bool // the test has broken the rules
	reports  sync.Mutex
	reported map[Reason]int64
}

func newWorld(t testing.TB, e policy.Egress) *world {
	t.Helper()
	return newWorldOf(t, e, 0)
}

// newWorldOf has several programs in the place of the app.
func newWorldOf(t testing.TB, e policy.Egress, programs int) *world {
	t.Helper()
	needRoot(t)
	c := newClock()
	w := &world{internet: newInternet(t, c), reported: map[Reason]int64{}}
	plan, err := NewPlan(e)
	if err != nil {
		t.Fatal(err)
	}
	plan.Programs = programs
	if w.ns, err = NewNamespace(plan); err != nil {
		t.Fatal(err)
	}
	w.proxy, err = New(Config{
		Egress: e, Resolver: w.resolver(), Dial: w.dial, Clock: c.Now, Roots: w.ca.pool,
		Timeouts: Timeouts{Head: time.Minute, Connect: time.Minute, Idle: time.Minute},
		Report: func(e Event) {
			w.reports.Lock()
			defer w.reports.Unlock()
			w.reported[e.Reason] += e.Count
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.proxy.Serve(w.ns.Listeners()) }()
	t.Cleanup(func() {
		w.proxy.Close()
		if err := <-served; err != nil && !w.broken {
			t.Errorf("Serve: %v", err)
		}
		if err := w.ns.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return w
}

func (w *world) refused(t testing.TB) map[Reason]int64 {
	t.Helper()
	c, err := w.proxy.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c.Refused
}

// scratch is a directory that other accounts can read.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "egress")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// program copies the test's own program to where another account can run it.
func program(t testing.TB) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(scratch(t), "app")
	if err := os.WriteFile(file, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// joinNetworks puts a wire between two networks, besides ours, for the test that
// takes the rules away.
func joinNetworks(a, b *os.File, addressA, addressB string) error {
	const linkA, linkB = 7, 7
	mac := func(n byte) []byte { return []byte{2, 0xcc, 0, 0, 0, n} }
	end := func(r *route, index uint32, own, other string, otherMAC []byte) {
		r.up(int(index))
		header := make([]byte, unix.SizeofRtMsg)
		header[0], header[1] = unix.AF_INET, 32
		header[4], header[5], header[6], header[7] = unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST
		r.do("route", unix.RTM_NEWROUTE, create, header, func(e *netlink.AttributeEncoder) {
			e.Bytes(unix.RTA_DST, netip.MustParseAddr(other).AsSlice())
			e.Uint32(unix.RTA_OIF, index)
		})
		neigh := make([]byte, 12)
		neigh[0], neigh[8] = unix.AF_INET, 0x80
		binary.NativeEndian.PutUint32(neigh[4:], index)
		r.do("neighbour", unix.RTM_NEWNEIGH, create, neigh, func(e *netlink.AttributeEncoder) {
			e.Bytes(unix.NDA_DST, netip.MustParseAddr(other).AsSlice())
			e.Bytes(unix.NDA_LLADDR, otherMAC)
		})
	}
	err := within(a, func() error {
		return withRoute(func(r *route) {
			r.do("veth", unix.RTM_NEWLINK, create, linkHeader(linkA, 0), func(e *netlink.AttributeEncoder) {
				e.String(unix.IFLA_IFNAME, "away")
				e.Bytes(unix.IFLA_ADDRESS, mac(1))
				e.Nested(unix.IFLA_LINKINFO, func(e *netlink.AttributeEncoder) error {
					e.String(unix.IFLA_INFO_KIND, "veth")
					e.Nested(unix.IFLA_INFO_DATA, func(e *netlink.AttributeEncoder) error {
						e.Do(1, func() ([]byte, error) {
							p := netlink.NewAttributeEncoder()
							p.String(unix.IFLA_IFNAME, "home")
							p.Bytes(unix.IFLA_ADDRESS, mac(2))
							p.Uint32(unix.IFLA_NET_NS_FD, uint32(b.Fd()))
							body, err := p.Encode()
							return append(linkHeader(linkB, 0), body...), err
						})
						return nil
					})
					return nil
				})
			})
			end(r, linkA, addressA, addressB, mac(2))
		})
	})
	if err != nil {
		return err
	}
	return within(b, func() error { return withRoute(func(r *route) { end(r, linkB, addressB, addressA, mac(1)) }) })
}
