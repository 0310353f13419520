package store

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// errEnough is what a write gets when the loader needs no more of the file.
var errEnough = errors.New("store: the loader has returned")

// load has the file loaded as it arrives.
func (u *Upload) load(ctx context.Context, in *io.PipeReader) {
	limit := u.store.config.LoadTime
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := newWatch(limit, func() {
		err := &SlowError{u.name(), limit}
		stop(err)
		_ = u.end(err)
	})
	r, err := protect(work{u.owner.name, w, nil, u.work}.in(ctx), u.store.config.Loader, u.spec.Options, &fed{in, w})
	w.stop()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		_ = in.CloseWithError(named(err, u.name()))
	} else {
		_ = in.CloseWithError(errEnough)
	}
	s := u.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give(u.worked)
	u.held -= u.worked
	u.ready, u.loadErr, u.returned, u.worked = r, err, true, 0
	close(u.loaded)
	if u.left {
		u.ready = nil
		s.unload(u)
	}
}

// work is memory for the loader, as [Hold] counts it.
func (u *Upload) work(n int64) error {
	s := u.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.ended != nil {
		return u.ended
	}
	need := u.held + n
	if limit := s.config.Arriving; s.arriving(u.owner)+n > limit && need <= s.config.Memory {
		return &FullError{What: "memory for one caller's uploads", Need: need, Limit: limit, Never: need > limit}
	}
	if need > s.config.Memory || !s.reserve(n) {
		return s.full(need)
	}
	u.held, u.worked = need, u.worked+n
	return nil
}

func (u *Upload) name() string { return canonical(u.owner.name, u.spec.Name) }

// fed is the file as a loader reads it. While it waits for bytes its time stands.
type fed struct {
	in    *io.PipeReader
	watch *watch
}

func (f *fed) Read(p []byte) (int, error) {
	f.watch.stop()
	defer f.watch.start()
	return f.in.Read(p)
}

// watch calls a function when it has run for long enough, stops left out.
type watch struct {
	mu    sync.Mutex
	left  time.Duration
	since time.Time
	timer *time.Timer
}

func newWatch(d time.Duration, over func()) *watch {
	return &watch{left: d, since: time.Now(), timer: time.AfterFunc(d, over)}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer.Stop() {
		w.left -= time.Since(w.since)
	}
}

func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Now()
	w.timer.Reset(max(w.left, 0))
}

// Finish ends an upload whose bytes have all arrived. When it returns without an error
// the model is sealed and in the catalog; if there was memory it is ready. A file that
// is shorter than declared, a busy box and an end of ctx leave the upload as it is:
// Finish can be called again. Every other error ends it. The same model under the same
// name is there once, however often it is sent.
func (u *Upload) Finish(ctx context.Context) (Entry, error) {
	if !u.turn.TryLock() {
		return Entry{}, u.busy()
	}
	defer u.yield()
	if err := u.complete(); err != nil {
		return Entry{}, err
	}
	_ = u.pipe.Close() // the loader sees the end of the file
	select {
	case <-u.loaded:
	case <-u.ctx.Done():
		return Entry{}, u.end(ErrClosed) // or what it has ended for
	case <-ctx.Done():
		u.wait()
		return Entry{}, ctx.Err()
	}
	e, err := u.publish()
	var full *FullError
	switch {
	case err == nil:
		return e, nil
	case errors.As(err, &full) && !full.Never && u.store.disk == nil && u.loadErr == nil:
		u.wait()
	default:
		err = u.end(err)
	}
	return Entry{}, err
}

// complete checks that what has arrived is what was announced.
func (u *Upload) complete() error {
	s := u.store
	s.mu.Lock()
	ended, offset, expected := u.ended, u.offset, u.spec.Expected
	u.idle.Stop()
	s.mu.Unlock()
	if ended != nil {
		return ended
	}
	if l := u.spec.Length; l > 0 && offset < l {
		u.wait()
		return &LengthError{offset, l}
	}
	if seen := Digest(u.hash.Sum(nil)); !expected.IsZero() && seen != expected {
		return u.end(&DigestError{seen, expected})
	}
	s.mu.Lock()
	u.whole = true
	s.mu.Unlock()
	return nil
}

// wait gives the sender IdleTime again.
func (u *Upload) wait() {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	if u.ended == nil {
		u.idle.Reset(IdleTime)
	}
}

// publish seals the file and puts the model into the catalog. The loader has returned.
func (u *Upload) publish() (Entry, error) {
	s := u.store
	if u.loadErr != nil {
		return Entry{}, named(u.loadErr, u.name())
	}
	if err := u.fit(); err != nil {
		return Entry{}, err
	}
	file := sealed{Digest: Digest(u.hash.Sum(nil)), Size: u.offset}
	if u.seal != nil {
		var err error
		if file, err = u.seal.commit(file.Digest, file.Size); err != nil {
			return Entry{}, err
		}
	}
	m := record{Owner: u.owner.name, Name: u.spec.Name, Digest: file.Digest, Options: u.spec.Options,
		Shared: u.spec.Visibility == Shared, Uploaded: s.config.Now().UnixMilli(), Memory: u.ready.Bytes()}
	var twin *entry
	var old string
	var done Entry
	err := s.commit(func(c *catalog) (err error) {
		twin, err = u.plan(c, file, &m)
		return err
	}, func() { done, old = u.apply(file, m, twin) })
	if err != nil {
		return Entry{}, err
	}
	s.config.step("upload.committed")
	if old != "" {
		s.disk.remove(old)
	}
	s.config.step("upload.done")
	return done, nil
}

// fit counts the memory that the model holds instead of that of its bytes. With a disk
// it need not be ready: if there is no room now, it is loaded when it is asked for.
// Without one it stays, so it counts for its owner: a file can hold a small part of the
// memory that its model takes.
func (u *Upload) fit() error {
	s := u.store
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := u.ready.Bytes()
	all := s.holds(u) + bytes
	switch {
	case bytes > s.config.Memory:
		return s.full(bytes)
	case s.disk == nil && all > s.config.OwnerBytes && s.units[u.key()] == nil:
		return &QuotaError{What: "bytes of memory", Seen: all, Limit: s.config.OwnerBytes}
	case bytes <= u.held:
		s.give(u.held - bytes)
		u.held = bytes
	case s.reserve(bytes - u.held):
		u.held = bytes
	case s.disk == nil:
		return s.full(bytes)
	}
	return nil
}

// key is that of the unit which the upload becomes. The caller has the turn.
func (u *Upload) key() unitKey {
	return unitKey{u.owner.name, Digest(u.hash.Sum(nil)), u.spec.Options}
}

// plan puts the model into the catalog that is written. It chooses the version, and
// returns the entry that is the same model under the same name, if there is one. The
// file takes the place of one with the same bytes: nobody's time tells that there was
// one, and one that the host has damaged is whole again.
func (u *Upload) plan(c *catalog, file sealed, m *record) (*entry, error) {
	if u.ended != nil {
		return nil, u.ended
	}
	place := slices.IndexFunc(c.Files, func(f sealed) bool { return f.Digest == file.Digest })
	if place >= 0 {
		c.Files[place] = file
	} else {
		c.Files = append(c.Files, file)
	}
	twin, err := u.version(m)
	if err == nil && u.seal != nil {
		err = readable(file, *m)
	}
	if err != nil {
		return nil, err
	}
	c.Models = append(slices.DeleteFunc(c.Models, m.same), *m)
	return twin, nil
}

// version chooses a model's version: the one that was asked for, that of the newest
// if it is the same model, or the one after that.
func (u *Upload) version(m *record) (*entry, error) {
	last := newest(u.owner.entries, func(e *entry) bool { return e.Name == m.Name })
	if m.Version = u.spec.Version; m.Version == 0 {
		if last == nil {
			m.Version = 1
			return nil, nil
		}
		m.Version = last.Version + 1
		if last.Digest == m.Digest && last.Options == m.Options {
			m.Version, m.Pinned = last.Version, last.Pinned
			return last, nil
		}
		return nil, nil
	}
	there := newest(u.owner.entries, func(e *entry) bool { return e.Name == m.Name && e.Version == m.Version })
	if there != nil && (there.Digest != m.Digest || there.Options != m.Options) {
		return nil, &ConflictError{u.name(), "has another model under this version; take another, or delete it"}
	}
	if there != nil {
		m.Pinned = there.Pinned
	}
	return there, nil
}

// apply puts the model into the store, and ends the upload. It returns the name of the
// file whose place was taken.
func (u *Upload) apply(file sealed, m record, e *entry) (Entry, string) {
	s := u.store
	old := s.replace(file)
	if e == nil {
		e = s.add(m)
	} else {
		e.record = m
	}
	s.counts.Uploads++
	s.adopt(u, e)
	u.ready = nil
	u.ended, u.swept, u.left = &NoUploadError{u.id}, true, true
	u.idle.Stop()
	s.leave(u)
	u.stop(nil)
	return s.describe(e), old
}

// replace makes a file that of its content, and counts it instead of the old one.
func (s *Store) replace(file sealed) string {
	c := s.contents[file.Digest]
	if c == nil {
		c = &content{}
		s.contents[file.Digest] = c
	}
	old := c.Name
	if s.disk != nil {
		s.disk.used += file.Length - c.Length
	}
	c.sealed, c.refused = file, false
	return old
}

// adopt makes an upload's model the one that is ready, unless there is one already, or
// no memory for it. What was reserved is then given back with the upload.
func (s *Store) adopt(u *Upload, e *entry) {
	unit := s.unitOf(e.key())
	if unit.ready == nil && unit.flight == nil && u.held == e.Memory {
		s.install(unit, u.ready, u.held)
		u.held = 0
	}
	s.settle(unit)
}
