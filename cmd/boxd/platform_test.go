package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAskHost: the host may answer what it likes.
func TestAskHost(t *testing.T) {
	report, quote := bytes.Repeat([]byte{0xfb}, 1024), bytes.Repeat([]byte{0xfe}, 5000)
	good := fmt.Sprintf(`{"quote":%q}`, base64.RawURLEncoding.EncodeToString(quote))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer elsewhere.Close()
	for _, c := range []struct {
		name, text string
		handler    http.HandlerFunc
	}{
		{"quote", "", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var asked struct{ Report string }
			if err := json.Unmarshal(body, &asked); err != nil || asked.Report != base64.RawURLEncoding.EncodeToString(report) || r.Method != http.MethodPost {
				t.Errorf("asked with %s %s", r.Method, body)
			}
			fmt.Fprint(w, good)
		}},
		{"padded", "", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"quote":%q}`, base64.URLEncoding.EncodeToString(quote))
		}},
		{"error", "500 Internal", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
		{"redirect", "302 Found", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }},
		{"HTML", "invalid character", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }},
		{"no quote", "holds no quote", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }},
		{"no base64", "holds no quote", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"quote":"*"}`) }},
		{"without end", "more than", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}},
		{"silence", "deadline", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-r.Context().Done() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := httptest.NewServer(c.handler)
			defer host.Close()
			limit := time.Minute
			if c.text == "deadline" {
				limit = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			got, err := askHost(host.URL)(ctx, report)
			if c.text == "" && (err != nil || !bytes.Equal(got, quote)) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if c.text != "" && (err == nil || got != nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("%d bytes, error %v, expected one with %q", len(got), err, c.text)
			}
		})
	}
}
