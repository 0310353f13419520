package schedule

import (
	"container/list"
	"maps"
	"slices"
	"time"
)

// class is the requests of one kind, by caller. Who has used the least time is next.
//
// This is start-time fair queueing (Goyal, Vin, Cheng 1996): a caller's clock goes on
// by the time of its runs, and one that comes back starts at the clock of whoever was
// served last, so that nobody saves up time by not asking.
type class struct {
	flows            map[string]*flow
	waiting, running int
	clock            time.Duration // of the caller that was served last, when it was
	order            uint64        // of those that began to wait
}

// flow is one caller's requests.
type flow struct {
	caller  string
	queue   *list.List // of *waiter
	running int
	clock   time.Duration // time used, runs that have not ended by estimate
	order   uint64        // decides between equal clocks: who has waited longer
}

func newClass() class { return class{flows: map[string]*flow{}} }

// own is how many requests of a caller wait.
func (c *class) own(caller string) int {
	if f := c.flows[caller]; f != nil {
		return f.queue.Len()
	}
	return 0
}

// ahead estimates how many requests are served before a new one of a caller: of
// every other caller as many as it has of its own, as if all runs were equally long.
func (c *class) ahead(caller string) int {
	own := c.own(caller)
	n := own
	for name, f := range c.flows {
		if name != caller {
			n += min(f.queue.Len(), own+1)
		}
	}
	return n
}

// join puts a request at the end of its caller's queue.
func (c *class) join(w *waiter) { w.place = c.flow(w).queue.PushBack(w) }

// rejoin puts a request that was served before at the beginning of its caller's queue.
func (c *class) rejoin(w *waiter) { w.place = c.flow(w).queue.PushFront(w) }

// flow is the caller's of a request that begins to wait.
func (c *class) flow(w *waiter) *flow {
	f := c.flows[w.caller]
	if f == nil {
		c.forget()
		f = &flow{caller: w.caller, queue: list.New()}
		c.flows[w.caller] = f
	}
	if f.queue.Len() == 0 {
		c.order++
		f.order = c.order
		f.clock = max(f.clock, c.clock)
	}
	w.flow = f
	c.waiting++
	return f
}

// forget drops callers without requests that have used no more than others: they
// would come back as if they were new. When nobody is left all are forgotten.
func (c *class) forget() {
	idle := c.waiting == 0 && c.running == 0
	maps.DeleteFunc(c.flows, func(_ string, f *flow) bool {
		return f.queue.Len() == 0 && f.running == 0 && (idle || f.clock <= c.clock)
	})
}

// first returns the caller that has used the least of those that a condition is true
// of and that have a request waiting; nil if there is none.
func (c *class) first(may func(*flow) bool) *flow {
	var best *flow
	for _, f := range c.flows {
		if f.queue.Len() == 0 || !may(f) {
			continue
		}
		if best == nil || f.clock < best.clock || f.clock == best.clock && f.order < best.order {
			best = f
		}
	}
	return best
}

// serve gives a run to the request that is next, of a class where one waits, and to
// those that may share it.
func (c *class) serve(average time.Duration) *run {
	w := c.first(func(*flow) bool { return true }).queue.Front().Value.(*waiter)
	r := &run{class: c, began: time.Now()}
	c.running++
	c.enter(r, w, average)
	c.company(r, average)
	for _, w := range r.waiters {
		close(w.granted)
	}
	return r
}

// enter makes a request part of a run. Its caller is charged what a run takes on
// average; the rest is settled when it ends.
func (c *class) enter(r *run, w *waiter, average time.Duration) {
	f := w.flow
	c.take(w)
	c.order++
	f.order = c.order
	c.clock = max(c.clock, f.clock)
	f.running++
	w.charged = w.part.foreseen(average)
	f.clock += w.charged
	w.run = r
	r.waiters = append(r.waiters, w)
	r.rows += w.part.Rows
	r.holds++
}

// take removes a request from its queue.
func (c *class) take(w *waiter) {
	w.flow.queue.Remove(w.place)
	w.place = nil
	c.waiting--
}

// remove takes out a request that waits no longer.
func (c *class) remove(w *waiter) {
	c.take(w)
	c.drop(w.flow)
}

// end settles a run, of which each request pays as much as it had rows. It says how long
// the run took for each of them.
func (c *class) end(r *run) time.Duration {
	took := max(time.Since(r.began), 1)
	for _, w := range r.waiters {
		w.flow.clock += r.share(w, took) - w.charged
		c.stop(w.flow)
	}
	c.running--
	return max(took/time.Duration(len(r.waiters)), 1)
}

// cancel takes a request out of a run that has not begun.
func (c *class) cancel(r *run, w *waiter) {
	w.flow.clock -= w.charged
	r.waiters = slices.DeleteFunc(r.waiters, func(other *waiter) bool { return other == w })
	r.rows -= w.part.Rows
	c.stop(w.flow)
	if len(r.waiters) == 0 {
		c.running--
	}
}

func (c *class) stop(f *flow) {
	f.running--
	c.drop(f)
}

// drop forgets a caller without requests that has used no more than others.
func (c *class) drop(f *flow) {
	if f.queue.Len() == 0 && f.running == 0 && f.clock <= c.clock {
		delete(c.flows, f.caller)
	}
}
