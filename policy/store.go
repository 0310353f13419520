package policy

import (
	"cmp"
	"fmt"
	"time"
)

// Store bounds what callers bring: ONNX models that the box runs beside those of the
// document. Each belongs to the caller who brought it.
type Store struct {
	// Memory is for models that are ready to run, in bytes, all callers together.
	Memory int64
	// Disk is for sealed models on storage of the host, in bytes; 0 means that
	// models are in memory alone.
	Disk int64
	// OwnerBytes and OwnerModels are how many bytes and models one caller may have,
	// OwnerLoads how many uploads and loads at once.
	OwnerBytes              int64
	OwnerModels, OwnerLoads int
	// LoadTime is how long it may take to make one model ready.
	LoadTime time.Duration
	// Line is where the section begins in the document.
	Line int
}

// What holds where the document says nothing.
const (
	DefaultOwnerModels = 100
	DefaultOwnerLoads  = 2
	DefaultLoadTime    = 2 * time.Minute
	// ownerShare is how many owners fill the store, each with as much as it may have. A
	// disk is larger than the memory, of which an upload that does not end must not take
	// all: it cannot be evicted.
	ownerShare = 4
)

// Holds is how many bytes of models the store can have in all.
func (s *Store) Holds() int64 { return cmp.Or(s.Disk, s.Memory) }

// store reads what callers bring, in a document with so many callers.
func (b *builder) store(d *storeDoc, callers int) {
	if d == nil {
		return
	}
	s := &Store{Memory: b.size(d.Memory, "store.memory", 0), Disk: b.size(d.Disk, "store.disk", 0), Line: b.policy.Line("store")}
	owner, load := d.Owner, d.Load
	if owner == nil {
		owner = &ownerDoc{}
	}
	if load == nil {
		load = &loadDoc{}
	}
	s.OwnerBytes = b.size(owner.Bytes, "store.owner.bytes", max(1, min(s.Holds()/ownerShare, s.Memory/2)))
	s.OwnerModels, s.OwnerLoads = or(owner.Models, DefaultOwnerModels), or(owner.Loads, DefaultOwnerLoads)
	s.LoadTime = or(load.Time, DefaultLoadTime)
	switch {
	case !given(owner.Bytes):
	case s.OwnerBytes > s.Holds():
		b.refuseText(owner.Bytes, "store.owner.bytes", "at most the "+formatSize(s.Holds())+" that the store holds")
	case s.Disk == 0 && callers > 1 && s.OwnerBytes == s.Memory:
		b.refuseText(owner.Bytes, "store.owner.bytes", "less than all of the memory, since there are other callers and nothing is evicted without a disk")
	}
	b.policy.Store = s
}

func (d *description) store(p *Policy) {
	s := p.Store
	if s == nil {
		return
	}
	d.line("CALLERS MAY BRING MODELS, which the box runs (line %d): %s of them ready at once.", s.Line, formatSize(s.Memory))
	if s.Disk > 0 {
		d.line("Up to %s of them lie on storage of the host, sealed with keys that are in the box's memory alone.", formatSize(s.Disk))
	}
	d.line("One caller may have %s in %s, and %s at once; each is ready within %s or refused.",
		formatSize(s.OwnerBytes), count(s.OwnerModels, "model"), count(s.OwnerLoads, "upload"), s.LoadTime)
}

func (d *differ) store() {
	a, b := d.a.Store, d.b.Store
	switch {
	case a == nil && b == nil:
		return
	case a == nil:
		d.add("store", "store", true, false, "callers may bring models")
		return
	case b == nil:
		d.add("store", "store", false, true, "callers may bring models no longer")
		return
	}
	for _, l := range []struct {
		key  string
		a, b int64
		say  func(int64) string
	}{
		{"memory", a.Memory, b.Memory, formatSize}, {"disk", a.Disk, b.Disk, formatSize},
		{"owner.bytes", a.OwnerBytes, b.OwnerBytes, formatSize},
		{"owner.models", int64(a.OwnerModels), int64(b.OwnerModels), plainNumber},
		{"owner.loads", int64(a.OwnerLoads), int64(b.OwnerLoads), plainNumber},
		{"load.time", int64(a.LoadTime), int64(b.LoadTime), func(n int64) string { return time.Duration(n).String() }},
	} {
		d.number("store", "store."+l.key, "store."+l.key, l.a, l.b, l.say)
	}
}

func (s *Store) summary() string {
	return fmt.Sprintf("CALLERS BRING MODELS, %s", formatSize(s.Holds()))
}
