package receipt

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
)

// tlsClient is for what http.Client cannot send.
func tlsClient(conn net.Conn, like *http.Transport) *tls.Conn {
	cfg := like.TLSClientConfig.Clone()
	cfg.ServerName, cfg.NextProtos = "example.com", []string{"http/1.1"}
	return tls.Client(conn, cfg)
}

// BenchmarkRequest is a request with an answer of 1 KiB: without the recorder, past
// it, and with a receipt.
func BenchmarkRequest(b *testing.B) {
	answer := make([]byte, 1024)
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(answer)
	}
	s, err := New(Config{Key: newKey(b), Now: today})
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, header string, h func(w http.ResponseWriter, r *http.Request)) {
		b.ReportAllocs()
		for b.Loop() {
			r, _ := http.NewRequest("GET", "http://x/", http.NoBody)
			if header != "" {
				r.Header.Set(Header, header)
			}
			h(&void{header: http.Header{}}, r)
		}
	}
	watched := func(w http.ResponseWriter, r *http.Request) {
		rec := s.Begin(w, r)
		defer rec.End()
		rec.Decided("clinic", decision, place)
		handler(rec.Writer(), rec.Request())
	}
	b.Run("bare", func(b *testing.B) { run(b, "", handler) })
	b.Run("not-asked", func(b *testing.B) { run(b, "", watched) })
	b.Run("receipt", func(b *testing.B) { run(b, "1", watched) })
}

type void struct{ header http.Header }

func (v *void) Header() http.Header         { return v.header }
func (v *void) Write(p []byte) (int, error) { return len(p), nil }
func (v *void) WriteHeader(int)             {}
