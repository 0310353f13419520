package callers

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/policy"
)

const (
	// refreshAfter is how old keys are when new ones are fetched, while the old
	// ones are used.
	refreshAfter = 10 * time.Minute
	// keysLive is for how long keys are used if no new ones can be had. Whoever
	// keeps the box from its provider gains no more than this with a key that was
	// withdrawn.
	keysLive = time.Hour
	// retryAfter is how often keys are fetched at most, whatever tokens are sent.
	retryAfter = 30 * time.Second
	// fetchLimit bounds the two requests of a fetch together, and maxBody what
	// each brings.
	fetchLimit = 10 * time.Second
	maxBody    = 256 << 10
)

// provider is an identity provider with the keys that it signs with.
type provider struct {
	issuer  string
	callers []*policy.Caller // the most specific first
	client  *http.Client
	uptime  func() time.Duration
	limit   time.Duration

	mu      sync.Mutex
	keys    []key
	fetched time.Duration // when they were
	tried   time.Duration // when the last fetch began
	began   bool          // there was one
	pending chan struct{} // closed when the fetch that is under way ends; nil if none is
	failed  string        // why the last one failed; "" if it did not
	// verified are tokens whose signature is by one of these keys. Everything else
	// about them is looked at each time.
	verified map[[sha256.Size]byte]struct{}
}

func newProvider(issuer string, cfg Config) *provider {
	client := *cfg.Client
	// Whoever can have the box fetch from elsewhere can have it take other keys.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	return &provider{issuer: issuer, client: &client, uptime: cfg.Uptime, limit: fetchLimit}
}

func (p *provider) add(c *policy.Caller) {
	p.callers = append(p.callers, c)
	sortBySpecific(p.callers, func(c *policy.Caller) int { return len(c.OIDC.Claims) })
}

// judge returns whose token this is. It is verified before anything of it is
// looked at.
func (p *provider) judge(ctx context.Context, t *token, now time.Time) (*policy.Caller, *Refusal) {
	switch algorithm(t.alg) {
	case rs256, ps256, es256, es384, eddsa:
	default:
		return nil, badToken("it is not signed with RS256, PS256, ES256, ES384 or EdDSA")
	}
	k, refused := p.key(ctx, t)
	if refused != nil {
		return nil, refused
	}
	if !p.signed(k, t) {
		return nil, badToken("its signature is not by the key of the provider that it names")
	}
	for _, why := range []string{t.timely(now), t.bearable()} {
		if why != "" {
			return nil, badToken(why)
		}
	}
	for _, c := range p.callers {
		if t.of(c.OIDC) {
			return c, nil
		}
	}
	return nil, badToken("it is for another audience, or does not have the claims of anybody in the policy")
}

// maxVerified bounds the tokens that are remembered.
const maxVerified = 1024

// signed reports whether a token is signed with the key that [provider.key] found
// for it. Of a token that was sent before with the same keys, that is known.
func (p *provider) signed(k key, t *token) bool {
	p.mu.Lock()
	_, known := p.verified[t.sum]
	at := p.fetched
	p.mu.Unlock()
	if known {
		return true
	}
	if !k.verify(algorithm(t.alg), t.signed, t.signature) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.verified) >= maxVerified {
		clear(p.verified)
	}
	if p.verified != nil && at == p.fetched {
		p.verified[t.sum] = struct{}{}
	}
	return true
}

// key returns the key that a token names, fetched anew if it is not known.
func (p *provider) key(ctx context.Context, t *token) (key, *Refusal) {
	k, found, pending := p.look(t)
	if !found && pending != nil {
		select {
		case <-pending:
		case <-ctx.Done():
		}
		k, found, _ = p.look(t)
	}
	if found {
		return k, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive() {
		why := p.failed
		if why == "" {
			why = "they are being fetched"
		}
		return key{}, noKeys(p.issuer, why)
	}
	return key{}, badToken("the provider has no such key for it")
}

// alive reports whether there are keys that are not too old.
func (p *provider) alive() bool { return len(p.keys) > 0 && p.uptime()-p.fetched < keysLive }

// look searches the keys that are here, and has them fetched if that could help
// this token or the next ones.
func (p *provider) look(t *token) (k key, found bool, pending <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive() {
		k, found = choose(p.keys, t)
	}
	now := p.uptime()
	old := !found || now-p.fetched >= refreshAfter
	if old && p.pending == nil && (!p.began || now-p.tried >= retryAfter) {
		p.pending, p.tried, p.began = make(chan struct{}), now, true
		// It is not ended with the request that happened to come first.
		go p.refresh()
	}
	return k, found, p.pending
}

// choose finds the key of a token by its id. A token without one is by the only
// key that it could be by.
func choose(keys []key, t *token) (key, bool) {
	var fit []key
	for _, k := range keys {
		if k.fits(algorithm(t.alg)) && (t.kid == "" || k.id == t.kid) {
			fit = append(fit, k)
		}
	}
	if len(fit) == 0 || t.kid == "" && len(fit) > 1 {
		return key{}, false
	}
	return fit[0], true
}

// refresh fetches the keys. Those that were withdrawn are gone with it.
func (p *provider) refresh() {
	ctx, cancel := context.WithTimeout(context.Background(), p.limit)
	defer cancel()
	keys, err := p.fetch(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = ""
	if err != nil {
		p.failed = strings.TrimPrefix(err.Error(), "callers: ")
	} else {
		p.keys, p.fetched = keys, p.uptime()
		p.verified = map[[sha256.Size]byte]struct{}{}
	}
	close(p.pending)
	p.pending = nil
}

// fetch asks the provider where its keys are, and for them (OpenID Connect
// Discovery 1.0, section 4).
func (p *provider) fetch(ctx context.Context) ([]key, error) {
	text, err := p.get(ctx, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := strictjson.Decode(text, &doc, strictjson.Options{AllowUnknown: true, Limits: strictjson.Limits{Bytes: maxBody}}); err != nil {
		return nil, errors.New("callers: its configuration is not a JSON object that every reader understands alike")
	}
	if doc.Issuer != p.issuer {
		return nil, errors.New("callers: its configuration is that of another issuer")
	}
	if u, err := url.Parse(doc.Keys); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("callers: its configuration does not say where its keys are, by https")
	}
	if text, err = p.get(ctx, doc.Keys); err != nil {
		return nil, err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, errors.New("callers: its keys cannot be read, or there is none that can be used")
	}
	return keys, nil
}

func (p *provider) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("callers: its address is none")
	}
	r.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, errors.New("callers: it cannot be reached, or is not who it should be")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("callers: it answers with status %d, expected 200", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, errors.New("callers: its answer broke off")
	case len(text) > maxBody:
		return nil, fmt.Errorf("callers: its answer is longer than %d bytes", maxBody)
	}
	return text, nil
}

// NewClient returns a client that fetches the keys of identity providers over TLS,
// with the certificate authorities that the box's image has. It goes to them
// directly: a proxy in the environment is the host's idea.
func NewClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    fetchLimit,
		MaxResponseHeaderBytes: 32 << 10,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
	}}
}
