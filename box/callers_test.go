package box

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/examples/tumour"
)

// workload makes an authority and a certificate with a SPIFFE id by it.
func workload(t testing.TB, id string) (ca string, cert *tls.Certificate) {
	t.Helper()
	sign := func(template, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
		template.SerialNumber, template.BasicConstraintsValid = big.NewInt(1), true
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), byKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rootKey, leafKey := key(), key()
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER := sign(root, root, rootKey, rootKey)
	leaf := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	leaf.URIs = []*url.URL{u}
	leafDER := sign(leaf, root, leafKey, rootKey)
	return fmt.Sprintf("sha256:%x", sha256.Sum256(rootDER)), &tls.Certificate{Certificate: [][]byte{leafDER, rootDER}, PrivateKey: leafKey}
}

// provider is an identity provider on this machine, and a client that reaches it
// by its name.
func provider(t testing.TB, key *ecdsa.PrivateKey) *http.Client {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}})
			return
		}
		_, _ = io.WriteString(w, `{"issuer":"https://example.com","jwks_uri":"https://example.com/keys"}`)
	}))
	t.Cleanup(s.Close)
	tr := s.Client().Transport.(*http.Transport).Clone()
	tr.TLSClientConfig.ServerName = "example.com"
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	return &http.Client{Transport: tr}
}

func token(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCallersThroughTheGate: certificates and tokens, all the way to the app.
func TestCallersThroughTheGate(t *testing.T) {
	const id = "spiffe://clinic.example/app"
	ca, cert := workload(t, id)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	more := "  - {name: workload, certificate: {ca: " + ca + ", spiffe: \"" + id + "\"}, may: [query], paths: [/caller]}\n" +
		"  - {name: doctor, oidc: \"https://example.com\", audience: whisper, claim: {org: clinic}, may: [query], paths: [/caller]}\n"
	decided := make(chan ingress.Decision, 100)
	b := serve(t, Config{Policy: parsed(t, self(t, "talk", more)), Identity: provider(t, key), Decided: func(d ingress.Decision) { decided <- d }})
	now := time.Now().Unix()
	good := map[string]any{"iss": "https://example.com", "aud": "whisper", "org": "clinic", "iat": now, "exp": now + 600}
	bad := map[string]any{"iss": "https://example.com", "aud": "other", "org": "clinic", "iat": now, "exp": now + 600}
	for _, proto := range []string{"http/1.1", "h2"} {
		plain, shows := b.client(t, proto), b.clientWith(t, proto, cert)
		for _, tc := range []struct {
			client *http.Client
			path   string
			auth   string
			want   string
		}{
			{plain, "/caller", "Bearer " + clinicKey, "200 clinic"},
			{shows, "/caller", "", "200 workload"},
			{shows, "/caller", "Bearer " + clinicKey, "200 clinic"},
			{shows, "/echo", "", "403"},
			{plain, "/caller", "", "401"},
			{plain, "/caller", "Bearer " + token(t, key, good), "200 doctor"},
			{shows, "/caller", "Bearer " + token(t, key, good), "200 doctor"},
			{plain, "/caller", "Bearer " + token(t, key, bad), "401"},
			{shows, "/caller", "Bearer " + token(t, key, bad), "401"},
		} {
			resp, text := do(t, tc.client, request(t, "GET", tc.path, nil, "Authorization", tc.auth))
			got := fmt.Sprint(resp.StatusCode, " ", text)
			if got != tc.want && !(len(tc.want) == 3 && strings.HasPrefix(got, tc.want)) {
				t.Errorf("%s %s %.30s: %.200s, expected %s", proto, tc.path, tc.auth, got, tc.want)
			}
			if d := <-decided; d.Allowed != (resp.StatusCode == 200) || d.Allowed && "200 "+d.Caller != tc.want {
				t.Errorf("%s %.30s: told %+v", tc.path, tc.auth, d)
			}
			if strings.Contains(text, tc.auth) && tc.auth != "" {
				t.Error("the answer repeats a secret")
			}
		}
	}
}

// clientWith shows a certificate.
func (r *running) clientWith(t testing.TB, proto string, cert *tls.Certificate) *http.Client {
	t.Helper()
	c, err := atls.NewClient(atls.ClientConfig{
		Kinds: []attest.Kind{attest.SimSNP}, NextProtos: []string{proto}, Skew: time.Minute, Certificate: cert,
		Check: func(context.Context, atls.Presented) (any, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.DialContext(ctx, network, r.addr)
		},
		ForceAttemptHTTP2: proto == "h2", DisableCompression: true, MaxIdleConnsPerHost: 100,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestModelsOfACaller: a caller that is limited to models reaches no other, by
// any spelling that the server understands.
func TestModelsOfACaller(t *testing.T) {
	doc := "name: m\nmodels: [{name: a, builtin: tumour}, {name: b, builtin: tumour}]\ncallers:\n  - {name: clinic, api_key: " + hash(clinicKey) + ", may: [query], models: [a]}\n"
	b := serve(t, Config{Policy: parsed(t, doc), Builtin: map[string][]byte{"tumour": tumour.Model()}})
	c := b.client(t, "h2")
	for path, want := range map[string]int{
		"/v2/models/a": 200, "/v2/models/a/": 200, "/v2/models/a/versions/1": 200, "/v2/models/a/ready": 200,
		"/v2/models/b": 403, "/v2/models/b/": 403, "/v2/models/b/versions/1": 403, "/v2/models/b/ready": 403, "/v2/models/b/infer": 403,
		"/v2": 403, "/v2/health/live": 403, "/v2/models": 403, "/v2/models/": 403, "/v2/models/a%2f..%2fb": 400, "/V2/models/a": 403, "/x/models/a": 403,
	} {
		if resp, text := do(t, c, request(t, "GET", path, nil)); resp.StatusCode != want {
			t.Errorf("%s: %d %.100s, expected %d", path, resp.StatusCode, text, want)
		}
	}
	app := serve(t, Config{Policy: parsed(t, self(t, "talk", "  - {anyone: true, may: [query], models: [a]}\n"))})
	if resp, _ := do(t, app.client(t, "h2"), request(t, "GET", "/v2/models/a", nil, "Authorization", "")); resp.StatusCode != 403 {
		t.Errorf("an app's paths name a model: %d", resp.StatusCode)
	}
}
