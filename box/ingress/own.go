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

// own answers what the box answers itself, or returns why not.
func (h *Handler) own(a *answer, r *http.Request, q policy.Request, account *quota.Account) *problem {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return unreadable("The box's own addresses are for GET and HEAD.")
	}
	name := strings.TrimPrefix(q.Path, policy.ReservedPrefix)
	d := policy.Decision{Allowed: true, Reason: "every caller may read the policy, and what it may do"}
	switch name {
	case "/policy":
		// Whoever came through the gate has been shown it there.
		h.allow(q, d)
		return a.send("application/yaml", h.cfg.Policy.Bytes())
	case "/me":
		if h.me[q.Caller] == nil {
			return notReady("The box's policy has no such caller.")
		}
		h.allow(q, d)
		return a.send("application/json", h.me[q.Caller]())
	}
	if d = h.cfg.Policy.Decide(q); !d.Allowed {
		return denied(d)
	}
	if spent := account.Admit(); spent != nil {
		return usedUp(spent, d.Line)
	}
	contentType, text, p := h.observed(name)
	if p != nil {
		return p
	}
	h.allow(q, d)
	return a.send(contentType, text)
}

// observed is what the box says of itself.
func (h *Handler) observed(name string) (contentType string, text []byte, p *problem) {
	switch {
	case name == "/health" && h.cfg.Ready():
		return "application/json", []byte(`{"status":"ok"}` + "\n"), nil
	case name == "/health":
		return "", nil, notReady("The app does not accept connections.")
	case name == "/counters" && h.cfg.Policy.Logs == policy.LogsCounters:
		return "application/json", h.Counters().json(), nil
	}
	return "", nil, nothingHere()
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
