package client_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// TestLongBodyIsAnsweredEarly: who is refused while a long body is on its way hears why.
func TestLongBodyIsAnsweredEarly(t *testing.T) {
	for _, read := range []int64{0, 1 << 20} {
		b := newBox(t, boxConfig{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, read)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			fmt.Fprint(w, "too long")
		})})
		c := newClient(t, b, trustFile(t, ""))
		for range 5 {
			resp, err := c.HTTP().Post(b.url(), "application/octet-stream", bytes.NewReader(make([]byte, 32<<20)))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || string(text) != "too long" {
				t.Errorf("after %d bytes: %d %s %v", read, resp.StatusCode, text, err)
			}
		}
	}
}

// TestLongBodyAfterMaxAge: a long body does not go over an idle connection whose proof is
// too old, and is sent over one that is proven.
func TestLongBodyAfterMaxAge(t *testing.T) {
	b := newBox(t, boxConfig{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, " ", err)
	})})
	c := newClient(t, b, trustFile(t, "max_age: 5m\n"))
	for range 3 {
		resp, err := c.HTTP().Post(b.url(), "application/octet-stream", bytes.NewReader(make([]byte, 2<<20)))
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(resp.Body); string(text) != "2097152 <nil>" {
			t.Errorf("%s", text)
		}
		resp.Body.Close()
		b.clock.advance(20 * time.Minute)
	}
	if n := b.requests.Load(); n != 3 {
		t.Errorf("%d requests came, expected 3", n)
	}
}
