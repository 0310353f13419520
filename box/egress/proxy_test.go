package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// outside is what a proxy under test resolves and dials: names by table, and
// addresses that stand for listeners on 127.0.0.1.
type outside struct {
	*clock
	mu      sync.Mutex
	zone    map[string][]netip.Addr
	servers map[netip.AddrPort]string
	asked   []string
	dialled []netip.AddrPort
	events  []Event
}

func newOutside() *outside {
	return &outside{clock: newClock(), zone: map[string][]netip.Addr{}, servers: map[netip.AddrPort]string{}}
}

func (o *outside) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, network+" "+host)
	if a, ok := o.zone[strings.TrimSuffix(host, ".")]; ok && strings.HasSuffix(host, ".") {
		return a, nil
	}
	return nil, errors.New("no such host")
}

func (o *outside) dial(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	o.mu.Lock()
	o.dialled = append(o.dialled, at)
	to := o.servers[at]
	o.mu.Unlock()
	if to == "" {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to)
}

func (o *outside) report(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func (o *outside) resolves(name string, addresses ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.zone[name] = nil
	for _, a := range addresses {
		o.zone[name] = append(o.zone[name], netip.MustParseAddr(a))
	}
}

func (o *outside) dials() []netip.AddrPort {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]netip.AddrPort{}, o.dialled...)
}

// serve has an address answered by a function, for each connection.
func (o *outside) serve(t testing.TB, at string, f func(net.Conn)) {
	t.Helper()
	l := loopbackListener(t)
	o.mu.Lock()
	o.servers[netip.MustParseAddrPort(at)] = l.Addr().String()
	o.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
}

func loopbackListener(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func testTimeouts() Timeouts {
	return Timeouts{Head: time.Minute, Connect: time.Minute, Idle: time.Minute}
}

func newProxy(t testing.TB, e policy.Egress, o *outside, change ...func(*Config)) *Proxy {
	t.Helper()
	if o == nil {
		o = newOutside()
	}
	cfg := Config{Egress: e, Resolver: o, Dial: o.dial, Clock: o.Now, Timeouts: testTimeouts(), Report: o.report}
	for _, f := range change {
		f(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// counts compares all refusals.
func counts(t testing.TB, p *Proxy, pairs ...any) {
	t.Helper()
	want := map[Reason]int64{}
	for i := 0; i < len(pairs); i += 2 {
		want[pairs[i].(Reason)] = int64(pairs[i+1].(int))
	}
	c, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(c.Refused) != fmt.Sprint(want) {
		t.Errorf("refused %v, expected %v", c.Refused, want)
	}
}

// sentTo is a connection that pretends to be to another address.
type sentTo struct {
	net.Conn
	at net.Addr
}

func (s sentTo) LocalAddr() net.Addr { return s.at }

// say opens a connection to the proxy, writes text, and returns all that comes
// back. at is where a transparent connection was to; "" is the explicit proxy.
func say(t testing.TB, p *Proxy, at, text string) string {
	t.Helper()
	app, c := pair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.Close()
		if at == "" {
			p.explicit(c)
		} else {
			p.transparent(sentTo{c, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at))})
		}
	}()
	go io.WriteString(app, text)
	app.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(app)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("no end of the connection after %q", answer)
	}
	app.Close()
	<-done
	return string(answer)
}

// pair returns both ends of a TCP connection.
func pair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l := loopbackListener(t)
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, ok := <-accepted
	if !ok {
		t.Fatal("not accepted")
	}
	return a, b
}

// site is a destination that answers each request with what it was sent.
func site(o *outside, t testing.TB, at string) {
	o.serve(t, at, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			fmt.Fprintf(c, "HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n%v", err)
			return
		}
		body, err := io.ReadAll(req.Body)
		text := fmt.Sprintf("%s %s host=%s body=%q err=%v close=%v header=%v", req.Method, req.RequestURI, req.Host, body, err, req.Close, req.Header)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	})
}

const (
	publicA = "93.184.216.34"
	publicB = "151.101.1.140"
	poolA   = "198.18.16.0"
)

func TestNewRefuses(t *testing.T) {
	o := newOutside()
	good := Config{Egress: allow(), Resolver: o, Dial: o.dial, Clock: o.Now, Timeouts: testTimeouts()}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	verify := destination("a.example", 443)
	verify.TLS = policy.TLSVerify
	for want, change := range map[string]func(*Config){
		"no Resolver": func(c *Config) { c.Resolver = nil },
		"no Dial":     func(c *Config) { c.Dial = nil },
		"no Clock":    func(c *Config) { c.Clock = nil },
		"no Roots":    func(c *Config) { c.Egress = allow(verify) },
		"port 0":      func(c *Config) { c.Egress = allow(destination("a.example", 0)) },
		"no Timeouts": func(c *Config) { c.Timeouts.Head = 0 },
		"Timeouts":    func(c *Config) { c.Timeouts.Connect = 0 },
		"no Timeout":  func(c *Config) { c.Timeouts.Idle = -1 },
	} {
		cfg := good
		change(&cfg)
		if p, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) || p != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := New(Config{}); err == nil || strings.Count(err.Error(), "egress:") != 4 {
		t.Errorf("not everything that is missing is named: %v", err)
	}
	d := DefaultTimeouts()
	if d.Head <= 0 || d.Connect <= 0 || d.Idle <= 0 {
		t.Error(d)
	}
}

func TestExplicit(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	o.resolves("b.example", publicB)
	o.resolves("lost.example")
	site(o, t, publicA+":80")
	site(o, t, publicA+":8080")
	tlsOnly := destination("tls.example", 443)
	tlsOnly.TLS = policy.TLSPass
	p := newProxy(t, allow(destination("a.example", 80), destination("a.example", 8080), tlsOnly, destination("b.example", 80), destination("lost.example", 80)), o)
	for _, row := range []struct {
		name, text, want string
		reason           Reason
	}{
		{"GET", "GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX: 1\r\n\r\n",
			`GET /x?y host=a.example body="" err=<nil> close=true header=map[Connection:[close] X:[1]]`, ""},
		{"GET without a path", "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / host=a.example", ""},
		{"GET with a query alone", "GET http://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /?q host=a.example", ""},
		{"another port", "GET http://a.example:8080/ HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "host=a.example:8080", ""},
		{"port 80 written", "GET http://a.example:80/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "host=a.example", ""},
		{"upper case", "GET http://A.Example/ HTTP/1.1\r\nHost: a.EXAMPLE\r\n\r\n", "host=a.EXAMPLE", ""},
		{"HTTP/1.0", "GET http://a.example/ HTTP/1.0\r\nHost: a.example\r\n\r\n", "close=true", ""},
		{"body", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello", `body="hello" err=<nil>`, ""},
		{"chunks", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", `body="hello0123456789" err=<nil>`, ""},
		{"CONNECT", "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / host=a.example", ""},
		{"CONNECT without Host", "CONNECT a.example:80 HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / host=a.example", ""},

		{"host that no line is about", "GET http://c.example/ HTTP/1.1\r\nHost: c.example\r\n\r\n", "403", NotAllowed},
		{"port that no line is about", "GET http://a.example:81/ HTTP/1.1\r\nHost: a.example:81\r\n\r\n", "403", NotAllowed},
		{"CONNECT to a host that no line is about", "CONNECT c.example:80 HTTP/1.1\r\n\r\n", "403", NotAllowed},
		{"HTTP where the line asks for TLS", "GET http://tls.example:443/ HTTP/1.1\r\nHost: tls.example:443\r\n\r\n", "403", NoTLS},
		{"Host of another", "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", "403", OtherHost},
		{"port of another", "GET http://a.example/ HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "403", OtherHost},
		{"no Host", "GET http://a.example/ HTTP/1.1\r\n\r\n", "400", BadHead},
		{"CONNECT with the Host of another", "CONNECT a.example:80 HTTP/1.1\r\nHost: b.example:80\r\n\r\n", "403", OtherHost},
		{"CONNECT with the port of another", "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:81\r\n\r\n", "403", OtherHost},
		{"CONNECT without a port", "CONNECT a.example HTTP/1.1\r\n\r\n", "400", BadHead},
		{"CONNECT with a body", "CONNECT a.example:80 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "400", BadHead},
		{"CONNECT with chunks", "CONNECT a.example:80 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "400", BadHead},
		{"https in absolute form", "GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", BadHead},
		{"a path alone", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", BadHead},
		{"a user", "GET http://me@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", BadHead},
		{"no HTTP", "hello\r\n\r\n", "400", BadHead},
		{"HTTP in CONNECT for another", "CONNECT a.example:80 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n", "403", OtherHost},
		{"CONNECT in CONNECT", "CONNECT a.example:80 HTTP/1.1\r\n\r\nCONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", BadHead},
		{"destination that does not answer", "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", "502", NotConnected},
		{"name without an address", "GET http://lost.example/ HTTP/1.1\r\nHost: lost.example\r\n\r\n", "502", NotResolved},
		{"a second request", "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n", "", SecondAsk},
		{"a second request behind a body", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nxGET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n", "", SecondAsk},
		{"a trailer", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b.example\r\n\r\n", "", BadHead},
		{"a chunk that is longer than it says", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", "", BadHead},
		{"a chunk of no size", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", "", BadHead},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := p.ledger.counters().Refused
			answer := say(t, p, "", row.text)
			if !strings.Contains(answer, row.want) || strings.Contains(answer, "/2") {
				t.Errorf("answer %q, expected %q", answer, row.want)
			}
			after := p.ledger.counters().Refused
			if row.reason != "" {
				before[row.reason]++
			}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("counted %v, expected %v", after, before)
			}
			if row.reason != "" && row.want != "" && !strings.HasPrefix(row.name, "CONNECT in") && !strings.Contains(answer, "blindbox refused: "+string(row.reason)) {
				t.Errorf("the app is not told %q: %q", row.reason, answer)
			}
		})
	}
	for _, at := range o.dials() {
		if at.Port() == 443 {
			t.Errorf("dialled %s", at)
		}
	}
}

func TestTransparent(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	site(o, t, publicA+":80")
	site(o, t, "10.1.1.1:80")
	site(o, t, publicA+":8080")
	o.serve(t, publicA+":25", func(c net.Conn) {
		io.WriteString(c, "220 ready\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "250 "+line)
	})
	inner := destination("10.1.1.1", 80)
	pass := destination("a.example", 443)
	pass.TLS = policy.TLSPass
	p := newProxy(t, allow(destination("a.example", 80), inner, destination("a.example", 8080), destination("a.example", 25), destination("a.example", 26), pass), o)
	const get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
	for _, row := range []struct {
		name, at, text, want string
		reason               Reason
	}{
		{"a name's address", poolA + ":80", get, "GET / host=a.example", ""},
		{"an address that a line names", "10.1.1.1:80", "GET / HTTP/1.1\r\nHost: 10.1.1.1\r\n\r\n", "GET / host=10.1.1.1", ""},
		{"HTTP on another port", poolA + ":8080", strings.Replace(get, "example", "example:8080", 1), "host=a.example:8080", ""},
		{"a server that speaks first", poolA + ":25", "EHLO x\r\n", "220 ready\r\n250 EHLO x\r\n", ""},
		{"HTTP with another Host", poolA + ":80", strings.Replace(get, "a.ex", "b.ex", 1), "403", OtherHost},
		{"no HTTP on port 80", poolA + ":80", "\x00\x01\x02\r\n\r\n", "400", BadHead},
		{"absolute form", poolA + ":80", "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", BadHead},
		{"upgrade", poolA + ":80", "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n", "400", BadHead},
		{"settings of HTTP/2", poolA + ":80", "GET / HTTP/1.1\r\nHost: a.example\r\nHTTP2-Settings: x\r\n\r\n", "400", BadHead},
		{"HTTP with another Host, another port", poolA + ":8080", get, "", OtherHost},
		{"HTTP with a bad head, another port", poolA + ":8080", "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", "", BadHead},
		{"two requests, another port", poolA + ":8080", strings.Repeat(strings.Replace(get, "example", "example:8080", 1), 2), "", SecondAsk},
		{"nobody there, any", poolA + ":26", get, "", NotConnected},
		{"nobody there, TLS", poolA + ":443", string(clientHello(t, &tls.Config{ServerName: "a.example"})), "", NotConnected},
		{"a port that no line is about", poolA + ":81", get, "", NotAllowed},
		{"an address that no name has", "198.18.16.9:80", get, "", NotAllowed},
		{"an address that no line names", "10.1.1.2:80", get, "", NotAllowed},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := p.ledger.counters().Refused
			answer := say(t, p, row.at, row.text)
			if row.want == "" && strings.Contains(answer, "host=b") || !strings.Contains(answer, row.want) {
				t.Errorf("answer %q, expected %q", answer, row.want)
			}
			after := p.ledger.counters().Refused
			if row.reason != "" {
				before[row.reason]++
			}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("counted %v, expected %v", after, before)
			}
		})
	}
	// A protocol whose first word is one letter, which could begin a request.
	letter, side := pair(t)
	go func() {
		p.transparent(sentTo{side, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(poolA + ":25"))})
		side.Close()
	}()
	io.WriteString(letter, "Q")
	if answer, err := bufio.NewReader(letter).ReadString('\n'); err != nil || answer != "220 ready\r\n" {
		t.Errorf("%q, %v", answer, err)
	}
	letter.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(letter); err != nil || !strings.HasSuffix(string(answer), "250 Q") {
		t.Errorf("%q, %v", answer, err)
	}
	letter.Close()
	// A connection that is to something else than an address is refused.
	app, c := pair(t)
	defer app.Close()
	before := p.ledger.counters().Refused[NotAllowed]
	p.transparent(sentTo{c, &net.UnixAddr{Name: "x"}})
	if p.ledger.counters().Refused[NotAllowed] != before+1 {
		t.Error("a connection to no address was not counted")
	}
}

// clientHello returns the first bytes that crypto/tls sends.
func clientHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(theirs, cfg).Handshake()
		theirs.Close()
	}()
	ours.SetReadDeadline(time.Now().Add(time.Minute))
	header := make([]byte, 5)
	if _, err := io.ReadFull(ours, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(header[3])<<8|int(header[4]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	return append(header, body...)
}

func TestTLS(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	echo := func(c net.Conn) {
		all, _ := io.ReadAll(c)
		c.Write(all)
	}
	for _, at := range []string{publicA + ":443", publicA + ":8443", "10.1.1.1:443"} {
		o.serve(t, at, echo)
	}
	pass, inner := destination("a.example", 443), destination("10.1.1.1", 443)
	pass.TLS, inner.TLS = policy.TLSPass, policy.TLSPass
	p := newProxy(t, allow(pass, destination("a.example", 8443), inner), o)
	named := clientHello(t, &tls.Config{ServerName: "A.example"})
	other := clientHello(t, &tls.Config{ServerName: "b.example"})
	without := clientHello(t, &tls.Config{InsecureSkipVerify: true})
	for _, row := range []struct {
		name, at string
		text     []byte
		reason   Reason
	}{
		{"the name", poolA + ":443", named, ""},
		{"the name, any", poolA + ":8443", named, ""},
		{"no name, any", poolA + ":8443", without, ""},
		{"no name to an address", "10.1.1.1:443", without, ""},
		{"no TLS, any", poolA + ":8443", []byte("\x00hello"), ""},
		{"another name", poolA + ":443", other, OtherHost},
		{"another name, any", poolA + ":8443", other, OtherHost},
		{"no name", poolA + ":443", without, OtherHost},
		{"a name to an address", "10.1.1.1:443", named, OtherHost},
		{"no TLS", poolA + ":443", []byte("\x00hello"), NoTLS},
		{"no TLS to an address", "10.1.1.1:443", []byte("GET / HTTP/1.1\r\n\r\n"), NoTLS},
		{"half a ClientHello of TLS", poolA + ":8443", []byte("\x16\x02\x00"), NoTLS},
	} {
		t.Run(row.name, func(t *testing.T) {
			app, c := pair(t)
			before := p.ledger.counters().Refused
			go func() {
				app.Write(row.text[:1])
				app.Write(row.text[1:])
				app.(*net.TCPConn).CloseWrite()
			}()
			done := make(chan []byte)
			go func() {
				app.SetReadDeadline(time.Now().Add(time.Minute))
				all, _ := io.ReadAll(app)
				done <- all
			}()
			p.transparent(sentTo{c, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(row.at))})
			c.Close()
			got := <-done
			app.Close()
			if row.reason == "" && !bytes.Equal(got, row.text) {
				t.Errorf("%d bytes came back of %d, or others", len(got), len(row.text))
			}
			if row.reason != "" && len(got) > 0 {
				t.Errorf("the destination was sent something: %x", got)
			}
			if row.reason != "" {
				before[row.reason]++
			}
			if after := p.ledger.counters().Refused; fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("counted %v, expected %v", after, before)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	o := newOutside()
	ca, stranger := newAuthority(t, o.Now()), newAuthority(t, o.Now())
	var handshakes sync.WaitGroup
	server := func(at string, a *authority, names ...string) {
		cfg := &tls.Config{Certificates: []tls.Certificate{a.issue(t, names)}, Time: o.Now}
		o.serve(t, at, func(c net.Conn) {
			handshakes.Add(1)
			defer handshakes.Done()
			tc := tls.Server(c, cfg)
			io.Copy(tc, tc)
			tc.CloseWrite()
		})
	}
	server(publicA+":443", ca, "a.example")
	server(publicB+":443", stranger, "a.example")
	verify := destination("a.example", 443)
	verify.TLS = policy.TLSVerify
	p := newProxy(t, allow(verify), o, func(c *Config) { c.Roots = ca.pool })
	connect := func(addresses ...string) error {
		o.resolves("a.example", addresses...)
		o.add(2 * pinned)
		tg, err := p.target("a.example", 443)
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.connect(tg)
		if err == nil {
			p.untrack(c)
		}
		return err
	}
	if err := connect(publicA); err != nil {
		t.Fatal(err)
	}
	first := len(o.dials())
	if first != 2 {
		t.Errorf("%d connections for a look and a use, expected 2", first)
	}
	if err := connect(publicA); err != nil || len(o.dials()) != first+1 {
		t.Errorf("a second look at the same address: %v, %d", err, len(o.dials()))
	}
	o.add(proofAge)
	if err := connect(publicA); err != nil || len(o.dials()) != first+3 {
		t.Errorf("no second look after %s: %v, %d", proofAge, err, len(o.dials()))
	}
	if err := connect(publicB); reasonOf(err, "") != BadProof {
		t.Errorf("a stranger's certificate: %v", err)
	}
	if err := connect(publicB, publicA); err != nil {
		t.Errorf("the second address is good: %v", err)
	}
	if last := o.dials()[len(o.dials())-1]; last.Addr().String() != publicA {
		t.Errorf("dialled %s", last)
	}
	o.add(2000 * time.Hour)
	if err := connect(publicA); reasonOf(err, "") != BadProof {
		t.Errorf("an expired certificate: %v", err)
	}
	o.add(-3000 * time.Hour)
	if err := connect(publicA); reasonOf(err, "") != BadProof {
		t.Errorf("a certificate of the future, with a proof from the future: %v", err)
	}
	if err := connect("8.8.4.4"); reasonOf(err, "") != NotConnected {
		t.Errorf("nobody there: %v", err)
	}
	other := newProofs(ca.pool, o.Now)
	for i := range maxProofs + 1 {
		other.keep(proof{name: fmt.Sprint(i)})
	}
	if len(other.by) != 1 {
		t.Errorf("%d proofs are kept", len(other.by))
	}
}

func TestAddresses(t *testing.T) {
	o := newOutside()
	p := newProxy(t, allow(destination("a.example", 80)), o)
	tg, err := p.target("a.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	look := func() string {
		a, err := p.addresses(t.Context(), tg)
		return fmt.Sprint(a, " ", reasonOf(err, ""))
	}
	if got := look(); got != "[] not resolved" {
		t.Error(got)
	}
	o.resolves("a.example", "10.0.0.1", publicA, "::ffff:"+publicB, "::ffff:10.0.0.1", "64:ff9b::1")
	if got := look(); got != "["+publicA+" "+publicB+"] " {
		t.Error(got)
	}
	counts(t, p, BadAddress, 3)
	o.resolves("a.example", "10.0.0.2")
	o.add(pinned - 1)
	if got := look(); got != "["+publicA+" "+publicB+"] " {
		t.Errorf("the answer was not pinned: %s", got)
	}
	o.add(1)
	if got := look(); got != "[] address" {
		t.Errorf("the answer was pinned for ever: %s", got)
	}
	o.resolves("a.example", publicB)
	o.add(-time.Hour)
	if got := look(); got != "["+publicB+"] " {
		t.Errorf("a clock that was set back: %s", got)
	}
	o.resolves("a.example")
	o.add(pinned)
	if got := look(); got != "[] not resolved" {
		t.Error(got)
	}
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf("8.8.8.%d", i)
	}
	o.resolves("a.example", many...)
	if a, err := p.addresses(t.Context(), tg); len(a) != maxAddresses || err != nil {
		t.Errorf("%d addresses, %v", len(a), err)
	}
	before := len(o.dials())
	if _, err := p.connect(tg); reasonOf(err, "") != NotConnected || len(o.dials())-before != maxTries {
		t.Errorf("%v after %d tries", err, len(o.dials())-before)
	}
	for _, q := range o.asked {
		if q != "ip a.example." {
			t.Errorf("asked for %q", q)
		}
	}
}

// both answers and fails.
type both struct{}

func (both) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(publicA)}, errors.New("and an error")
}

func TestConnectFails(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	e := allow(destination("a.example", 25))
	p := newProxy(t, e, o, func(c *Config) { c.Resolver = both{} })
	tg := &target{p.rules[0], "a.example"}
	if _, err := p.connect(tg); reasonOf(err, "") != NotResolved {
		t.Errorf("an address beside an error: %v", err)
	}
	// The proxy is closed while it connects: nothing stays open.
	ours, theirs := net.Pipe()
	p = newProxy(t, e, o, func(c *Config) {
		c.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) { p.Close(); return ours, nil }
	})
	if c, err := p.connect(tg); err == nil || c != nil {
		t.Errorf("connected after Close: %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
}

func TestStarNames(t *testing.T) {
	o := newOutside()
	p := newProxy(t, allow(destination("*.wild.example", 80)), o)
	for i := range poolSize {
		if _, err := p.target(fmt.Sprintf("h%d.wild.example", i), 80); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.target("one-more.wild.example", 80); reasonOf(err, "") != TooManyNames {
		t.Errorf("%v", err)
	}
	if _, err := p.target("h0.wild.example", 80); err != nil {
		t.Errorf("a name that was used before: %v", err)
	}
}

func TestServe(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	hold := make(chan struct{})
	defer close(hold)
	o.serve(t, publicA+":25", func(c net.Conn) {
		io.WriteString(c, "ready\n")
		<-hold
	})
	e := allow(destination("a.example", 25))
	e.Connections = 2
	p := newProxy(t, e, o)
	l := loopbackListener(t)
	served := make(chan error, 1)
	go func() { served <- p.Serve(Listeners{Explicit: l}) }()
	open := func() (net.Conn, string) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "CONNECT a.example:25 HTTP/1.1\r\n\r\n")
		b := make([]byte, len("HTTP/1.1 200 OK\r\n\r\nready\n"))
		n, _ := io.ReadFull(c, b)
		return c, string(b[:n])
	}
	a, first := open()
	b, second := open()
	c, third := open()
	defer a.Close()
	defer b.Close()
	defer c.Close()
	if !strings.HasSuffix(first, "ready\n") || !strings.HasSuffix(second, "ready\n") || third != "" {
		t.Errorf("%q %q %q", first, second, third)
	}
	counts(t, p, TooMany, 1)
	if d := p.ledger.counters().Destinations[0]; d.Open != 2 || d.Connections != 2 {
		t.Errorf("%+v", d)
	}
	p.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n, err := a.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("a connection outlives Close")
	}
	if d := p.ledger.counters().Destinations[0]; d.Open != 0 || d.Received != 12 {
		t.Errorf("%+v", d)
	}
	if err := p.Serve(Listeners{Explicit: loopbackListener(t)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("served after Close: %v", err)
	}
	if _, err := p.connect(&target{p.rules[0], "a.example"}); err == nil {
		t.Error("connected after Close")
	}
}

// TestServeEnds: when one listener fails, everything is closed.
func TestServeEnds(t *testing.T) {
	p := newProxy(t, allow(destination("a.example", 25)), nil)
	a, b := loopbackListener(t), loopbackListener(t)
	d, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := p.Serve(Listeners{Explicit: a, Transparent: []net.Listener{b}, DNS: d}); err == nil {
		t.Error("no error")
	}
	if _, err := b.Accept(); err == nil {
		t.Error("a listener is open")
	}
	if _, err := d.WriteTo([]byte("x"), d.LocalAddr()); err == nil {
		t.Error("the socket for DNS is open")
	}
}

// TestServeWithoutWire: with nothing to listen on, the counters are still watched.
func TestServeWithoutWire(t *testing.T) {
	p := newProxy(t, allow(), nil)
	gone := errors.New("gone")
	if err := p.Serve(Listeners{Dropped: func() (map[Reason]int64, error) { return nil, gone }}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// TestRefusalArrives: an app that is still sending when it is refused is told why.
func TestRefusalArrives(t *testing.T) {
	p := newProxy(t, allow(), nil)
	got := say(t, p, "", "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 500000\r\n\r\n"+strings.Repeat("x", 500000))
	if !strings.HasPrefix(got, "HTTP/1.1 403") || !strings.Contains(got, "blindbox refused: not allowed\n") {
		t.Errorf("%q", got)
	}
}

func TestServeDNS(t *testing.T) {
	p := newProxy(t, allow(destination("a.example", 443)), nil)
	d, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(Listeners{DNS: d}) }()
	c, err := net.Dial("udp", d.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write(make([]byte, 3)) // deserves no answer, and does not end anything
	c.Write(ask("a.example", typeA))
	answer := make([]byte, 512)
	n, err := c.Read(answer)
	if err != nil || !bytes.HasSuffix(answer[:n], []byte{198, 18, 16, 0}) {
		t.Errorf("%x %v", answer[:n], err)
	}
	p.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestSlowApp(t *testing.T) {
	o := newOutside()
	o.resolves("a.example", publicA)
	o.serve(t, publicA+":25", func(c net.Conn) { io.Copy(io.Discard, c) })
	pass := destination("a.example", 443)
	pass.TLS = policy.TLSPass
	e := allow(destination("a.example", 25), pass)
	p := newProxy(t, e, o, func(c *Config) { c.Timeouts.Head = 20 * time.Millisecond })
	if got := say(t, p, "", "CONNECT a."); !strings.HasPrefix(got, "HTTP/1.1 408") {
		t.Error(got)
	}
	counts(t, p, SlowHead, 1)
	if got := say(t, p, poolA+":443", "\x16\x03\x01"); got != "" {
		t.Error(got)
	}
	counts(t, p, SlowHead, 2)
	p = newProxy(t, e, o, func(c *Config) { c.Timeouts.Idle = 40 * time.Millisecond })
	if got := say(t, p, "", "CONNECT a.example:25 HTTP/1.1\r\n\r\n\x00hello"); got != "HTTP/1.1 200 OK\r\n\r\n" {
		t.Error(got)
	}
	counts(t, p, IdleTooLong, 1)
	// An app that goes away is refused nothing.
	app, c := pair(t)
	app.Close()
	p.explicit(c)
	counts(t, p, IdleTooLong, 1)
	// Too much before it is clear what is meant.
	if got := say(t, p, "", "GET http://a.example/ HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 40)); got != "" && !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Error(got)
	}
	counts(t, p, IdleTooLong, 1, BadHead, 1)
}
