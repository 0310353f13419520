package cache

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// DefaultLimit bounds the objects of a directory, in bytes.
const DefaultLimit = 64 << 20

// Bounds of single files.
const (
	maxObject  = 1 << 20
	maxEntry   = 4 << 10
	maxEntries = 4096 // objects of one directory
)

// Dir is a cache directory. It is safe for concurrent use, also by several
// processes.
type Dir struct {
	root  *os.Root
	limit int64
}

// Open opens a directory, and makes it if need be. limit bounds its objects in
// bytes; 0 means DefaultLimit.
func Open(dir string, limit int64) (*Dir, error) {
	if limit < 0 {
		return nil, fmt.Errorf("cache: limit of %d bytes, expected more than none", limit)
	}
	if limit == 0 {
		limit = DefaultLimit
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	// Nothing below can lead out of the directory, not even by a link.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	for _, sub := range []string{"objects", "index", "floors"} {
		if err := root.Mkdir(sub, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("cache: %w", err), root.Close())
		}
	}
	return &Dir{root: root, limit: limit}, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Entry is what is kept for one address.
type Entry struct {
	Key     string // the address, source.Object.Key
	Data    []byte
	Chain   []byte // issuers' certificates, PEM; nil if there are none
	Fetched time.Time
}

// Get returns the entry of a key. What is missing or damaged is not found; a
// directory that cannot be read is an error.
func (d *Dir) Get(key string) (Entry, bool, error) {
	rec, found, err := d.record("index/" + nameOf([]byte(key)))
	if err != nil || !found || rec.key != key {
		return Entry{}, false, err
	}
	return d.load(rec)
}

func (d *Dir) load(rec record) (Entry, bool, error) {
	e := Entry{Key: rec.key, Fetched: rec.fetched}
	var found bool
	var err error
	if e.Data, found, err = d.object(rec.data); err != nil || !found {
		return Entry{}, false, err
	}
	if rec.chain == "" {
		return e, true, nil
	}
	if e.Chain, found, err = d.object(rec.chain); err != nil || !found {
		return Entry{}, false, err
	}
	return e, true, nil
}

// object reads an object and compares it with its name. A damaged one is
// removed, so that it is fetched again.
func (d *Dir) object(name string) ([]byte, bool, error) {
	data, found, err := d.read("objects/"+name, maxObject)
	if err != nil || !found {
		return nil, false, err
	}
	if nameOf(data) != name {
		_ = d.root.Remove("objects/" + name)
		return nil, false, nil
	}
	return data, true, nil
}

// Put keeps an entry in the place of the one that its key had. It removes the
// entries that were fetched longest ago if the directory is over its limit.
func (d *Dir) Put(e Entry) error {
	if len(e.Data) == 0 || len(e.Data) > maxObject || len(e.Chain) > maxObject || e.Fetched.IsZero() {
		return fmt.Errorf("cache: an object of %d bytes fetched at %s, expected 1 to %d bytes and a time", len(e.Data), e.Fetched, maxObject)
	}
	rec := record{key: e.Key, data: nameOf(e.Data), fetched: e.Fetched.UTC().Truncate(time.Second)}
	if err := d.write("objects/"+rec.data, e.Data); err != nil {
		return err
	}
	if len(e.Chain) != 0 {
		rec.chain = nameOf(e.Chain)
		if err := d.write("objects/"+rec.chain, e.Chain); err != nil {
			return err
		}
	}
	text, err := rec.encode()
	if err != nil {
		return err
	}
	if err := d.write("index/"+nameOf([]byte(e.Key)), text); err != nil {
		return err
	}
	return d.shrink()
}

// Entries returns all entries that can be read, ordered by key.
func (d *Dir) Entries() ([]Entry, error) {
	recs, err := d.records()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, rec := range recs {
		e, found, err := d.load(rec)
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func nameOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// read reads a whole file of at most limit bytes. A longer one, and one that is
// no file, is damage and not found.
func (d *Dir) read(name string, limit int64) ([]byte, bool, error) {
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > limit {
		return nil, false, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, false, fmt.Errorf("cache: %w", err)
	}
	return data, int64(len(data)) <= limit, nil
}

// write makes a file that is there whole or not at all.
func (d *Dir) write(name string, data []byte) error {
	temporary := name + "." + rand.Text() + ".new"
	f, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = d.root.Rename(temporary, name)
	}
	if err != nil {
		_ = d.root.Remove(temporary)
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

// list returns the names in a subdirectory.
func (d *Dir) list(sub string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(d.root.FS(), sub)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return entries, nil
}
