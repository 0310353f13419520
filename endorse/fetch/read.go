package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/blindbox/blindbox/endorse/source"
)

// badAnswer is an answer that asking again would not better.
type badAnswer struct{ seen string }

func (b *badAnswer) Error() string { return b.seen }

func bad(format string, args ...any) error { return &badAnswer{fmt.Sprintf(format, args...)} }

// read takes the object out of an answer with status 200.
func (c *Client) read(ctx context.Context, o source.Object, resp *http.Response) (Answer, error) {
	if err := checkHeader(o, resp); err != nil {
		return Answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, o.Limit()+1))
	switch {
	case err != nil:
		return Answer{}, err
	case int64(len(body)) > o.Limit():
		return Answer{}, bad("more than %d bytes, the limit for a %s", o.Limit(), o.Form())
	case len(body) == 0:
		return Answer{}, bad("nothing, with status 200")
	case !looksLike(o.Form(), body):
		return Answer{}, bad("%q.., which is no %s", body[:min(len(body), 16)], o.Form())
	}
	data, err := o.Unwrap(body)
	if err != nil {
		return Answer{}, bad("%v", err)
	}
	chain, err := issuerChain(o, resp.Header)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Data: data, Chain: chain}, nil
}

// checkHeader refuses what need not be read to be refused.
func checkHeader(o source.Object, resp *http.Response) error {
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return bad("content encoding %.40q, expected none", e)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && (t == "text/html" || t == "application/xhtml+xml") {
		return bad("a web page (%s)", t)
	}
	if resp.ContentLength > o.Limit() {
		return bad("%d bytes, the limit for a %s is %d", resp.ContentLength, o.Form(), o.Limit())
	}
	return nil
}

// looksLike compares the first byte: DER objects are all sequences (X.690, 8.9),
// the rest are JSON objects. Pages and plain-text errors end here.
func looksLike(f source.Form, body []byte) bool {
	switch f {
	case source.FormVCEK, source.FormCRL, source.FormOCSP:
		return body[0] == 0x30
	default:
		body = bytes.TrimLeft(body, " \t\r\n")
		return len(body) > 0 && body[0] == '{'
	}
}

// older is the name that the header had before version 4 of Intel's API; some
// caches still send it.
const older = "SGX-TCB-Info-Issuer-Chain"

// issuerChain reads the certificates that Intel sends in a header, PEM in
// percent encoding (PCS API v4). '+' is a letter of PEM and no space.
func issuerChain(o source.Object, h http.Header) ([]byte, error) {
	name := o.IssuerHeader()
	if name == "" {
		return nil, nil
	}
	values := h.Values(name)
	if len(values) == 0 && o.Form() == source.FormTCBInfo {
		values = h.Values(older)
	}
	if len(values) != 1 {
		return nil, bad("%d headers %s, expected one", len(values), name)
	}
	text, err := url.PathUnescape(values[0])
	switch {
	case err != nil:
		return nil, bad("header %s is not in percent encoding", name)
	case len(text) == 0 || len(text) > source.MaxChain:
		return nil, bad("header %s of %d bytes, expected 1 to %d", name, len(text), source.MaxChain)
	}
	return []byte(text), nil
}
