// Package garbage sets how much of it lies in the heap of a program that keeps models
// before it is collected.
//
// Go lets as much garbage lie as there is live memory, or a share of it (GOGC). Most of
// such a program's heap is weights, which hold no pointers: they cost a collection
// nothing, and a share that suits them is too much memory when there are many of them,
// and a collection every few megabytes when there are few, each of which slows the runs
// beside it. So the share is small, and there is an amount below which nothing is
// collected.
package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Share is how much garbage may lie, in percent of the memory that models take, or may
// take; or Least bytes.
const (
	Share = 10
	Least = 64 << 20
)

// Pace is how much garbage is let lie, until it is stopped.
type Pace struct {
	least uint64 // bytes

	mu      sync.Mutex
	percent int // as it is now
	before  int // as it was
	stopped bool
}

// Beside lets so much garbage lie beside models that may take so many bytes of memory: as
// much as there is when they take all of it. It holds for the whole program, so one of
// them is in force at a time.
func Beside(models int64) *Pace {
	p := &Pace{least: uint64(max(Least, models/100*Share))}
	p.percent = share(live(), p.least)
	p.before = debug.SetGCPercent(p.percent)
	p.watch()
	return p
}

// Stop sets what was before.
func (p *Pace) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		debug.SetGCPercent(p.before)
	}
}

// mark is a thing that nobody holds: the next collection finds it.
type mark struct{ _ *mark }

// watch has the percentage set anew after the next collection, from what is live then.
func (p *Pace) watch() { runtime.AddCleanup(new(mark), (*Pace).collected, p) }

func (p *Pace) collected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	// To set it stops the program for some microseconds, and a few percent do not matter.
	if now := share(live(), p.least); now > p.percent*21/20 || now < p.percent*19/20 {
		p.percent = now
		debug.SetGCPercent(now)
	}
	p.watch()
}

// share is the percentage of a live heap that lets at least so much garbage lie.
func share(live, least uint64) int {
	const small = 4 << 20 // nothing is collected below that in any case
	return max(Share, int(least*100/max(live, small)))
}

// live is what the last collection found in use, in bytes. Stacks and what is global
// count for the collector's pace too, and are little.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
