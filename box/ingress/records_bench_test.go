package ingress

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/audit"
	"github.com/blindbox/blindbox/box/receipt"
	"github.com/blindbox/blindbox/box/signing"
)

// vouching is hardware whose evidence is what it was asked for.
type vouching struct{}

func (vouching) Kind() attest.Kind { return attest.SimSNP }

func (vouching) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	sum := b.Bytes()
	return attest.Evidence{Kind: attest.SimSNP, Data: sum[:]}, nil, nil
}

// BenchmarkRecords is one request with an answer of 1 KiB through the door, without
// network and app: with no record of it, with the audit log, and with a receipt too.
func BenchmarkRecords(b *testing.B) {
	p := parsed(b, keyed)
	key, err := signing.New(b.Context(), signing.Config{Attester: vouching{}, Policy: p.Bytes(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	log, err := audit.New(audit.Config{Key: key, Callers: []string{"clinic", "auditor"}, Sink: audit.NewRing(1 << 20), Now: time.Now}, audit.First())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.Close(context.Background()) })
	receipts, err := receipt.New(receipt.Config{Key: key, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	bare := Config{Policy: p, Callers: known(b, keyed), Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, 1024))
	})}
	full := bare
	full.Audit, full.Receipts = log, receipts
	for _, side := range []struct {
		name, asks string
		cfg        Config
	}{{"none", "", bare}, {"audit", "", full}, {"receipt", "1", full}} {
		h := New(side.cfg)
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/v1/x", nil)
				r.Header["Authorization"] = []string{"Bearer " + clinicKey}
				if side.asks != "" {
					r.Header[receipt.Header] = []string{side.asks}
				}
				h.ServeHTTP(&discarding{header: http.Header{}}, r)
			}
		})
	}
}

type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarding) WriteHeader(int)             {}
