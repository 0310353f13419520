package ingress

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// connections opens connections to the app. As a rule one carries one request:
//
//   - An app that leaves a body unread would take it for the next request, with
//     a Blindbox-Caller of the sender's choice.
//   - What an app says beyond its answer, because its Content-Length counts
//     characters, say, would be the answer to whoever comes next: net/http hands
//     a connection to a request that waits before it looks what is left on it.
//
// A GET without a body leaves nothing to be taken for a request, and if the next
// on that connection is of the same caller, nobody gets what is not his. So each
// caller with a key has connections of its own that are kept after such a GET.
// Behind `anyone` there may be many people: nothing is kept for them.
type connections struct {
	single *http.Transport
	kept   map[string]*http.Transport // by the caller's name, which is unique in a policy
}

// maxKept bounds the idle connections for one caller.
const maxKept = 32

func newConnections(dial func(context.Context) (net.Conn, error), p *policy.Policy) *connections {
	transport := func() *http.Transport {
		return &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				return dial(ctx)
			},
			DisableCompression:     true,
			MaxResponseHeaderBytes: 256 << 10,
		}
	}
	c := &connections{single: transport(), kept: map[string]*http.Transport{}}
	c.single.DisableKeepAlives = true
	for _, caller := range p.Callers {
		if !isOne(&caller) {
			continue
		}
		t := transport()
		t.MaxIdleConns = min(p.Limits.Concurrent, maxKept)
		t.MaxIdleConnsPerHost = t.MaxIdleConns
		t.IdleConnTimeout = time.Minute
		c.kept[caller.Name] = t
	}
	return c
}

// isOne reports whether a caller is one that holds a key, has a certificate in its
// name or is one subject of a provider. An authority issues certificates to many,
// and a claim such as a company's name is in the tokens of many.
func isOne(c *policy.Caller) bool {
	switch {
	case c.Certificate != nil:
		return c.Certificate.SPIFFE != "" || c.Certificate.Subject != ""
	case c.OIDC != nil:
		return c.OIDC.Claims["sub"] != ""
	}
	return c.APIKey != nil
}

func (c *connections) RoundTrip(r *http.Request) (*http.Response, error) {
	if t := c.kept[r.Header.Get("Blindbox-Caller")]; t != nil && mayBeFollowed(r) {
		return t.RoundTrip(r)
	}
	return c.single.RoundTrip(r)
}

// mayBeFollowed reports whether nothing of a request can be left over.
func mayBeFollowed(r *http.Request) bool {
	noBody := r.Body == nil || r.Body == http.NoBody
	return r.Method == http.MethodGet && noBody && r.ContentLength == 0 && r.Header.Get("Upgrade") == ""
}
