package ingress

import (
	"context"
	"slices"
	"sync"

	"github.com/blindbox/blindbox/policy"
)

// places are the requests that run at once. A caller that holds one gets another
// only while more are free than there are callers without any; up to half of all
// places are kept free for these. So nobody who holds his requests open for ever
// keeps out one who has none, and a caller who is alone has at least half.
type places struct {
	slots chan struct{}

	mu     sync.Mutex
	sharer map[string]bool // by name: callers whose requests may take places
	held   map[string]int
	idle   int // sharers that hold none
}

func newPlaces(p *policy.Policy) *places {
	s := &places{slots: make(chan struct{}, max(p.Limits.Concurrent, 0)), sharer: map[string]bool{}, held: map[string]int{}}
	for _, c := range p.Callers {
		// What the box answers itself takes no place.
		s.sharer[c.Name] = slices.ContainsFunc(c.May, func(a policy.Action) bool { return a != policy.Observe })
		if s.sharer[c.Name] {
			s.idle++
		}
	}
	return s
}

// take takes a place, or returns why there is none for this caller.
func (s *places) take(caller string) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
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
