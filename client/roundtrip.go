package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/blindbox/blindbox/appraise"
)

// RoundTrip sends a request to the box in its URL, after that box has proven
// itself. Only https URLs are accepted.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || req.URL.Scheme != "https" {
		closeBody(req)
		return nil, fmt.Errorf("client: scheme %q, expected https", scheme(req))
	}
	used := new(atomic.Pointer[appraise.Result])
	out := req.Clone(traceResult(req.Context(), used))
	if c.options.apiKey != "" && req.Header.Get("Authorization") == "" {
		if out.Header == nil {
			out.Header = make(http.Header)
		}
		out.Header.Set("Authorization", "Bearer "+c.options.apiKey)
	}
	e := c.engine.Load()
	transport := e.transport
	if req.Header.Get("Upgrade") != "" {
		transport = e.upgrades // HTTP/2 has no Upgrade
	}
	resp, err := transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	result := used.Load()
	if result == nil {
		resp.Body.Close()
		return nil, errors.New("client: an answer over a connection without a result")
	}
	resp.Request = req.WithContext(context.WithValue(req.Context(), resultKey{}, *result))
	return resp, nil
}

// traceResult learns which connection a request went over.
func traceResult(ctx context.Context, used *atomic.Pointer[appraise.Result]) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if result, ok := ResultOf(info.Conn); ok {
				used.Store(&result)
			}
		},
	})
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
