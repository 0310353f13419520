package model

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/bodies"
)

// numbersOf is a request of so many bytes of JSON that is read whole, and then refused:
// the model has more inputs.
func numbersOf(size int) []byte {
	n := (size - 200) / 4
	b := fmt.Appendf(nil, `{"inputs":[{"name":"input_ids","datatype":"INT64","shape":[1,%d],"data":[`, n)
	b = append(b, bytes.Repeat([]byte("100,"), n)...)
	return append(b[:len(b)-1], "]}]}"...)
}

// BenchmarkBesideBodies is the time of a caller's runs, one after the other, while another
// caller sends four bodies of 20 MiB of JSON at once, again and again: in turns with and
// without.
func BenchmarkBesideBodies(b *testing.B) {
	s := busyServer(b)
	s.body, s.elements, s.bodies = 20<<20, 8<<20, bodies.New(20<<20, true) // there is room for all four
	run, large := miniLM(b, s), numbersOf(20<<20)
	sent := 0
	send := func() {
		r := httptest.NewRequest("POST", "/v2/models/minilm/infer", bytes.NewReader(large))
		r.Header.Set(CallerHeader, "other")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 400 {
			b.Errorf("%d %.200s", w.Code, w.Body)
		}
	}
	var took [2][]time.Duration
	for b.Loop() {
		for i := range 8 {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			var other sync.WaitGroup
			var mu sync.Mutex
			for range 4 * (i % 2) {
				other.Go(func() {
					for ctx.Err() == nil {
						send()
						mu.Lock()
						sent++
						mu.Unlock()
					}
				})
			}
			for ctx.Err() == nil {
				took[i%2] = append(took[i%2], run())
			}
			cancel()
			other.Wait()
		}
	}
	at := func(with, percent int) float64 {
		slices.Sort(took[with])
		return took[with][len(took[with])*percent/100].Seconds() * 1000
	}
	for with, name := range []string{"", "with-"} {
		b.ReportMetric(at(with, 50), name+"p50-ms")
		b.ReportMetric(at(with, 99), name+"p99-ms")
	}
	b.ReportMetric(float64(sent)/float64(b.N), "bodies/op")
}
