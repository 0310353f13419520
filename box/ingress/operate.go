package ingress

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/policy"
)

// Operators is what a box with operators has besides.
type Operators struct {
	// Callers tells which operator sends a request: it knows those of
	// [policy.Policy.ForOperators].
	Callers *callers.Authenticator
	Service *operate.Service
}

// operatePrefix begins the operators' paths, of which there is one for each operation
// that the policy gives to somebody. The others are paths like any that the box does
// not have.
const operatePrefix = policy.ReservedPrefix + "/operate/"

// operation returns what a path is for, if it is an operators' one that there is.
func (h *Handler) operation(path string) (policy.Operation, bool) {
	name, ok := strings.CutPrefix(path, operatePrefix)
	if !ok || h.cfg.Operators == nil || !slices.Contains(h.cfg.Policy.Operations(), policy.Operation(name)) {
		return "", false
	}
	return policy.Operation(name), true
}

// operate decides about an operator's request and has it done. Callers have no part
// in it: what makes one known here is no caller's, and costs no caller a place.
func (h *Handler) operate(a *answer, r *http.Request, q policy.Request, op policy.Operation) *problem {
	q.Action = policy.Action(op)
	who, refused := h.cfg.Operators.Callers.Identify(r)
	if refused != nil {
		return h.refuse(a, q, unidentified(refused))
	}
	q.Caller = who.Name
	o, known := h.cfg.Policy.Operator(who.Name)
	if !known || !slices.Contains(o.May, op) {
		return h.refuse(a, q, denied(policy.Decision{Reason: fmt.Sprintf("operator %q may not %s", who.Name, op), Line: who.Line}))
	}
	if h.draining.Load() {
		return h.refuse(a, q, notReady("The box is stopping."))
	}
	session, no := h.cfg.Operators.Service.Admit(op, r)
	if no != nil {
		return h.refuse(a, q, inOperation(no))
	}
	defer session.End()
	h.allow(a, q, policy.Decision{Allowed: true, Reason: fmt.Sprintf("operator %q may %s", o.Name, op), Line: o.Line})
	if no := session.Run(a, r); no != nil {
		return inOperation(no)
	}
	return nil
}

func operatorsOwn() *problem {
	return unidentified(&callers.Refusal{
		Status: http.StatusUnauthorized, Challenge: `Bearer realm="blindbox"`,
		Detail: "The key or token in Authorization is an operator's, and is good for no request to the app.",
		Fix:    "Send a caller's, or none where the policy has anyone.",
	})
}

func inOperation(no *operate.Refusal) *problem {
	titles := map[int]string{
		http.StatusTooManyRequests: "the box is busy", http.StatusServiceUnavailable: "the box is not ready", http.StatusBadGateway: "the app in the box does not answer",
	}
	title, ok := titles[no.Status]
	if !ok {
		return unreadable(no.Detail, no.Fix)
	}
	return newProblem(no.Status, title, no.Detail, no.Fix)
}

// startedAnew returns what tells whether the app was started anew since now.
func (h *Handler) startedAnew() func() bool {
	if h.cfg.Operators == nil {
		return func() bool { return false }
	}
	restarts := h.cfg.Operators.Service.Restarts
	before := restarts()
	return func() bool {
		now := restarts()
		return now != before || now%2 == 1
	}
}
