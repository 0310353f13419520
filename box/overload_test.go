package box

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// manyCallers is a policy's callers, each with a key, see keyOf.
func manyCallers(n int) string {
	var doc strings.Builder
	doc.WriteString("\ncallers:\n")
	for i := range n {
		fmt.Fprintf(&doc, "  - {name: c%d, api_key: %s, may: [query]}\n", i, hash(keyOf(i)))
	}
	return doc.String()
}

func keyOf(i int) string { return fmt.Sprintf("a-key-of-caller-%04d", i) }

// sendAs sends one request and returns its status. An answer that says come back
// later has to say when.
func sendAs(ctx context.Context, c *http.Client, caller int, path string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://box.example"+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+keyOf(caller))
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		if s, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad != nil || s < 1 {
			return 0, fmt.Errorf("%s with Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
		}
	}
	return resp.StatusCode, err
}

// TestOverload: when all places are taken, everybody else is told to come back and
// when, none of that stays in memory, and the places are there again afterwards.
func TestOverload(t *testing.T) {
	const places, crowd, rounds = 4, 40, 25
	doc := strings.Replace(self(t, "quiet", fmt.Sprintf("limits: {concurrent: %d}\n", places)), twoKeys, manyCallers(crowd), 1)
	b := serve(t, Config{Policy: parsed(t, doc)})
	for _, proto := range []string{"http/1.1", "h2"} {
		c := b.client(t, proto)
		ctx, release := context.WithCancel(t.Context())
		var held []*http.Response
		for i := range places {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://box.example/hang", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+keyOf(i))
			resp, err := c.Do(r)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s: place %d: %v, %v", proto, i, resp, err)
			}
			held = append(held, resp)
		}
		press := func() {
			var all sync.WaitGroup
			for i := range crowd {
				all.Go(func() {
					for range rounds {
						if status, err := sendAs(t.Context(), c, i, "/caller"); err != nil || status != http.StatusTooManyRequests {
							t.Errorf("%s: caller %d: status %d, %v", proto, i, status, err)
							return
						}
					}
				})
			}
			all.Wait()
		}
		press()
		before := heap()
		press()
		press()
		wantFreed(t, before, 4<<20)
		release()
		for _, resp := range held {
			resp.Body.Close()
		}
		for i := range crowd {
			for end := time.Now().Add(patience); ; {
				status, err := sendAs(t.Context(), c, i, "/caller")
				if status == 200 {
					break
				}
				if err != nil || status != http.StatusTooManyRequests || time.Now().After(end) {
					t.Fatalf("%s: caller %d afterwards: status %d, %v", proto, i, status, err)
				}
			}
		}
	}
}

// storm is what was sent for a while.
type storm struct {
	mu      sync.Mutex
	took    []time.Duration // by those that were admitted
	refused int
	failed  []error
}

func (s *storm) add(took time.Duration, status int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.failed = append(s.failed, err)
	case status == 200:
		s.took = append(s.took, took)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		s.refused++
	default:
		s.failed = append(s.failed, fmt.Errorf("status %d", status))
	}
}

// blow has callers send a request each every so often, or as soon as the one before
// is answered, if that takes longer.
func (s *storm) blow(c *http.Client, callers int, every, long time.Duration) {
	end := time.Now().Add(long)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			// They do not all begin in one moment.
			time.Sleep(every * time.Duration(i) / time.Duration(callers))
			for due := time.Now(); due.Before(end); due = due.Add(every) {
				time.Sleep(time.Until(due))
				began := time.Now()
				status, err := sendAs(context.Background(), c, i, "/20ms")
				s.add(time.Since(began), status, err)
			}
		})
	}
	all.Wait()
}

func (s *storm) percentile(p int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	slices.Sort(s.took)
	return s.took[min(len(s.took)*p/100, len(s.took)-1)]
}

// memory is the heap that the last collection found in use, and what the process has
// of the machine, 0 where that cannot be known; both in MiB.
func memory() (live, resident float64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	live = float64(sample[0].Value.Uint64()) / (1 << 20)
	if text, err := os.ReadFile("/proc/self/statm"); err == nil { // proc(5)
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.Atoi(fields[1])
			resident = float64(pages*os.Getpagesize()) / (1 << 20)
		}
	}
	return live, resident
}

// BenchmarkOverload is an app that takes 20 ms for each request and a policy that
// lets 8 run at once, 400 requests a second. In turns half of that is sent, by 4
// callers, and ten times as much, by 100. It reports how long those that were
// admitted took in the slowest hundredth, and the ratio of the two: the median over
// the turns. Callers and box are one process here and share the processors.
func BenchmarkOverload(b *testing.B) {
	const places, crowd, service = 8, 100, 20 * time.Millisecond
	const capacity = float64(places) / 0.020
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	free := listen(b)
	addr := free.Addr().String()
	free.Close()
	doc := fmt.Sprintf("name: bench\napp: {command: [%q], env: {APP: bench, LISTEN: %q}, listen: %q}%slimits: {concurrent: %d}\n", exe, addr, addr, manyCallers(crowd), places)
	box := serve(b, Config{Policy: parsed(b, doc)})
	c := box.client(b, "http/1.1")
	const often = time.Duration(float64(time.Second) * crowd / (10 * capacity))
	new(storm).blow(c, crowd, often, time.Second) // opens the connections
	var calmP99, stormP99, ratios, offered, kept, had []float64
	refused, sent := 0, 0
	runtime.GC()
	before, beforeRSS := memory()
	for b.Loop() {
		calm, wild := new(storm), new(storm)
		var took float64
		for range 4 { // what else the machine does meets both
			calm.blow(c, places/2, service, time.Second/2)
			began := time.Now()
			wild.blow(c, crowd, often, time.Second/2)
			took += time.Since(began).Seconds()
		}
		live, resident := memory()
		kept, had = append(kept, live), append(had, resident)
		for _, s := range []*storm{calm, wild} {
			if len(s.failed) > 0 {
				b.Fatalf("%d failed: %v", len(s.failed), s.failed[0])
			}
		}
		calmP99 = append(calmP99, calm.percentile(99).Seconds()*1000)
		stormP99 = append(stormP99, wild.percentile(99).Seconds()*1000)
		ratios = append(ratios, stormP99[len(stormP99)-1]/calmP99[len(calmP99)-1])
		all := len(wild.took) + wild.refused
		offered = append(offered, float64(all)/took/capacity)
		refused, sent = refused+wild.refused, sent+all
	}
	b.ReportMetric(middle(calmP99), "calm-p99-ms")
	b.ReportMetric(middle(stormP99), "storm-p99-ms")
	b.ReportMetric(middle(ratios), "p99-ratio")
	b.ReportMetric(middle(offered), "x-offered")
	b.ReportMetric(100*float64(refused)/float64(max(sent, 1)), "%refused")
	runtime.GC()
	after, afterRSS := memory()
	for name, v := range map[string]float64{
		"before-MiB": before, "storm-MiB": slices.Max(kept), "after-MiB": after,
		"before-RSS-MiB": beforeRSS, "storm-RSS-MiB": slices.Max(had), "after-RSS-MiB": afterRSS,
	} {
		b.ReportMetric(v, name)
	}
}

func middle(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
