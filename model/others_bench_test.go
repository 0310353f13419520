package model

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/garbage"
	"github.com/blindbox/blindbox/model/store"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// miniLM is the run of a sentence of 128 tokens: the server has the model as minilm.
func miniLM(b *testing.B, s *Server) func() time.Duration { return sentence(b, s, "clinic", 128) }

// sentence is a caller's run of a sentence.
func sentence(b *testing.B, s *Server, caller string, tokens int) func() time.Duration {
	body := `{"inputs":[`
	for i, name := range []string{"input_ids", "attention_mask", "token_type_ids"} {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"name":%q,"datatype":"INT64","shape":[1,%d],"parameters":{"binary_data_size":%d}}`, name, tokens, 8*tokens)
	}
	body += `],"parameters":{"binary_data_output":true}}`
	ids := make([]byte, 3*8*tokens)
	for i := range tokens {
		ids[8*i], ids[8*(tokens+i)] = byte(100+i), 1
	}
	whole := append([]byte(body), ids...)
	return func() time.Duration {
		r := httptest.NewRequest("POST", "/v2/models/minilm/infer", bytes.NewReader(whole))
		r.Header.Set(CallerHeader, caller)
		r.Header.Set(headerLength, fmt.Sprint(len(body)))
		w := httptest.NewRecorder()
		began := time.Now()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Errorf("%d %.200s", w.Code, w.Body)
		}
		return time.Since(began)
	}
}

// layers is a model of so many MiB, of layers of 4 MiB.
func layers(mib int) []byte {
	raw := bytes.Repeat([]byte{1, 2, 3, 60}, 1<<20)
	graph, last := [][]byte{pb.Input("x", 1, "n", 1024)}, "x"
	for i := range mib / 4 {
		w, y := fmt.Sprint("w", i), fmt.Sprint("y", i)
		raw[i] ^= 1 // each of its own, or they would be one
		graph = append(graph, pb.Initializer(pb.Head(w, 1, 1024, 1024), pb.Msg(9, raw)), pb.Node("", "MatMul", []string{last, w}, []string{y}))
		last = y
	}
	return pb.Model(append(graph, pb.OpenOutput(last, 1))...)
}

// busyServer has MiniLM for everybody and a store for those who bring models.
func busyServer(b *testing.B) *Server {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		b.Skip("BLINDBOX_MODELS names no folder with real models")
	}
	const memory = 1 << 30
	b.Cleanup(garbage.Beside(memory).Stop) // as a box with models
	file, err := os.ReadFile(filepath.Join(dir, "minilm-l6-int8.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	l, err := LoadFrom("minilm", [32]byte{}, bytes.NewReader(file))
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer([]Loaded{l}, WithStore(store.Config{Memory: memory, Disk: 8 << 30, Folder: b.TempDir(), State: b.TempDir(),
		OwnerBytes: 512 << 20, OwnerModels: 3000, OwnerLoads: 2, LoadTime: time.Minute}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// BenchmarkBeside is the time of a caller's runs, one after the other, while another
// caller does something: in turns with and without, so that what else the machine does
// meets both.
func BenchmarkBeside(b *testing.B) {
	large := layers(64)
	send := func(s *Server, method, path string, body io.Reader) {
		r := httptest.NewRequest(method, path, body)
		r.Header.Set(CallerHeader, "other")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code > 299 {
			b.Errorf("%s %s: %d %.300s", method, path, w.Code, w.Body)
		}
	}
	for _, c := range []struct {
		name   string
		before func(*Server)
		does   func(s *Server, n int)
	}{
		{"upload", nil, func(s *Server, _ int) {
			send(s, "POST", "/v2/repository/uploads?name=m", io.MultiReader(bytes.NewReader(large)))
			send(s, "DELETE", "/v2/repository/models/m", nil)
		}},
		{"load", func(s *Server) {
			send(s, "POST", "/v2/repository/uploads?name=m", io.MultiReader(bytes.NewReader(large)))
		}, func(s *Server, _ int) {
			send(s, "POST", "/v2/repository/models/m/unload", nil)
			send(s, "POST", "/v2/repository/models/m/load", nil)
		}},
		{"2000-uploads", nil, func(s *Server, n int) {
			if n < 2000 {
				send(s, "POST", fmt.Sprint("/v2/repository/uploads?name=m", n), bytes.NewReader(scale(float32(n))))
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := busyServer(b)
			run := miniLM(b, s)
			if c.before != nil {
				c.before(s)
			}
			var took, worst [2][]time.Duration // of all runs; of the slowest in each turn
			done := 0
			for b.Loop() {
				for i := range 24 {
					with := i % 2
					ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
					var other sync.WaitGroup
					if with == 1 {
						other.Go(func() {
							for ctx.Err() == nil {
								c.does(s, done)
								done++
							}
						})
					}
					slowest := time.Duration(0)
					for ctx.Err() == nil {
						t := run()
						took[with], slowest = append(took[with], t), max(slowest, t)
					}
					worst[with] = append(worst[with], slowest)
					cancel()
					other.Wait()
				}
			}
			for _, t := range took {
				slices.Sort(t)
			}
			at := func(with, percent int) float64 { return took[with][len(took[with])*percent/100].Seconds() * 1000 }
			b.ReportMetric(at(0, 50), "p50-ms")
			b.ReportMetric(at(0, 99), "p99-ms")
			b.ReportMetric(at(1, 99), "with-p99-ms")
			b.ReportMetric(at(1, 50)/at(0, 50), "p50-ratio")
			b.ReportMetric(at(1, 99)/at(0, 99), "p99-ratio")
			calm, beside := slices.Min(worst[0]).Seconds(), slices.Min(worst[1]).Seconds()
			b.ReportMetric(calm*1000, "quiet-worst-ms") // of the turn in which the machine did least else
			b.ReportMetric(beside/calm, "quiet-worst-ratio")
			b.ReportMetric(float64(done)/float64(b.N)/2, "done/s")
			own := s.store.Stats("other")
			b.ReportMetric(float64(own.Memory)/(1<<20), "MiB-ready")
		})
	}
}
