package ingress

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"github.com/blindbox/blindbox/box/quota"
	"github.com/blindbox/blindbox/policy"
)

// Forward returns a handler that passes requests on to the app at one address,
// "tcp" or "unix", over HTTP/1.1, and streams in both directions. It must stand
// behind a [Handler] with the same policy.
func Forward(network, address string, p *policy.Policy) http.Handler {
	var dialer net.Dialer
	return ForwardBy(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, network, address) }, p)
}

// ForwardBy is Forward to an app that is reached by dial alone.
func ForwardBy(dial func(context.Context) (net.Conn, error), p *policy.Policy) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        rewrite,
		ModifyResponse: func(r *http.Response) error { return unsign(r, p.Limits.Response) },
		ErrorHandler:   explain,
		BufferPool:     &buffers{},
		// What goes wrong with a request may hold a part of it.
		ErrorLog:  log.New(io.Discard, "", 0),
		Transport: newConnections(dial, p),
	}
}

// rewrite makes the request that the app sees: that of the caller, but for the
// headers that a proxy must not pass on. The Host is the one the caller used,
// since the app makes links of it. Where the caller is and which proxies are in
// between is not the app's to know, and a caller could say anything.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", "app"
	// The query is passed on as it was sent: nothing was decided by it.
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	dropForeign(p.Out.Header)
	// Connection names headers to leave out, and a caller could name this one.
	p.Out.Header["Blindbox-Caller"] = p.In.Header["Blindbox-Caller"]
	// An upgrade to anything but WebSocket could open a second way to the app,
	// on which nothing is decided: requests over HTTP/2 without TLS (h2c).
	if !strings.EqualFold(p.Out.Header.Get("Upgrade"), "websocket") {
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
	}
	passTrailers(p)
}

// dropForeign removes what is for a proxy to say, and headers that some app
// would read under another name: gateways such as CGI and WSGI make an
// underscore of whatever is no letter or digit, and SCRIPT_NAME moves the path.
func dropForeign(header http.Header) {
	for _, prefix := range []string{"x-forwarded-", "forwarded", "x-real-ip", "x-original-url", "x-rewrite-url"} {
		dropPrefixed(header, prefix)
	}
	for name := range header {
		if strings.ContainsFunc(name, isOddInName) {
			delete(header, name)
		}
	}
}

func isOddInName(c rune) bool {
	return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
}

// passTrailers has the fields that follow the body passed on after it.
func passTrailers(p *httputil.ProxyRequest) {
	p.Out.Trailer = nil
	if len(p.In.Trailer) == 0 || p.Out.Body == nil {
		return
	}
	p.Out.Trailer = make(http.Header, len(p.In.Trailer))
	for name := range p.In.Trailer {
		p.Out.Trailer[name] = nil
	}
	// An app may take them for headers.
	dropPrefixed(p.Out.Trailer, "blindbox-")
	dropForeign(p.Out.Trailer)
	p.Out.ContentLength = -1
	p.Out.Body = &trailing{ReadCloser: p.Out.Body, from: p.In, to: p.Out.Trailer}
}

// trailing copies the values of announced trailers when the body ends, which
// is when they are there.
type trailing struct {
	io.ReadCloser
	from *http.Request
	to   http.Header
}

func (t *trailing) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range t.to {
			t.to[name] = t.from.Trailer[name]
		}
	}
	return n, err
}

// unsign removes from the app's answer what would make it look like the box's,
// and refuses one that says itself that it is too long.
func unsign(r *http.Response, limit int64) error {
	if limit > 0 && r.ContentLength > limit && r.Request.Method != http.MethodHead {
		return errTooLong
	}
	dropPrefixed(r.Header, "blindbox-")
	dropPrefixed(r.Trailer, "blindbox-") // those that are announced
	if r.StatusCode != http.StatusSwitchingProtocols {
		r.Body = &unsigned{r.Body, r}
	}
	return nil
}

// unsigned removes what the app says behind its answer and only the box may say.
// All of it, announced or not, is there when the body ends (RFC 9112, section
// 7.1.2), and is passed on after that.
type unsigned struct {
	io.ReadCloser
	answer *http.Response
}

func (u *unsigned) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		dropPrefixed(u.answer.Trailer, "blindbox-")
	}
	return n, err
}

// explain answers a request that the app did not.
func explain(w http.ResponseWriter, r *http.Request, err error) {
	a, ok := w.(*answer)
	switch {
	case !ok:
		w.WriteHeader(http.StatusBadGateway)
	case a.began.Load():
		// Part of an answer is out, and nothing can be added to it.
	case a.body != nil && a.body.over.Load():
		a.refuse(*tooLarge(a.body.limit))
	case a.body != nil && a.body.spent.Load():
		a.refuse(*usedUp(&quota.Spent{What: "quota of bytes"}, 0))
	case errors.Is(err, errTooLong):
		a.refuse(*answerTooLarge(a.limit))
	case a.late.Load():
		a.refuse(*appDown("The request took longer than the policy allows."))
	case a.cut.Load():
		a.refuse(*appDown("No byte went in either direction for as long as the policy allows."))
	case r.Context().Err() != nil:
		// If the caller is gone nobody reads this; if the box is stopping, it
		// is what there is to say.
		a.refuse(*notReady("The box is stopping."))
	case a.anew != nil && a.anew():
		a.refuse(*notReady("An operator had the app started anew."))
	default:
		a.refuse(*appDown("It ended, does not accept connections, or broke off its answer."))
	}
}

// buffers lends the buffers that answers are copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
