package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"

	"filippo.io/age"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// The catalog is one file in the state folder, replaced as a whole by rename(2): it
// is as it was before a change or as it is after it, whenever the process dies.
const (
	catalogName    = "catalog.json"
	catalogNew     = "catalog.json.new"
	catalogVersion = 1
	maxCatalog     = 256 << 20 // bytes
	maxFile        = 1 << 40   // bytes; as many as a catalog can hold do not overflow
)

// catalog is what survives the process.
type catalog struct {
	Version int      `json:"version"`
	Files   []sealed `json:"files"`
	Models  []record `json:"models"`
}

// sealed is a file on the disk, and all that is needed to read it.
type sealed struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`   // bytes of the model's file
	Name   string `json:"name"`   // in the disk's folder; random
	Length int64  `json:"length"` // bytes of the sealed file
	Key    string `json:"key"`    // an identity of age, for this file alone
}

// record is an entry in the catalog.
type record struct {
	Owner    string `json:"owner"`
	Name     string `json:"name"`
	Version  int    `json:"version"`
	Digest   Digest `json:"digest"`
	Options  string `json:"options"`
	Shared   bool   `json:"shared"`
	Pinned   bool   `json:"pinned"`
	Uploaded int64  `json:"uploaded"` // ms since 1970
	Memory   int64  `json:"memory"`   // bytes when it was last ready
}

// MarshalText writes the digest as everywhere.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ReadStrictJSON reads what MarshalText wrote.
func (d *Digest) ReadStrictJSON(r *strictjson.Reader) error {
	text, err := r.String()
	if err != nil {
		return err
	}
	*d, err = ParseDigest(text)
	return err
}

var (
	fileName = regexp.MustCompile(`^[0-9a-f]{32}\.sealed$`)
	partName = regexp.MustCompile(`^[0-9a-f]{32}\.part$`)
)

// readCatalog checks everything that the store relies on: a catalog that could not
// have been written by it is refused as a whole.
func readCatalog(data []byte) (catalog, error) {
	var c catalog
	if err := strictjson.Decode(data, &c, strictjson.Options{Limits: strictjson.Limits{Bytes: maxCatalog}}); err != nil {
		return catalog{}, err
	}
	if c.Version != catalogVersion {
		return catalog{}, fmt.Errorf("version %d, expected %d", c.Version, catalogVersion)
	}
	files, names := map[Digest]int{}, map[string]bool{}
	for _, f := range c.Files {
		if _, twice := files[f.Digest]; twice || names[f.Name] {
			return catalog{}, fmt.Errorf("the file %.80q is there twice", f.Name)
		}
		if err := f.check(); err != nil {
			return catalog{}, fmt.Errorf("file %.80q: %w", f.Name, err)
		}
		files[f.Digest], names[f.Name] = 0, true
	}
	models := map[record]bool{}
	for _, m := range c.Models {
		if err := m.check(); err != nil {
			return catalog{}, err
		}
		uses, ok := files[m.Digest]
		if place := (record{Owner: m.Owner, Name: m.Name, Version: m.Version}); !ok || models[place] {
			return catalog{}, fmt.Errorf("%.200q version %d is there twice or without a file", canonical(m.Owner, m.Name), m.Version)
		} else {
			models[place] = true
		}
		files[m.Digest] = uses + 1
	}
	for d, uses := range files {
		if uses == 0 {
			return catalog{}, fmt.Errorf("no model has the file %v", d)
		}
	}
	return c, nil
}

// readable refuses a model with which the next start would refuse the catalog.
func readable(f sealed, m record) error {
	data, err := json.Marshal(catalog{catalogVersion, []sealed{f}, []record{m}})
	if err == nil {
		_, err = readCatalog(data)
	}
	if err != nil {
		return &InputError{"this cannot be in the catalog: " + err.Error()}
	}
	return nil
}

func (f sealed) check() error {
	if !fileName.MatchString(f.Name) || f.Digest.IsZero() || f.Size < 0 || f.Length <= f.Size || f.Length > maxFile {
		return errors.New("name, digest or size cannot be")
	}
	_, err := age.ParseX25519Identity(f.Key)
	if err != nil {
		return errors.New("no key") // its text may be in the error
	}
	return nil
}

func (m record) check() error {
	if err := errors.Join(checkOwner(m.Owner), checkName(m.Name)); err != nil {
		return err
	}
	if m.Version < 1 || m.Version > maxVersion || len(m.Options) > maxOptions || m.Memory < 0 {
		return fmt.Errorf("%.200q version %d, options of %d bytes, memory %d: cannot be", canonical(m.Owner, m.Name), m.Version, len(m.Options), m.Memory)
	}
	return nil
}

// openDisk reads the catalog and removes from both folders what it does not name. It
// does so only in folders that no other process uses.
func (s *Store) openDisk() (err error) {
	d := &disk{limit: s.config.Disk, step: s.config.step}
	if d.state, d.locks[0], err = openFolder(s.config.State); err == nil {
		d.folder, d.locks[1], err = openFolder(s.config.Folder)
	}
	var c catalog
	if err == nil {
		c, err = d.catalog()
	}
	if err == nil {
		s.disk = d
		s.fill(c)
		err = d.clean(c)
	}
	if err != nil {
		return errors.Join(err, d.close())
	}
	return nil
}

// openFolder opens a folder and takes it for this process.
func openFolder(path string) (*os.Root, *os.File, error) {
	r, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	l, err := lock(r)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("store: folder %s: %w; nothing was changed", path, err), r.Close())
	}
	return r, l, nil
}

// fill makes the store what the catalog says.
func (s *Store) fill(c catalog) {
	for _, f := range c.Files {
		s.contents[f.Digest] = &content{sealed: f}
		s.disk.used += f.Length
	}
	for _, m := range c.Models {
		s.add(m)
	}
}

// add puts an entry into the store whose content is there.
func (s *Store) add(m record) *entry {
	o, c := s.ownerOf(m.Owner), s.contents[m.Digest]
	m.Owner, m.Digest = o.name, c.Digest // one copy of the text
	e := &entry{record: m, owner: o, content: c}
	o.entries = append(o.entries, e)
	o.bytes += c.Size
	c.entries = append(c.entries, e)
	if m.Pinned {
		s.unitOf(e.key()).pins++
	}
	return e
}

// ownerOf returns a caller's account, and makes it if there is none.
func (s *Store) ownerOf(name string) *owner {
	o := s.owners[name]
	if o == nil {
		o = &owner{name: name, loads: make(chan struct{}, s.config.OwnerLoads)}
		s.owners[name] = o
	}
	return o
}

// dropOwner forgets a caller that has nothing.
func (s *Store) dropOwner(o *owner) {
	if len(o.entries) == 0 && o.uploads == 0 && o.loading == 0 && s.owners[o.name] == o {
		delete(s.owners, o.name)
	}
}

// commit changes the catalog: plan changes a copy, which is written; then apply
// changes the store. Both are called with the lock held; while the copy is written
// nothing else changes what is in the catalog. If the write fails nothing changes.
func (s *Store) commit(plan func(c *catalog) error, apply func()) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	c := s.copy()
	err := plan(&c)
	s.mu.Unlock()
	if err == nil && s.disk != nil {
		err = s.disk.write(c)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	apply()
	return nil
}

// copy is the catalog as it would be written; empty without a disk.
func (s *Store) copy() catalog {
	c := catalog{Version: catalogVersion}
	if s.disk == nil {
		return c
	}
	c.Files = make([]sealed, 0, len(s.contents)+1)
	for _, one := range s.contents {
		c.Files = append(c.Files, one.sealed)
		for _, e := range one.entries {
			c.Models = append(c.Models, e.record)
		}
	}
	return c
}

// catalog reads the catalog; none is an empty one.
func (d *disk) catalog() (catalog, error) {
	f, err := d.state.Open(catalogName)
	if errors.Is(err, fs.ErrNotExist) {
		return catalog{}, nil
	}
	if err != nil {
		return catalog{}, fmt.Errorf("store: catalog: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return catalog{}, errors.New("store: the catalog is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCatalog+1))
	if err != nil {
		return catalog{}, fmt.Errorf("store: catalog: %w", err)
	}
	c, err := readCatalog(data)
	if err != nil {
		return catalog{}, fmt.Errorf("store: the catalog in the state folder is damaged: %w; nothing was loaded or removed", err)
	}
	return c, nil
}

// write replaces the catalog.
func (d *disk) write(c catalog) error {
	data, err := json.Marshal(c)
	if err == nil && len(data) > maxCatalog {
		err = fmt.Errorf("%d bytes, limit %d", len(data), maxCatalog)
	}
	if err == nil {
		err = d.replace(data)
	}
	if err != nil {
		return fmt.Errorf("store: catalog: %w; nothing was changed", err)
	}
	return nil
}

func (d *disk) replace(data []byte) error {
	f, err := d.state.OpenFile(catalogNew, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	d.step("catalog.created")
	_, err = f.Write(data)
	d.step("catalog.written")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, d.state.Remove(catalogNew))
	}
	d.step("catalog.synced")
	if err := d.state.Rename(catalogNew, catalogName); err != nil {
		return err
	}
	d.step("catalog.renamed")
	_ = flush(d.state) // from the rename on the new one is what the next start reads
	return nil
}

// flush makes what was renamed or removed in a folder outlive the machine's power.
func flush(r *os.Root) error {
	if runtime.GOOS == "windows" {
		return nil // has no such call
	}
	f, err := r.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
