package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
)

type curlOptions struct {
	trust, keyFile string
	cert           certFlags
	attest         attestFlags
	method, file   string
	headers, data  []string
	binary         []string
	include, head  bool
	receipt        string
	force          bool
	fail, silent   bool
	timeout        time.Duration
}

func newCurl(s *session) *cobra.Command {
	var o curlOptions
	cmd := &cobra.Command{
		Use:   "curl [flags] URL",
		Short: "Send one request to a box, after it was verified",
		Long: `Send one request over an attested connection, with those of curl's flags that
are listed below. The verdict goes to standard error, the answer to standard
output. -o is curl's here; the JSON form is --format json.`,
		Args: exactly(1, "one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.format != "text" && s.format != "json" {
				return usage("--format %q, expected text or json", s.format)
			}
			return s.curl(cmd.Context(), args[0], o)
		},
	}
	addTrustFlag(cmd, &o.trust)
	addKeyFlag(cmd, &o.keyFile)
	addCertFlags(cmd, &o.cert)
	addAttestFlags(cmd, &o.attest)
	f := cmd.Flags()
	f.StringVarP(&o.method, "request", "X", "", "method (default GET, with data POST)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "'Name: value'")
	f.StringArrayVarP(&o.data, "data", "d", nil, "body, or @FILE without its line breaks; several are joined by &")
	f.StringArrayVar(&o.binary, "data-binary", nil, "body, or @FILE as it is")
	f.StringVarP(&o.file, "output", "o", "", "write the answer's body to a file")
	f.BoolVarP(&o.include, "include", "i", false, "print the answer's status and headers too")
	f.BoolVarP(&o.head, "head", "I", false, "send HEAD and print status and headers")
	f.BoolVarP(&o.fail, "fail", "f", false, "exit 1 if the status is 400 or higher")
	f.BoolVarP(&o.silent, "silent", "s", false, "do not print the verdict")
	f.StringVar(&o.receipt, "receipt", "", "ask for a receipt, write it to a file, and the evidence for it to FILE.bundle")
	f.BoolVar(&o.force, "force", false, "write over the files of a receipt that are there")
	f.DurationVar(&o.timeout, "timeout", client.DefaultTimeout, "how long to wait for a verdict")
	format := s.format
	f.StringVar(&s.format, "format", "text", "text or json")
	s.format = format
	return cmd
}

func (s *session) curl(ctx context.Context, address string, o curlOptions) error {
	u, err := boxURL(address)
	if err != nil {
		return err
	}
	var judged atomic.Int64 // when there was a verdict, after began
	began := time.Now()
	c, done, err := s.curlClient(o, func(client.Verification) { judged.CompareAndSwap(0, int64(time.Since(began))) })
	if err != nil {
		return err
	}
	defer done()
	req, nonce, err := s.curlRequest(ctx, u, o)
	if err != nil {
		return err
	}
	res, err := c.RoundTrip(req)
	if err != nil {
		return requestRefusal(err)
	}
	defer res.Body.Close()
	if err := s.answer(res, o, time.Duration(judged.Load())); err != nil {
		return err
	}
	if o.receipt != "" {
		if err := s.saveReceipt(c, req, res, o.receipt, nonce, o.force); err != nil {
			return err
		}
	}
	if o.fail && res.StatusCode >= 400 {
		return statusRefusal(res)
	}
	return nil
}

// curlClient makes the client that verifies the box; see hears of each verification.
// done ends it.
func (s *session) curlClient(o curlOptions, see func(client.Verification)) (c *client.Client, done func(), err error) {
	trust, err := s.loadTrust(o.trust, false)
	if err != nil {
		return nil, nil, err
	}
	opts, floored, err := s.withFloors(client.WithTimeout(o.timeout), client.WithClock(s.now), client.WithOnResult(see))
	if err != nil {
		return nil, nil, err
	}
	if opts, err = s.withIdentity(o.attest, opts); err == nil {
		opts, err = s.withCertificate(o.cert, opts)
	}
	if err != nil {
		floored()
		return nil, nil, err
	}
	if c, err = client.New(trust, opts...); err != nil {
		floored()
		return nil, nil, usage("%v", err)
	}
	return c, func() { c.Close(); floored() }, nil
}

// curlRequest is the request with what says who sends it, and that a receipt with this
// nonce is wanted.
func (s *session) curlRequest(ctx context.Context, u *url.URL, o curlOptions) (req *http.Request, nonce string, err error) {
	key, err := s.apiKey(o.keyFile)
	if err != nil {
		return nil, "", err
	}
	if o.receipt != "" {
		if err := s.unwritten(o.force, o.receipt, bundleOf(o.receipt)); err != nil {
			return nil, "", err
		}
	}
	if req, err = s.request(ctx, u, o); err != nil {
		return nil, "", err
	}
	if key != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return req, askReceipt(req, o.receipt), nil
}

// request builds the request. Nothing of it is sent before the verdict.
func (s *session) request(ctx context.Context, u *url.URL, o curlOptions) (*http.Request, error) {
	if u.Path == "" {
		u.Path = "/"
	}
	body, size, err := s.body(o)
	if err != nil {
		return nil, err
	}
	method := o.method
	switch {
	case method != "":
	case o.head:
		method = http.MethodHead
	case body != nil:
		method = http.MethodPost
	default:
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, usage("%v", err)
	}
	if body != nil {
		req.ContentLength = size
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", "blindbox")
	given := http.Header{}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usage("-H %q, expected 'Name: value'", h)
		}
		given.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for name, values := range given {
		req.Header[name] = values
	}
	return req, nil
}

// body returns the request's body and its length, -1 if that is not known.
func (s *session) body(o curlOptions) (io.Reader, int64, error) {
	switch {
	case len(o.data) > 0 && len(o.binary) > 0:
		return nil, 0, usage("give -d or --data-binary, not both")
	case len(o.binary) > 1:
		return nil, 0, usage("give --data-binary once")
	case len(o.binary) == 1:
		return s.binaryBody(o.binary[0])
	case len(o.data) == 0:
		return nil, 0, nil
	}
	var parts [][]byte
	for _, d := range o.data {
		part := []byte(d)
		if name, isFile := strings.CutPrefix(d, "@"); isFile {
			text, err := s.readFile(name, 64<<20)
			if err != nil {
				return nil, 0, err
			}
			part = slices.DeleteFunc(text, func(b byte) bool { return b == '\r' || b == '\n' })
		}
		parts = append(parts, part)
	}
	joined := bytes.Join(parts, []byte("&"))
	return bytes.NewReader(joined), int64(len(joined)), nil
}

// binaryBody streams a file; the transport closes it.
func (s *session) binaryBody(value string) (io.Reader, int64, error) {
	name, isFile := strings.CutPrefix(value, "@")
	switch {
	case !isFile:
		return strings.NewReader(value), int64(len(value)), nil
	case name == "-":
		return io.NopCloser(s.stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	size := int64(-1)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// answer shows the verdict that the connection rests on, then the answer.
func (s *session) answer(res *http.Response, o curlOptions, took time.Duration) error {
	result, ok := client.ResultFrom(res)
	if !ok {
		return fail(catalogue.CodeInternal, "internal", "an answer without a verdict", "")
	}
	v := verdictOf(result)
	if s.json() {
		return s.answerJSON(v, res)
	}
	if !o.silent {
		s.note("%s\n", v.conclusion(took))
	}
	out := s.stdout
	if o.file != "" {
		f, err := os.Create(o.file)
		if err != nil {
			return fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		defer f.Close()
		out = f
	}
	if o.include || o.head {
		var head bytes.Buffer
		head.WriteString(statusLine(res) + "\r\n")
		_ = res.Header.Write(&head)
		head.WriteString("\r\n")
		if _, err := out.Write(head.Bytes()); err != nil {
			return fail(catalogue.CodeFile, "file", err.Error(), "")
		}
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return requestRefusal(err)
	}
	return nil
}

// statusLine is the first line of an answer as curl prints it: from HTTP/2 on
// there is no minor version and no reason.
func statusLine(res *http.Response) string {
	if res.ProtoMajor >= 2 {
		return fmt.Sprintf("HTTP/%d %d", res.ProtoMajor, res.StatusCode)
	}
	return res.Proto + " " + res.Status
}

// maxJSONBody bounds an answer that is put into a JSON document, in bytes.
const maxJSONBody = 64 << 20

func (s *session) answerJSON(v verdict, res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxJSONBody+1))
	if err != nil {
		return requestRefusal(err)
	}
	if len(body) > maxJSONBody {
		return usage("the answer is larger than %s: use -o FILE without --format json", sizes.Exact(maxJSONBody))
	}
	doc := map[string]any{"status": res.StatusCode, "headers": res.Header}
	if utf8.Valid(body) {
		doc["body"] = string(body)
	} else {
		doc["body_base64"] = base64.StdEncoding.EncodeToString(body)
	}
	return s.concludeJSON(v, doc)
}

// statusRefusal is what --fail makes of an error status: the box's own number
// if the answer is the box's own.
func statusRefusal(res *http.Response) *refusal {
	if e, ok := catalogue.Find(res.Header.Get("Blindbox-Error")); ok {
		return fail(e.Codes[0], "box", res.Status, "")
	}
	return fail(catalogue.CodeAppStatus, "app", res.Status, "a status below 400")
}
