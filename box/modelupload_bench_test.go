package box

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/client/models"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// chain is a model of so many MiB of weights: layers of 2048 x 2048, 16 MiB each, one
// after the other, and one smaller than that for the rest. Nodes come before weights, as
// in every file that the format's own library writes.
func chain(mib int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, seed))
	nodes, weights, last := [][]byte{}, [][]byte{}, "x"
	for i := 0; mib > 0; i++ {
		columns := min(mib, 16) * 128 // of 8 KiB each
		mib -= columns / 128
		raw := make([]byte, 2048*columns*4)
		for j := 0; j < len(raw); j += 4 { // from 0.0078 to 0.031
			raw[j], raw[j+1], raw[j+2], raw[j+3] = byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), 60
		}
		w, y := fmt.Sprint("w", i), fmt.Sprint("y", i)
		weights = append(weights, pb.Initializer(pb.Head(w, 1, 2048, int64(columns)), pb.Msg(9, raw)))
		nodes = append(nodes, pb.Node("", "MatMul", []string{last, w}, []string{y}))
		last = y
	}
	return pb.Model(slices.Concat(nodes, weights, [][]byte{pb.Input("x", 1, "n", 2048), pb.OpenOutput(last, 1)})...)
}

// storeBox is a box to which acme and other bring models.
func storeBox(b *testing.B, disk bool, memory, owner string) (*running, *wire) {
	b.Helper()
	asBoxd(b)
	more, at := "", Store{}
	if disk {
		more, at = ", disk: 8GiB", Store{Folder: b.TempDir(), State: b.TempDir()}
	}
	doc := "name: clinic\nmodels: [{name: tumour, builtin: tumour}]\nstore: {memory: " + memory + more + ", owner: {bytes: " + owner + ", models: 4000, loads: 4}}\n" +
		"callers:\n  - {name: acme, api_key: \"" + hash(acmeKey) + "\", may: [upload, delete, list, query]}\n" +
		"  - {name: other, api_key: \"" + hash(otherKey) + "\", may: [upload, delete, list, query]}\n"
	w := &wire{Listener: listen(b)}
	return serve(b, Config{Policy: parsed(b, doc), Builtin: tumours(), Store: at, Listener: w}), w
}

// wire counts what arrives.
type wire struct {
	net.Listener
	arrived atomic.Int64
}

func (w *wire) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wired{c, w}, nil
}

type wired struct {
	net.Conn
	wire *wire
}

func (c *wired) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.arrived.Add(int64(n))
	return n, err
}

// uploader sends models as `blindbox model push` does.
func (r *running) uploader(b *testing.B, proto, key string) *models.Client {
	at, err := url.Parse("https://box.example")
	if err != nil {
		b.Fatal(err)
	}
	return &models.Client{Base: at, HTTP: r.client(b, proto).Transport, Key: key}
}

// BenchmarkUpload is a model of 256 MiB that goes through the gate into the store, in
// turns with the same bytes through TLS 1.3 to a server that does nothing but hash them.
func BenchmarkUpload(b *testing.B) {
	file := chain(256, 1)
	peer := newPlain(b)
	for i := range 4 {
		disk, proto := i/2 == 1, []string{"h2", "http/1.1"}[i%2]
		b.Run(map[bool]string{false: "memory-", true: "sealed-"}[disk]+proto, func(b *testing.B) {
			box, wire := storeBox(b, disk, "1200MiB", "600MiB")
			c := box.uploader(b, proto, acmeKey)
			var ours, theirs, ratios, work []float64
			var sent float64
			for b.Loop() {
				before, usedBefore, began := wire.arrived.Load(), processorTime(b), time.Now()
				if _, err := c.Push(b.Context(), bytes.NewReader(file), int64(len(file)), models.Spec{Name: "m"}, nil); err != nil {
					b.Fatal(err)
				}
				took, used := time.Since(began), processorTime(b)-usedBefore
				sent = float64(wire.arrived.Load()-before) / float64(len(file))
				if err := c.Delete(b.Context(), "m", ""); err != nil {
					b.Fatal(err)
				}
				usedPlain := processorTime(b)
				plain := peer.copy(b, file)
				work = append(work, (processorTime(b)-usedPlain).Seconds()/used.Seconds())
				mb := float64(len(file)) / 1e6
				ours, theirs, ratios = append(ours, mb/took.Seconds()), append(theirs, mb/plain.Seconds()), append(ratios, plain.Seconds()/took.Seconds())
			}
			b.ReportMetric(middle(ours), "MB/s-box")
			b.ReportMetric(middle(theirs), "MB/s-plain")
			b.ReportMetric(middle(ratios), "x-plain")
			b.ReportMetric(slices.Max(ours)/slices.Max(theirs), "x-plain-best")
			b.ReportMetric(middle(work), "x-plain-by-processor-time")
			b.ReportMetric(sent, "x-bytes")
		})
	}
}

// asBoxd collects garbage as often as a box with models does.
func asBoxd(b *testing.B) {
	before := debug.SetGCPercent(10)
	b.Cleanup(func() { debug.SetGCPercent(before) })
}

// plainServer takes bytes over TLS 1.3, and answers with their SHA-256 when the client says that it has sent all.
type plainServer struct {
	l    net.Listener
	conf *tls.Config
}

func newPlain(b *testing.B) *plainServer {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	b.Cleanup(srv.Close)
	s := &plainServer{conf: srv.Client().Transport.(*http.Transport).TLSClientConfig}
	l, err := tls.Listen("tcp", "127.0.0.1:0", srv.TLS)
	if err != nil {
		b.Fatal(err)
	}
	s.l = l
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				h := sha256.New()
				if _, err := io.CopyBuffer(h, struct{ io.Reader }{c}, make([]byte, 256<<10)); err == nil {
					_, _ = c.Write(h.Sum(nil))
				}
			}()
		}
	}()
	return s
}

func (s *plainServer) copy(b *testing.B, data []byte) time.Duration {
	began := time.Now()
	c, err := (&tls.Dialer{Config: s.conf}).DialContext(context.Background(), "tcp", s.l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := io.CopyBuffer(c, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
	if err := c.(*tls.Conn).CloseWrite(); err != nil {
		b.Fatal(err)
	}
	if sum, err := io.ReadAll(c); err != nil || len(sum) != 32 {
		b.Fatal(len(sum), err)
	}
	return time.Since(began)
}
