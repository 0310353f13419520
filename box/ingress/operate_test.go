package ingress

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/policy"
)

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("none") }

// TestOperatorsSecretIsNotTheApps: what an operator shows where a caller is expected is
// good for nothing, and the app does not see it. What is meant for the app it does.
func TestOperatorsSecretIsNotTheApps(t *testing.T) {
	const operatorKey = "the-key-of-an-operator-1"
	doc := "name: test\napp: {command: [app], listen: 127.0.0.1:1}\ncallers:\n" +
		"  - {name: clinic, api_key: " + hash(clinicKey) + ", may: [query]}\n" +
		"  - {name: staff, oidc: \"https://both.test\", audience: box, may: [query]}\n" +
		"  - {anyone: true, may: [query]}\n" +
		"operators:\n  - {name: oncall, api_key: " + hash(operatorKey) + ", may: [restart]}\n" +
		"  - {name: night, oidc: \"https://both.test\", audience: operators, may: [restart]}\n" +
		"  - {name: day, oidc: \"https://operators.test\", audience: box, may: [restart]}\n"
	who := func(p *policy.Policy) *callers.Authenticator {
		a, err := callers.New(callers.Config{
			Policy: p, Now: time.Now, Uptime: func() time.Duration { return time.Hour }, Client: &http.Client{Transport: noNetwork{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	token := func(issuer string) string {
		part := base64.RawURLEncoding.EncodeToString
		return part([]byte(`{"alg":"ES256","kid":"a"}`)) + "." + part([]byte(`{"iss":"`+issuer+`","aud":"box","sub":"a","exp":4000000000}`)) + "." + part(make([]byte, 64))
	}
	p := parsed(t, doc)
	var got []string
	h := New(Config{
		Policy: p, Callers: who(p), Operators: &Operators{Callers: who(p.ForOperators()), Service: operate.New(operate.Config{})},
		Backend: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }),
	})
	for _, c := range []struct {
		name, secret, key string
		status            int
		app, detail       string
	}{
		{"an operator's key", operatorKey, "", 401, "", "is an operator's"},
		{"beside a caller's", operatorKey, clinicKey, 401, "", "is an operator's"},
		{"an operator's token", token("https://operators.test"), "", 401, "", "is an operator's"},
		{"a token of a provider of both", token("https://both.test"), "", 503, "", "The keys of https://both.test"},
		{"an operator's key as a caller's", "", operatorKey, 401, "", "Blindbox-Key"},
		{"a caller's", clinicKey, "", 200, "", ""},
		{"the app's", "what-only-the-app-knows", "", 200, "Bearer what-only-the-app-knows", ""},
		{"a token for the app", token("https://app.test"), clinicKey, 200, "Bearer " + token("https://app.test"), ""},
	} {
		got = nil
		r := httptest.NewRequest("GET", "/x", nil)
		if c.secret != "" {
			r.Header.Set("Authorization", "Bearer "+c.secret)
		}
		if c.key != "" {
			r.Header.Set("Blindbox-Key", c.key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.detail) || strings.Contains(w.Body.String(), operatorKey) {
			t.Errorf("%s: %d %s, expected %d %s", c.name, w.Code, w.Body, c.status, c.detail)
		}
		if c.status == 200 && (len(got) != 1 || got[0] != c.app) || c.status != 200 && got != nil {
			t.Errorf("%s: the app saw %q", c.name, got)
		}
	}
}
