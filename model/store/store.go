// Package store answers three questions about the models that callers bring into a
// box: which are there, whose are they, and where are their bytes?
//
// A model's file is read once, as it arrives ([Store.Begin], [Upload]): through its
// SHA-256, into the sealed file and into the [Loader] at the same time. Nothing holds
// it as a whole. What is acknowledged is sealed, if there is a disk, and in the
// catalog. A request takes a model with [Store.Use] and gives it back with
// [Handle.Release]; meanwhile it is neither evicted nor freed, whoever deletes it.
//
// # Owners
//
// Each model belongs to the caller that brought it. Its files, models, uploads and
// loads are bounded by a quota, and none of these is taken from another's. A private
// model is not found by others, exactly as one that does not exist. Equal files are
// stored once on the disk, but each owner's are read, hashed and counted in full, and
// what is ready in memory is never shared between owners: neither an error nor the
// time of an answer tells that somebody else has a file. Who wants one copy in memory
// for many callers shares the model ([Shared]).
//
// # Memory and disk
//
// Config.Memory bounds models that are ready, being read or being loaded. With a disk,
// the least recently used of those that nobody uses and nobody pinned makes room; its
// bytes are in its sealed file since the upload. Without one nothing is evicted: a
// full box refuses.
//
// The disk is the host's and hostile. Each file is encrypted by itself
// (age-encryption.org/v1, to an X25519 identity made for that file alone), and its
// key, size and digest stand in the catalog, which is in memory of the box
// (Config.State, a tmpfs of the guest: who calls Open has checked that). So the host
// cannot read a model, and one that it has altered, removed, exchanged or put back in
// an older version is refused by name ([SealedError]); nothing else is affected. It
// does see how many files there are and how large they are. A deleted model's key goes
// first.
//
// # Locks
//
// Nothing that can take long holds a lock that others need: no loader, no disk, no
// reading of an upload. A loader that never returns holds the memory and one of the
// loads of its owner, nobody else's. A panic in it is the error of the requests that
// wait for this model.
//
// The package stands inside the box. It knows neither ONNX nor HTTP nor the policy:
// whether a caller may do something is decided before it is asked.
package store

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Ready is a model that can be run.
type Ready interface {
	// Bytes is the memory that it holds. It must not change.
	Bytes() int64
}

// Loader makes a model of a file as it arrives.
type Loader interface {
	// Load reads r to its end. It ends early if ctx does. What it read must not be
	// trusted before it returns: only then are size and digest compared.
	Load(ctx context.Context, options string, r io.Reader) (Ready, error)
}

// Config is what a store is made of. Memory, the Owner fields, LoadTime and Loader are
// required.
type Config struct {
	Memory int64 // bytes of models in memory, of all owners together
	// Disk is how many bytes of sealed files Folder may hold. Both or none are set,
	// and State with them.
	Disk   int64
	Folder string // on the host's disk, for nothing else
	State  string // in the box's memory: keys and catalog

	// Arriving is how much memory one owner's uploads may hold that have not ended: nothing
	// evicts them. Default: Memory.
	Arriving    int64
	OwnerBytes  int64 // of model files, of each owner
	OwnerModels int   // and unfinished uploads, of each owner
	OwnerLoads  int   // uploads at once, and as many loads at once, of each owner
	// LoadTime bounds a loader's work on one model. Waiting for the bytes of an upload
	// does not count.
	LoadTime time.Duration
	Loader   Loader
	// Turn, if it is set, gives out processor time: it is waited for before the bytes of an
	// upload or of a sealed file are worked at, and release is called after a few ms. alone
	// says that nobody else needs a processor, so that several may be used. A loader that
	// waits for the same turns does so when it has read all, and calls [Pause] before.
	Turn func(ctx context.Context, owner string) (release func(), alone bool, err error)
	// Startup are models without an owner: ready from the start, for every caller, not
	// counted, and never evicted or deleted.
	Startup []Startup
	// Now dates models. Default time.Now.
	Now func() time.Time

	step func(string) // called at every step that a crash could follow
}

// Startup is a model that the box itself brings.
type Startup struct {
	Name    string
	Digest  Digest
	Size    int64
	Options string
	Ready   Ready
}

// Store is the models of a box. It is safe for concurrent use.
type Store struct {
	config  Config
	disk    *disk // nil without one
	ctx     context.Context
	stop    context.CancelFunc
	writing sync.Mutex // one change of the catalog at a time; taken before mu

	mu       sync.Mutex
	closed   bool
	startup  map[string]*startup
	owners   map[string]*owner
	contents map[Digest]*content
	units    map[unitKey]*unit
	uploads  map[string]*Upload
	recent   *list.List    // of *unit that are ready; the most recently used is first
	memory   int64         // bytes in use and reserved
	room     chan struct{} // closed and replaced when memory may have become free
	counts   Counts
}

// Open returns the store that the state folder describes, empty if there is none. It
// removes what a crash has left behind. Both folders are this store's alone until Close.
func Open(c Config) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		config: c, ctx: ctx, stop: stop,
		startup: map[string]*startup{}, owners: map[string]*owner{}, contents: map[Digest]*content{},
		units: map[unitKey]*unit{}, uploads: map[string]*Upload{},
		recent: list.New(), room: make(chan struct{}),
	}
	for _, m := range c.Startup {
		if err := s.addStartup(m); err != nil {
			return nil, err
		}
	}
	if c.Folder == "" {
		return s, nil
	}
	if err := s.openDisk(); err != nil {
		stop()
		return nil, err
	}
	return s, nil
}

// Warm loads the models that are pinned, one after the other: after a crash they are in
// their sealed files. One that cannot be loaded says why when it is asked for.
func (s *Store) Warm(ctx context.Context) {
	var pinned []Entry
	s.mu.Lock()
	for _, o := range s.owners {
		for _, e := range o.entries {
			if e.Pinned {
				pinned = append(pinned, s.describe(e))
			}
		}
	}
	s.mu.Unlock()
	for _, e := range pinned {
		_ = s.Load(ctx, e.Owner, e.Reference())
	}
}

func (c *Config) check() error {
	var errs []error
	for _, b := range []struct {
		name  string
		value int64
	}{
		{"memory", c.Memory}, {"bytes of an owner", c.OwnerBytes}, {"models of an owner", int64(c.OwnerModels)},
		{"loads of an owner", int64(c.OwnerLoads)}, {"time of a load", int64(c.LoadTime)},
	} {
		if b.value <= 0 {
			errs = append(errs, fmt.Errorf("store: %s is %d, must be positive", b.name, b.value))
		}
	}
	if c.Loader == nil {
		errs = append(errs, errors.New("store: no loader"))
	}
	if disk := c.Folder != ""; disk != (c.State != "") || disk != (c.Disk > 0) || c.Disk < 0 {
		errs = append(errs, fmt.Errorf("store: disk of %d bytes, folder %q, state folder %q: set all of them or none", c.Disk, c.Folder, c.State))
	}
	if c.Arriving < 0 {
		errs = append(errs, fmt.Errorf("store: memory of one owner's uploads is %d, must not be negative", c.Arriving))
	}
	c.Arriving = cmp.Or(c.Arriving, c.Memory)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.step == nil {
		c.step = func(string) {}
	}
	return errors.Join(errs...)
}

// Close ends uploads and loads, and frees the models. Models in use go with their last
// Release. What is sealed and in the catalog is there at the next Open. It does not
// wait for loaders that do not end.
func (s *Store) Close() error {
	s.writing.Lock() // lets a change of the catalog end
	defer s.writing.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	uploads := make([]*Upload, 0, len(s.uploads))
	for _, u := range s.uploads {
		uploads = append(uploads, u)
	}
	for _, u := range s.units {
		s.forget(u, ErrClosed)
	}
	s.mu.Unlock()
	s.stop()
	for _, u := range uploads {
		_ = u.end(ErrClosed)
	}
	if s.disk != nil {
		return s.disk.close()
	}
	return nil
}
