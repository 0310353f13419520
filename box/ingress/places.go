package ingress

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// places are the requests that run at once. A caller that holds one gets another
// only while more are free than there are callers without any; up to half of all
// places are kept free for these. So nobody who holds his requests open for ever
// keeps out one who has none, and a caller who is alone has at least half.
type places struct {
	slots chan struct{}

	now    func() time.Time
	mu     sync.Mutex
	sharer map[string]bool // by name: callers whose requests may take places now
	held   map[string]int
	idle   int // sharers that hold none
	// expiring are the sharers that expire, the first ones first; so many of them
	// have. A caller that nobody knows any more shares no places.
	expiring []*policy.Caller
	expired  int
}

func newPlaces(p *policy.Policy, now func() time.Time) *places {
	s := &places{slots: make(chan struct{}, max(p.Limits.Concurrent, 0)), now: now, sharer: map[string]bool{}, held: map[string]int{}}
	for i := range p.Callers {
		c := &p.Callers[i]
		// What the box answers itself takes no place.
		if !slices.ContainsFunc(c.May, func(a policy.Action) bool { return a != policy.Observe }) {
			continue
		}
		s.shares(c.Name, true)
		if !c.Expires.IsZero() {
			s.expiring = append(s.expiring, c)
		}
	}
	slices.SortFunc(s.expiring, func(a, b *policy.Caller) int { return a.Expires.Compare(b.Expires) })
	return s
}

// shares says whether a caller is a sharer from now on.
func (s *places) shares(caller string, does bool) {
	s.sharer[caller] = does
	switch {
	case s.held[caller] > 0: // it is not idle
	case does:
		s.idle++
	default:
		s.idle--
	}
}

// expire goes by the clock, which can also be set back.
func (s *places) expire() {
	if len(s.expiring) == 0 {
		return
	}
	now := s.now()
	for ; s.expired < len(s.expiring) && s.expiring[s.expired].Expired(now); s.expired++ {
		s.shares(s.expiring[s.expired].Name, false)
	}
	for ; s.expired > 0 && !s.expiring[s.expired-1].Expired(now); s.expired-- {
		s.shares(s.expiring[s.expired-1].Name, true)
	}
}

// take takes a place, or returns why there is none for this caller.
func (s *places) take(caller string) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	held, free := s.held[caller], cap(s.slots)-len(s.slots)
	if held > 0 && free > 0 && free <= min(s.idle, cap(s.slots)/2) {
		return crowding()
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return busy()
	}
	s.held[caller]++
	if held == 0 && s.sharer[caller] {
		s.idle--
	}
	return nil
}

// leave gives a place back.
func (s *places) leave(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[caller]--
	if s.held[caller] == 0 {
		delete(s.held, caller)
		if s.sharer[caller] {
			s.idle++
		}
	}
	<-s.slots
}

// wait takes all places, gives them back and returns, or returns when ctx ends.
func (s *places) wait(ctx context.Context) {
	for range cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return
		}
	}
}
