package callers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/blindbox/blindbox/policy"
)

const issuer = "https://example.com/realm"

// clock is a time of day and an uptime that a test sets apart.
type clock struct{ wall, up atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.wall.Store(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).Unix())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(c.wall.Load(), 0) }
func (c *clock) uptime() time.Duration   { return time.Duration(c.up.Load()) }
func (c *clock) advance(d time.Duration) { c.wall.Add(int64(d / time.Second)); c.up.Add(int64(d)) }

// idp is an identity provider on this machine.
type idp struct {
	*httptest.Server
	fetches atomic.Int64
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	config  http.HandlerFunc // instead of the usual answer
	jwks    http.HandlerFunc
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	p := &idp{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		config, jwks, set := p.config, p.jwks, jose.JSONWebKeySet{Keys: p.keys}
		p.mu.Unlock()
		switch {
		case r.URL.Path == "/realm/.well-known/openid-configuration" && config != nil:
			config(w, r)
		case r.URL.Path == "/realm/.well-known/openid-configuration":
			p.fetches.Add(1)
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"https://example.com/keys","other":[1]}`, issuer)
		case r.URL.Path == "/keys" && jwks != nil:
			jwks(w, r)
		case r.URL.Path == "/keys":
			_ = json.NewEncoder(w).Encode(set)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// client reaches the provider by its name.
func (p *idp) client() *http.Client {
	c := p.Server.Client()
	tr := c.Transport.(*http.Transport).Clone()
	tr.TLSClientConfig.ServerName = "example.com"
	address := p.Listener.Addr().String()
	tr.DialContext = dialTo(address)
	return &http.Client{Transport: tr}
}

func (p *idp) serve(keys ...jose.JSONWebKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *idp) answer(config, jwks http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config, p.jwks = config, jwks
}

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// pair is a key of the provider, both halves.
type pair struct {
	alg     jose.SignatureAlgorithm
	private crypto.Signer
	id      string
}

func (k pair) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(k.alg), Use: "sig"}
}

// sign makes a token with a library that is not ours.
func (k pair) sign(t testing.TB, claims any, header ...string) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithType("JWT")
	for i := 0; i+1 < len(header); i += 2 {
		opts = opts.WithHeader(jose.HeaderKey(header[i]), header[i+1])
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.(string)
	if !ok {
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		payload = string(text)
	}
	signed, err := s.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ecPair(t testing.TB, id string) pair {
	return pair{jose.ES256, must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), id}
}

type claims map[string]any

// good is a token's claims that are accepted at the clock's time.
func good(c *clock) claims {
	now := c.now().Unix()
	return claims{"iss": issuer, "aud": "whisper", "sub": "somebody", "org": "clinic", "iat": now - 10, "nbf": now - 10, "exp": now + 300}
}

func (c claims) with(name string, value any) claims {
	c = maps.Clone(c)
	if value == nil {
		delete(c, name)
	} else {
		c[name] = value
	}
	return c
}

const app = "name: test\napp: {command: [app], listen: 127.0.0.1:1}\ncallers:\n"

const clinicOnly = app + `  - {name: clinic, oidc: "` + issuer + `", audience: whisper, claim: {org: clinic}, may: [query]}` + "\n"

func parsed(t testing.TB, doc string) *policy.Policy {
	t.Helper()
	return must[*policy.Policy](t)(policy.Parse([]byte(doc)))
}

func authenticator(t testing.TB, doc string, c *clock, client *http.Client) *Authenticator {
	t.Helper()
	return must[*Authenticator](t)(New(Config{Policy: parsed(t, doc), Now: c.now, Uptime: c.uptime, Client: client}))
}

func request(t testing.TB, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/x", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// identify returns the caller's name, or the refusal as text.
func identify(a *Authenticator, r *http.Request) string {
	c, refused := a.Identify(r)
	switch {
	case (c == nil) == (refused == nil):
		return "BOTH OR NEITHER"
	case refused != nil:
		return fmt.Sprintf("%d %s", refused.Status, refused.Detail)
	}
	return c.Name
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func want(t testing.TB, what, got, expected string) {
	t.Helper()
	if got != expected && (len(expected) < 4 || !strings.Contains(got, expected)) {
		t.Errorf("%s: got %q, expected %q", what, got, expected)
	}
}

// TestAlgorithms: tokens by every algorithm there is are accepted, and by no
// other key, whatever kind it has.
func TestAlgorithms(t *testing.T) {
	c, p := newClock(), newIDP(t)
	small := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pairs := []pair{
		{jose.RS256, small, "rs"}, {jose.PS256, small, "ps"}, ecPair(t, "es"),
		{jose.ES384, must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), "es384"}, {jose.EdDSA, edwards, "ed"},
	}
	var set []jose.JSONWebKey
	for _, k := range pairs {
		set = append(set, k.public())
	}
	p.serve(set...)
	a := authenticator(t, clinicOnly, c, p.client())
	for _, k := range pairs {
		token := k.sign(t, good(c))
		want(t, string(k.alg), identify(a, request(t, bearer(token)...)), "clinic")
		// One bit of each part.
		parts := strings.Split(token, ".")
		for i, part := range parts {
			raw := must[[]byte](t)(base64.RawURLEncoding.DecodeString(part))
			raw[len(raw)/2] ^= 1
			other := strings.Split(token, ".")
			other[i] = base64.RawURLEncoding.EncodeToString(raw)
			if got := identify(a, request(t, bearer(strings.Join(other, "."))...)); !strings.HasPrefix(got, "401 ") {
				t.Errorf("%s: part %d changed: %s", k.alg, i, got)
			}
		}
		for _, other := range pairs {
			if other.id == k.id {
				continue
			}
			swapped := pair{k.alg, k.private, other.id}.sign(t, good(c))
			if got := identify(a, request(t, bearer(swapped)...)); !strings.HasPrefix(got, "401 ") {
				t.Errorf("signed by %s under the id of %s: %s", k.id, other.id, got)
			}
		}
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, expected 1", n)
	}
}

// forge makes a token with a header of its own and a signature by sign.
func forge(header, payload string, sign func(signed string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	return signed + "." + b64(sign(signed))
}

// TestHostileTokens: each token is wrong in one thing.
func TestHostileTokens(t *testing.T) {
	c, p := newClock(), newIDP(t)
	rs := pair{jose.RS256, must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)), "rs"}
	es, foreign := ecPair(t, "es"), ecPair(t, "es")
	p.serve(rs.public(), es.public())
	a := authenticator(t, clinicOnly, c, p.client())
	g, now := good(c), c.now().Unix()
	text := string(must[[]byte](t)(json.Marshal(g)))
	der := must[[]byte](t)(x509.MarshalPKIXPublicKey(rs.private.Public()))
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs256 := func(key []byte) func(string) []byte {
		return func(signed string) []byte {
			m := hmac.New(sha256.New, key)
			m.Write([]byte(signed))
			return m.Sum(nil)
		}
	}
	none := func(string) []byte { return nil }
	byES := func(signed string) []byte {
		sum := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, es.private.(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	asn1ES := func(signed string) []byte {
		sum := sha256.Sum256([]byte(signed))
		return must[[]byte](t)(es.private.Sign(rand.Reader, sum[:], crypto.SHA256))
	}
	jwk := string(must[[]byte](t)(json.Marshal(foreign.public())))
	byForeign := func(signed string) []byte {
		sum := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, foreign.private.(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	const (
		alg       = "not signed with"
		signature = "signature is not by"
		header    = "its header is not one"
		object    = "not a JSON object"
		nobody    = "another audience"
		undated   = "does not say when"
		ours      = "clinic"
	)
	for _, tc := range []struct{ name, token, want string }{
		{"good", es.sign(t, g), ours},
		{"forged as the others are, and good", forge(`{"alg":"ES256","kid":"es"}`, text, byES), ours},
		{"none", forge(`{"alg":"none"}`, text, none), alg},
		{"none with a key id", forge(`{"alg":"none","kid":"es"}`, text, none), alg},
		{"None", forge(`{"alg":"None","kid":"es"}`, text, none), alg},
		{"no algorithm", forge(`{"kid":"es"}`, text, byES), alg},
		{"HS256 with the PEM key as the secret", forge(`{"alg":"HS256","kid":"rs"}`, text, hs256(public)), alg},
		{"HS256 with the DER key as the secret", forge(`{"alg":"HS256","kid":"rs"}`, text, hs256(der)), alg},
		{"RS256 that is an HMAC", forge(`{"alg":"RS256","kid":"rs"}`, text, hs256(public)), signature},
		{"es256 in small letters", forge(`{"alg":"es256","kid":"es"}`, text, byES), alg},
		{"ES512", forge(`{"alg":"ES512","kid":"es"}`, text, byES), alg},
		{"no signature", forge(`{"alg":"ES256","kid":"es"}`, text, none), signature},
		{"a signature of zeros", forge(`{"alg":"ES256","kid":"es"}`, text, func(string) []byte { return make([]byte, 64) }), signature},
		{"an ASN.1 signature", forge(`{"alg":"ES256","kid":"es"}`, text, asn1ES), signature},
		{"algorithm of another key", forge(`{"alg":"PS256","kid":"rs"}`, text, byES), "no such key"},
		{"foreign key under a known id", foreign.sign(t, g), signature},
		{"a key in the header", forge(`{"alg":"ES256","kid":"es","jwk":`+jwk+`}`, text, byForeign), signature},
		{"unknown key id", pair{jose.ES256, foreign.private, "other"}.sign(t, g), "no such key"},
		{"no key id, and one key that fits", forge(`{"alg":"ES256"}`, text, byES), ours},
		{"a header to be understood", forge(`{"alg":"ES256","kid":"es","crit":["exp"],"exp":1}`, text, byES), header},
		{"an unencoded payload", forge(`{"alg":"ES256","kid":"es","b64":false}`, text, byES), header},
		{"algorithm twice", forge(`{"alg":"ES256","alg":"none","kid":"es"}`, text, byES), header},
		{"the header is a list", forge(`{"a":[`, text, byES), header},
		{"something behind the header", forge(`{"alg":"ES256","kid":"es"} {}`, text, byES), header},
		{"a logout token by type", es.sign(t, g, "typ", "logout+jwt"), header},
		{"an access token by type", es.sign(t, g, "typ", "at+JWT"), ours},
		{"a type with its tree", es.sign(t, g, "typ", "application/at+jwt"), ours},
		{"a token about events", es.sign(t, g.with("events", claims{})), "reports events"},
		{"bound to a key", es.sign(t, g.with("cnf", claims{"jkt": "x"})), "bound to a key"},

		{"another audience", es.sign(t, g.with("aud", "other")), nobody},
		{"no audience", es.sign(t, g.with("aud", nil)), nobody},
		{"audience in other case", es.sign(t, g.with("aud", "Whisper")), nobody},
		{"audience is a number", es.sign(t, g.with("aud", 1)), object},
		{"one audience in a list", es.sign(t, g.with("aud", []string{"whisper"})), ours},
		{"one audience, given to an app", es.sign(t, g.with("azp", "some-app")), ours},
		{"two audiences", es.sign(t, g.with("aud", []string{"other", "whisper"})), nobody},
		{"two audiences, given to the other", es.sign(t, g.with("aud", []string{"other", "whisper"}).with("azp", "other")), nobody},
		{"two audiences, given to this", es.sign(t, g.with("aud", []string{"other", "whisper"}).with("azp", "whisper")), ours},

		{"another claim", es.sign(t, g.with("org", "other")), nobody},
		{"no such claim", es.sign(t, g.with("org", nil)), nobody},
		{"the claim in a list", es.sign(t, g.with("org", []string{"clinic"})), nobody},
		{"the claim in other case", es.sign(t, g.with("org", nil).with("Org", "clinic")), nobody},

		{"expired", es.sign(t, g.with("exp", now-30)), "has expired"},
		{"expired, but for the clocks", es.sign(t, g.with("exp", now-29)), ours},
		{"no exp", es.sign(t, g.with("exp", nil)), undated},
		{"exp is text", es.sign(t, g.with("exp", fmt.Sprint(now+300))), object},
		{"exp is null", es.sign(t, strings.Replace(text, `"exp":`, `"exp":null,"x":`, 1)), object},
		{"exp is huge", es.sign(t, strings.Replace(text, `"exp":`, `"exp":1e999,"x":`, 1)), object},
		{"exp twice", es.sign(t, strings.Replace(text, `"exp":`, `"exp":9999999999,"exp":`, 1)), object},
		{"exp in other case", es.sign(t, strings.Replace(text, `"exp":`, `"EXP":`, 1)), undated},
		{"exp with a fraction", es.sign(t, g.with("exp", float64(now)+0.5)), ours},
		{"no iat", es.sign(t, g.with("iat", nil)), undated},
		{"iat in the future", es.sign(t, g.with("iat", now+31)), "in the future"},
		{"iat in the future, but for the clocks", es.sign(t, g.with("iat", now+30)), ours},
		{"not yet", es.sign(t, g.with("nbf", now+31)), "not valid yet"},
		{"not yet, but for the clocks", es.sign(t, g.with("nbf", now+30)), ours},
		{"no nbf", es.sign(t, g.with("nbf", nil)), ours},

		{"org twice", es.sign(t, strings.Replace(text, `"org":`, `"org":"x","org":`, 1)), object},
		{"iss twice", es.sign(t, strings.Replace(text, `"iss":`, `"iss":"https://other.example","iss":`, 1)), object},
		{"something behind the claims", es.sign(t, text+"{}"), object},
		{"claims are a list", es.sign(t, "["+text+"]"), object},
		{"claims are no JSON", es.sign(t, "text"), object},
		{"claims are not UTF-8", es.sign(t, `{"x":"`+"\xff"+`"}`), object},
		{"the header is not UTF-8", forge(`{"alg":"ES256","x":"`+"\xff"+`"}`, text, byES), header},
		{"claims are deep", es.sign(t, g.with("x", json.RawMessage(strings.Repeat("[", 9)+strings.Repeat("]", 9)))), object},
		{"too long", es.sign(t, g.with("x", strings.Repeat("x", 8<<10))), "longer than 8192 bytes"},
		{"padded", es.sign(t, g) + "=", "base64url"},
		{"a line break", strings.Replace(es.sign(t, g), ".", ".\n", 1), "base64url"},
	} {
		got := identify(a, request(t, "Blindbox-Key", tc.token))
		want(t, tc.name, got, tc.want)
		if tc.want != ours && !strings.HasPrefix(got, "401 ") {
			t.Errorf("%s: %s, expected status 401", tc.name, got)
		}
	}
	// What is another issuer's is no token of the box's.
	for name, token := range map[string]string{
		"another issuer": es.sign(t, g.with("iss", "https://other.example")), "no issuer": es.sign(t, g.with("iss", nil)),
		"issuer with a slash": es.sign(t, g.with("iss", issuer+"/")), "issuer in a list": es.sign(t, g.with("iss", []string{issuer})),
		"encrypted": "eyJ.a.b.c.d", "two parts": "eyJhbGciOiJub25lIn0.e30",
	} {
		want(t, name, identify(a, request(t, "Blindbox-Key", token)), "401 The header Blindbox-Key has neither")
		want(t, name, identify(a, request(t, bearer(token)...)), "401 There is no API key")
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, expected 1", n)
	}
}

// TestHostileProviders: without keys nobody is known, and the caller is told that
// it is not its fault.
func TestHostileProviders(t *testing.T) {
	es := ecPair(t, "es")
	set := string(must[[]byte](t)(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{es.public()}})))
	elsewhere := httptest.NewTLSServer(says(200, set))
	t.Cleanup(elsewhere.Close)
	config := func(more string) http.HandlerFunc { return says(200, `{"issuer":"`+issuer+`",`+more+`}`) }
	big := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"keys":[],"x":"`)
		for range 10 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}
	for _, tc := range []struct {
		name         string
		config, jwks http.HandlerFunc
		want         string
	}{
		{"control", nil, nil, "clinic"},
		{"status 500", says(500, "oops"), nil, "503 The keys of " + issuer + " cannot be had, so that no token of it can be accepted: it answers with status 500"},
		{"keys with status 500", nil, says(500, set), "it answers with status 500"},
		{"HTML", says(200, "<html>"), nil, "503 "},
		{"keys are HTML", nil, says(200, "<html>"), "503 "},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, nil, "status 302"},
		{"keys redirect", nil, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "status 307"},
		{"10 MB", big, nil, "longer than 262144 bytes"},
		{"keys of 10 MB", nil, big, "longer than 262144 bytes"},
		{"breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, nil, "broke off"},
		{"slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, "503 "},
		{"another issuer", says(200, `{"issuer":"https://other.example","jwks_uri":"https://example.com/keys"}`), nil, "another issuer"},
		{"issuer twice", says(200, `{"issuer":"https://other.example","issuer":"`+issuer+`","jwks_uri":"https://example.com/keys"}`), nil, "every reader"},
		{"keys without TLS", config(`"jwks_uri":"http://example.com/keys"`), nil, "by https"},
		{"keys with a password", config(`"jwks_uri":"https://u:p@example.com/keys"`), nil, "by https"},
		{"keys with a fragment", config(`"jwks_uri":"https://example.com/keys#x"`), nil, "by https"},
		{"keys nowhere", config(`"jwks_uri":"https:///keys"`), nil, "by https"},
		{"keys at no address", config(`"jwks_uri":"https://%zz/keys"`), nil, "by https"},
		{"no keys", config(`"x":1`), nil, "by https"},
		{"an empty set", nil, says(200, `{"keys":[]}`), "none that can be used"},
		{"keys twice", nil, says(200, `{"keys":[],`+set[1:]), "none that can be used"},
		{"too many keys", nil, says(200, `{"keys":[`+strings.Repeat(`{},`, 64)+set[9:]), "none that can be used"},
		{"something behind", nil, says(200, set+"{}"), "none that can be used"},
		{"as many keys as can be", nil, says(200, `{"keys":[`+strings.Repeat(`{},`, 63)+set[9:]), "clinic"},
	} {
		c, p := newClock(), newIDP(t)
		p.serve(es.public())
		p.answer(tc.config, tc.jwks)
		a := authenticator(t, clinicOnly, c, p.client())
		if tc.name == "slow" {
			a.providers[issuer].limit = time.Millisecond
		}
		want(t, tc.name, identify(a, request(t, bearer(es.sign(t, good(c)))...)), tc.want)
		p.Close()
	}
	// Somebody else who answers at the provider's address.
	c, p := newClock(), newIDP(t)
	stranger := p.client()
	stranger.Transport.(*http.Transport).TLSClientConfig.RootCAs = x509.NewCertPool()
	a := authenticator(t, clinicOnly, c, stranger)
	want(t, "a stranger", identify(a, request(t, bearer(es.sign(t, good(c)))...)), "not who it should be")
}

// TestKeysThatAreLeftOut: a key for another purpose, or a broken one, is not used.
func TestKeysThatAreLeftOut(t *testing.T) {
	usual := `"kty":"EC","crv":"P-256","kid":"k"`
	es := ecPair(t, "k")
	var whole map[string]any
	if err := json.Unmarshal(must[[]byte](t)(es.public().MarshalJSON()), &whole); err != nil {
		t.Fatal(err)
	}
	xy := fmt.Sprintf(`,"x":%q,"y":%q`, whole["x"], whole["y"])
	var wide map[string]any
	es384 := jose.JSONWebKey{Key: must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).Public()}
	if err := json.Unmarshal(must[[]byte](t)(es384.MarshalJSON()), &wide); err != nil {
		t.Fatal(err)
	}
	wideXY := fmt.Sprintf(`"kty":"EC","crv":"P-384","x":%q,"y":%q`, wide["x"], wide["y"])
	n := base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 255)...))
	longer := base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 257)...))
	for _, tc := range []struct {
		key string
		ok  bool
	}{
		{usual + xy, true},
		{usual + xy + `,"use":"sig","alg":"ES256","key_ops":["sign","verify"],"x5c":["x"],"ext":true`, true},
		{usual + xy + `,"use":"enc"`, false},
		{usual + xy + `,"key_ops":["sign"]`, false},
		{usual + xy + `,"alg":"ES384"`, false},
		{usual + xy + `,"alg":"RS256"`, false},
		{strings.Replace(usual, "P-256", "P-384", 1) + xy, false},
		{strings.Replace(usual, "P-256", "P-521", 1) + xy, false},
		{strings.Replace(usual, "EC", "ec", 1) + xy, false},
		{usual + strings.Replace(xy, `"x":"`, `"x":"AA`, 1), false},
		{usual + `,"x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"`, false},
		{usual, false},
		{wideXY, true},
		{strings.Replace(wideXY, `","y"`, `!","y"`, 1), false}, // all 48 bytes are there before it
		{`"kty":"oct","k":"AAAA"`, false},
		{`"kty":"RSA","n":"` + n + `","e":"AQAB"`, true},
		{`"kty":"RSA","n":"` + n + `","e":"AQ"`, false},
		{`"kty":"RSA","n":"` + n + `","e":"AAAA"`, false},
		{`"kty":"RSA","n":"` + n + `","e":"AQAA"`, false},
		{`"kty":"RSA","n":"` + n + `","e":"_____w"`, false},
		{`"kty":"RSA","n":"` + n + `","e":"AQAAAAAB"`, false},
		{`"kty":"RSA","n":"` + n + `","e":"AAAAAAAAAQAB"`, false},
		{`"kty":"RSA","n":"` + longer + `","e":"AQAB"`, true},
		{`"kty":"RSA","n":"` + longer + `!","e":"AQAB"`, false},
		{`"kty":"RSA","n":"` + n + `"`, false},
		{`"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x7f}, make([]byte, 255)...)) + `"`, false},
		{`"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 1024)...)) + `"`, false},
		{`"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 43) + `"`, true},
		{`"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 42) + `"`, false},
		{`"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"`, false},
	} {
		keys, err := parseKeys([]byte(`{"keys":[{` + tc.key + `}]}`))
		if (err == nil) != tc.ok || (len(keys) == 1) != tc.ok {
			t.Errorf("%s: %d keys, %v", tc.key, len(keys), err)
		}
	}
	if _, err := parseKeys([]byte(`{"keys":[{` + usual + xy + `,"kty":"RSA"}]}`)); err == nil {
		t.Error("a key with a member twice was read")
	}
	good := `[{` + usual + xy + `}]`
	for text, ok := range map[string]bool{
		`{"x":1,"keys":` + good + `}`: true, `{"old":` + good + `,"keys":` + good + `}`: true, `{"old":` + good + `}`: false,
		`{"keys":` + good + `,"x":"` + "\xff" + `"}`: false, `{"keys":[1,` + good[1:] + `}`: false,
	} {
		if keys, err := parseKeys([]byte(text)); (err == nil) != ok || ok && len(keys) != 1 || !ok && keys != nil {
			t.Errorf("%q: %d keys, %v", text, len(keys), err)
		}
	}
}

// TestOneKeyOrAnother: a token without an id of a key is not tried with one key after
// the other, and no key serves an algorithm that it is not for.
func TestOneKeyOrAnother(t *testing.T) {
	c, p := newClock(), newIDP(t)
	first, second := ecPair(t, "1"), ecPair(t, "2")
	p.serve(first.public(), second.public())
	a := authenticator(t, clinicOnly, c, p.client())
	nameless := pair{first.alg, first.private, ""}.sign(t, good(c))
	want(t, "two keys fit", identify(a, request(t, bearer(nameless)...)), "no such key")
	want(t, "by its id", identify(a, request(t, bearer(first.sign(t, good(c)))...)), "clinic")

	private := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	sum := sha256.Sum256([]byte("text"))
	signature := must[[]byte](t)(rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	for alg, ok := range map[algorithm]bool{ps256: true, rs256: false} {
		k := key{algs: []algorithm{alg}, public: private.Public()}
		if k.verify(ps256, "text", signature) != ok {
			t.Errorf("a key for %s and PS256: %t", alg, !ok)
		}
	}
}

// TestClaimOfNothing: a claim that is not there is not one that is empty.
func TestClaimOfNothing(t *testing.T) {
	wanted := &policy.OIDC{Audience: "whisper", Claims: map[string]string{"org": ""}}
	for org, ok := range map[string]bool{"org": true, "other": false} {
		if got := (&token{audience: []string{"whisper"}, texts: map[string]string{org: ""}}).of(wanted); got != ok {
			t.Errorf("an empty %s: %t", org, got)
		}
	}
}

// TestNoAddress: what is no address is not asked.
func TestNoAddress(t *testing.T) {
	if text, err := (&provider{client: http.DefaultClient}).get(t.Context(), "https://%zz/"); err == nil || text != nil || err.Error() != "callers: its address is none" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestRotation: new keys are found, withdrawn ones are gone, and tokens with
// unknown keys cannot make the box ask the provider all the time.
func TestRotation(t *testing.T) {
	c, p := newClock(), newIDP(t)
	first, second := ecPair(t, "1"), ecPair(t, "2")
	p.serve(first.public())
	a := authenticator(t, clinicOnly, c, p.client())
	ask := func(k pair) string { return identify(a, request(t, bearer(k.sign(t, good(c)))...)) }
	want(t, "first", ask(first), "clinic")
	for range 20 {
		want(t, "a key that is not there yet", ask(second), "no such key")
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches within a moment, expected 1", n)
	}
	p.serve(second.public())
	c.advance(retryAfter)
	want(t, "second", ask(second), "clinic")
	want(t, "first, withdrawn", ask(first), "no such key")
	if n := p.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, expected 2", n)
	}
	// A key that is withdrawn goes without anybody asking for another.
	p.serve(first.public())
	c.advance(refreshAfter)
	want(t, "second, old", ask(second), "clinic")
	waitFor(a)
	want(t, "second, withdrawn", ask(second), "no such key")
}

// waitFor waits for a fetch that is under way.
func waitFor(a *Authenticator) {
	p := a.providers[issuer]
	p.mu.Lock()
	pending := p.pending
	p.mu.Unlock()
	if pending != nil {
		<-pending
	}
}

// TestOutage: old keys are used for a while, and then nobody is known. The time of
// day makes no difference.
func TestOutage(t *testing.T) {
	c, p := newClock(), newIDP(t)
	es := ecPair(t, "es")
	p.serve(es.public())
	a := authenticator(t, clinicOnly, c, p.client())
	ask := func() string { return identify(a, request(t, bearer(es.sign(t, good(c)))...)) }
	want(t, "at first", ask(), "clinic")
	p.answer(says(500, ""), nil)
	for c.uptime() < keysLive-time.Minute {
		c.advance(time.Minute)
		want(t, "during the outage", ask(), "clinic")
		waitFor(a)
	}
	c.wall.Add(-3600 * 24)
	want(t, "the clock was set back", ask(), "clinic")
	waitFor(a)
	c.wall.Add(3600 * 48)
	want(t, "the clock was set forward", ask(), "clinic")
	waitFor(a)
	c.advance(time.Minute)
	want(t, "after an hour", ask(), "503 The keys of "+issuer+" cannot be had, so that no token of it can be accepted: it answers with status 500")
	p.answer(nil, nil)
	c.advance(retryAfter)
	want(t, "afterwards", ask(), "clinic")
}

// TestManyAtOnce: a hundred callers at once are one fetch.
func TestManyAtOnce(t *testing.T) {
	c, p := newClock(), newIDP(t)
	es := ecPair(t, "es")
	p.serve(es.public())
	a := authenticator(t, clinicOnly, c, p.client())
	token := es.sign(t, good(c))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { want(t, "one of many", identify(a, request(t, bearer(token)...)), "clinic") })
	}
	all.Wait()
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, expected 1", n)
	}
}

// TestMostSpecific: of the callers whose token it is, the one that asks for most.
func TestMostSpecific(t *testing.T) {
	c, p := newClock(), newIDP(t)
	es := ecPair(t, "es")
	p.serve(es.public())
	a := authenticator(t, app+`
  - {name: all, oidc: "`+issuer+`", audience: whisper, may: [query]}
  - {name: clinic, oidc: "`+issuer+`", audience: whisper, claim: {org: clinic}, may: [query]}
  - {name: same, oidc: "`+issuer+`", audience: whisper, claim: {sub: somebody}, may: [query]}
  - {name: doctor, oidc: "`+issuer+`", audience: whisper, claim: {org: clinic, role: doctor}, may: [query]}
  - {name: app, oidc: "`+issuer+`", audience: other, claim: {azp: app}, may: [query]}
`, c, p.client())
	for name, g := range map[string]claims{
		"all": good(c).with("org", nil).with("sub", nil), "clinic": good(c), "same": good(c).with("org", "x"), "doctor": good(c).with("role", "doctor"),
		"app": good(c).with("aud", []string{"a", "other"}).with("azp", "app"),
	} {
		want(t, name, identify(a, request(t, bearer(es.sign(t, g))...)), name)
	}
}

// TestRememberedTokens: a token that was verified once is still judged in all that
// can change, and no other is taken for it.
func TestRememberedTokens(t *testing.T) {
	c, p := newClock(), newIDP(t)
	es := ecPair(t, "es")
	p.serve(es.public())
	a := authenticator(t, clinicOnly, c, p.client())
	remembered := a.providers[issuer]
	token := es.sign(t, good(c))
	ask := func(token string) string { return identify(a, request(t, bearer(token)...)) }
	for range 2 {
		want(t, "sent twice", ask(token), "clinic")
	}
	if n := len(remembered.verified); n != 1 {
		t.Errorf("%d tokens are remembered", n)
	}
	cut := strings.LastIndex(token, ".") + 1
	want(t, "with another signature", ask(token[:cut]+strings.Repeat("A", 86)), "signature is not by")
	if n := len(remembered.verified); n != 1 {
		t.Errorf("%d tokens are remembered after one that was refused", n)
	}
	c.wall.Add(400)
	want(t, "expired since", ask(token), "has expired")
	c.wall.Add(-400)
	// Another key under the same id.
	p.serve(ecPair(t, "es").public())
	c.advance(refreshAfter)
	c.wall.Add(-int64(refreshAfter / time.Second))
	want(t, "while new keys are fetched", ask(token), "clinic")
	waitFor(a)
	want(t, "with another key under the same id", ask(token), "signature is not by")
	p.serve(es.public())
	c.advance(refreshAfter)
	c.wall.Add(-int64(refreshAfter / time.Second))
	ask(token)
	waitFor(a)
	for i := range maxVerified {
		remembered.verified[[32]byte{byte(i), byte(i >> 8), 1}] = struct{}{}
	}
	want(t, "when as many are remembered as can be", ask(es.sign(t, good(c).with("jti", "1"))), "clinic")
	if n := len(remembered.verified); n > maxVerified {
		t.Errorf("%d tokens are remembered", n)
	}
}
