// Package callers answers one question: which caller of the policy sends this
// request?
//
// A caller is recognised by one of these, and what a request shows itself counts
// before what its connection shows:
//
//   - a secret in the header Blindbox-Key: an API key, whose SHA-256 the policy
//     has, or a token of an identity provider (OpenID Connect);
//   - the same in Authorization, as a bearer token. It may also be meant for the
//     app: it is, and is left alone, if it is no key of the policy and no token of
//     one of its providers;
//   - the evidence that the other end has shown in the gate of the connection,
//     another box's, if the policy names that box; see package peers;
//   - the connection's TLS client certificate, if its chain holds an authority
//     that the policy names;
//   - nothing, where the policy has `anyone`.
//
// What is meant for the box and is not good is refused, and never taken for
// nothing: a token that has expired does not make somebody `anyone`. What the box
// was shown is removed from the request, whether it was good or not, and is in no
// error.
//
// The package stands inside the box. Whoever sends requests may be hostile, and
// so may be what answers for an identity provider before TLS has proven it.
package callers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Config is what an Authenticator needs. Policy and Now are required, the others
// if the policy has callers with oidc.
type Config struct {
	Policy *policy.Policy
	// Now is the time of day, for what expires.
	Now func() time.Time
	// Uptime is the time since some fixed moment. It never goes back, whoever sets
	// the clock.
	Uptime func() time.Duration
	// Client fetches the keys of identity providers. It decides which certificates
	// these may have; redirects are not followed whatever it says.
	Client *http.Client
	// Boxes says that the gate has callers prove themselves that want to, see
	// package peers. A policy with callers that are other boxes is refused without
	// it.
	Boxes bool
}

// Authenticator finds out who is calling. It is safe for concurrent use.
type Authenticator struct {
	policy    *policy.Policy
	now       func() time.Time
	anyone    *policy.Caller
	authority map[[32]byte][]*policy.Caller // by the hash of the authority, the most specific first
	providers map[string]*provider          // by issuer
	boxes     map[string]*policy.Caller     // by name
}

// New returns an Authenticator for the callers of a policy.
func New(cfg Config) (*Authenticator, error) {
	if cfg.Policy == nil || cfg.Now == nil {
		return nil, errors.New("callers: no policy or no clock")
	}
	a := &Authenticator{
		policy: cfg.Policy, now: cfg.Now,
		authority: map[[32]byte][]*policy.Caller{}, providers: map[string]*provider{}, boxes: map[string]*policy.Caller{},
	}
	for i := range cfg.Policy.Callers {
		c := &cfg.Policy.Callers[i]
		switch {
		case c.Anyone:
			a.anyone = c
		case c.Certificate != nil:
			a.authority[c.Certificate.CA] = append(a.authority[c.Certificate.CA], c)
		case c.OIDC != nil && (cfg.Client == nil || cfg.Uptime == nil):
			return nil, fmt.Errorf("callers: caller %q (line %d) has tokens, and nothing was given to fetch its provider's keys with", c.Name, c.Line)
		case c.OIDC != nil:
			a.provider(c.OIDC.Issuer, cfg).add(c)
		case c.Attested != nil && !cfg.Boxes:
			return nil, fmt.Errorf("callers: caller %q (line %d) is another box, and nothing judges its evidence", c.Name, c.Line)
		case c.Attested != nil:
			a.boxes[c.Name] = c
		}
	}
	for _, list := range a.authority {
		sortBySpecific(list, func(c *policy.Caller) int { return len(c.Certificate.SPIFFE) + len(c.Certificate.Subject) })
	}
	return a, nil
}

func (a *Authenticator) provider(issuer string, cfg Config) *provider {
	if a.providers[issuer] == nil {
		a.providers[issuer] = newProvider(issuer, cfg)
	}
	return a.providers[issuer]
}

// NeedsCertificates reports whether connections have to be asked for a client
// certificate.
func (a *Authenticator) NeedsCertificates() bool { return len(a.authority) > 0 }

// Identify returns who sends a request, and removes what it showed to the box
// from it.
func (a *Authenticator) Identify(r *http.Request) (*policy.Caller, *Refusal) {
	keys, bearers := r.Header["Blindbox-Key"], r.Header["Authorization"]
	if len(keys) > 1 || len(bearers) > 1 {
		return nil, twice()
	}
	delete(r.Header, "Blindbox-Key")
	shown := a.bearer(bearers)
	if shown.ours() {
		delete(r.Header, "Authorization")
	}
	if len(keys) == 1 {
		shown = a.read(keys[0])
		if !shown.ours() {
			return nil, unknown("The header Blindbox-Key has neither a key whose SHA-256 is in the box's policy nor a token of one of its identity providers.")
		}
	}
	if shown.ours() {
		return a.unexpired(a.judge(r, shown))
	}
	if c := a.attested(connectionOf(r)); c != nil {
		return a.unexpired(c, nil)
	}
	if c, refused := a.certified(r); c != nil || refused != nil {
		return a.unexpired(c, refused)
	}
	if a.anyone != nil {
		return a.unexpired(a.anyone, nil)
	}
	return nil, unknown("There is no API key, or one whose SHA-256 is not in the box's policy.")
}

// Shows reports whether what a request has in Authorization is a key of the policy or a
// token of one of its providers, good or not. Nothing is removed.
func (a *Authenticator) Shows(r *http.Request) bool {
	s := a.bearer(r.Header["Authorization"])
	return s.caller != nil || s.token != nil
}

// shown is a secret that was sent: at most one field is set.
type shown struct {
	caller *policy.Caller // its key
	token  *token
	broken *Refusal // it is meant for the box and cannot be read
}

func (s shown) ours() bool { return s.caller != nil || s.token != nil || s.broken != nil }

// bearer reads the header Authorization.
func (a *Authenticator) bearer(values []string) shown {
	if len(values) == 0 {
		return shown{}
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return shown{}
	}
	return a.read(strings.TrimSpace(secret))
}

// read finds out what a secret is. It is not judged yet.
func (a *Authenticator) read(secret string) shown {
	if c, ok := a.policy.Authenticate(secret); ok {
		return shown{caller: &c}
	}
	if len(a.providers) == 0 || !looksLikeToken(secret) {
		return shown{}
	}
	t, why := parseToken(secret)
	switch {
	case why != "":
		return shown{broken: badToken(why)}
	case a.providers[t.issuer()] == nil:
		return shown{}
	}
	return shown{token: t}
}

func (a *Authenticator) judge(r *http.Request, s shown) (*policy.Caller, *Refusal) {
	switch {
	case s.broken != nil:
		return nil, s.broken
	case s.token != nil:
		return a.providers[s.token.issuer()].judge(r.Context(), s.token, a.now())
	}
	return s.caller, nil
}

// unexpired refuses a caller that the policy knows no longer.
func (a *Authenticator) unexpired(c *policy.Caller, refused *Refusal) (*policy.Caller, *Refusal) {
	switch {
	case refused != nil:
		return nil, refused
	case c.Expired(a.now()):
		return nil, expired(c)
	}
	return c, nil
}
