package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Config says where trees are kept. Dir and Limits are required.
type Config struct {
	// Dir is a folder that nobody else writes to. Whatever is in it is deleted.
	Dir string
	// Shift is added to every owner: root of the tree is this user outside.
	Shift  uint32
	Limits Limits
	// OneOwner has everything belong to whoever unpacks, where there are no other
	// users to give it to. It is for a developer's own machine.
	OneOwner bool
	// InsecureDisk lets Dir be on a disk. Whoever controls it can then change a
	// tree after it was verified. It is for a developer's own machine.
	InsecureDisk bool
}

// owner returns the user outside, or -1 for no change (chown(2)).
func (c *Config) owner(inside uint32) int {
	if c.OneOwner {
		return -1
	}
	return int(inside + c.Shift)
}

// Store keeps the trees of images, one for each digest.
//
// A tree is believed because this process made it from verified bytes, and for
// no other reason: what the folder holds at the start is deleted, unread. It
// lies in memory, where a box's hardware protects it and from where it is gone
// after a reboot, so that an app can be started again without unpacking anew.
type Store struct {
	cfg  Config
	mu   sync.Mutex
	have map[oci.Digest]*Tree
}

// Tree is an unpacked image.
type Tree struct {
	// Path is the root of the tree.
	Path   string
	Report Report
}

// NewStore empties the folder.
func NewStore(cfg Config) (*Store, error) {
	if err := cfg.Limits.valid(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("rootfs: folder %q, expected an absolute path", cfg.Dir)
	}
	// The app's user namespace must get through, and no further.
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	if err := InMemory(cfg.Dir); err != nil && !cfg.InsecureDisk {
		return nil, err
	}
	if err := empty(cfg.Dir); err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	return &Store{cfg: cfg, have: map[oci.Digest]*Tree{}}, nil
}

// InMemory refuses a folder whose bytes leave the machine's memory.
func InMemory(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("rootfs: %s: %w", dir, err)
	}
	if st.Type != unix.TMPFS_MAGIC && st.Type != unix.RAMFS_MAGIC {
		return fmt.Errorf("rootfs: %s is on a file system of type %#x, expected one in memory (tmpfs): who controls a disk can change what was verified", dir, st.Type)
	}
	return nil
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// Get returns the tree of an image, which it unpacks if it did not yet.
func (s *Store) Get(im *oci.Image) (*Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.have[im.Digest]; ok {
		return t, nil
	}
	t, err := s.unpack(im)
	if err != nil {
		return nil, err
	}
	s.have[im.Digest] = t
	return t, nil
}

// unpack makes a tree in a folder that gets its name only when all is well.
func (s *Store) unpack(im *oci.Image) (*Tree, error) {
	draft, err := os.MkdirTemp(s.cfg.Dir, "draft-")
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	t, err := s.fill(im, draft)
	if err == nil {
		err = os.Rename(draft, filepath.Join(s.cfg.Dir, im.Digest.Hex()))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(draft))
	}
	t.Path = filepath.Join(s.cfg.Dir, im.Digest.Hex(), "root")
	return t, nil
}

func (s *Store) fill(im *oci.Image, draft string) (*Tree, error) {
	root := filepath.Join(draft, "root")
	err := errors.Join(os.Chmod(draft, 0o711), os.Mkdir(root, 0o755), os.Chmod(root, 0o755), os.Chown(root, s.cfg.owner(0), s.cfg.owner(0)))
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	t, err := openTree(root, s.cfg.owner, s.cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	defer t.Close()
	out := &Tree{}
	bytes := s.cfg.Limits.Bytes
	for i := range im.Layers {
		l := &layer{tree: t, number: i, report: &out.Report, made: map[string]bool{}, deleted: map[string]bool{}}
		if err := s.layer(im, l, &bytes, draft); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// layer copies one layer out of the layout, where it can change at any time,
// and lays it over the tree once its digest was compared.
func (s *Store) layer(im *oci.Image, l *layer, left *int64, draft string) error {
	file, err := os.OpenFile(filepath.Join(draft, "layer"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("rootfs: %w", err)
	}
	defer file.Close()
	defer os.Remove(file.Name())
	if err := im.Copy(l.number, file); err != nil {
		return err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return fmt.Errorf("rootfs: %w", err)
	}
	from := im.Layers[l.number]
	in := newStream(from.Size, left, s.cfg.Limits.Ratio)
	err = in.open(file, from.Compression)
	if err == nil {
		err = l.apply(in, from.DiffID)
	}
	var r *Refusal
	if errors.As(err, &r) {
		r.Layer = l.number
	}
	return err
}
