package ingress

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/blindbox/blindbox/box/quota"
	"github.com/blindbox/blindbox/policy"
)

// serveOwn answers what the box answers itself, or returns why not.
func (h *Handler) serveOwn(a *answer, r *http.Request, q policy.Request, account *quota.Account) *problem {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return unreadable("The box's own addresses are for GET and HEAD.", "Send GET.")
	}
	name := strings.TrimPrefix(q.Path, policy.ReservedPrefix)
	if spent := h.asked(name, q.Caller); spent != nil {
		return tooOften(spent)
	}
	if says, p := h.everybodys(name, q.Caller); says != nil || p != nil {
		if p == nil {
			h.allow(a, q, policy.Decision{Allowed: true, Reason: "every caller may read the policy, what it may do, and what proves what the box did for it"})
			a.send(says)
		}
		return p
	}
	d := h.cfg.Policy.Decide(q)
	if !d.Allowed {
		return denied(d)
	}
	if spent := account.Admit(); spent != nil {
		return usedUp(spent, d.Line)
	}
	says, p := h.observed(name)
	if p != nil {
		return p
	}
	h.allow(a, q, d)
	a.send(says)
	return nil
}

// How often each caller may ask for what every caller may have, in all. That uses no
// budget of the policy's. What `blindbox connect` shows, it has from the gate.
const (
	maxAsked = 300
	askedPer = time.Minute
)

// newAsked has an account for each caller with nothing but that.
func newAsked(p *policy.Policy, uptime func() time.Duration) *quota.Meter {
	callers := make([]policy.Caller, len(p.Callers))
	for i, c := range p.Callers {
		callers[i] = policy.Caller{Name: c.Name, Rate: &policy.Budget{Count: maxAsked, Per: askedPer}}
	}
	return quota.New(&policy.Policy{Callers: callers}, uptime)
}

// asked counts a question, unless it is for a receipt, of which there is at most one
// for each request, or for what only those may have who may observe.
func (h *Handler) asked(name, caller string) *quota.Spent {
	if h.me[caller] == nil {
		return nil // it has nothing to ask for
	}
	switch name {
	case "/policy", "/me", "/receipts/evidence", "/audit/head":
		return h.questions.Account(caller).Admit()
	}
	return nil
}

// own is an answer of the box's own.
type own struct {
	contentType string
	text        []byte
}

// signed is the form of what the box signed (RFC 7515, section 9.2.1).
func signed(token string) *own { return &own{"application/jose", []byte(token + "\n")} }

// everybodys is what the box says to every caller, without a budget; nil if name is
// no such address. Whoever came through the gate has been shown the policy there. A
// receipt is only for the caller who asked for it, and the head of the audit log
// holds hashes and no record.
func (h *Handler) everybodys(name, caller string) (*own, *problem) {
	id, isReceipt := strings.CutPrefix(name, "/receipts/")
	switch {
	case name == "/policy":
		return &own{"application/yaml", h.cfg.Policy.Bytes()}, nil
	case name == "/me" && h.me[caller] == nil:
		return nil, notReady("The box's policy has no such caller.")
	case name == "/me":
		return &own{"application/json", h.me[caller]()}, nil
	case name == "/receipts/evidence" && h.cfg.Evidence != nil:
		return &own{"application/octet-stream", h.cfg.Evidence()}, nil
	case isReceipt && h.cfg.Receipts != nil:
		if token, ok := h.cfg.Receipts.Get(caller, id); ok {
			return signed(token), nil
		}
		return nil, noReceipt()
	case name == "/audit/head" && h.cfg.Audit != nil:
		return signed(h.cfg.Audit.LastHead()), nil
	}
	return nil, nil
}

// observed is what the box says of itself.
func (h *Handler) observed(name string) (*own, *problem) {
	switch {
	case name == "/health" && h.cfg.Ready():
		return &own{"application/json", []byte(`{"status":"ok"}` + "\n")}, nil
	case name == "/health":
		return nil, notReady("The app does not accept connections.")
	case name == "/counters" && h.cfg.Policy.Logs == policy.LogsCounters:
		return &own{"application/json", h.Counters().json()}, nil
	case name == "/audit" && h.cfg.Records != nil:
		return &own{"text/plain; charset=utf-8", h.cfg.Records()}, nil
	}
	return nil, nothingHere()
}

// permissions is what a caller may do, for programs and for people. Whoever has
// the policy can compute it from the caller's name: it is policy.MayDo.
type permissions struct {
	Caller  string          `json:"caller"`
	Kind    string          `json:"kind"`
	May     []policy.Action `json:"may"`
	Methods []string        `json:"methods,omitempty"`
	Paths   []string        `json:"paths,omitempty"`
	Models  []string        `json:"models,omitempty"`
	Rate    *budget         `json:"rate,omitempty"`
	// Requests and Bytes are the quota.
	Requests   *budget  `json:"quota_requests,omitempty"`
	Bytes      *budget  `json:"quota_bytes,omitempty"`
	Expires    string   `json:"expires,omitempty"`
	Request    int64    `json:"request_bytes"`
	Cedar      []string `json:"cedar,omitempty"`
	PolicyLine int      `json:"policy_line"`
	Text       string   `json:"text"`
}

type budget struct {
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"`
}

func budgetOf(b *policy.Budget) *budget {
	if b == nil {
		return nil
	}
	return &budget{b.Count, b.Per.Seconds()}
}

// mayDo writes for each caller what it may do, when it first asks: asking costs no
// budget and no place, and so has to cost next to nothing.
func mayDo(p *policy.Policy) map[string]func() []byte {
	out := make(map[string]func() []byte, len(p.Callers))
	for _, c := range p.Callers {
		out[c.Name] = sync.OnceValue(func() []byte { return permissionsOf(p, c.Name) })
	}
	return out
}

func permissionsOf(p *policy.Policy, caller string) []byte {
	m, _ := p.MayDo(caller)
	out := permissions{
		Caller: m.Caller, Kind: m.Kind, May: append([]policy.Action{}, m.May...), Methods: m.Methods, Paths: m.Paths, Models: m.Models,
		Rate: budgetOf(m.Rate), Request: m.Request, Cedar: m.Cedar, PolicyLine: m.Line, Text: m.String(),
	}
	if m.Quota != nil {
		out.Requests, out.Bytes = budgetOf(m.Quota.Requests), budgetOf(m.Quota.Bytes)
	}
	if !m.Expires.IsZero() {
		out.Expires = m.Expires.UTC().Format(time.RFC3339)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return []byte("{}\n")
	}
	return append(text, '\n')
}
