// Package ingress is what every request passes on its way in. It answers one
// question: does the policy allow this request, from this caller, now?
//
// A request is read no further than its header before that is decided, unless the model
// that it is for stands in its body, see ahead.go. Its path must be one that the box and the app understand alike; its caller is
// known, see package callers; the policy has a line that allows it; there is room
// for it, and something left of the caller's budgets, see package quota. Only then
// is its body read, up to the policy's limit, and passed on as it comes. Nothing is
// buffered, and nothing of a request or an answer is logged, counted by name, or
// put into an error for somebody else. What was decided goes to the audit log before
// anything is passed on, and into a receipt, if one was asked for.
//
// The package stands inside the box, right behind the attested channel.
// Callers may be hostile, and the app's answers are passed on but not believed.
package ingress

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/box/audit"
	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/quota"
	"github.com/blindbox/blindbox/box/receipt"
	"github.com/blindbox/blindbox/internal/bodies"
	"github.com/blindbox/blindbox/policy"
	form "github.com/blindbox/blindbox/receipt"
)

// Config is what a Handler needs. Policy, Backend and Callers are required.
type Config struct {
	Policy *policy.Policy
	// Backend answers the requests that the policy allows.
	Backend http.Handler
	// Callers tells who sends a request. Without it nobody is known.
	Callers *callers.Authenticator
	// Operators is what operators may do; nil means that there are none.
	Operators *Operators
	// Ready reports whether the backend can answer; nil means always.
	Ready func() bool
	// Model returns the model that a caller's request is for; nil means that no request
	// is for a model. body is the whole body if InBody says that the model stands there,
	// and an error is why it cannot be read, in words that hold nothing of the request. One
	// with a method Later() that is true says that there is no time to read it now.
	Model func(caller string, r *http.Request, body []byte) (Model, error)
	// InBody reports whether the model that a request is for stands in its body; nil
	// means never.
	InBody func(r *http.Request) bool
	// Batches returns how models have shared runs so far; nil means that there are no
	// models.
	Batches func() *Batches
	// Bodies is the memory for bodies that are read before it is decided about them; nil
	// means a room of their own.
	Bodies *bodies.Room
	// Decided is told what was decided about each request, before anything of it
	// is passed on; nil means that nobody is. Many goroutines call it at once.
	Decided func(Decision)
	// Receipts makes a receipt for each request that asks for one; nil means that
	// nobody gets any.
	Receipts *receipt.Service
	// Audit gets what was decided about each request; nil means that no log is kept.
	Audit *audit.Log
	// Records returns the last records of the audit log, for callers that may
	// observe; Evidence returns what makes the key of receipts and log worth
	// something, for every caller. nil means that there is nothing to show.
	Records, Evidence func() []byte
	// Uptime is the time since some fixed moment, by which budgets are measured;
	// nil means since New.
	Uptime func() time.Duration
	// Now is the time by which callers expire, the same as that of Callers; nil means
	// the machine's.
	Now func() time.Time
}

// Model is what a request is for: its canonical name, "" for no model, and SHA-256 over
// its file, zero if there is none yet.
type Model struct {
	Name   string
	Digest [32]byte
}

// Decision is what was decided about one request. It holds nothing of what the
// request carries.
type Decision struct {
	Time time.Time
	// Caller is its name in the policy, "" if nobody is known.
	Caller string
	// Action is "" if the request was refused before it was known.
	Action  policy.Action
	Method  string
	Allowed bool
	// Reason says why, and Line is the line of the policy; 0 if none speaks of it.
	Reason string
	Line   int
	// Code is the status of the box's own answer, 0 if the request is allowed.
	Code int
}

// Handler decides about requests and passes on those that are allowed.
type Handler struct {
	cfg       Config
	places    *places
	me        map[string]func() []byte // what each caller may do
	budgets   *quota.Meter
	questions *quota.Meter // to the box itself
	draining  atomic.Bool
	counters  counters
	parting   time.Duration // for what is left of an answer to be read
	aheadFor  time.Duration // see the constant
}

// New returns a Handler.
func New(cfg Config) *Handler {
	if cfg.Ready == nil {
		cfg.Ready = func() bool { return true }
	}
	if cfg.Model == nil {
		cfg.Model = func(string, *http.Request, []byte) (Model, error) { return Model{}, nil }
	}
	if cfg.InBody == nil {
		cfg.InBody = func(*http.Request) bool { return false }
	}
	if cfg.Batches == nil {
		cfg.Batches = func() *Batches { return nil }
	}
	if cfg.Bodies == nil {
		cfg.Bodies = bodies.New(cfg.Policy.Limits.Request, len(cfg.Policy.Callers) == 1)
	}
	if cfg.Decided == nil {
		cfg.Decided = func(Decision) {}
	}
	if cfg.Uptime == nil {
		began := time.Now()
		cfg.Uptime = func() time.Duration { return time.Since(began) }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{
		cfg: cfg, places: newPlaces(cfg.Policy, cfg.Now), me: mayDo(cfg.Policy),
		budgets: quota.New(cfg.Policy, cfg.Uptime), questions: newAsked(cfg.Policy, cfg.Uptime), parting: parting, aheadFor: aheadFor,
	}
}

// parting is how long a caller may take to read the box's own answer, or what
// is left of the app's when all of it was given. Strangers get answers too.
const parting = 30 * time.Second

// Drain refuses new requests from now on. Those in flight go on.
func (h *Handler) Drain() { h.draining.Store(true) }

// Wait returns when no request is in flight, upgraded connections included, or
// when ctx ends. It is for use after Drain: the places it waits for are not
// given back.
func (h *Handler) Wait(ctx context.Context) { h.places.wait(ctx) }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{bare: w, http1: r.ProtoMajor == 1, parting: h.parting}
	a.rec = h.cfg.Receipts.Begin(w, r)
	// The last thing that is done: the receipt is about all of the answer.
	defer a.rec.End()
	a.ResponseWriter, r = a.rec.Writer(), a.rec.Request()
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
		if h.cfg.Policy.App == nil && strings.HasPrefix(r.URL.Path, "/v1/") {
			p = p.asOpenAI()
		}
		a.refuse(*p)
	}
}

// serve answers the request, or returns why not.
func (h *Handler) serve(a *answer, r *http.Request) *problem {
	q := policy.Request{Method: r.Method}
	path, p := readable(r)
	if p != nil {
		return h.refuse(a, q, p)
	}
	if op, there := h.operation(path); there {
		return h.operate(a, r, q, op)
	}
	caller, p := h.identify(r)
	if p != nil {
		return h.refuse(a, q, p)
	}
	q.Caller, q.Action, q.Path = caller.Name, h.cfg.Policy.ActionOf(r.Method, path), path
	account := h.budgets.Account(caller.Name)
	if policy.Reserved(path) {
		if p := h.serveOwn(a, r, q, account); p != nil {
			return h.refuse(a, q, p)
		}
		return nil
	}
	if h.cfg.InBody(r) {
		return h.serveAhead(a, r, q, caller, account)
	}
	model, err := h.cfg.Model(caller.Name, r, nil)
	if err != nil {
		return h.refuse(a, q, unreadable(sentence(err), modelFix))
	}
	q.Model = model.Name
	d := h.cfg.Policy.Decide(q)
	p, leave := h.admit(d, r, q, account)
	if p != nil {
		return h.refuse(a, q, p)
	}
	defer leave()
	h.serves(a, q, d, model)
	r, _, end := h.begin(a, r, q.Action, account)
	defer end()
	h.pass(a, r, q, model)
	return nil
}

// serves tells that a request is allowed, and for which model.
func (h *Handler) serves(a *answer, q policy.Request, d policy.Decision, model Model) {
	if model.Digest != [32]byte{} {
		a.rec.Serves(form.Artifact{Kind: "model", Name: model.Name, Digest: model.Digest})
	}
	h.allow(a, q, d)
}

func (h *Handler) identify(r *http.Request) (*policy.Caller, *problem) {
	if h.cfg.Callers == nil {
		return nil, notReady("The box cannot tell who is calling.")
	}
	// It would be passed on like any that is meant for the app, which must not get it.
	if o := h.cfg.Operators; o != nil && o.Callers.Shows(r) && !h.cfg.Callers.Shows(r) {
		return nil, operatorsOwn()
	}
	c, refused := h.cfg.Callers.Identify(r)
	if refused != nil {
		return nil, unidentified(refused)
	}
	return c, nil
}

// admit finds room for a request that the policy allows. If there is, leave gives
// it back. What is refused uses nothing of a budget.
func (h *Handler) admit(d policy.Decision, r *http.Request, q policy.Request, account *quota.Account) (p *problem, leave func()) {
	if !d.Allowed {
		return denied(d), nil
	}
	if p, leave = h.room(r, q); p != nil {
		return p, nil
	}
	if spent := account.Admit(); spent != nil {
		leave()
		return usedUp(spent, d.Line), nil
	}
	return nil, leave
}

// room finds a place for a request that is not too long. If there is one, leave gives it
// back.
func (h *Handler) room(r *http.Request, q policy.Request) (p *problem, leave func()) {
	switch {
	case r.ContentLength > h.longest(q.Action):
		return h.tooLong(q.Action), nil
	case h.draining.Load():
		return notReady("The box is stopping."), nil
	}
	if p := h.places.take(q.Caller); p != nil {
		return p, nil
	}
	return nil, func() { h.places.leave(q.Caller) }
}

// longest is how many bytes a request's body may have. A model that a caller brings
// may be as large as all that it may have, and is not held as a whole.
func (h *Handler) longest(action policy.Action) int64 {
	if s := h.cfg.Policy.Store; s != nil && action == policy.Upload {
		return max(s.OwnerBytes, h.cfg.Policy.Limits.Request)
	}
	return h.cfg.Policy.Limits.Request
}

// tooLong says which limit a body is over.
func (h *Handler) tooLong(action policy.Action) *problem {
	if longest := h.longest(action); longest > h.cfg.Policy.Limits.Request {
		return tooLargeModel(longest)
	}
	return tooLarge(h.cfg.Policy.Limits.Request)
}

// allow and refuse tell what was decided.
func (h *Handler) allow(a *answer, q policy.Request, d policy.Decision) {
	h.decided(a, q, Decision{Allowed: true, Reason: d.Reason, Line: d.Line})
}

func (h *Handler) refuse(a *answer, q policy.Request, p *problem) *problem {
	h.decided(a, q, Decision{Reason: p.Detail, Line: p.PolicyLine, Code: p.Status})
	return p
}

// decided tells everybody who keeps decisions, and none of them anything else.
func (h *Handler) decided(a *answer, q policy.Request, d Decision) {
	d.Time, d.Caller, d.Action, d.Method = time.Now(), q.Caller, q.Action, q.Method
	h.cfg.Decided(d)
	var at form.Position
	if h.cfg.Audit != nil {
		at = h.cfg.Audit.Decided(audit.Decision{
			Caller: d.Caller, Action: string(d.Action), Method: d.Method, Allowed: d.Allowed, Line: d.Line, Code: d.Code,
		})
	}
	a.rec.Decided(d.Caller, form.Decision{Action: string(d.Action), Allowed: d.Allowed, Line: d.Line, Code: d.Code}, at)
}

// readable returns the path as it was sent, and refuses requests that cannot
// be passed on as they are.
func readable(r *http.Request) (string, *problem) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		return "", unreadable("The box does not take CONNECT and TRACE.", "Use another method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.")
	}
	if err := policy.CheckPath(path); err != nil {
		return "", unreadable("Refused because "+strings.TrimPrefix(err.Error(), "policy: ")+"; the box and the app could understand it differently.", "Send the path as it is meant: without `.`, `..`, empty parts and encoded slashes.")
	}
	// HTTP/2 lets through what would end the request line of HTTP/1.1.
	if strings.ContainsFunc(r.URL.RawQuery, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return "", unreadable("The query has a character that must be percent-encoded.", "Encode spaces and controls in the query: a space is %20.")
	}
	// The path is forwarded from the parsed URL and decided by as it was sent.
	if r.URL.EscapedPath() != path {
		return "", unreadable("The path is not in its usual encoding.", "Encode what has to be encoded in the path, and nothing else, as URL libraries do.")
	}
	return path, nil
}

// begin bounds the request's body and watches its duration, until end is called. cut
// breaks it off before that, as one that takes too long.
func (h *Handler) begin(a *answer, r *http.Request, action policy.Action, account *quota.Account) (watched *http.Request, cut, end func()) {
	limits := h.cfg.Policy.Limits
	control := http.NewResponseController(a.bare)
	// Without this, HTTP/1 would read the whole request before it sends the
	// first byte of the answer, and a stream in both directions would hang.
	// HTTP/2 always works that way and refuses to be told.
	_ = control.EnableFullDuplex()
	ctx, cancel := context.WithCancel(r.Context())
	cut = func() {
		a.late.Store(true)
		a.cutOff(control, cancel)
	}
	a.account, a.limit, a.anew = account, limits.Response, h.startedAnew()
	a.watch = startWatch(limits.Idle, func() { a.cutOff(control, cancel) })
	var total *watch
	if limits.Time > 0 {
		total = startWatch(limits.Time, cut)
	}
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		a.body = &body{ReadCloser: http.MaxBytesReader(a.bare, r.Body, h.longest(action)), limit: h.longest(action), watch: a.watch, account: account}
		r.Body = a.body
	}
	return r, cut, func() {
		a.finish(control)
		total.stop()
		a.watch.stop()
		cancel()
	}
}

// pass hands the request to the backend.
func (h *Handler) pass(a *answer, r *http.Request, q policy.Request, model Model) {
	dropPrefixed(r.Header, "blindbox-")
	r.Header["Blindbox-Caller"] = []string{q.Caller}
	if q.Model != "" {
		r.Header["Blindbox-Model"] = []string{q.Model}
	}
	if model.Digest != [32]byte{} {
		r.Header["Blindbox-Model-Id"] = []string{"sha256:" + hex.EncodeToString(model.Digest[:])}
	}
	h.cfg.Backend.ServeHTTP(a, r)
	if a.short.Load() {
		// A part of the answer is out. It must not look like all of it.
		panic(http.ErrAbortHandler)
	}
}

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }

// dropPrefixed removes headers whose name begins with a lower-case prefix.
// An underscore counts as a hyphen, since gateways such as CGI and WSGI make
// the two the same.
func dropPrefixed(header http.Header, prefix string) {
	for name := range header {
		if hasPrefix(name, prefix) {
			delete(header, name)
		}
	}
}

func hasPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
