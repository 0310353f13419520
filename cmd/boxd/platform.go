package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// platform is what the command line says about the hardware. The zero value is
// a machine with one kind of it.
type platform struct {
	kinds                   []string
	gpuHelper, switchHelper []string
}

// words is a flag's value that holds several words.
type words struct {
	to  *[]string
	sep string
}

func (w words) String() string { return "" }

func (w words) Set(text string) error {
	*w.to = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(w.sep, r) })
	if len(*w.to) == 0 {
		return fmt.Errorf("nothing named")
	}
	return nil
}

// hostQuotes is where an Azure host makes a TD quote from a TDREPORT (Microsoft,
// "Azure Instance Metadata Service", /acc/tdquote). The address is link-local:
// whoever answers there is the host, which is not trusted with more than to
// answer at all.
const hostQuotes = "http://169.254.169.254/acc/tdquote"

const (
	hostLimit    = 20 * time.Second
	maxHostReply = 128 << 10
)

// askHost returns a function that has the host at url quote a TDREPORT. It uses
// no proxy and follows no redirect.
func askHost(url string) func(context.Context, []byte) ([]byte, error) {
	client := &http.Client{
		Timeout:       hostLimit,
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, tdreport []byte) ([]byte, error) {
		body, err := json.Marshal(map[string]string{"report": base64.RawURLEncoding.EncodeToString(tdreport)})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Metadata", "true")
		return quoteFrom(client.Do(req))
	}
}

func quoteFrom(res *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the host answers %s, expected 200", res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxHostReply+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxHostReply {
		return nil, fmt.Errorf("the host answers with more than %d bytes", maxHostReply)
	}
	var reply struct {
		Quote string `json:"quote"`
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return nil, fmt.Errorf("the host's answer: %w", err)
	}
	quote, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(reply.Quote, "="))
	if err != nil || len(quote) == 0 {
		return nil, fmt.Errorf("the host's answer holds no quote in base64url: %d bytes", len(quote))
	}
	return quote, nil
}
