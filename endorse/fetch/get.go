package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/endorse/source"
)

// Answer is what a server sent. Nobody has looked at its signature.
type Answer struct {
	Data []byte // the signed object itself
	// Chain is the issuers' certificates, PEM, where they come beside the object;
	// nil elsewhere.
	Chain []byte
}

// Get fetches one object. Its error is an [*Error], or the context's where the
// caller gave up.
func (c *Client) Get(ctx context.Context, o source.Object) (Answer, error) {
	if !o.Valid() {
		return Answer{}, errors.New("fetch: no object to fetch")
	}
	began := c.opt.Now()
	total := c.opt.Total
	if deadline, ok := ctx.Deadline(); ok {
		total = min(total, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.Total)
	defer cancel()
	for asked := 1; ; asked++ {
		a, failure, wait := c.ask(ctx, o)
		if failure == nil {
			return a, nil
		}
		failure.Asked = asked
		left := total - c.opt.Now().Sub(began)
		wait, again := c.pause(failure, wait, left, asked)
		if !again || c.opt.Sleep(ctx, wait) != nil {
			return Answer{}, failure
		}
	}
}

// pause decides whether to ask again, and when. wait is what the server asked
// for; negative means that asking again is of no use.
func (c *Client) pause(e *Error, wait, left time.Duration, asked int) (time.Duration, bool) {
	if wait < 0 || asked >= c.opt.Attempts {
		return 0, false
	}
	own := min(firstWait<<(asked-1), longestWait)
	// Half of it is chance, so that clients that failed together come back apart.
	own = own/2 + time.Duration(c.opt.Jitter()*float64(own/2))
	if wait = max(wait, own); wait >= left {
		e.Answered += tooLong(wait, left)
		return 0, false
	}
	return wait, true
}

// never is the wait after which nobody asks again.
const never = -1

// ask sends one request. It returns how long the server wants to be left alone.
func (c *Client) ask(ctx context.Context, o source.Object) (Answer, *Error, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, c.opt.Attempt)
	defer cancel()
	e := &Error{Object: o, Host: c.host(o), Code: CodeUnavailable}
	req, err := c.request(ctx, o)
	if err != nil {
		e.Answered, e.Fix, e.Cause = err.Error(), fixNetwork, err
		return Answer{}, e, never
	}
	resp, err := c.opt.Transport.RoundTrip(req)
	if err != nil {
		e.Answered, e.Fix, e.Cause = c.describe(ctx, "no answer", err), fixNetwork, err
		return Answer{}, e, 0
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Answer{}, e, c.refused(e, resp)
	}
	a, err := c.read(ctx, o, resp)
	var bad *badAnswer
	switch {
	case err == nil:
		return a, nil, 0
	case errors.As(err, &bad):
		e.Code, e.Status, e.Answered, e.Fix = CodeBad, resp.StatusCode, bad.seen, fixProxy
		return Answer{}, e, never
	}
	e.Status, e.Answered, e.Fix, e.Cause = resp.StatusCode, c.describe(ctx, "an answer that broke off", err), fixNetwork, err
	return Answer{}, e, 0
}

func (c *Client) request(ctx context.Context, o source.Object) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if o.Body() != nil {
		method, body = http.MethodPost, bytes.NewReader(o.Body())
	}
	req, err := http.NewRequestWithContext(ctx, method, c.address(o), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "blindbox")
	req.Header.Set("Accept-Encoding", "identity")
	if body != nil {
		req.Header.Set("Content-Type", "application/ocsp-request")
	}
	return req, nil
}

// describe tells a deadline of ours from a fault of theirs.
func (c *Client) describe(ctx context.Context, what string, err error) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return what + " in time"
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return what + " before the caller gave up"
	}
	return what + " (" + err.Error() + ")"
}

// refused fills in e for a status other than 200.
func (c *Client) refused(e *Error, resp *http.Response) time.Duration {
	e.Status = resp.StatusCode
	e.Answered = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	e.Fix = fixFor(e.Object, resp.StatusCode)
	switch s := resp.StatusCode; {
	case s >= 300 && s < 400:
		// A vendor's path has no other place. Following would let whoever answers
		// choose the host.
		e.Code, e.Answered = CodeBad, e.Answered+", a redirect, which is not followed"
		return never
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s >= 500:
		return retryAfter(resp.Header.Get("Retry-After"), c.opt.Now())
	}
	return never
}

// retryAfter reads the header in either of its forms (RFC 9110, 10.2.3); 0 if
// there is none that can be read.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
