package registry

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

func TestParseReference(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for s, want := range map[string]string{
		"nginx":                          "registry-1.docker.io library/nginx latest",
		"nginx:1.27":                     "registry-1.docker.io library/nginx 1.27",
		"acme/whisper":                   "registry-1.docker.io acme/whisper latest",
		"docker.io/nginx":                "registry-1.docker.io library/nginx latest",
		"ghcr.io/acme/a/b:2.4.1":         "ghcr.io acme/a/b 2.4.1",
		"localhost/x:1":                  "localhost x 1",
		"localhost:5000/x":               "localhost:5000 x latest",
		"[::1]:5000/x__y-z":              "[::1]:5000 x__y-z latest",
		"ghcr.io/acme/a@" + digest:       "ghcr.io acme/a  " + digest,
		"ghcr.io/acme/a:2.4.1@" + digest: "ghcr.io acme/a 2.4.1 " + digest,
		"ghcr.io/acme/a:" + strings.Repeat("x", 128): "ghcr.io acme/a " + strings.Repeat("x", 128),
	} {
		r, err := ParseReference(s)
		got := strings.Join([]string{r.Host, r.Repository, r.Tag}, " ")
		if r.Digest != nil {
			got += " " + r.Digest.String()
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, expected %q", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", ":", "/", "/x", "x/", "x//y", "x:", "x:a b", "x:-a", "UPPER", "ghcr.io/", "ghcr.io/X", "a b", "x@", "x@sha256:00", "x@md5:00", "x:@" + digest,
		"ghcr.io/../x", "ghcr.io/x?y", "ghcr.io/x#y", "user@ghcr.io/x", "gh_cr.io/x", "ghcr.io:123456/x", "http://ghcr.io/x", "x:" + strings.Repeat("x", 129),
		strings.Repeat("x/", 128) + "x", "x\n", "x:1\n",
	} {
		if r, err := ParseReference(s); err == nil {
			t.Errorf("%q is read as %+v", s, r)
		}
	}
}

// TestURL: without TLS only to this machine.
func TestURL(t *testing.T) {
	for host, want := range map[string]string{
		"ghcr.io": "https://ghcr.io/v2/x/blobs/y", "localhost:5000": "http://localhost:5000/v2/x/blobs/y", "127.0.0.2": "http://127.0.0.2/v2/x/blobs/y",
		"[::1]:1": "http://[::1]:1/v2/x/blobs/y", "192.0.2.1:5000": "https://192.0.2.1:5000/v2/x/blobs/y", "localhost.example": "https://localhost.example/v2/x/blobs/y",
	} {
		if got := (Reference{Host: host, Repository: "x"}).url("blobs", "y"); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

// answer is a transport that says the same to every request.
type answer func(*http.Request) *http.Response

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// TestTokenService: what a registry may not name as its token service.
func TestTokenService(t *testing.T) {
	for challenge, want := range map[string]string{
		`Bearer realm="http://ghcr.io/token"`:       "expected https",
		`Bearer realm="http://127.0.0.1/token"`:     "expected https",
		`Bearer realm="file:///etc/passwd"`:         "expected a token service",
		`Bearer realm=""`:                           "expected a token service",
		`Bearer`:                                    "expected a token service",
		``:                                          "expected a token service",
		`Digest realm="https://ghcr.io/token"`:      "expected a token service",
		`Bearer realm="https://auth.example/token"`: "auth.example: 401",
		`bearer realm="https://auth.example/token",service="s"`: "auth.example: 401",
	} {
		c := &Client{Limits: oci.DefaultLimits(), HTTP: &http.Client{Transport: answer(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: 401, Status: "401 Unauthorized", Header: http.Header{"Www-Authenticate": {challenge}}, Body: http.NoBody, Request: r}
		})}}
		_, err := c.Resolve(context.Background(), Reference{Host: "ghcr.io", Repository: "x", Tag: "1"}, "linux", "amd64")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, expected %q", challenge, err, want)
		}
	}
}
