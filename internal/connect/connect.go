// Package connect answers one question: how does a program that knows nothing
// of attestation talk to a box?
//
// It is a proxy on a loopback address. Towards local programs it speaks plain
// HTTP/1.1, HTTP/2 (h2c), WebSocket and event streams; towards the box it uses
// whatever [http.RoundTripper] it is given, which is where verification
// happens: the package forwards nothing before that lets it.
//
// It stands wholly with the relying party. Its own attackers are local: a web
// page in the user's browser that tries to use the API key which the proxy adds
// (see guard.go), and another machine that tries to reach the port.
package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/inferencegrpc"
)

// Config is what a proxy is made of.
type Config struct {
	// Target is the box, https://HOST[:PORT]. A path in it is put before the
	// path of every request.
	Target *url.URL
	// Transport carries requests to the box and verifies it first.
	Transport http.RoundTripper
	// Upgrade carries requests that leave HTTP (WebSocket) and must speak
	// HTTP/1.1, since Go's HTTP/2 client cannot upgrade. Nil means Transport.
	Upgrade http.RoundTripper
	// APIKey, if not empty, replaces the Authorization of every request.
	APIKey string
	// AllowOrigins are the web origins, such as "https://app.example", whose
	// pages may use the proxy. Exact; there is no wildcard.
	AllowOrigins []string
	// Inference says that the box runs models itself: calls of the Open Inference
	// Protocol over gRPC are then answered by requests over HTTP, which is what it
	// speaks. Otherwise they are an app's, and forwarded like all others.
	Inference bool
	// Token, if not empty, must be in the Proxy-Authorization of every request, as
	// "Bearer TOKEN".
	Token string
	// Explain says what an error of a transport means to the local client.
	Explain func(error) Problem
}

// Problem is an error answer as RFC 9457 has it.
type Problem struct {
	Type   string `json:"type"` // always "about:blank"
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"`
	// Reason, Seen and Expected are of a box that was refused, as -o json has them.
	Reason   string `json:"reason,omitempty"`
	Seen     string `json:"seen,omitempty"`
	Expected string `json:"expected,omitempty"`
	// NothingSent says that nothing of the request has left this machine.
	NothingSent bool `json:"nothing_sent,omitempty"`
}

// ErrorHeader holds the Code of an answer that is the proxy's own. The box cannot
// send it.
const ErrorHeader = "Blindbox-Proxy-Error"

// New returns the proxy as a handler.
func New(c Config) (http.Handler, error) {
	switch {
	case c.Target == nil || c.Target.Host == "" || c.Target.Scheme != "https":
		return nil, fmt.Errorf("connect: target %v, expected https://HOST[:PORT]", c.Target)
	case c.Transport == nil:
		return nil, errors.New("connect: no transport")
	case c.Explain == nil:
		return nil, errors.New("connect: no explanation of errors")
	}
	if c.Upgrade == nil {
		c.Upgrade = c.Transport
	}
	p := &proxy{config: c, guard: newGuard(c.AllowOrigins)}
	p.forward = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p,
		FlushInterval:  -1, // every write of the box reaches the client at once
		ErrorLog:       log.New(io.Discard, "", 0),
		ModifyResponse: p.modify,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, err error) { writeProblem(w, c.Explain(err)) },
	}
	if c.Inference {
		p.inference = inferencegrpc.New(p.send)
	}
	return p, nil
}

type proxy struct {
	config    Config
	guard     guard
	forward   *httputil.ReverseProxy
	inference http.Handler // nil unless the box runs models
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if problem, ok := p.guard.check(r); !ok {
		writeProblem(w, problem)
		return
	}
	if p.config.Token != "" && !hasToken(r, p.config.Token) {
		writeProblem(w, noToken())
		return
	}
	if origin := p.guard.allowed(r); origin != "" && isPreflight(r) {
		answerPreflight(w, r, origin)
		return
	}
	if p.inference != nil && strings.HasPrefix(r.URL.Path, inferencegrpc.Prefix) {
		p.inference.ServeHTTP(w, r)
		return
	}
	var control *http.ResponseController
	if r.ProtoMajor == 1 {
		control = http.NewResponseController(w)
		// An early refusal by the box must not wait for the end of an upload.
		_ = control.EnableFullDuplex()
	}
	p.forward.ServeHTTP(finalOnly{w}, r)
	if control != nil && r.Header.Get("Upgrade") == "" {
		// ReverseProxy leaves an unread body open. Its end must be met before this
		// returns, or net/http starts to look for the next request twice at once
		// and drops the connection under it.
		_ = control.Flush()
		_ = r.Body.Close()
	}
}

// send sends a request of the proxy's own to the box. Its URL is a path alone.
func (p *proxy) send(r *http.Request) (*http.Response, error) {
	target := *p.config.Target
	target.Path, target.RawPath = strings.TrimSuffix(target.Path, "/")+r.URL.Path, ""
	r.URL, r.Host = &target, target.Host
	if p.config.APIKey != "" {
		r.Header.Set("Authorization", "Bearer "+p.config.APIKey)
	}
	a, err := p.config.Transport.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		why := p.config.Explain(err)
		return nil, fmt.Errorf("%s %s: %s", why.Code, why.Title, why.Detail)
	}
	return a, err
}

// RoundTrip picks the transport, so that one ReverseProxy serves both.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		return p.config.Upgrade.RoundTrip(r)
	}
	return p.config.Transport.RoundTrip(r)
}

// modify changes an answer of the box on its way to the local program.
func (p *proxy) modify(res *http.Response) error {
	res.Header.Del(ErrorHeader)
	if res.Request == nil {
		return nil
	}
	p.keepLocal(res)
	p.allowOrigin(res)
	return nil
}

func (p *proxy) rewrite(r *httputil.ProxyRequest) {
	r.Out = r.Out.WithContext(context.WithValue(r.Out.Context(), localHostKey{}, r.In.Host))
	r.SetURL(p.config.Target)
	r.Out.Host = p.config.Target.Host
	// ReverseProxy drops what it cannot parse; nothing here depends on it.
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	if p.config.APIKey != "" {
		r.Out.Header.Set("Authorization", "Bearer "+p.config.APIKey)
		r.Out.Header.Del("Blindbox-Key") // the other place where a box looks for a key
	}
	// A page that the box itself serves through the proxy is same-origin for
	// the browser and must be so for the app.
	if r.In.Header.Get("Origin") == "http://"+r.In.Host {
		r.Out.Header.Set("Origin", "https://"+p.config.Target.Host)
	}
	// The only protocol to upgrade to is WebSocket. "Upgrade: h2c", which curl
	// sends unasked, is an offer that may be ignored.
	if up := r.Out.Header.Get("Upgrade"); up != "" && !strings.EqualFold(up, "websocket") {
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
		r.Out.Header.Del("Http2-Settings")
	}
}

// Listen opens a TCP port on a loopback address, and refuses every other.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("connect: listen address %q: %w", addr, err)
	}
	if host == "localhost" {
		// Names are looked up by means that others may control.
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("connect: listen address %q, expected a loopback address, 127.0.0.1 or [::1]", addr)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return ln, nil
}

// Limits of the local side.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	stopGrace     = time.Second // for running answers when the proxy is told to stop
)

// Serve answers on ln until ctx ends. It returns nil after a stop that was
// asked for, and always closes ln.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols(),
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return running },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("connect: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(running, stopGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		stop()
		_ = srv.Close()
	}
	<-done
	return nil
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}
