package store

import (
	"errors"
	"fmt"
)

// invariants checks what holds of a store whenever nothing is under way but uploads
// that wait for bytes.
func (s *Store) invariants() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	var memory, disk int64
	models, files := 0, map[Digest]int{}
	for name, o := range s.owners {
		var bytes int64
		for _, e := range o.entries {
			if e.owner != o || e.content != s.contents[e.Digest] {
				fail("%s: %s is not where it belongs", name, e.Name)
			}
			files[e.Digest]++
			bytes += e.content.Size
		}
		uploads := 0
		for _, u := range s.uploads {
			if u.owner == o {
				uploads++
				bytes += u.offset
			}
		}
		if bytes != o.bytes || bytes > s.config.OwnerBytes {
			fail("%s: %d bytes are counted, %d are there, limit %d", name, o.bytes, bytes, s.config.OwnerBytes)
		}
		if uploads != o.uploads || uploads > s.config.OwnerLoads || len(o.entries)+uploads > s.config.OwnerModels {
			fail("%s: %d uploads are counted, %d are there, with %d models", name, o.uploads, uploads, len(o.entries))
		}
		if len(o.entries)+uploads+o.loading == 0 {
			fail("%s has nothing and is remembered", name)
		}
		models += len(o.entries)
	}
	for d, c := range s.contents {
		if c.Digest != d || len(c.entries) != files[d] || files[d] == 0 {
			fail("%v: %d entries are counted, %d are there", d, len(c.entries), files[d])
		}
		disk += c.Length
	}
	for _, u := range s.uploads {
		memory += u.held
		disk += u.disk
	}
	ready := 0
	for k, u := range s.units {
		pins, entries := 0, 0
		if o := s.owners[k.owner]; o != nil {
			for _, e := range o.entries {
				if e.key() == k {
					entries++
					if e.Pinned {
						pins++
					}
				}
			}
		}
		if entries == 0 || pins != u.pins || u.gone || u.key != k {
			fail("unit of %s: %d entries, %d pins, %d counted", k.owner, entries, pins, u.pins)
		}
		if u.ready != nil {
			ready++
			memory += u.bytes
			if u.ready.Bytes() != u.bytes || u.place == nil {
				fail("unit of %s: %d bytes are counted of %d", k.owner, u.bytes, u.ready.Bytes())
			}
		} else if u.flight == nil && u.pins == 0 {
			fail("unit of %s holds nothing", k.owner)
		}
	}
	if ready != s.recent.Len() {
		fail("%d models are ready, %d are in the order of use", ready, s.recent.Len())
	}
	if memory != s.memory || memory > s.config.Memory {
		fail("memory: %d bytes are counted, %d are there, limit %d", s.memory, memory, s.config.Memory)
	}
	if s.disk != nil && (disk != s.disk.used || disk > s.disk.limit) {
		fail("disk: %d bytes are counted, %d are there, limit %d", s.disk.used, disk, s.disk.limit)
	}
	return errors.Join(errs...)
}
