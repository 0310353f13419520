package quota

import (
	"sync"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Account is what one caller has used of its budgets.
type Account struct {
	uptime func() time.Duration

	mu       sync.Mutex
	requests []*window // a request must have room in all of them
	bytes    *window   // nil if the policy does not bound them
}

func newAccount(c *policy.Caller, uptime func() time.Duration) *Account {
	a := &Account{uptime: uptime}
	if c.Rate != nil {
		a.requests = append(a.requests, newWindow(c.Rate, "rate"))
	}
	if c.Quota != nil && c.Quota.Requests != nil {
		a.requests = append(a.requests, newWindow(c.Quota.Requests, "quota of requests"))
	}
	if c.Quota != nil && c.Quota.Bytes != nil {
		a.bytes = newWindow(c.Quota.Bytes, "quota of bytes")
	}
	return a
}

// Spent is why a request is not admitted.
type Spent struct {
	// What is the budget that is used up: "rate", "quota of requests" or "quota
	// of bytes".
	What string
	// Wait is how long until there is room in every budget, if nobody else takes
	// it; never zero. Never is set if there will be none.
	Wait  time.Duration
	Never bool
}

// Admit takes one request from every budget that has to have it, or nothing
// from any and says why.
func (a *Account) Admit() *Spent {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.uptime()
	if spent := a.spent(now); spent != nil {
		return spent
	}
	for _, w := range a.requests {
		w.use(now, 1)
	}
	return nil
}

// Spent says why a request would not be admitted now, or nil, and takes nothing.
func (a *Account) Spent() *Spent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent(a.uptime())
}

func (a *Account) spent(now time.Duration) *Spent {
	var spent *Spent
	for _, w := range a.requests {
		spent = later(spent, w.full(now))
	}
	if a.bytes != nil {
		spent = later(spent, a.bytes.full(now))
	}
	return spent
}

// later returns the one that has to wait longer.
func later(a, b *Spent) *Spent {
	switch {
	case b == nil:
		return a
	case a == nil || b.Never || !a.Never && b.Wait > a.Wait:
		return b
	}
	return a
}

// Metered reports whether bytes are counted at all.
func (a *Account) Metered() bool { return a != nil && a.bytes != nil }

// Reserve takes up to n bytes and returns how many there were. What is not used
// of them has to be given back with Return.
func (a *Account) Reserve(n int) int {
	if a.bytes == nil {
		return n
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.uptime()
	a.bytes.forget(now)
	n = int(min(int64(n), a.bytes.left()))
	a.bytes.held += int64(n)
	return n
}

// Return says how many of the bytes that were reserved have been used. They count
// from now on, so that a transfer that took long is not forgotten too early.
func (a *Account) Return(reserved, used int) {
	if a.bytes == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes.held -= int64(reserved)
	if used > 0 {
		a.bytes.use(a.uptime(), int64(used))
	}
}
