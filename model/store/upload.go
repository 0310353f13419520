package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// IdleTime is after how long without a byte an upload ends.
const IdleTime = 10 * time.Minute

// Spec is what an owner says about a model before it sends it.
type Spec struct {
	Name       string
	Version    int    // zero means the one after the newest
	Options    string // handed to the loader; part of what the model is
	Visibility Visibility
	// Length is the length of the file if it was declared, else zero. What arrives is
	// counted in any case.
	Length   int64
	Expected Digest // zero if none was announced
}

// Upload is a model that arrives. It goes on after a connection was cut, within
// IdleTime: [Store.Upload] finds it, [Upload.Append] takes the rest.
type Upload struct {
	store *Store
	owner *owner
	id    string
	spec  Spec

	turn  sync.Mutex // who writes or finishes
	hash  hash.Hash
	seal  *sealing       // nil without a disk
	pipe  *io.PipeWriter // to the loader
	stop  context.CancelCauseFunc
	ctx   context.Context // ends when the upload has ended
	idle  *time.Timer
	swept bool

	loaded  chan struct{} // closed when the loader has returned
	ready   Ready         // then
	loadErr error

	// The rest is guarded by store.mu.
	offset   int64
	whole    bool  // its end was announced: the loader has seen it
	held     int64 // memory reserved
	worked   int64 // of it, what the loader works with
	disk     int64 // disk reserved
	ended    error
	left     bool // counted no longer, but for what its loader holds
	returned bool // the loader holds nothing
}

// Begin begins an upload. It counts as one of the owner's models and uploads until it
// ends.
func (s *Store) Begin(owner string, spec Spec) (*Upload, error) {
	if err := spec.check(owner); err != nil {
		return nil, err
	}
	u := &Upload{store: s, id: randomName(), spec: spec, hash: sha256.New(), loaded: make(chan struct{})}
	if err := s.enter(u, owner); err != nil {
		return nil, err
	}
	if s.disk != nil {
		seal, err := s.disk.create()
		if err != nil {
			s.mu.Lock()
			u.returned = true
			s.leave(u)
			s.mu.Unlock()
			return nil, err
		}
		u.seal = seal
	}
	ctx, stop := context.WithCancelCause(s.ctx)
	u.stop, u.ctx = stop, ctx
	in, out := io.Pipe()
	u.pipe = out
	u.idle = time.AfterFunc(IdleTime, func() { _ = u.end(&NoUploadError{u.id}) })
	s.mu.Lock()
	s.uploads[u.id] = u
	closed := s.closed
	s.mu.Unlock()
	go u.load(ctx, in)
	if closed {
		return nil, u.end(ErrClosed)
	}
	return u, nil
}

func (p *Spec) check(owner string) error {
	if err := errors.Join(checkOwner(owner), checkName(p.Name)); err != nil {
		return err
	}
	switch {
	case len(p.Options) > maxOptions || !utf8.ValidString(p.Options):
		return &InputError{fmt.Sprintf("options of %d bytes, must be text of at most %d", len(p.Options), maxOptions)}
	case p.Version < 0 || p.Version > maxVersion:
		return &InputError{fmt.Sprintf("version %d, must be from 1 to %d", p.Version, maxVersion)}
	case p.Length < 0:
		return &InputError{fmt.Sprintf("declared length %d", p.Length)}
	case p.Visibility != Private && p.Visibility != Shared:
		return &InputError{fmt.Sprintf("visibility %d", p.Visibility)}
	}
	return nil
}

// enter counts an upload, if its owner's quota allows one more.
func (s *Store) enter(u *Upload, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	o, c := s.ownerOf(name), s.config
	defer s.dropOwner(o)
	switch all := o.bytes + min(u.spec.Length, math.MaxInt64-o.bytes); {
	case o.uploads >= c.OwnerLoads:
		return &QuotaError{What: "uploads at once", Seen: int64(o.uploads + 1), Limit: int64(c.OwnerLoads)}
	case len(o.entries)+o.uploads >= c.OwnerModels:
		return &QuotaError{What: "models", Seen: int64(len(o.entries) + o.uploads + 1), Limit: int64(c.OwnerModels), Open: o.uploads}
	case all > c.OwnerBytes:
		return &QuotaError{What: "bytes", Seen: all, Limit: c.OwnerBytes, Alone: u.spec.Length > c.OwnerBytes}
	}
	u.owner = o
	if err := s.take(u, 0); err != nil {
		return err
	}
	o.uploads++
	return nil
}

// leave takes an upload out of the quotas. The memory goes with the loader.
func (s *Store) leave(u *Upload) {
	delete(s.uploads, u.id)
	u.owner.bytes -= u.offset
	if s.disk != nil {
		s.disk.used -= u.disk
		u.disk = 0
	}
	u.left = true
	if u.returned {
		s.unload(u)
	}
}

// unload gives back what an upload's loader held.
func (s *Store) unload(u *Upload) {
	s.give(u.held)
	u.held = 0
	u.owner.uploads--
	s.dropOwner(u.owner)
}

// take counts n bytes more, in every quota or in none. The caller holds the lock.
func (s *Store) take(u *Upload, n int64) error {
	size := u.offset + n
	if all, limit := u.owner.bytes+n, s.config.OwnerBytes; all > limit {
		return &QuotaError{What: "bytes", Seen: all, Limit: limit, Alone: size > limit}
	}
	if s.disk != nil {
		more := sealedLength(size) - u.disk
		if more > s.disk.limit-s.disk.used {
			return &FullError{What: "disk", Need: sealedLength(size), Limit: s.disk.limit, Never: sealedLength(size) > s.disk.limit}
		}
	}
	if limit := s.config.Arriving; s.arriving(u.owner)+n > limit && size <= s.config.Memory {
		return &FullError{What: "memory for one caller's uploads", Need: size, Limit: limit, Never: size > limit}
	}
	if size > s.config.Memory || !s.reserve(n) {
		return s.full(size)
	}
	if s.disk != nil {
		s.disk.used += sealedLength(size) - u.disk
		u.disk = sealedLength(size)
	}
	u.owner.bytes += n
	u.offset += n
	u.held += n
	return nil
}

// arriving is the memory that an owner's uploads hold. The caller holds the lock.
func (s *Store) arriving(o *owner) int64 {
	var n int64
	for _, u := range s.uploads {
		if u.owner == o {
			n += u.held
		}
	}
	return n
}

// Upload finds an unfinished upload of an owner.
func (s *Store) Upload(owner, id string) (*Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil || u.owner.name != owner || u.ended != nil {
		return nil, &NoUploadError{id}
	}
	return u, nil
}

// ID names the upload to its owner. It cannot be guessed.
func (u *Upload) ID() string { return u.id }

// Spec is what the owner has said about the model.
func (u *Upload) Spec() Spec {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	return u.spec
}

// Expect announces the file's digest, if Begin did not: a sender knows it when it has
// read the file.
func (u *Upload) Expect(d Digest) error {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	if !u.spec.Expected.IsZero() && u.spec.Expected != d {
		return &ConflictError{"the upload " + u.id, "was announced with another digest"}
	}
	u.spec.Expected = d
	return nil
}

// Offset is how many bytes have arrived.
func (u *Upload) Offset() int64 {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	return u.offset
}

// Write takes the next bytes of the file. After a *QuotaError or *FullError the upload
// is still there, and takes the rest when there is room, unless there cannot be: what is
// larger than all there may be ends it, as other errors do.
func (u *Upload) Write(p []byte) (int, error) {
	if !u.turn.TryLock() {
		return 0, u.busy()
	}
	defer u.yield()
	return u.write(p)
}

// ReadFrom takes all of r, the next part of the file. If r fails the upload is still
// there.
func (u *Upload) ReadFrom(r io.Reader) (int64, error) { return u.Append(-1, r) }

// Append is ReadFrom for a part that begins at an offset that the sender has named.
func (u *Upload) Append(at int64, r io.Reader) (int64, error) {
	if !u.turn.TryLock() {
		return 0, u.busy()
	}
	defer u.yield()
	if offset := u.Offset(); at >= 0 && at != offset {
		return 0, &OffsetError{at, offset}
	}
	return u.stream(r)
}

func (u *Upload) busy() error {
	return &ConflictError{"the upload " + u.id, "is being written by another request"}
}

// yield lets others write. If the upload has ended meanwhile it cleans up.
func (u *Upload) yield() {
	u.turn.Unlock()
	u.sweep()
	if u.hasEnded() {
		u.settle()
	}
}

// grace is how long the end of an upload waits for a loader that was told to end, so
// that who tries again finds room.
const grace = 5 * time.Second

func (u *Upload) settle() {
	select {
	case <-u.loaded:
	case <-time.After(grace):
	}
}

// write counts, hashes, seals and loads. The caller has the turn.
func (u *Upload) write(p []byte) (int, error) {
	n := 0
	for {
		piece := p[n:min(len(p), n+part)]
		if err := u.count(int64(len(piece))); err != nil {
			return n, err
		}
		if len(piece) == 0 {
			return n, nil
		}
		if err := u.pass(piece, false); err != nil {
			return n, u.end(err)
		}
		n += len(piece)
	}
}

// count takes the quotas for a piece, and begins the wait for the next anew.
func (u *Upload) count(n int64) error {
	s := u.store
	s.mu.Lock()
	if u.ended != nil {
		defer s.mu.Unlock()
		return u.ended
	}
	if u.whole && n > 0 {
		defer s.mu.Unlock()
		return &ConflictError{"the upload " + u.id, "is complete and takes no more bytes; end it with an empty part"}
	}
	if l := u.spec.Length; l > 0 && n > l-u.offset {
		seen := u.offset + n
		s.mu.Unlock()
		return u.end(&LengthError{seen, l})
	}
	u.idle.Reset(IdleTime)
	err := s.take(u, n)
	s.mu.Unlock()
	if neverFits(err) {
		return u.end(err)
	}
	return err
}

// neverFits says that an upload was refused for what it is, and not for what is there
// beside it: nothing would come of keeping it.
func neverFits(err error) bool {
	var quota *QuotaError
	var full *FullError
	return errors.As(err, &quota) && quota.Alone || errors.As(err, &full) && full.Never
}

// pass hands a piece on to all who read the file: one after the other, or where nobody
// else needs the processors at the same time.
func (u *Upload) pass(p []byte, alone bool) error {
	if !alone || len(p) < wide {
		u.sum(p)
		if err := u.sealed(p); err != nil {
			return err
		}
		return u.feed(p)
	}
	var others sync.WaitGroup
	var err error
	others.Go(func() { u.sum(p) })
	if u.seal != nil {
		others.Go(func() { err = u.sealed(p) })
	}
	fed := u.feed(p)
	others.Wait()
	return cmp.Or(err, fed)
}

// wide is from how many bytes on it pays to wake up other processors.
const wide = 32 << 10

// sum hashes in pieces: the garbage collector waits for the end of each.
func (u *Upload) sum(p []byte) {
	for part := range slices.Chunk(p, 32<<10) {
		u.hash.Write(part)
	}
}

func (u *Upload) sealed(p []byte) error {
	if u.seal == nil {
		return nil
	}
	_, err := u.seal.Write(p)
	u.store.config.step("upload.piece")
	return err
}

func (u *Upload) feed(p []byte) error {
	_, err := u.pipe.Write(p)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// end ends an upload for a reason, and returns the reason for which it ended: the
// first. What it holds is given back as soon as nobody writes and its loader has
// returned.
func (u *Upload) end(why error) error {
	s := u.store
	s.mu.Lock()
	if u.ended == nil {
		u.ended = why
		u.idle.Stop()
		delete(s.uploads, u.id)
	}
	why = u.ended
	s.mu.Unlock()
	u.stop(why)
	_ = u.pipe.CloseWithError(why)
	u.sweep()
	return why
}

// sweep cleans up after an upload that has ended, unless somebody has the turn: he
// does it when he yields.
func (u *Upload) sweep() {
	for u.hasEnded() && u.turn.TryLock() {
		swept := u.swept
		if !swept {
			u.swept = true
			if u.seal != nil {
				u.seal.discard()
			}
			u.store.mu.Lock()
			u.store.leave(u)
			u.store.mu.Unlock()
		}
		u.turn.Unlock()
		if swept {
			return
		}
	}
}

func (u *Upload) hasEnded() bool {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	return u.ended != nil
}

// Abort ends an upload and forgets what has arrived.
func (u *Upload) Abort() {
	_ = u.end(&NoUploadError{u.id})
	u.settle()
}
