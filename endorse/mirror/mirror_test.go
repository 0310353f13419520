package mirror_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/mirror"
	"github.com/blindbox/blindbox/endorse/source"
)

func serve(t *testing.T) (*cache.Dir, *httptest.Server) {
	t.Helper()
	d, err := cache.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := mirror.New(d)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return d, srv
}

type kept struct {
	object source.Object
	entry  cache.Entry
}

// objects are one of each form, with bytes that look like it.
func objects(t *testing.T) (list []kept) {
	t.Helper()
	add := func(o source.Object, err error, data, chain string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		e := cache.Entry{Key: o.Key(), Data: []byte(data), Fetched: time.Unix(1, 0)}
		if chain != "" {
			e.Chain = []byte(chain)
		}
		list = append(list, kept{o, e})
	}
	crl, err := source.AMDCRL("Genoa", false)
	add(crl, err, "\x30crl", "")
	vcek, err := source.VCEK("Turin", []byte("12345678"), source.TCB{FMC: 1})
	add(vcek, err, "\x30vcek", "")
	tcb, err := source.TCBInfo(source.TDX, [6]byte{1}, source.Early)
	add(tcb, err, "{}", "-----BEGIN CERTIFICATE-----\na+b/c=\n-----END CERTIFICATE-----\n")
	rim, err := source.RIM("NV_X")
	add(rim, err, "<xml/>", "")
	return list
}

// TestServesWhatAFetcherAsksFor: a mirror stands in for every vendor.
func TestServesWhatAFetcherAsksFor(t *testing.T) {
	d, srv := serve(t)
	f, err := fetch.New(fetch.Options{Mirror: srv.URL, Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range objects(t) {
		o, e := k.object, k.entry
		if _, err := f.Get(t.Context(), o); err == nil {
			t.Errorf("%s: served from an empty cache", o.What())
		}
		if err := d.Put(e); err != nil {
			t.Fatal(err)
		}
		a, err := f.Get(t.Context(), o)
		if err != nil || !bytes.Equal(a.Data, e.Data) || !bytes.Equal(a.Chain, e.Chain) {
			t.Errorf("%s: %q, %q, %v", o.What(), a.Data, a.Chain, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	d, srv := serve(t)
	for _, k := range objects(t) {
		if err := d.Put(k.entry); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/vcek/v1/Genoa/crl", "", 200},
		{"HEAD", "/vcek/v1/Genoa/crl", "", 200},
		{"GET", "/tdx/certification/v4/tcb?update=early&fmspc=010000000000", "", 200},
		{"GET", "/vcek/v1/Turin/3132333435363738?ucodeSPL=00&snpSPL=00&teeSPL=00&blSPL=00&fmcSPL=01", "", 200},
		{"GET", "/vcek/v1/Milan/crl", "", 404},
		{"GET", "/", "", 404},
		{"GET", "/../../etc/passwd", "", 404},
		{"GET", "/index", "", 404},
		{"GET", "/vcek/v1/Genoa/crl?x=y", "", 404},
		{"POST", "/", "", 400},
		{"POST", "/", "not OCSP", 404},
		{"POST", "/", strings.Repeat("x", 5000), 400},
		{"POST", "/vcek/v1/Genoa/crl", "x", 404},
		{"DELETE", "/vcek/v1/Genoa/crl", "", 405},
		{"PUT", "/vcek/v1/Genoa/crl", "x", 405},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("X-Content-Type-Options") != "nosniff" || int64(len(text)) > attest.MaxEndorsement {
			t.Errorf("%s %s: %d, expected %d", c.method, c.path, resp.StatusCode, c.status)
		}
	}
}

func TestNew(t *testing.T) {
	if h, err := mirror.New(nil); err == nil || h != nil {
		t.Error("no cache accepted")
	}
	d, _ := serve(t)
	h, _ := mirror.New(d)
	if s := mirror.NewServer(h); s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 {
		t.Errorf("a client can hold the server up: %+v", s)
	}
}
