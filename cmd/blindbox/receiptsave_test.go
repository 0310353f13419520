package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	boxreceipt "github.com/blindbox/blindbox/box/receipt"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/receipt"
)

// handled is a transport that asks a handler.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RequestURI = r.URL.RequestURI()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestSaveReceipt: only a receipt that is about the request, with evidence for its
// key, is written.
func TestSaveReceipt(t *testing.T) {
	root, err := sim.NewRoot(rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	attester, err := root.NewAttester(sim.Box{Measurement: sim.Measure([]byte("code")), HostData: sha256.Sum256([]byte(signedPolicy))}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var keys [2]*signing.Key
	for i := range keys {
		if keys[i], err = signing.New(t.Context(), signing.Config{Attester: attester, Policy: []byte(signedPolicy), Now: time.Now}); err != nil {
			t.Fatal(err)
		}
	}
	service, err := boxreceipt.New(boxreceipt.Config{Key: keys[0], Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, caller, nonce, wrong string
		bundle                     []byte
		code                       attest.Code // of the refusal
	}{
		{"good", "clinic", "", "", keys[0].Bundle(), ""},
		{"asked by hand", "clinic", "1", "", keys[0].Bundle(), ""},
		{"no caller", "", "", "", keys[0].Bundle(), receipt.CodeUnreadable},
		{"another nonce", "clinic", "", "of-another-request", keys[0].Bundle(), receipt.CodeDigest},
		{"evidence for another key", "clinic", "", "", keys[1].Bundle(), receipt.CodeNotBound},
		{"no evidence", "clinic", "", "", []byte("none"), receipt.CodeUnreadable},
		{"not there", "clinic", "", "", nil, receipt.CodeUnreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			box := handled{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				name := strings.TrimPrefix(r.URL.Path, "/.well-known/blindbox")
				id, isReceipt := strings.CutPrefix(name, "/receipts/")
				switch {
				case r.Header.Get("Authorization") != "Bearer for-the-app" || r.Header.Get("Blindbox-Key") != "key":
					w.WriteHeader(http.StatusUnauthorized)
				case name == "/receipts/evidence" && c.bundle == nil:
					w.WriteHeader(http.StatusNotFound)
				case name == "/receipts/evidence":
					_, _ = w.Write(c.bundle)
				case isReceipt:
					token, _ := service.Get("clinic", id)
					_, _ = w.Write([]byte(token + "\n"))
				default:
					rec := service.Begin(w, r)
					defer rec.End()
					rec.Decided(c.caller, receipt.Decision{Action: "query", Allowed: true}, receipt.Position{})
					rec.Writer().Header().Set("Content-Length", "0") // so that there is no trailer
				}
			})}
			r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://box.example/x?q=1", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer for-the-app")
			r.Header.Set("Blindbox-Key", "key")
			if c.nonce != "" {
				r.Header.Set(boxreceipt.Header, c.nonce)
			}
			file := filepath.Join(t.TempDir(), "r.jws")
			nonce := askReceipt(r, file)
			res, err := box.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Trailer = nil
			if c.wrong != "" {
				nonce = c.wrong
			}
			s := &session{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
			err = s.saveReceipt(box, r, res, file, nonce, false)
			_, missing := os.Stat(file)
			_, noBundle := os.Stat(bundleOf(file))
			if c.code == "" {
				if err != nil || missing != nil || noBundle != nil {
					t.Errorf("%v, %v, %v", err, missing, noBundle)
				}
				return
			}
			var refused *refusal
			var failed *attest.Failure
			switch {
			case errors.As(err, &refused) && refused.entry.Codes[0] == c.code:
			case errors.As(err, &failed) && strings.Contains(refusalOf(err).Error(), "BBX-216") && c.code == receipt.CodeNotBound:
			default:
				t.Errorf("got %v, expected %s", err, c.code)
			}
			if missing == nil || noBundle == nil {
				t.Error("written all the same")
			}
		})
	}
}
