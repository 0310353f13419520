package store

import (
	"context"
	"sync"
)

// Handle is a model in use. It stays as it is until Release, even if it is deleted.
type Handle struct {
	entry Entry
	ready Ready
	store *Store
	unit  *unit // nil for a model that the box brings
	once  sync.Once
}

// Entry describes the model as it was when the handle was given.
func (h *Handle) Entry() Entry { return h.entry }

// Ready is the model, for as long as the handle was not released.
func (h *Handle) Ready() Ready { return h.ready }

// Release gives the model back. Calling it again does nothing.
func (h *Handle) Release() {
	h.once.Do(func() {
		h.ready = nil
		if h.unit != nil {
			h.store.mu.Lock()
			defer h.store.mu.Unlock()
			h.store.release(h.unit)
		}
	})
}

// release ends one use. The caller holds the lock.
func (s *Store) release(u *unit) {
	u.users--
	if u.users > 0 {
		return
	}
	switch {
	case u.gone:
		s.free(u)
	case u.leaving && u.pins == 0:
		s.evict(u)
	default:
		s.recent.MoveToFront(u.place)
		s.signal() // it could be evicted now
	}
}

// Use returns a model that is ready. One that is not is loaded: once, however many ask
// for it, and for as long as one of them waits.
func (s *Store) Use(ctx context.Context, caller string, r Reference) (*Handle, error) {
	s.mu.Lock()
	f, err := s.resolve(caller, r)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	if f.startup != nil {
		s.mu.Unlock()
		return &Handle{entry: f.startup.entry(), ready: f.startup.Ready}, nil
	}
	u := s.unitOf(f.entry.key())
	if u.ready != nil {
		defer s.mu.Unlock()
		u.users++
		s.recent.MoveToFront(u.place)
		return s.handle(u, f.entry), nil
	}
	if u.flight == nil {
		u.flight = s.fly(u, f.entry)
	}
	flight := u.flight
	flight.waiters++
	s.mu.Unlock()
	return s.wait(ctx, u, flight, f.entry, r)
}

func (s *Store) handle(u *unit, e *entry) *Handle {
	h := &Handle{entry: s.describe(e), ready: u.ready, store: s, unit: u}
	h.entry.State = Loaded
	return h
}

// wait returns what a flight brings. A flight that ends well has counted each who
// waits as a user.
func (s *Store) wait(ctx context.Context, u *unit, f *flight, e *entry, r Reference) (*Handle, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.waiters--
	switch {
	case !f.ended:
		if f.waiters == 0 {
			s.abandon(u, f)
		}
		return nil, ctx.Err()
	case f.err == errDeleted:
		return nil, &NotFoundError{r}
	case f.err != nil:
		return nil, named(f.err, canonical(e.owner.name, e.Name))
	}
	return s.handle(u, e), nil
}

// Load makes a model ready without using it.
func (s *Store) Load(ctx context.Context, caller string, r Reference) error {
	h, err := s.Use(ctx, caller, r)
	if err != nil {
		return err
	}
	h.Release()
	return nil
}

// Unload lets a model of the caller go back to its sealed file: at once, or with its
// last user. It is loaded again when it is asked for.
func (s *Store) Unload(caller string, r Reference) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.own(caller, r)
	if err != nil {
		return err
	}
	u := s.units[e.key()]
	switch name := canonical(e.owner.name, e.Name); {
	case s.disk == nil:
		return &ConflictError{name, "is in memory only, for the box has no disk to seal it on; delete it to free its memory"}
	case u == nil || u.ready == nil:
		return nil
	case u.pins > 0:
		return &ConflictError{name, "is pinned; unpin it first"}
	case u.users > 0:
		u.leaving = true
	default:
		s.evict(u)
	}
	return nil
}
