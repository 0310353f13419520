package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

// counting is a loader that keeps nothing.
type counting struct{}

func (counting) Load(_ context.Context, _ string, r io.Reader) (Ready, error) {
	n, err := io.Copy(io.Discard, r)
	return &weights{bytes: n}, err
}

func benchStore(b *testing.B, disk bool) *Store {
	return open(b, func(c *Config) {
		c.Memory, c.OwnerBytes, c.OwnerModels, c.LoadTime, c.Loader = 1<<40, 1<<40, 1<<20, time.Hour, counting{}
		if disk {
			sealedOn(b, 1<<40)(c)
		}
	})
}

// BenchmarkIdle says what one model that is not ready costs in memory.
func BenchmarkIdle(b *testing.B) {
	const models = 1000
	var before, after runtime.MemStats
	for b.Loop() {
		s := benchStore(b, true)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range models {
			e := mustSend(b, s, fmt.Sprint("owner", i%50), Spec{Name: fmt.Sprint("model-number-", i), Options: `{"optimise":true}`}, file(fmt.Sprint(i), 100))
			must(b, s.Unload(e.Owner, e.Reference()))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		c := s.copy()
		must(b, s.Close())
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/models, "B/model")
		if len(c.Models) != models {
			b.Fatal(len(c.Models))
		}
	}
}

// BenchmarkUpload is beside what reading and hashing alone cost.
func BenchmarkUpload(b *testing.B) {
	const size = 64 << 20
	data := bytes.Repeat([]byte("weights."), size/8)
	b.Run("copy and hash alone", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			h := sha256.New()
			if _, err := io.Copy(h, onlyReader{bytes.NewReader(data)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, disk := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "sealed"}[disk], func(b *testing.B) {
			s := benchStore(b, disk)
			b.SetBytes(size)
			for b.Loop() {
				u, err := s.Begin("anna", Spec{Name: "m"})
				must(b, err)
				if _, err := u.ReadFrom(onlyReader{bytes.NewReader(data)}); err != nil {
					b.Fatal(err)
				}
				_, err = u.Finish(context.Background())
				must(b, err)
			}
		})
	}
}

// onlyReader hides that a reader could write itself.
type onlyReader struct{ io.Reader }

// BenchmarkUse is a request on a model that is ready.
func BenchmarkUse(b *testing.B) {
	s := benchStore(b, false)
	mustSend(b, s, "anna", Spec{Name: "m"}, file("m", 100))
	b.ReportAllocs()
	for b.Loop() {
		h, err := s.Use(context.Background(), "anna", Reference{Name: "m"})
		if err != nil {
			b.Fatal(err)
		}
		h.Release()
	}
}

// BenchmarkCommit is a change of a catalog with many models.
func BenchmarkCommit(b *testing.B) {
	s := benchStore(b, true)
	for i := range 2000 {
		mustSend(b, s, fmt.Sprint("owner", i%50), Spec{Name: fmt.Sprint("m", i)}, file(fmt.Sprint(i), 100))
	}
	on := true
	for b.Loop() {
		must(b, s.pin("owner0", Reference{Name: "m0"}, on))
		on = !on
	}
}
