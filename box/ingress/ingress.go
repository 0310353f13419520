// Package ingress is what every request passes on its way in. It answers one
// question: does the policy allow this request, from this caller, now?
//
// A request is read no further than its header before that is decided. Its
// path must be one that the box and the app understand alike; its caller is
// known by an API key; the policy has a line that allows it; there is room for
// it. Only then is its body read, up to the policy's limit, and passed on as it
// comes. Nothing is buffered, and nothing of a request or an answer is logged,
// counted by name, or put into an error for somebody else.
//
// The package stands inside the box, right behind the attested channel.
// Callers may be hostile, and the app's answers are passed on but not believed.
package ingress

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Config is what a Handler needs. Policy and Backend are required.
type Config struct {
	Policy *policy.Policy
	// Backend answers the requests that the policy allows.
	Backend http.Handler
	// Ready reports whether the backend can answer; nil means always.
	Ready func() bool
}

// Handler decides about requests and passes on those that are allowed.
type Handler struct {
	cfg      Config
	slots    chan struct{}
	draining atomic.Bool
	counters counters
	parting  time.Duration // for what is left of an answer to be read
}

// New returns a Handler.
func New(cfg Config) *Handler {
	if cfg.Ready == nil {
		cfg.Ready = func() bool { return true }
	}
	return &Handler{cfg: cfg, slots: make(chan struct{}, max(cfg.Policy.Limits.Concurrent, 0)), parting: parting}
}

// parting is how long a caller may take to read the box's own answer, or what
// is left of the app's when all of it was given. Strangers get answers too.
const parting = 30 * time.Second

// Drain refuses new requests from now on. Those in flight go on.
func (h *Handler) Drain() { h.draining.Store(true) }

// Wait returns when no request is in flight, upgraded connections included, or
// when ctx ends. It is for use after Drain: the places it waits for are not
// given back.
func (h *Handler) Wait(ctx context.Context) {
	for range cap(h.slots) {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-ctx.Done():
			return
		}
	}
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, http1: r.ProtoMajor == 1, parting: h.parting}
	if a.http1 {
		// The connection may still have the deadline of the answer before.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
	defer a.part()
	if h.cfg.Policy.Logs == policy.LogsCounters {
		// The proxy breaks off an answer by panicking, so this is deferred.
		defer func() { h.counters.add(a.refused, a.status) }()
	}
	if p := h.serve(a, r); p != nil {
		a.refuse(*p)
	}
}

// serve answers the request, or returns why not.
func (h *Handler) serve(a *answer, r *http.Request) *problem {
	path, p := readable(r)
	if p != nil {
		return p
	}
	caller, p := h.authenticate(r)
	if p != nil {
		return p
	}
	if policy.Reserved(path) {
		return h.own(a, r, caller, path)
	}
	d := h.cfg.Policy.Decide(policy.Request{Caller: caller.Name, Action: policy.Query, Method: r.Method, Path: path})
	if !d.Allowed {
		return denied(d)
	}
	if r.ContentLength > h.cfg.Policy.Limits.Request {
		return tooLarge(h.cfg.Policy.Limits.Request)
	}
	if h.draining.Load() {
		return notReady("The box is stopping.")
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return busy()
	}
	h.pass(a, r, caller)
	return nil
}

// readable returns the path as it was sent, and refuses requests that cannot
// be passed on as they are.
func readable(r *http.Request) (string, *problem) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		return "", unreadable("The box does not take CONNECT and TRACE.")
	}
	if err := policy.CheckPath(path); err != nil {
		return "", unreadable("Refused because " + strings.TrimPrefix(err.Error(), "policy: ") + "; the box and the app could understand it differently.")
	}
	// HTTP/2 lets through what would end the request line of HTTP/1.1.
	if strings.ContainsFunc(r.URL.RawQuery, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return "", unreadable("The query has a character that must be percent-encoded.")
	}
	// The path is forwarded from the parsed URL and decided by as it was sent.
	if r.URL.EscapedPath() != path {
		return "", unreadable("The path is not in its usual encoding.")
	}
	return path, nil
}

// own answers what the box answers itself.
func (h *Handler) own(a *answer, r *http.Request, caller policy.Caller, path string) *problem {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return unreadable("The box's own addresses are for GET and HEAD.")
	}
	name := strings.TrimPrefix(path, policy.ReservedPrefix)
	if name == "/policy" {
		// Whoever came through the gate has been shown it there.
		return a.send("application/yaml", h.cfg.Policy.Bytes())
	}
	d := h.cfg.Policy.Decide(policy.Request{Caller: caller.Name, Action: policy.Observe, Method: r.Method, Path: path})
	switch {
	case !d.Allowed:
		return denied(d)
	case name == "/health" && h.cfg.Ready():
		return a.send("application/json", []byte(`{"status":"ok"}`+"\n"))
	case name == "/health":
		return notReady("The app does not accept connections.")
	case name == "/counters" && h.cfg.Policy.Logs == policy.LogsCounters:
		return a.send("application/json", h.Counters().json())
	}
	return nothingHere()
}

// pass hands the request to the backend, with its body bounded and its
// duration watched.
func (h *Handler) pass(a *answer, r *http.Request, caller policy.Caller) {
	control := http.NewResponseController(a.ResponseWriter)
	// Without this, HTTP/1 would read the whole request before it sends the
	// first byte of the answer, and a stream in both directions would hang.
	// HTTP/2 always works that way and refuses to be told.
	_ = control.EnableFullDuplex()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	a.watch = startWatch(h.cfg.Policy.Limits.Idle, func() { a.cutOff(control, cancel) })
	defer a.watch.stop()
	defer a.finish(control)
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		limit := h.cfg.Policy.Limits.Request
		a.body = &body{ReadCloser: http.MaxBytesReader(a.ResponseWriter, r.Body, limit), limit: limit, watch: a.watch}
		r.Body = a.body
	}
	dropPrefixed(r.Header, "blindbox-")
	r.Header["Blindbox-Caller"] = []string{caller.Name}
	h.cfg.Backend.ServeHTTP(a, r)
}

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }

// dropPrefixed removes headers whose name begins with a lower-case prefix.
// An underscore counts as a hyphen, since gateways such as CGI and WSGI make
// the two the same.
func dropPrefixed(header http.Header, prefix string) {
	for name := range header {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), prefix) {
			delete(header, name)
		}
	}
}
