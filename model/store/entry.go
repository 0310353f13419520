package store

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Visibility says who may see and use a model.
type Visibility int

const (
	// Private: its owner alone.
	Private Visibility = iota
	// Shared: every caller of the box.
	Shared
)

func (v Visibility) String() string {
	if v == Shared {
		return "shared"
	}
	return "private"
}

// State is what a model is like at this moment.
type State string

// States of a model.
const (
	Idle     State = "idle"     // in its sealed file; loaded when it is asked for
	Loading  State = "loading"  // somebody waits for it
	Loaded   State = "ready"    // in memory
	Unusable State = "unusable" // its sealed file was refused when it was last asked for
)

// Entry describes one model of one owner.
type Entry struct {
	Owner      string // empty for a model that the box brings
	Name       string
	Version    int // 1, 2, ... of this owner and name
	Digest     Digest
	Size       int64 // bytes of the file
	Options    string
	Visibility Visibility
	Pinned     bool
	Uploaded   time.Time // zero for a model that the box brings
	State      State
	Memory     int64 // bytes that it holds when it is ready; as last seen
}

// Canonical is the name under which the policy decides about the model: NAME for one
// that the box brings, OWNER~NAME for others.
func (e Entry) Canonical() string { return canonical(e.Owner, e.Name) }

// Reference leads to exactly this model, whoever has others of its name.
func (e Entry) Reference() Reference { return Reference{e.Owner + "~" + e.Name, e.Version} }

func canonical(owner, name string) string {
	if owner == "" {
		return name
	}
	return owner + "~" + name
}

// Reference is how a caller names a model.
type Reference struct {
	// Name is NAME (the caller's own, or else one that the box brings), OWNER~NAME,
	// ~NAME (one that the box brings), or an id. An id means the caller's newest with
	// this file, else one that the box brings, else a shared one.
	Name    string
	Version int // zero means the newest
}

func (r Reference) String() string {
	if r.Version == 0 {
		return fmt.Sprintf("%.200q", r.Name)
	}
	return fmt.Sprintf("%.200q version %d", r.Name, r.Version)
}

const (
	maxOptions = 16 << 10 // bytes
	maxOwner   = 512
	maxVersion = 1 << 30
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func checkName(name string) error {
	switch {
	case !namePattern.MatchString(name):
		return &InputError{fmt.Sprintf("name %.140q, must be up to 128 letters, digits, '.', '_', '-', the first a letter or digit", name)}
	case strings.HasPrefix(name, "sha256-"):
		return &InputError{fmt.Sprintf("name %.140q looks like an id; take one that does not begin with sha256-", name)}
	}
	return nil
}

// startup is a model that the box brings.
type startup struct{ Startup }

func (s *Store) addStartup(m Startup) error {
	if err := checkName(m.Name); err != nil {
		return err
	}
	if m.Ready == nil || m.Digest.IsZero() || s.startup[m.Name] != nil {
		return fmt.Errorf("store: the startup model %s is there twice, or has no digest or nothing that could run", m.Name)
	}
	s.startup[m.Name] = &startup{Startup: m}
	return nil
}

func (m *startup) entry() Entry {
	return Entry{Name: m.Name, Version: 1, Digest: m.Digest, Size: m.Size, Options: m.Options, Visibility: Shared, State: Loaded, Memory: m.Ready.Bytes()}
}

// owner is one caller that has models or uploads.
type owner struct {
	name    string
	entries []*entry // oldest first
	bytes   int64    // of files, uploads included
	uploads int      // whose loader has not returned
	loading int      // loads that run or wait
	loads   chan struct{}
}

// entry is one model of an owner. Only memory changes outside of [Store.commit].
type entry struct {
	record
	owner   *owner
	content *content
}

// content is a file that is there for one or more entries.
type content struct {
	sealed
	entries []*entry
	refused bool // the disk did not give it when it was last asked for
}

func (e *entry) key() unitKey { return unitKey{e.owner.name, e.Digest, e.Options} }

func (s *Store) describe(e *entry) Entry {
	out := Entry{Owner: e.owner.name, Name: e.Name, Version: e.Version, Digest: e.Digest, Size: e.content.Size, Options: e.Options,
		Pinned: e.Pinned, Uploaded: time.UnixMilli(e.Uploaded).UTC(), State: Idle, Memory: e.Memory}
	if e.Shared {
		out.Visibility = Shared
	}
	u := s.units[e.key()]
	switch {
	case u != nil && u.ready != nil:
		out.State = Loaded
	case u != nil && u.flight != nil:
		out.State = Loading
	case e.content.refused:
		out.State = Unusable
	}
	return out
}

// found is what a reference leads to: one of both.
type found struct {
	startup *startup
	entry   *entry
}

func (s *Store) entryOf(f found) Entry {
	if f.startup != nil {
		return f.startup.entry()
	}
	return s.describe(f.entry)
}

// resolve finds what a caller means. The caller of it holds the lock.
func (s *Store) resolve(caller string, r Reference) (found, error) {
	if s.closed {
		return found{}, ErrClosed
	}
	var f found
	if d, err := ParseDigest(r.Name); err == nil {
		f = s.byDigest(caller, d, r.Version)
	} else if at := strings.LastIndexByte(r.Name, '~'); at >= 0 {
		f = s.byOwner(caller, r.Name[:at], r.Name[at+1:], r.Version)
	} else if f = s.byOwner(caller, caller, r.Name, r.Version); f == (found{}) {
		f = s.byOwner(caller, "", r.Name, r.Version)
	}
	if f == (found{}) {
		return f, &NotFoundError{r}
	}
	return f, nil
}

func (s *Store) byOwner(caller, owner, name string, version int) found {
	if owner == "" {
		if version > 1 {
			return found{}
		}
		return found{startup: s.startup[name]}
	}
	o := s.owners[owner]
	if o == nil {
		return found{}
	}
	return found{entry: newest(o.entries, func(e *entry) bool {
		return e.Name == name && (version == 0 || version == e.Version) && e.seenBy(caller)
	})}
}

func (e *entry) seenBy(caller string) bool { return e.Shared || e.owner.name == caller }

// newest returns the entry of the highest version, and of these the last.
func newest(list []*entry, matches func(*entry) bool) *entry {
	var best *entry
	for _, e := range list {
		if matches(e) && (best == nil || e.Version >= best.Version) {
			best = e
		}
	}
	return best
}

func (s *Store) byDigest(caller string, d Digest, version int) found {
	if o := s.owners[caller]; o != nil {
		for _, e := range slices.Backward(o.entries) {
			if e.Digest == d && (version == 0 || version == e.Version) {
				return found{entry: e}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.startup)) {
		if m := s.startup[name]; m.Digest == d && version <= 1 {
			return found{startup: m}
		}
	}
	c := s.contents[d]
	if c == nil {
		return found{}
	}
	var best *entry
	for _, e := range c.entries {
		if e.Shared && (version == 0 || version == e.Version) && (best == nil || compare(e, best) < 0) {
			best = e
		}
	}
	return found{entry: best}
}

// compare orders by owner and name; of one name the newest is first.
func compare(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.owner.name, b.owner.name), cmp.Compare(a.Name, b.Name), cmp.Compare(b.Version, a.Version))
}

// Get describes the model that a reference leads to.
func (s *Store) Get(caller string, r Reference) (Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.resolve(caller, r)
	if err != nil {
		return Entry{}, err
	}
	return s.entryOf(f), nil
}

// List describes all models that a caller may see: those that the box brings, its own,
// and those that others share; by canonical name, the newest version first.
func (s *Store) List(caller string) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	var out []Entry
	for _, m := range s.startup {
		out = append(out, m.entry())
	}
	for _, o := range s.owners {
		for _, e := range o.entries {
			if e.seenBy(caller) {
				out = append(out, s.describe(e))
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Canonical(), b.Canonical()), cmp.Compare(b.Version, a.Version))
	})
	return out, nil
}

// own finds a model that the caller owns.
func (s *Store) own(caller string, r Reference) (*entry, error) {
	f, err := s.resolve(caller, r)
	switch {
	case err != nil:
		return nil, err
	case f.entry == nil || f.entry.owner.name != caller:
		return nil, &OwnerError{s.entryOf(f).Canonical()}
	}
	return f.entry, nil
}

func checkOwner(name string) error {
	if name == "" || len(name) > maxOwner || !utf8.ValidString(name) {
		return &InputError{fmt.Sprintf("owner %.80q, must be text of 1 to %d bytes", name, maxOwner)}
	}
	return nil
}
