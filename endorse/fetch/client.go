package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/blindbox/blindbox/endorse/source"
)

// Options are how to fetch. The zero value fetches from the vendors themselves.
type Options struct {
	// Mirror is the base URL of a server that has what all vendors have under
	// their own paths, such as http://mirror.internal:8460. It is not trusted:
	// what it serves is signed by the vendors. "" means the vendors' own hosts.
	Mirror string
	// Transport sends the requests; nil means [NewTransport].
	Transport http.RoundTripper
	// Total bounds everything for one object, waiting included; default 15 s.
	// The deadline of the caller's context counts as well.
	Total time.Duration
	// Attempt bounds one request from its connection to its last byte; default 5 s.
	Attempt time.Duration
	// Attempts is how often one object is asked for at most; default 4.
	Attempts int

	// For tests: the clock, how to wait, and a number from 0 to 1 that spreads
	// the waits of many clients. nil means the real ones.
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Jitter func() float64
}

// Defaults.
const (
	DefaultTotal    = 15 * time.Second
	defaultAttempt  = 5 * time.Second
	defaultAttempts = 4
	firstWait       = 500 * time.Millisecond
	longestWait     = 4 * time.Second
	maxHeaders      = 64 << 10 // bytes of a response's header, Intel's chains included
)

// Client fetches objects. It is safe for concurrent use.
type Client struct {
	opt    Options
	mirror *url.URL // nil: the vendors
}

// New checks the options.
func New(opt Options) (*Client, error) {
	c := &Client{opt: opt}
	if opt.Total < 0 || opt.Attempt < 0 || opt.Attempts < 0 {
		return nil, fmt.Errorf("fetch: total %s, attempt %s, attempts %d: expected none below 0", opt.Total, opt.Attempt, opt.Attempts)
	}
	if opt.Mirror != "" {
		u, err := parseMirror(opt.Mirror)
		if err != nil {
			return nil, err
		}
		c.mirror = u
	}
	c.opt.defaults()
	return c, nil
}

func (o *Options) defaults() {
	if o.Total == 0 {
		o.Total = DefaultTotal
	}
	if o.Attempt == 0 {
		o.Attempt = defaultAttempt
	}
	if o.Attempts == 0 {
		o.Attempts = defaultAttempts
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
}

// parseMirror refuses what would send secrets or could not be joined with a path.
func parseMirror(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch: mirror: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return nil, errors.New("fetch: mirror: expected http://HOST[:PORT][/PATH] or https://, without a user, a query or a fragment")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// address returns where an object is asked for.
func (c *Client) address(o source.Object) string {
	if c.mirror != nil {
		return c.mirror.Scheme + "://" + c.mirror.Host + c.mirror.EscapedPath() + o.Path()
	}
	return "https://" + o.Host().String() + o.Path()
}

// host names who is asked.
func (c *Client) host(o source.Object) string {
	if c.mirror != nil {
		return "mirror " + c.mirror.Host
	}
	return o.Host().String()
}

// NewTransport returns a transport with a bound on everything that a server can
// drag out. It does not unpack anything, so no small answer becomes a large one.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: defaultAttempt}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    defaultAttempt,
		ResponseHeaderTimeout:  defaultAttempt,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    1,
		MaxConnsPerHost:        2,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true,
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
