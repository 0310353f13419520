package model

import (
	"bytes"
	"io"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/garbage"
	"github.com/blindbox/blindbox/model/store"
)

// TestUploadTakesTheModel: while a model arrives, is hashed, sealed and loaded, the heap
// grows by the model and a tenth of it at most, garbage included.
func TestUploadTakesTheModel(t *testing.T) {
	const size, memory = 32 << 20, 256 << 20
	for name, disk := range map[string]int64{"in memory": 0, "sealed": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			defer garbage.Beside(memory).Stop()
			c := store.Config{Memory: memory, OwnerBytes: 128 << 20, OwnerModels: 2, OwnerLoads: 1, LoadTime: time.Minute, Disk: disk}
			if disk > 0 {
				c.Folder, c.State = t.TempDir(), t.TempDir()
			}
			s, err := NewServer(nil, WithStore(c))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r := httptest.NewRequest("POST", "/v2/repository/uploads?name=m", io.MultiReader(bytes.NewReader(layers(size>>20))))
			r.Header.Set(CallerHeader, "owner")
			w := httptest.NewRecorder()
			grown := peak(func() { s.ServeHTTP(w, r) })
			if w.Code > 299 {
				t.Fatalf("%d %.300s", w.Code, w.Body)
			}
			t.Logf("%.3f of the model", float64(grown)/size)
			if most := int64(size * 11 / 10); grown < size || grown > most {
				t.Errorf("the heap grew by %.1f MiB, expected from %d to %.1f", float64(grown)/(1<<20), size>>20, float64(most)/(1<<20))
			}
		})
	}
}

// peak is by how much the heap is larger while something is done than before, at most.
func peak(do func()) int64 {
	runtime.GC()
	before, most := heapBytes(), int64(0)
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			most = max(most, heapBytes())
			select {
			case <-done:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	})
	do()
	close(done)
	all.Wait()
	return max(most, heapBytes()) - before
}

// heapBytes are those of objects that are in use, or are garbage that was not collected.
func heapBytes() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
