package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// errDeleted ends a flight whose model was deleted.
var errDeleted = errors.New("store: deleted while it was loaded")

// flight is one load and those who wait for it.
type flight struct {
	done    chan struct{} // closed when ended is set
	cancel  context.CancelCauseFunc
	waiters int
	ended   bool
	err     error
}

// fly starts to load a sealed model. The caller holds the lock.
func (s *Store) fly(u *unit, e *entry) *flight {
	ctx, cancel := context.WithCancelCause(s.ctx)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	job := &load{store: s, unit: u, flight: f, owner: e.owner, content: e.content, sealed: e.content.sealed, need: max(e.Memory, 1)}
	e.owner.loading++
	go job.run(ctx)
	return f
}

// abandon ends a flight for which nobody waits. The next who asks starts another.
func (s *Store) abandon(u *unit, f *flight) {
	f.cancel(context.Canceled)
	if u.flight == f {
		u.flight = nil
		s.settle(u)
	}
}

// land ends a flight. If it brings a model, that is installed and each who waits uses
// it. The memory for it is reserved. The caller holds the lock.
func (s *Store) land(u *unit, f *flight, r Ready, bytes int64, err error) {
	if f.ended {
		return
	}
	f.ended, f.err = true, err
	if u.flight == f {
		u.flight = nil
	}
	if err == nil {
		s.install(u, r, bytes)
		u.users += f.waiters
		s.counts.Loads++
	}
	s.settle(u)
	close(f.done)
	f.cancel(nil)
}

// load is what a flight does.
type load struct {
	store   *Store
	unit    *unit
	flight  *flight
	owner   *owner
	content *content
	sealed  sealed
	need    int64
	worked  int64 // memory that the loader works with
}

// run takes one of the owner's loads, then memory, and has the model loaded. It lets
// those who wait go when the time is over, even if the loader goes on; what it has
// taken it gives back when the loader returns.
func (l *load) run(ctx context.Context) {
	select {
	case l.owner.loads <- struct{}{}:
	case <-ctx.Done():
		l.fail(context.Cause(ctx))
		l.end()
		return
	}
	defer func() {
		<-l.owner.loads
		l.end()
	}()
	if err := l.reserve(ctx); err != nil {
		l.fail(err)
		return
	}
	limit := l.store.config.LoadTime
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := newWatch(limit, func() { stop(&SlowError{Limit: limit}) })
	defer w.stop()
	t := &turn{give: l.store.config.Turn, owner: l.owner.name}
	defer t.end()
	ctx = work{l.owner.name, w, t, l.work}.in(ctx)
	quit := context.AfterFunc(ctx, func() { l.fail(context.Cause(ctx)) })
	defer quit()
	r, err := l.read(ctx, t)
	for err != nil && l.replaced() {
		r, err = l.read(ctx, t)
	}
	l.finish(ctx, r, err)
}

// replaced says that the file was sealed anew since it was looked up, by an upload of
// the same bytes, which removes the old one.
func (l *load) replaced() bool {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	old := l.sealed
	l.sealed = l.content.sealed
	return old != l.sealed
}

func (l *load) fail(err error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.store.land(l.unit, l.flight, nil, 0, err)
}

// end says that the load holds nothing any more.
func (l *load) end() {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.owner.loading--
	l.store.dropOwner(l.owner)
}

// reserve waits until there is memory, for as long as a load may take.
func (l *load) reserve(ctx context.Context) error {
	s := l.store
	over := time.NewTimer(s.config.LoadTime)
	defer over.Stop()
	full := s.full(l.need)
	if l.need > s.config.Memory {
		return full
	}
	for {
		s.mu.Lock()
		ok, room := s.reserve(l.need), s.room
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-room:
		case <-over.C:
			return full
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// work is memory for the loader, as [Hold] counts it.
func (l *load) work(n int64) error {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if need := l.need + l.worked + n; need > s.config.Memory || !s.reserve(n) {
		return s.full(need)
	}
	l.worked += n
	return nil
}

// read has the sealed file loaded and compares it with what was sealed.
func (l *load) read(ctx context.Context, t *turn) (Ready, error) {
	l.store.config.step("load.open")
	file, err := l.store.disk.open(l.sealed)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := &checked{ctx: ctx, in: file, turn: t, hash: sha256.New()}
	r, err := protect(ctx, l.store.config.Loader, l.unit.key.options, in)
	if err == nil {
		_, _ = io.Copy(io.Discard, in) // what the loader did not need must be right too
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case in.err != nil:
		return nil, &SealedError{Problem: "was altered", Cause: in.err}
	case err == nil && (in.n != l.sealed.Size || Digest(in.hash.Sum(nil)) != l.sealed.Digest):
		return nil, &SealedError{Problem: "holds another model"}
	}
	return r, err
}

// finish installs what was loaded, if anybody is still there for it.
func (l *load) finish(ctx context.Context, r Ready, err error) {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give(l.worked)
	l.worked = 0
	var sealed *SealedError
	if err == nil || errors.As(err, &sealed) {
		l.content.refused = err != nil
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil || l.flight.ended {
		s.give(l.need)
		s.land(l.unit, l.flight, nil, 0, err)
		return
	}
	bytes := r.Bytes()
	if err := s.resize(l.need, bytes); err != nil {
		s.land(l.unit, l.flight, nil, 0, err)
		return
	}
	for _, e := range l.content.entries {
		if e.key() == l.unit.key {
			e.Memory = bytes
		}
	}
	s.land(l.unit, l.flight, r, bytes, nil)
}

// protect calls a loader. Its panic is an error of this one load.
func protect(ctx context.Context, l Loader, options string, in io.Reader) (r Ready, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, &LoadError{Panic: true, Cause: fmt.Errorf("panic: %.200v", p)}
		}
	}()
	r, err = l.Load(ctx, options, in)
	var full *FullError
	switch {
	case errors.As(err, &full): // of Hold
		return nil, full
	case err != nil:
		return nil, &LoadError{Cause: err}
	case r == nil:
		return nil, &LoadError{Cause: errors.New("the loader gave neither a model nor an error")}
	case r.Bytes() < 0:
		return nil, &LoadError{Cause: fmt.Errorf("the loader says that the model holds %d bytes", r.Bytes())}
	}
	return r, nil
}

// checked reads a sealed file for a loader and remembers what it saw.
type checked struct {
	ctx  context.Context
	in   io.Reader
	turn *turn
	hash hash.Hash
	n    int64
	err  error
}

// begin waits for processor time. To wait for it is not to load.
func (c *checked) begin() error {
	if c.turn.over() {
		resume := Pause(c.ctx)
		defer resume()
	}
	if err := c.turn.begin(c.ctx); err != nil {
		return err
	}
	return c.ctx.Err()
}

func (c *checked) Read(p []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	n, err := c.in.Read(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
