package store

import (
	"context"
	"slices"
)

// Delete removes a model of the caller. From then on nobody finds it; who uses it
// keeps it until Release. If it was the last model with this file, the file's key and
// then the file go too.
func (s *Store) Delete(caller string, r Reference) error {
	var gone *entry
	err := s.commit(func(c *catalog) error {
		e, err := s.own(caller, r)
		if err != nil {
			return err
		}
		gone = e
		c.Models = slices.DeleteFunc(c.Models, e.record.same)
		if len(e.content.entries) == 1 {
			c.Files = slices.DeleteFunc(c.Files, func(f sealed) bool { return f.Digest == e.Digest })
		}
		return nil
	}, func() { s.remove(gone) })
	if err != nil {
		return err
	}
	s.config.step("delete.committed")
	s.discard(gone.content)
	s.config.step("delete.removed")
	return nil
}

func (m record) same(o record) bool {
	return m.Owner == o.Owner && m.Name == o.Name && m.Version == o.Version
}

// remove takes an entry out of the store. The caller holds the lock.
func (s *Store) remove(e *entry) {
	is := func(other *entry) bool { return other == e }
	o, c := e.owner, e.content
	o.entries = slices.DeleteFunc(o.entries, is)
	o.bytes -= c.Size
	c.entries = slices.DeleteFunc(c.entries, is)
	s.counts.Deletes++
	if len(c.entries) == 0 {
		delete(s.contents, c.Digest)
		if s.disk != nil {
			s.disk.used -= c.Length
		}
	}
	s.dropOwner(o)
	u := s.units[e.key()]
	if u == nil {
		return
	}
	if e.Pinned {
		u.pins--
	}
	if !slices.ContainsFunc(o.entries, func(other *entry) bool { return other.key() == u.key }) {
		s.forget(u, errDeleted)
	}
}

// discard removes the file of a content that no model has any more.
func (s *Store) discard(c *content) {
	s.mu.Lock()
	name, used := c.Name, len(c.entries) > 0
	s.mu.Unlock()
	if s.disk != nil && !used {
		s.disk.remove(name)
	}
}

// Pin loads a model of the caller and keeps it in memory. The pinned models of all
// owners may take half of the memory together.
func (s *Store) Pin(ctx context.Context, caller string, r Reference) error {
	h, err := s.Use(ctx, caller, r)
	if err != nil {
		return err
	}
	defer h.Release() // so that it stays until it is pinned
	return s.pin(caller, h.entry.Reference(), true)
}

// Unpin lets a model be evicted again.
func (s *Store) Unpin(caller string, r Reference) error { return s.pin(caller, r, false) }

func (s *Store) pin(caller string, r Reference, on bool) error {
	var e *entry
	return s.commit(func(c *catalog) (err error) {
		if e, err = s.own(caller, r); err != nil {
			return err
		}
		if limit, need := s.config.Memory/2, s.pinned(e); on && need > limit {
			return &FullError{What: "pinned memory", Need: e.Memory, Limit: limit, Never: e.Memory > limit}
		}
		for i := range c.Models {
			if c.Models[i].same(e.record) {
				c.Models[i].Pinned = on
			}
		}
		return nil
	}, func() {
		u := s.unitOf(e.key())
		switch {
		case on && !e.Pinned:
			u.pins++
		case !on && e.Pinned:
			u.pins--
			s.signal()
		}
		e.Pinned = on
		s.settle(u)
	})
}

// pinned is the memory of all pinned models and of one more.
func (s *Store) pinned(more *entry) int64 {
	bytes := map[unitKey]int64{}
	if more != nil {
		bytes[more.key()] = more.Memory
	}
	for _, o := range s.owners {
		for _, e := range o.entries {
			if e.Pinned {
				bytes[e.key()] = e.Memory
			}
		}
	}
	var n int64
	for _, b := range bytes {
		n += b
	}
	return n
}

// Usage is what one owner has of its quota.
type Usage struct {
	Models, Uploads int
	Bytes           int64 // of files, unfinished uploads included
	Ready           int   // models in memory; equal ones count once
	Memory          int64 // that they hold
	Pinned          int64 // of that, pinned
}

// Counts is what a store has done since it was opened.
type Counts struct{ Uploads, Loads, Evictions, Deletes int64 }

// Stats is the state of a store as one caller may know it: all of its own, and
// numbers without names of the rest.
type Stats struct {
	Own                Usage
	Models, Ready      int // of all owners, without those that the box brings
	Memory, MemoryFull int64
	Disk, DiskFull     int64
	Counts             Counts
}

// Stats returns the state of the store.
func (s *Store) Stats(caller string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Own: s.usage(caller), Ready: s.recent.Len(), Memory: s.memory, MemoryFull: s.config.Memory, Counts: s.counts}
	for _, o := range s.owners {
		out.Models += len(o.entries)
	}
	if s.disk != nil {
		out.Disk, out.DiskFull = s.disk.used, s.disk.limit
	}
	return out
}

func (s *Store) usage(caller string) Usage {
	o := s.owners[caller]
	if o == nil {
		return Usage{}
	}
	use := Usage{Models: len(o.entries), Uploads: o.uploads, Bytes: o.bytes}
	seen := map[unitKey]bool{}
	for _, e := range o.entries {
		u := s.units[e.key()]
		if u == nil || u.ready == nil || seen[u.key] {
			continue
		}
		seen[u.key] = true
		use.Ready++
		use.Memory += u.bytes
		if u.pins > 0 {
			use.Pinned += u.bytes
		}
	}
	return use
}
