package connect_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"

	"github.com/blindbox/blindbox/internal/connect"
	"github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb"
	"github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb/inferencepbconnect"
)

// asked records what reaches the box, and answers that it is ready.
func asked(seen *[]string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		*seen = append(*seen, r.Method+" "+r.URL.String()+" "+r.Host+" "+r.Header.Get("Authorization"))
		body := io.NopCloser(strings.NewReader(`{"ready":true}`))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r}, nil
	}
}

func ready(t *testing.T, f *fixture) (*inferencepb.ServerReadyResponse, error) {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	c := inferencepbconnect.NewGRPCInferenceServiceClient(&http.Client{Transport: tr}, f.url, rpc.WithGRPC())
	return c.ServerReady(t.Context(), &inferencepb.ServerReadyRequest{})
}

// TestInference: a gRPC client of a box that runs models is answered over HTTP, with
// the key, and through the same door for web pages.
func TestInference(t *testing.T) {
	var seen []string
	f := start(t, func(c *connect.Config) {
		c.Transport, c.Inference, c.APIKey = asked(&seen), true, "k"
		c.Target = &url.URL{Scheme: "https", Host: "box.example", Path: "/base/"}
	})
	a, err := ready(t, f)
	if err != nil || !a.Ready || len(seen) != 1 || seen[0] != "GET https://box.example/base/v2/health/ready box.example Bearer k" {
		t.Errorf("%v, %v, %q", a, err, seen)
	}
	res, _ := f.get(t, inferencepbconnect.GRPCInferenceServiceServerReadyProcedure, func(r *http.Request) {
		r.Method = "POST"
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Content-Type", "application/json")
	})
	if res.StatusCode != http.StatusForbidden || len(seen) != 1 {
		t.Errorf("a web page: %s, %q", res.Status, seen)
	}
}

// TestInferenceOfAnApp: an app may speak gRPC itself, and then nothing stands between.
func TestInferenceOfAnApp(t *testing.T) {
	var seen []string
	f := start(t, func(c *connect.Config) { c.Transport = asked(&seen) })
	if _, err := ready(t, f); err == nil || len(seen) != 1 || !strings.Contains(seen[0], inferencepbconnect.GRPCInferenceServiceServerReadyProcedure) {
		t.Errorf("%v, %q", err, seen)
	}
}

// TestInferenceOfARefusedBox: the reason reaches the gRPC client.
func TestInferenceOfARefusedBox(t *testing.T) {
	f := start(t, func(c *connect.Config) {
		c.Inference = true
		c.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("another measurement") })
	})
	if _, err := ready(t, f); rpc.CodeOf(err) != rpc.CodeUnavailable || !strings.Contains(err.Error(), "BBX-203 refused: another measurement") {
		t.Error(err)
	}
}
