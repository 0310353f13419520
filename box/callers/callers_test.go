package callers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	clinicKey = "a-key-of-the-clinic-0001"
	guestKey  = "a-key-of-a-guest-00000002"
)

func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

const anyone = "  - {anyone: true, may: [query]}\n"

var keyed = app + "  - {name: clinic, api_key: " + hash(clinicKey) + ", may: [query]}\n" +
	"  - {name: guest, api_key: " + hash(guestKey) + ", may: [query], expires: 2026-06-01T12:00:10Z}\n"

// TestKeys: a key that is not in the policy, or not any more, is nobody's.
func TestKeys(t *testing.T) {
	c := newClock()
	for _, doc := range []string{keyed, keyed + anyone} {
		c.wall.Store(newClock().wall.Load())
		a := authenticator(t, doc, c, nil)
		ask := func(headers ...string) string { return identify(a, request(t, headers...)) }
		nobody := "401 There is no API key"
		if strings.Contains(doc, "anyone") {
			nobody = "anyone"
		}
		want(t, "key", ask(bearer(clinicKey)...), "clinic")
		want(t, "key in our header", ask("Blindbox-Key", clinicKey), "clinic")
		want(t, "guest", ask(bearer(guestKey)...), "guest")
		want(t, "nothing", ask(), nobody)
		want(t, "another's key", ask(bearer("of-the-app-itself-0000003")...), nobody)
		want(t, "another's key in our header", ask("Blindbox-Key", "of-another-box-000000003"), "401 The header Blindbox-Key")
		want(t, "an empty key in our header", ask("Blindbox-Key", ""), "401 The header Blindbox-Key")
		want(t, "two of ours", ask("Blindbox-Key", clinicKey, "Blindbox-Key", clinicKey), "400 A header")
		want(t, "two bearers", ask("Authorization", "Bearer "+clinicKey, "Authorization", "Bearer "+clinicKey), "400 A header")
		want(t, "both headers", ask("Blindbox-Key", clinicKey, "Authorization", "Bearer "+guestKey), "clinic")
		want(t, "two in one header", ask("Authorization", "Bearer "+clinicKey+", Bearer "+guestKey), nobody)
		want(t, "another scheme", ask("Authorization", "Basic "+clinicKey), nobody)
		c.advance(9 * time.Second)
		want(t, "a second before it expires", ask(bearer(guestKey)...), "guest")
		c.advance(time.Second)
		want(t, "expired", ask(bearer(guestKey)...), "401 The policy knows this caller only until 2026-06-01T12:00:10Z.")
		want(t, "expired, in our header", ask("Blindbox-Key", guestKey), "401 The policy knows this caller only until")
		want(t, "the other", ask(bearer(clinicKey)...), "clinic")
	}
	// Revoked is what is not in the policy.
	revoked := authenticator(t, strings.Replace(keyed, hash(clinicKey), hash("another-key-of-the-clinic"), 1), c, nil)
	want(t, "revoked", identify(revoked, request(t, bearer(clinicKey)...)), "401 There is no API key")
}

func TestAnyoneExpires(t *testing.T) {
	c := newClock()
	a := authenticator(t, app+"  - {anyone: true, may: [query], expires: 2026-06-01T12:00:10Z}\n", c, nil)
	want(t, "before", identify(a, request(t)), "anyone")
	c.advance(10 * time.Second)
	want(t, "after", identify(a, request(t)), "401 The policy knows this caller only until")
}

// TestWhatIsRemoved: what the box was shown goes no further, good or not, and
// what is the app's stays.
func TestWhatIsRemoved(t *testing.T) {
	c, p := newClock(), newIDP(t)
	es, foreign := ecPair(t, "es"), ecPair(t, "es")
	p.serve(es.public())
	a := authenticator(t, keyed+`  - {name: token, oidc: "`+issuer+`", audience: whisper, may: [query]}`+"\n"+anyone, c, p.client())
	token, expired := es.sign(t, good(c)), es.sign(t, good(c).with("exp", c.now().Unix()-100))
	apps := es.sign(t, good(c).with("iss", "https://app.example"))
	for _, tc := range []struct {
		key, auth, want string
		stays           bool // Authorization
	}{
		{"", "Bearer " + clinicKey, "clinic", false},
		{"", "Bearer " + token, "token", false},
		{"", "bearer  " + token + " ", "token", false},
		{"", "Bearer " + expired, "401 The token is not accepted: it has expired.", false},
		{"", "Bearer " + foreign.sign(t, good(c)), "401 ", false},
		{"", "Bearer eyJhbGciOiJub25lIn0.x.", "401 ", false},
		{"", "Bearer " + token + strings.Repeat("A", 8<<10), "401 ", false},
		{"", "Bearer " + guestKey, "guest", false},
		{"", "Bearer " + apps, "anyone", true},
		{"", "Bearer of-the-app", "anyone", true},
		{"", "Basic eDp5", "anyone", true},
		{token, "Bearer of-the-app", "token", true},
		{token, "", "token", false},
		{clinicKey, "Bearer " + token, "clinic", false},
		{clinicKey, "Bearer " + expired, "clinic", false},
		{expired, "Bearer " + clinicKey, "401 ", false},
		{token, "Bearer " + clinicKey, "token", false},
		{apps, "Bearer " + clinicKey, "401 The header Blindbox-Key", false},
	} {
		r := request(t)
		if tc.key != "" {
			r.Header.Set("Blindbox-Key", tc.key)
		}
		if tc.auth != "" {
			r.Header.Set("Authorization", tc.auth)
		}
		what := fmt.Sprintf("key %.30q, authorization %.30q", tc.key, tc.auth)
		want(t, what, identify(a, r), tc.want)
		if r.Header["Blindbox-Key"] != nil || (r.Header["Authorization"] != nil) != tc.stays {
			t.Errorf("%s: left %.60q", what, r.Header)
		}
	}
}

// TestNothingIsRepeated: no part of a secret is in a refusal.
func TestNothingIsRepeated(t *testing.T) {
	const canary = "CANARY7f3a91d2"
	c, p := newClock(), newIDP(t)
	es := ecPair(t, "es")
	p.serve(es.public())
	a := authenticator(t, clinicOnly, c, p.client())
	g := good(c).with("sub", canary)
	for _, secret := range []string{
		canary + canary, "eyJ" + canary + "." + canary + ".x", es.sign(t, g.with("exp", nil)), es.sign(t, g.with("aud", canary)),
		es.sign(t, g.with("org", canary)), pair{es.alg, es.private, canary}.sign(t, g), es.sign(t, `{"`+canary+`":1,"`+canary+`":2}`),
		forge(`{"alg":"`+canary+`"}`, `{"iss":"`+issuer+`"}`, func(string) []byte { return nil }), es.sign(t, g.with("iss", canary)),
	} {
		for _, header := range [][]string{bearer(secret), {"Blindbox-Key", secret}} {
			_, refused := a.Identify(request(t, header...))
			if refused == nil {
				t.Fatalf("%.40s: not refused", secret)
			}
			if text := fmt.Sprintf("%+v", *refused); strings.Contains(strings.ToLower(text), strings.ToLower(canary)) || strings.Contains(text, secret[:12]) {
				t.Errorf("%.40s: in %s", secret, text)
			}
			if refused.Fix == "" || refused.Detail == "" || !strings.HasPrefix(refused.Challenge, `Bearer realm="blindbox"`) {
				t.Errorf("incomplete: %+v", refused)
			}
		}
	}
}

// TestChallenges: WWW-Authenticate says whether a token was there (RFC 6750).
func TestChallenges(t *testing.T) {
	c := newClock()
	a := authenticator(t, keyed, c, nil)
	_, none := a.Identify(request(t))
	c.advance(time.Hour)
	_, old := a.Identify(request(t, bearer(guestKey)...))
	if none.Challenge != realm || none.Line != 0 || old.Challenge != realm+`, error="invalid_token"` || old.Line != 5 {
		t.Errorf("%+v and %+v", none, old)
	}
}

func TestNew(t *testing.T) {
	c := newClock()
	box := app + "  - {name: other, attested: {kind: sgx, measurement: \"" + strings.Repeat("ab", 32) + "\", policy: " + hash("policy") + "}, may: [query]}\n"
	for name, cfg := range map[string]Config{
		"no policy":       {Now: c.now},
		"no clock":        {Policy: parsed(t, keyed)},
		"no client":       {Policy: parsed(t, clinicOnly), Now: c.now, Uptime: c.uptime},
		"no uptime":       {Policy: parsed(t, clinicOnly), Now: c.now, Client: NewClient()},
		"an attested box": {Policy: parsed(t, box), Now: c.now, Uptime: c.uptime, Client: NewClient()},
	} {
		if a, err := New(cfg); err == nil || a != nil || !strings.HasPrefix(err.Error(), "callers: ") {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	client := NewClient()
	if _, err := New(Config{Policy: parsed(t, clinicOnly), Now: c.now, Uptime: c.uptime, Client: client}); err != nil || client.CheckRedirect != nil {
		t.Errorf("%v; the client was changed", err)
	}
}
