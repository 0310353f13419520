package ingress

import (
	"net/http"
	"strings"

	"github.com/blindbox/blindbox/policy"
)

// authenticate finds out who sends the request, and removes what it was shown:
// the app has no use for a key to the box.
//
// The key is in Blindbox-Key, or in Authorization as a bearer token. The second
// may also be meant for the app: it is, and is left alone, if it is no key of
// the policy and the caller is known without it.
func (h *Handler) authenticate(r *http.Request) (policy.Caller, *problem) {
	keys, bearers := r.Header["Blindbox-Key"], r.Header["Authorization"]
	if len(keys) > 1 || len(bearers) > 1 {
		return policy.Caller{}, unreadable("A header that says who is calling is there twice.")
	}
	byToken, tokenKnown := h.bearer(bearers)
	if tokenKnown {
		delete(r.Header, "Authorization")
	}
	if len(keys) == 1 {
		caller, ok := h.cfg.Policy.Authenticate(keys[0])
		if !ok {
			return policy.Caller{}, unknownCaller()
		}
		return caller, nil
	}
	if tokenKnown {
		return byToken, nil
	}
	if anyone, ok := h.cfg.Policy.Anyone(); ok {
		return anyone, nil
	}
	return policy.Caller{}, unknownCaller()
}

func (h *Handler) bearer(values []string) (policy.Caller, bool) {
	if len(values) == 0 {
		return policy.Caller{}, false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return policy.Caller{}, false
	}
	return h.cfg.Policy.Authenticate(strings.TrimSpace(token))
}
