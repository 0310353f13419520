// Package garbage sets how much of it lies in the heap of a program that keeps models
// before it is collected.
//
// Go lets as much garbage lie as there is live memory, or a share of it (GOGC). Most of
// such a program's heap is weights, which hold no pointers: they cost a collection
// nothing, and a share that suits them is too much memory when there are many of them,
// and a collection every few megabytes when there are few, each of which slows the runs
// beside it. So the share is small, and there is an amount below which nothing is
// collected.
//
// A percentage that suits a small heap would be gigabytes of garbage beside a large one,
// and it is set anew some time after the heap has grown, on a busy machine not soon. So
// there is a limit for all memory, too, a bit above what is expected. It costs nothing
// until then, and where it is reached garbage is collected at once.
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
	percent int   // as it is now
	limit   int64 // bytes
	before  struct {
		percent int
		limit   int64
	}
	stopped bool
}

// Beside lets so much garbage lie beside models that may take so many bytes of memory: as
// much as there is when they take all of it. It holds for the whole program, so one of
// them is in force at a time.
func Beside(models int64) *Pace {
	p := &Pace{least: uint64(max(Least, models/100*Share))}
	p.before.limit = debug.SetMemoryLimit(-1)
	m := measure()
	p.percent, p.limit = share(m.live, p.least), p.within(m)
	debug.SetMemoryLimit(p.limit)
	p.before.percent = debug.SetGCPercent(p.percent)
	p.watch()
	return p
}

// Stop sets what was before.
func (p *Pace) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		debug.SetGCPercent(p.before.percent)
		debug.SetMemoryLimit(p.before.limit)
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
	// To set either stops the program for some microseconds, and a little does not matter.
	m := measure()
	if now := share(m.live, p.least); now > p.percent*21/20 || now < p.percent*19/20 {
		p.percent = now
		debug.SetGCPercent(now)
	}
	if now := p.within(m); now > p.limit+int64(p.least)/2 || now < p.limit-int64(p.least)/2 {
		p.limit = now
		debug.SetMemoryLimit(now)
	}
	p.watch()
}

// share is the percentage of a live heap that lets at least so much garbage lie.
func share(live, least uint64) int {
	const small = 4 << 20 // nothing is collected below that in any case
	return max(Share, int(least*100/max(live, small)))
}

// within is the limit of m, or GOMEMLIMIT where that is less.
func (p *Pace) within(m memory) int64 { return min(m.limit(p.least), p.before.limit) }

// memory is what a program has of it, in bytes.
type memory struct {
	live  uint64 // that the last collection found in use
	other uint64 // beside the heap's objects and what is free: stacks, gaps, bookkeeping
}

// limit is for all memory: twice the garbage that is let lie beside what is live.
func (m memory) limit(least uint64) int64 {
	return int64(m.live + m.other + 2*max(least, m.live/100*Share))
}

// measure reads what there is. Stacks and what is global count for the collector's
// percentage, too, and are little.
func measure() memory {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	n := func(i int) uint64 {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return s[i].Value.Uint64()
	}
	return memory{n(0), n(1) - min(n(1), n(2)+n(3)+n(4))}
}
