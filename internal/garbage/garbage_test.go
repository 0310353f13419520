package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, least uint64
		percent     int
	}{
		{0, 0, 10},
		{0, 64 * mib, 1600},        // nothing was collected yet
		{32 * mib, 64 * mib, 200},  // so that 96 MiB are the goal
		{1000 * mib, 64 * mib, 10}, // the share is more
		{640 * mib, 64 * mib, 10},
		{639 * mib, 64 * mib, 10},
		{320 * mib, 64 * mib, 20},
	} {
		if got := share(c.live, c.least); got != c.percent {
			t.Errorf("%d MiB live, %d MiB allowed: %d %%, expected %d", c.live/mib, c.least/mib, got, c.percent)
		}
	}
}

// The goal of the heap follows what is live: the same amount above it, whether that is
// little or much.
func TestPaceFollowsTheHeap(t *testing.T) {
	const least = 96 << 20
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	p := Beside(960 << 20)
	defer p.Stop()
	for _, live := range []uint64{1 << 20, 200 << 20, 1 << 20} {
		held := make([]byte, live)
		for end := time.Now().Add(time.Minute); ; {
			runtime.GC()
			above := goal() - heap()
			if above > least*8/10 && above < least*13/10 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d MiB of garbage may lie above %d MiB, expected %d", above>>20, heap()>>20, least>>20)
			}
			time.Sleep(time.Millisecond) // the pace is set beside the program
		}
		runtime.KeepAlive(held)
	}
	p.Stop()
	p.Stop()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("after Stop %d %%, expected what was before", got)
	}
	runtime.GC()
	runtime.GC()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("a collection after Stop set %d %%", got)
	}
}

// A heap that grows at once is not given the percentage of a small one, though that is in
// force until there is time to set another.
func TestHeapThatGrowsAtOnce(t *testing.T) {
	const grown = 256 << 20 // of which 1600 % are 4 GiB
	runtime.GC()
	p := Beside(0)
	defer p.Stop()
	p.mu.Lock()
	held := make([]byte, grown)
	runtime.GC()
	above := goal() - min(goal(), heap())
	p.mu.Unlock()
	if above > Least {
		t.Errorf("%d MiB of garbage may lie above %d MiB, expected %d at most", above>>20, heap()>>20, Least>>20)
	}
	runtime.KeepAlive(held)
}

func TestLimit(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		m    memory
		want int64
	}{{memory{}, 128 * mib}, {memory{10 * mib, 5 * mib}, 143 * mib}, {memory{1000 * mib, 0}, 1200 * mib}} {
		if got := c.m.limit(64 * mib); got != c.want {
			t.Errorf("%+v: %d, expected %d", c.m, got, c.want)
		}
	}
	before := debug.SetMemoryLimit(-1)
	p := Beside(0)
	if now := debug.SetMemoryLimit(-1); now >= before {
		t.Errorf("a limit of %d, and before %d", now, before)
	}
	if p.Stop(); debug.SetMemoryLimit(-1) != before {
		t.Error("after Stop the limit is not what was before")
	}
}

func goal() uint64 { return read("/gc/heap/goal:bytes") }
func heap() uint64 { return read("/gc/heap/live:bytes") }

func read(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// TestLimitOfTheEnvironment: who started the program may know better how much there is.
func TestLimitOfTheEnvironment(t *testing.T) {
	const most = 100 << 20 // less than the garbage that may lie
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(most))
	p := Beside(10 << 30)
	defer p.Stop()
	for range 3 {
		if now := debug.SetMemoryLimit(-1); now != most {
			t.Fatalf("a limit of %d, expected %d", now, int64(most))
		}
		runtime.GC()
		p.collected()
	}
}
