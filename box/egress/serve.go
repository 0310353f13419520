package egress

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// explicit serves a connection of a program that knows of the proxy.
func (p *Proxy) explicit(c net.Conn) {
	app := &peeked{Conn: c}
	h, err := p.readHead(app)
	if err != nil {
		p.refuseHead(app, err, nil)
		return
	}
	if h.method == "CONNECT" {
		p.tunnel(app, h)
		return
	}
	host, port, err := h.absoluteTarget()
	if err != nil {
		p.refuseHead(app, err, nil)
		return
	}
	p.wanted(host, port, "tcp")
	t, err := p.target(host, port)
	if err == nil && t.rule.demandsTLS() {
		err = refuse(NoTLS, "the line in the policy allows TLS only")
	}
	if err != nil {
		p.refuseHead(app, err, ruleOf(t))
		return
	}
	p.request(app, h, t)
}

// transparent serves a connection to an address of the pool, or to one that a
// line of the policy names.
func (p *Proxy) transparent(c net.Conn) {
	at := localAddress(c)
	host, named := p.names.name(at.Addr())
	if !named {
		host = at.Addr().String()
	}
	t, err := p.target(host, at.Port())
	if err != nil {
		p.ledger.refuse(reasonOf(err, NotAllowed), nil)
		return
	}
	app := &peeked{Conn: c}
	if err := p.open(app, t, nil); err != nil {
		p.count(err, t.rule)
	}
}

// localAddress is where a connection was to. Without one it is the zero address,
// which no line is about.
func localAddress(c net.Conn) netip.AddrPort {
	a, _ := c.LocalAddr().(*net.TCPAddr)
	at := a.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// tunnel serves CONNECT. The answer comes before the app's first bytes are seen;
// what they must be is checked all the same, before they are passed on.
func (p *Proxy) tunnel(app *peeked, h *head) {
	host, port, err := h.connectTarget()
	if err != nil {
		p.refuseHead(app, err, nil)
		return
	}
	p.wanted(host, port, "tcp")
	t, err := p.target(host, port)
	if err != nil {
		p.refuseHead(app, err, nil)
		return
	}
	remote, err := p.connect(t)
	if err != nil {
		p.refuseHead(app, err, t.rule)
		return
	}
	app.SetWriteDeadline(time.Now().Add(p.cfg.Timeouts.Head))
	if _, err := io.WriteString(app, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		p.untrack(remote)
		return
	}
	if err := p.open(app, t, remote); err != nil {
		p.count(err, t.rule)
	}
}

// demandsTLS reports whether every connection must begin with a ClientHello.
func (r *rule) demandsTLS() bool { return r.TLS == policy.TLSPass || r.TLS == policy.TLSVerify }

// portHTTP is where nothing but HTTP is spoken to a host with a name.
const portHTTP = 80

// open looks at what the app sends and passes it on. remote is nil if the
// destination is not connected to yet; open closes it.
func (p *Proxy) open(app *peeked, t *target, remote net.Conn) error {
	switch {
	case t.rule.demandsTLS():
		return p.openTLS(app, t, remote)
	case t.rule.Port == portHTTP:
		p.openHTTP(app, t, remote)
		return nil
	}
	return p.openAny(app, t, remote)
}

// openTLS passes on a connection that begins with a ClientHello for the host.
func (p *Proxy) openTLS(app *peeked, t *target, remote net.Conn) error {
	err := app.until(p.cfg.Timeouts.Head, func(b []byte) (bool, error) {
		name, done, err := serverName(b)
		if done && err == nil {
			err = t.serverNameAgrees(name)
		}
		return done, err
	})
	if err != nil {
		p.drop(remote)
		return err
	}
	return p.passOn(app, t, remote)
}

// serverNameAgrees compares the server name of TLS with the host. A host that is
// an address has none (RFC 6066, section 3).
func (t *target) serverNameAgrees(name string) error {
	switch {
	case t.rule.address.IsValid() && name == "":
		return nil
	case name != t.host:
		return refuse(OtherHost, "the ClientHello names no server, or another than the connection's")
	}
	return nil
}

// openHTTP passes on one request that is for the host.
func (p *Proxy) openHTTP(app *peeked, t *target, remote net.Conn) {
	h, err := p.readHead(app)
	if err == nil {
		err = h.agrees(t.host, t.rule.Port)
	}
	if err == nil && remote == nil {
		remote, err = p.connect(t)
	}
	if err != nil {
		p.drop(remote)
		p.refuseHead(app, err, t.rule)
		return
	}
	p.exchange(app, h, t, remote)
}

// openAny passes on whatever is sent, but TLS and HTTP only if they are for the
// host. The destination may speak first: the app is not waited for, and whether it
// is silent for too long is seen by the other direction.
func (p *Proxy) openAny(app *peeked, t *target, remote net.Conn) error {
	var err error
	if remote == nil {
		if remote, err = p.connect(t); err != nil {
			return err
		}
	}
	r := p.newRelay(t, app.Conn, remote)
	defer r.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.back()
	}()
	if err := p.forthAny(app, t, r); err != nil {
		r.abort(reasonOf(err, slow(err)))
	}
	closeWrite(remote)
	<-done
	return nil
}

// forthAny looks at the first bytes and passes on what follows from them.
func (p *Proxy) forthAny(app *peeked, t *target, r *relay) error {
	is, err := p.firstWords(app)
	if err == nil && is == speaksTLS {
		err = app.until(p.cfg.Timeouts.Head, func(b []byte) (bool, error) {
			name, done, err := serverName(b)
			if done && err == nil && name != "" {
				err = t.serverNameAgrees(name)
			}
			return done, err
		})
	}
	switch {
	case err != nil:
		return err
	case is == speaksHTTP:
		h, err := p.readHead(app)
		if err == nil {
			err = h.agrees(t.host, t.rule.Port)
		}
		if err != nil {
			return err
		}
		return p.sendRequest(app, h, r)
	}
	if r.send(app.take(-1)) {
		r.forth(-1)
	}
	return nil
}

// undecided is how long is waited for bytes that make clear what the first ones
// were. Some protocols have commands of one letter, and wait for their answer.
const undecided = time.Second

// firstWords says what the app speaks. The first byte is waited for as long as
// the connection lasts.
func (p *Proxy) firstWords(app *peeked) (is protocol, err error) {
	// An error comes back when reading goes on.
	_ = app.until(0, func(b []byte) (bool, error) { return true, nil })
	err = app.until(undecided, func(b []byte) (bool, error) {
		is = recognise(b)
		return is != unclear, nil
	})
	if slow(err) == SlowHead || err == io.EOF {
		return speaksOther, nil
	}
	return is, err
}

// protocol is what the first bytes of a connection are.
type protocol int

const (
	unclear protocol = iota
	speaksTLS
	speaksHTTP
	speaksOther
)

// maxRequestLine is how far is looked for the end of a request line.
const maxRequestLine = 8 << 10

// recognise tells TLS and HTTP from everything else. What only resembles them, a
// command of SMTP, say, is something else. It holds no app that means harm: an empty
// line before the request, or a second's pause in it, is something else as well, and
// many servers take it. The line allows any protocol, so nothing here can be strict.
func recognise(b []byte) protocol {
	if b[0] == 22 { // handshake, RFC 8446, section 5.1
		return speaksTLS
	}
	end := bytes.IndexByte(b, '\n')
	line := b[:max(end, 0)]
	if end < 0 {
		line = b
	}
	for i, c := range line {
		if (c < ' ' || c >= 0x7f) && !(c == '\r' && i == len(line)-1) {
			return speaksOther
		}
	}
	switch method, _, spaced := bytes.Cut(line, []byte(" ")); {
	case !isToken(string(method)) || !spaced && (end >= 0 || len(line) > 32):
		return speaksOther
	case end < 0 && len(line) < maxRequestLine:
		return unclear
	case bytes.Contains(line, []byte(" HTTP/1.")):
		return speaksHTTP
	}
	return speaksOther
}

// passOn connects, if that is not done, and passes on everything.
func (p *Proxy) passOn(app *peeked, t *target, remote net.Conn) error {
	if remote == nil {
		var err error
		if remote, err = p.connect(t); err != nil {
			return err
		}
	}
	r := p.newRelay(t, app.Conn, remote)
	defer r.close()
	if r.send(app.take(-1)) {
		r.both()
	}
	return nil
}

// request serves a request in absolute form.
func (p *Proxy) request(app *peeked, h *head, t *target) {
	remote, err := p.connect(t)
	if err != nil {
		p.refuseHead(app, err, t.rule)
		return
	}
	p.exchange(app, h, t, remote)
}

// exchange passes on one request and its answer. Nothing of the app's follows the
// request, so there is no second one that would have to be checked.
func (p *Proxy) exchange(app *peeked, h *head, t *target, remote net.Conn) {
	r := p.newRelay(t, app.Conn, remote)
	defer r.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.back()
	}()
	if err := p.sendRequest(app, h, r); err != nil {
		r.abort(reasonOf(err, slow(err)))
	}
	<-done
}

// sendRequest passes on a request that was checked, and returns when the app has
// ended. What it sends after the request is refused.
func (p *Proxy) sendRequest(app *peeked, h *head, r *relay) error {
	if h.length >= 0 && int64(len(app.buf)) > h.length {
		return errSecondAsk // known already: the answer must not be faster than the refusal
	}
	if !r.send(h.forward()) {
		return nil
	}
	var err error
	ok := true
	if h.length < 0 {
		ok, err = p.sendChunks(app, r)
	} else {
		ok = p.sendBody(app, r, h.length)
	}
	if !ok {
		return err
	}
	return r.silence(app)
}

var errSecondAsk = refuse(SecondAsk, "the app sent more after its request")

// silence returns when the app has ended. It may wait for its answer as long as
// there is one, and must not say anything more.
func (r *relay) silence(app *peeked) error {
	for {
		err := app.until(r.proxy.cfg.Timeouts.Idle, func([]byte) (bool, error) { return true, nil })
		switch {
		case err == nil:
			return errSecondAsk
		case slow(err) == SlowHead && !r.idle():
		default:
			return nil
		}
	}
}

// sendBody passes on n bytes.
func (p *Proxy) sendBody(app *peeked, r *relay, n int64) bool {
	first := app.take(int(min(n, int64(len(app.buf)))))
	return r.send(first) && r.forth(n-int64(len(first)))
}

// sendChunks passes on a chunked body, chunk by chunk, to its end. Trailer fields
// are refused: a server may take them for fields of the head.
func (p *Proxy) sendChunks(app *peeked, r *relay) (bool, error) {
	for {
		var size int64
		var used int
		err := app.until(p.cfg.Timeouts.Idle, func(b []byte) (done bool, err error) {
			size, used, err = chunkLine(b)
			return used > 0, err
		})
		if err != nil || !r.send(app.take(used)) || !p.sendBody(app, r, size) {
			return false, err
		}
		err = app.until(p.cfg.Timeouts.Idle, func(b []byte) (bool, error) {
			if !bytes.HasPrefix([]byte("\r\n"), b[:min(len(b), 2)]) {
				return false, badHead("a chunk of the body does not end where it says")
			}
			return len(b) >= 2, nil
		})
		if err != nil || !r.send(app.take(2)) {
			return false, err
		}
		if size == 0 {
			return true, nil
		}
	}
}

// readHead reads a request's head.
func (p *Proxy) readHead(app *peeked) (*head, error) {
	var end int
	err := app.until(p.cfg.Timeouts.Head, func(b []byte) (done bool, err error) {
		end, err = headEnd(b)
		return end > 0, err
	})
	if err != nil {
		return nil, err
	}
	return parseHead(app.take(end))
}

func ruleOf(t *target) *rule {
	if t == nil {
		return nil
	}
	return t.rule
}

// count counts a refusal. An app that went away was refused nothing.
func (p *Proxy) count(err error, r *rule) {
	if why := reasonOf(err, slow(err)); why != "" {
		p.ledger.refuse(why, r)
	}
}

// refuseHead counts a refusal and tells the app, which is the only one that is
// told what it asked for.
func (p *Proxy) refuseHead(app *peeked, err error, r *rule) {
	p.count(err, r)
	why := reasonOf(err, slow(err))
	if why == "" {
		return
	}
	status := "403 Forbidden"
	switch why {
	case BadHead:
		status = "400 Bad Request"
	case NotResolved, NotConnected, BadProof:
		status = "502 Bad Gateway"
	case SlowHead:
		status = "408 Request Timeout"
	}
	text := "blindbox refused: " + string(why) + "\n" + err.Error() + "\n"
	app.SetWriteDeadline(time.Now().Add(p.cfg.Timeouts.Head))
	io.WriteString(app, "HTTP/1.1 "+status+"\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+text)
	linger(app)
}

// linger reads some of what the app is still sending. A connection that is closed
// over unread bytes is reset, and the answer may be lost with it.
func linger(app *peeked) {
	const most, atMost = 1 << 20, time.Second
	closeWrite(app.Conn)
	app.SetReadDeadline(time.Now().Add(atMost))
	io.CopyN(io.Discard, app.Conn, most)
}

// drop closes a connection to a destination that nothing was sent on.
func (p *Proxy) drop(remote net.Conn) {
	if remote != nil {
		p.untrack(remote)
	}
}
