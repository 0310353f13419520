package audit

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkAppend is one decision to the same kind of sink: this log, chained and
// signed every 512 records, and log/slog's JSON handler, which does neither.
func BenchmarkAppend(b *testing.B) {
	sinks := map[string]func() io.Writer{
		"discard": func() io.Writer { return io.Discard },
		"file": func() io.Writer {
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { f.Close() })
			return f
		},
	}
	for name, sink := range sinks {
		b.Run(name+"/audit", func(b *testing.B) {
			cfg := config(b, sink())
			cfg.Now = time.Now
			l, err := New(cfg, First())
			if err != nil {
				b.Fatal(err)
			}
			d := allow("clinic")
			var last Anchor
			n := 0
			timed(b, func() {
				last = l.Decided(d)
				if n++; n%2048 == 0 { // nothing is left out: the mean holds the writing, too
					l.Sync()
				}
			})
			if err := l.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
			if f, ok := cfg.Sink.(*os.File); ok {
				b.ReportMetric(float64(missing(b, f.Name(), last)), "missing-records")
			}
		})
		b.Run(name+"/slog", func(b *testing.B) {
			l := slog.New(slog.NewJSONHandler(sink(), nil))
			timed(b, func() {
				l.LogAttrs(context.Background(), slog.LevelInfo, "decision", slog.String("caller", "clinic"), slog.String("action", "query"),
					slog.String("method", "write"), slog.Bool("allow", true), slog.Int("line", 5), slog.Int("code", 0))
			})
		})
	}
}

// missing verifies what was written and counts what the sink was too slow for.
func missing(b *testing.B, file string, last Anchor) (n uint64) {
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, err := Verify(f, last)
	if err != nil || r.Fault != nil {
		b.Fatal(err, r.Fault)
	}
	for _, g := range r.Gaps {
		n += g.To - g.From + 1
	}
	return n
}

// timed reports the median beside the mean, which the scheduler and the signatures
// pull up.
func timed(b *testing.B, f func()) {
	b.ReportAllocs()
	const batch = 8 // the clock itself takes a while
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		for range batch {
			f()
		}
		took = append(took, time.Since(began)/batch)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns/record")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns/record")
}

func BenchmarkVerify(b *testing.B) {
	out := newSink()
	l, err := New(config(b, out), First())
	if err != nil {
		b.Fatal(err)
	}
	for range 10000 {
		l.Decided(allow("clinic"))
		l.Sync()
	}
	l.Close(context.Background())
	text := out.bytes()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		verify(b, text)
	}
	b.ReportMetric(10000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
