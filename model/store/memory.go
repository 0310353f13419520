package store

import "container/list"

// unitKey is what is ready together: an owner's files with equal bytes and options.
type unitKey struct {
	owner   string
	digest  Digest
	options string
}

// unit is a model in memory, or on its way there. A model that is idle, not pinned and
// used by nobody has none.
type unit struct {
	key     unitKey
	ready   Ready
	bytes   int64 // counted for ready
	users   int
	pins    int // entries that are pinned
	flight  *flight
	place   *list.Element // in Store.recent
	leaving bool          // is evicted with its last user
	gone    bool          // its last entry was deleted
}

// unitOf returns a key's unit, and makes it if there is none. All of this file expects
// the lock to be held.
func (s *Store) unitOf(k unitKey) *unit {
	u := s.units[k]
	if u == nil {
		u = &unit{key: k}
		s.units[k] = u
	}
	return u
}

// settle drops a unit that holds nothing.
func (s *Store) settle(u *unit) {
	if u.ready == nil && u.flight == nil && u.users == 0 && u.pins == 0 && s.units[u.key] == u {
		delete(s.units, u.key)
	}
}

// install makes a model ready whose bytes are reserved already.
func (s *Store) install(u *unit, r Ready, bytes int64) {
	u.ready, u.bytes, u.leaving = r, bytes, false
	u.place = s.recent.PushFront(u)
}

// free drops what a unit has ready.
func (s *Store) free(u *unit) {
	if u.ready == nil {
		return
	}
	u.ready = nil
	if u.place != nil {
		s.recent.Remove(u.place)
		u.place = nil
	}
	s.give(u.bytes)
	u.bytes = 0
}

// evict lets a model go back to its sealed file.
func (s *Store) evict(u *unit) {
	s.config.step("evict")
	s.free(u)
	s.counts.Evictions++
	s.settle(u)
}

// holds is the memory that models of an upload's owner hold, and other uploads of it.
func (s *Store) holds(u *Upload) int64 {
	var n int64
	for k, one := range s.units {
		if k.owner == u.owner.name {
			n += one.bytes
		}
	}
	for _, other := range s.uploads {
		if other != u && other.owner == u.owner {
			n += other.held
		}
	}
	return n
}

// forget ends a unit: nobody finds it any more, its memory goes with its last user.
func (s *Store) forget(u *unit, why error) {
	u.gone, u.pins = true, 0
	delete(s.units, u.key)
	if u.place != nil {
		s.recent.Remove(u.place)
		u.place = nil
	}
	if u.flight != nil {
		u.flight.cancel(why)
	}
	if u.users == 0 {
		s.free(u)
	}
}

// reserve takes memory, and evicts for it what was not used for the longest time. If
// that would not be enough it takes and evicts nothing.
func (s *Store) reserve(n int64) bool {
	free := s.config.Memory - s.memory
	if n > free && n-free > s.evictable() {
		return false
	}
	for e := s.recent.Back(); e != nil && n > s.config.Memory-s.memory; {
		u, before := e.Value.(*unit), e.Prev()
		if u.users == 0 && u.pins == 0 {
			s.evict(u)
		}
		e = before
	}
	s.memory += n
	return true
}

// evictable is the memory that evictions would free.
func (s *Store) evictable() int64 {
	var n int64
	for e := s.recent.Front(); e != nil && s.disk != nil; e = e.Next() {
		if u := e.Value.(*unit); u.users == 0 && u.pins == 0 {
			n += u.bytes
		}
	}
	return n
}

// give returns memory.
func (s *Store) give(n int64) {
	s.memory -= n
	s.signal()
}

// signal wakes those who wait for memory.
func (s *Store) signal() {
	close(s.room)
	s.room = make(chan struct{})
}

// full says why there is no memory.
func (s *Store) full(n int64) error {
	return &FullError{What: "memory", Need: n, Limit: s.config.Memory, Never: n > s.config.Memory}
}

// resize changes a reservation to what a model turned out to hold.
func (s *Store) resize(held, bytes int64) error {
	switch {
	case bytes <= held:
		s.give(held - bytes)
	case !s.reserve(bytes - held):
		s.give(held)
		return s.full(bytes)
	}
	return nil
}
