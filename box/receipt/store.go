package receipt

import (
	"sync"
	"time"
)

// store keeps the last receipts of each caller. Callers are names of the policy, so
// there are not more of them than it has.
type store struct {
	keep int
	life time.Duration

	mu sync.Mutex
	of map[string][]kept // by caller, the oldest first
}

type kept struct {
	id, token string
	at        time.Time
}

func newStore(keep int, life time.Duration) *store {
	return &store{keep: keep, life: life, of: map[string][]kept{}}
}

func (s *store) put(caller, id, token string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(s.of[caller], kept{id, token, at})
	if len(list) > s.keep {
		list = append([]kept(nil), list[len(list)-s.keep:]...)
	}
	s.of[caller] = list
}

// get also lets go what is too old.
func (s *store) get(caller, id string, now time.Time) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.of[caller]
	for len(list) > 0 && now.Sub(list[0].at) > s.life {
		list = list[1:]
	}
	s.of[caller] = list
	for _, k := range list {
		if k.id == id {
			return k.token, true
		}
	}
	return "", false
}
