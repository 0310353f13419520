package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
)

// RoundTrip sends a request to the box in its URL, after that box has proven
// itself. Only https URLs are accepted.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || req.URL.Scheme != "https" {
		closeBody(req)
		return nil, fmt.Errorf("client: scheme %q, expected https", scheme(req))
	}
	e := c.engine.Load()
	resp, stale, err := c.send(e, req)
	var cut *atls.CutError
	if errors.As(err, &cut) && (stale || idempotent(req.Method)) {
		// A connection that lay idle while the machine slept, say. The box gets
		// a chance to prove itself.
		if again, ok := rewound(req); ok {
			e.closeIdle()
			resp, _, err = c.send(e, again)
		}
	}
	return resp, err
}

// send makes one attempt. stale reports that it was made over a connection
// whose proof was already too old, so that the box has seen nothing of it.
func (c *Client) send(e *engine, req *http.Request) (resp *http.Response, stale bool, err error) {
	seen := trace{now: c.options.now}
	out := req.Clone(seen.in(req.Context()))
	if c.options.apiKey != "" && req.Header.Get("Authorization") == "" {
		if out.Header == nil {
			out.Header = make(http.Header)
		}
		out.Header.Set("Authorization", "Bearer "+c.options.apiKey)
	}
	if resp, err = e.transportFor(req).RoundTrip(out); err != nil {
		return nil, seen.stale.Load(), err
	}
	result := seen.result.Load()
	if result == nil {
		resp.Body.Close()
		return nil, false, errors.New("client: an answer over a connection without a result")
	}
	resp.Request = req.WithContext(context.WithValue(req.Context(), resultKey{}, *result))
	return resp, false, nil
}

// window is how much of a body HTTP/2 sends before it waits for the box to ask for more
// (RFC 9113, section 5.2): a box lets no connection take more of its memory.
const window = 1 << 20

// transportFor chooses the version of HTTP. HTTP/2 has no Upgrade (RFC 9113, section
// 8.6), and sends a window for each way to the box and back, which over 100 ms are 10 MB a
// second: a longer body has a connection of HTTP/1.1 for itself, where TCP finds out how
// much is under way. Bodies whose length nobody said may be half of a conversation, for
// which HTTP/1.1 is no good.
func (e *engine) transportFor(req *http.Request) *http.Transport {
	if req.Header.Get("Upgrade") != "" || req.ContentLength > window {
		return e.single
	}
	return e.transport
}

// trace learns which connection a request goes over.
type trace struct {
	now    func() time.Time
	result atomic.Pointer[appraise.Result]
	stale  atomic.Bool
}

func (t *trace) in(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			session, ok := atls.SessionOf(info.Conn)
			if !ok {
				return
			}
			t.stale.Store(!session.Until.After(t.now()))
			if result, ok := session.Result.(appraise.Result); ok {
				t.result.Store(&result)
			}
		},
	})
}

func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// rewound returns the request with its body at the start, if that can be had.
func rewound(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	out := req.WithContext(req.Context())
	out.Body = body
	return out, true
}

type resultKey struct{}

// ResultFrom returns the Result that the connection of a response rests on. It
// reports false for a response that did not come from a Client.
func ResultFrom(resp *http.Response) (appraise.Result, bool) {
	if resp == nil || resp.Request == nil {
		return appraise.Result{}, false
	}
	result, ok := resp.Request.Context().Value(resultKey{}).(appraise.Result)
	return result, ok
}

// HTTP returns an http.Client that uses c. It follows redirects within one
// origin only, so that no request and no key leaves the box it was meant for.
func (c *Client) HTTP() *http.Client {
	return &http.Client{Transport: c, CheckRedirect: sameOrigin}
}

const maxRedirects = 10

func sameOrigin(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case req.URL.Scheme != "https" || req.URL.Host != first.Host:
		return fmt.Errorf("client: redirect from %s to another origin", first.Host)
	case len(via) >= maxRedirects:
		return fmt.Errorf("client: more than %d redirects", maxRedirects)
	}
	return nil
}

func scheme(req *http.Request) string {
	if req.URL == nil {
		return ""
	}
	return req.URL.Scheme
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
