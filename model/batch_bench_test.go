package model

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/garbage"
)

// sentences is a server of MiniLM, whose requests share runs or not.
func sentences(b *testing.B, file []byte, batching Batching) *Server {
	l, err := LoadBatched("minilm", [32]byte{}, bytes.NewReader(file), batching)
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer([]Loaded{l})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// together has so many callers ask again and again for a time. It returns how many answers
// there were in a second, and the median of how long they took.
func together(b *testing.B, s *Server, callers, tokens int, of time.Duration) (each float64, p50 time.Duration) {
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	began := time.Now()
	for i := range callers {
		ask := sentence(b, s, fmt.Sprint("caller ", i), tokens)
		all.Go(func() {
			for time.Since(began) < of {
				d := ask()
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return float64(len(took)) / time.Since(began).Seconds(), took[len(took)/2]
}

// BenchmarkBatch has 8 callers send short sentences, and one alone, to a server whose
// requests share runs and in turns with it to one whose do not.
func BenchmarkBatch(b *testing.B) {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		b.Skip("BLINDBOX_MODELS names no folder with real models")
	}
	file, err := os.ReadFile(filepath.Join(dir, "minilm-l6-int8.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	defer garbage.Beside(0).Stop() // as a box with models
	off, on := sentences(b, file, Batching{}), sentences(b, file, Batching{Size: 8})
	for _, tokens := range []int{8, 16, 32, 128} {
		for _, callers := range []int{8, 1} {
			b.Run(fmt.Sprintf("%d-tokens/%d-callers", tokens, callers), func(b *testing.B) {
				var rates, medians []float64
				var most, least float64
				for b.Loop() {
					rate0, p0 := together(b, off, callers, tokens, 500*time.Millisecond)
					rate1, p1 := together(b, on, callers, tokens, 500*time.Millisecond)
					rates, medians = append(rates, rate1/rate0), append(medians, float64(p1)/float64(p0))
					least, most = max(least, rate0), max(most, rate1)
				}
				slices.Sort(rates)
				slices.Sort(medians)
				b.ReportMetric(least, "off/s")
				b.ReportMetric(most, "on/s")
				b.ReportMetric(rates[len(rates)/2], "times")
				b.ReportMetric(medians[len(medians)/2], "p50-ratio")
			})
		}
	}
	now := on.runs.Stats()
	b.Logf("%d runs were shared, by %.1f requests each", now.Batches, float64(now.Batched)/float64(max(now.Batches, 1)))
}
