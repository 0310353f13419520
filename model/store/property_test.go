package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ideal is a store as it should be: what each owner has, and nothing of how.
type ideal struct {
	models map[string]*idealModel // by OWNER~NAME~VERSION
}

type idealModel struct {
	owner, name, options string
	version              int
	data                 string
	shared, pinned       bool
}

func (m *idealModel) key() string { return fmt.Sprintf("%s~%s~%d", m.owner, m.name, m.version) }

// newest is what a name of an owner means.
func (d *ideal) newest(owner, name string) *idealModel {
	var best *idealModel
	for _, m := range d.models {
		if m.owner == owner && m.name == name && (best == nil || m.version > best.version) {
			best = m
		}
	}
	return best
}

func (d *ideal) bytes(owner string) (bytes int64, models int) {
	for _, m := range d.models {
		if m.owner == owner {
			bytes += int64(len(m.data))
			models++
		}
	}
	return bytes, models
}

// world is a store, what it should be, and what is in use.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	s     *Store
	ideal ideal
	f     Config
	held  []*held
	log   []string
}

type held struct {
	h    *Handle
	data string
}

const (
	worldMemory = 6000
	worldBytes  = 5000
	worldModels = 6
)

func newWorld(t *testing.T, seed uint64, onDisk bool, disk func(*Config)) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 9)), ideal: ideal{map[string]*idealModel{}}}
	w.f = Config{Memory: worldMemory, OwnerBytes: worldBytes, OwnerModels: worldModels, OwnerLoads: 2, LoadTime: time.Second, Loader: &reader{}}
	if onDisk {
		disk(&w.f)
	}
	w.open()
	return w
}

func (w *world) open() {
	s, err := Open(w.f)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
}

func (w *world) owner() string { return []string{"anna", "ben", "eve"}[w.rng.IntN(3)] }
func (w *world) name() string  { return []string{"a", "b", "c"}[w.rng.IntN(3)] }

// refusal says that an error is one that a store may always give for lack of room.
func refusal(err error) bool {
	var full *FullError
	return errors.As(err, &full)
}

func (w *world) upload() {
	m := &idealModel{owner: w.owner(), name: w.name(), options: []string{"", "o"}[w.rng.IntN(2)], shared: w.rng.IntN(3) == 0}
	m.data = string(file(fmt.Sprint("file", w.rng.IntN(6)), 200+400*w.rng.IntN(6)))
	w.log = append(w.log, fmt.Sprintf("%s uploads %s: %.6s, %d bytes, options %q, shared %v", m.owner, m.name, m.data, len(m.data), m.options, m.shared))
	spec := Spec{Name: m.name, Options: m.options}
	if m.shared {
		spec.Visibility = Shared
	}
	e, err := send(w.s, m.owner, spec, []byte(m.data))
	bytes, models := w.ideal.bytes(m.owner)
	var quota *QuotaError
	switch over := bytes+int64(len(m.data)) > worldBytes || models+1 > worldModels; {
	case errors.As(err, &quota) != over && !refusal(err):
		w.fail("%d bytes in %d models, and one of %d: %v", bytes, models, len(m.data), err)
	case err != nil && !over && !refusal(err):
		w.fail("%v", err)
	case err != nil:
		return
	}
	m.version = 1
	if last := w.ideal.newest(m.owner, m.name); last != nil {
		m.version = last.version + 1
		if last.data == m.data && last.options == m.options {
			m.version, m.pinned = last.version, last.pinned
		}
	}
	if e.Version != m.version {
		w.fail("version %d, expected %d", e.Version, m.version)
	}
	w.ideal.models[m.key()] = m
}

func (w *world) target() (caller string, r Reference, m *idealModel) {
	caller, owner, name := w.owner(), w.owner(), w.name()
	m = w.ideal.newest(owner, name)
	if caller != owner {
		m = nil
		for _, one := range w.ideal.models { // the newest that is shared
			if one.owner == owner && one.name == name && one.shared && (m == nil || one.version > m.version) {
				m = one
			}
		}
	}
	return caller, Reference{Name: owner + "~" + name}, m
}

// expect checks the answer to a change that only an owner may make.
func (w *world) expect(what, caller string, r Reference, m *idealModel, err error) bool {
	w.log = append(w.log, fmt.Sprintf("%s %s %v: %v", caller, what, r, err))
	var none *NotFoundError
	var owner *OwnerError
	switch {
	case errors.As(err, &none) != (m == nil):
		w.fail("expected found: %v", m != nil)
	case m != nil && m.owner != caller && !errors.As(err, &owner):
		w.fail("a stranger may")
	case m != nil && m.owner == caller && err != nil && !refusal(err):
		var conflict *ConflictError
		if !errors.As(err, &conflict) {
			w.fail("an owner may not")
		}
	}
	return err == nil
}

func (w *world) step() {
	ctx := context.Background()
	caller, r, m := w.target()
	switch w.rng.IntN(12) {
	case 0, 1, 2:
		w.upload()
	case 3, 4, 5:
		h, err := w.s.Use(ctx, caller, r)
		w.log = append(w.log, fmt.Sprintf("%s uses %v: %v", caller, r, err))
		var none *NotFoundError
		switch {
		case errors.As(err, &none) != (m == nil), err != nil && m != nil && !refusal(err):
			w.fail("expected found: %v", m != nil)
		case err == nil:
			w.held = append(w.held, &held{h, m.data})
		}
	case 6, 7:
		if n := len(w.held); n > 0 {
			i := w.rng.IntN(n)
			w.log = append(w.log, "release")
			w.held[i].h.Release()
			w.held = slices.Delete(w.held, i, i+1)
		}
	case 8:
		if w.expect("deletes", caller, r, m, w.s.Delete(caller, r)) {
			delete(w.ideal.models, m.key())
		}
	case 9:
		_ = w.expect("unloads", caller, r, m, w.s.Unload(caller, r))
	case 10:
		if m != nil && m.owner != caller {
			return
		}
		if w.expect("pins", caller, r, m, w.s.Pin(ctx, caller, r)) {
			m.pinned = true
		}
	case 11:
		if w.expect("unpins", caller, r, m, w.s.Unpin(caller, r)) {
			m.pinned = false
		}
	}
}

// check compares the store with what it should be.
func (w *world) check() {
	for _, h := range w.held {
		if string(h.h.Ready().(*weights).data) != h.data {
			w.fail("a model in use has changed")
		}
	}
	for _, caller := range []string{"anna", "ben", "eve"} {
		list, err := w.s.List(caller)
		must(w.t, err)
		seen := 0
		for _, m := range w.ideal.models {
			if m.owner == caller || m.shared {
				seen++
			}
		}
		for _, e := range list {
			m := w.ideal.models[fmt.Sprintf("%s~%s~%d", e.Owner, e.Name, e.Version)]
			if m == nil || e.Size != int64(len(m.data)) || e.Options != m.options || e.Pinned != m.pinned || (e.Visibility == Shared) != m.shared {
				w.fail("%s sees %+v, expected %+v", caller, e, m)
			}
		}
		if len(list) != seen {
			w.fail("%s sees %d models, expected %d", caller, len(list), seen)
		}
	}
	if len(w.held) > 0 { // a deleted model in use is counted where invariants does not look
		return
	}
	if err := w.s.invariants(); err != nil {
		w.fail("%v", err)
	}
	if got := w.s.pinned(nil); got > worldMemory/2 {
		w.fail("%d bytes are pinned", got)
	}
}

func (w *world) reopen() {
	w.log = append(w.log, "reopen")
	for _, h := range w.held {
		h.h.Release()
	}
	w.held = nil
	must(w.t, w.s.Close())
	w.open()
}

// TestAnyOrder is a property: whatever three owners do in whatever order, each has
// what he should have, in his quota, and the store counts right.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		disk := sealedOn(t, 12000)
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, seed%2 == 0, disk)
			for i := range 120 {
				w.step()
				synctest.Wait()
				w.check()
				if i%40 == 39 && w.f.Disk > 0 {
					w.reopen()
					w.check()
				}
			}
			for _, h := range w.held {
				h.h.Release()
			}
			w.held = nil
			w.check()
			must(t, w.s.Close())
		})
	}
}
