package rootfs

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/box/sandbox/ustar"
)

// layer is one layer while it is laid over a tree.
type layer struct {
	*tree
	number  int
	report  *Report
	made    map[string]bool // names that this layer added; true for folders
	deleted map[string]bool // names that this layer deleted
}

// maxRecords is how many bytes of extended attributes an entry may have.
const maxRecords = 128 << 10

// stream is the decompressed bytes of a layer: counted, bounded and hashed.
type stream struct {
	r      io.Reader
	sum    hash.Hash
	stored int64  // bytes of the layer as it is stored
	read   int64  // bytes so far
	left   *int64 // bytes that all layers may still have
	ratio  int64
	failed *Refusal
	broken error // of the decompressor
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.read += int64(n)
	*s.left -= int64(n)
	switch {
	case *s.left < 0:
		s.failed = &Refusal{Reason: TooLarge}
	case s.read > ratioFree && s.read/s.ratio > s.stored:
		s.failed = &Refusal{Reason: TooDense, Detail: fmt.Sprintf("more than %d bytes for each one stored", s.ratio)}
	}
	if s.failed != nil {
		return 0, s.failed
	}
	if err != nil && err != io.EOF {
		s.broken = err
	}
	return n, err
}

// open begins to decompress a layer.
func (s *stream) open(stored io.Reader, how oci.Compression) error {
	buffered := bufio.NewReaderSize(stored, 1<<20)
	if how == oci.Plain {
		s.r = buffered
		return nil
	}
	z, err := gzip.NewReader(buffered)
	if err != nil {
		return &Refusal{Reason: NotGzip, Detail: err.Error()}
	}
	s.r = z
	return nil
}

// verdict turns an error of the archive's reader into the one that matters.
func (s *stream) verdict(err error) error {
	var r *Refusal
	switch {
	case s.failed != nil:
		return s.failed
	case s.broken != nil:
		return &Refusal{Reason: NotGzip, Detail: s.broken.Error()}
	case errors.As(err, &r):
		return r
	}
	return &Refusal{Reason: NotATar, Detail: err.Error()}
}

// apply lays a layer over the tree.
func (l *layer) apply(s *stream, diffID oci.Digest) error {
	r := ustar.NewReader(s, int64(l.lim.Path)+maxRecords)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return s.verdict(err)
		}
		if err := l.entry(h, r); err != nil {
			return l.because(s, err, h.Name)
		}
	}
	if err := s.rest(); err != nil {
		return err
	}
	if got := oci.Digest(s.sum.Sum(nil)); got != diffID {
		return &Refusal{Reason: WrongContent, Detail: fmt.Sprintf("%s, expected %s", got, diffID)}
	}
	return nil
}

// because names the entry that an error is about.
func (l *layer) because(s *stream, err error, name string) error {
	var r *Refusal
	var file *os.PathError
	switch {
	case errors.As(err, &r) && s.failed == nil:
		r.Entry = name
		return r
	case errors.As(err, &file):
		return fmt.Errorf("rootfs: layer %d: %w", l.number, err)
	}
	return s.verdict(err)
}

// rest reads what follows the archive's end: zeros that fill a block.
func (s *stream) rest() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return &Refusal{Reason: Trailing}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return s.verdict(err)
		}
	}
}

// entry does what one entry says.
func (l *layer) entry(h *ustar.Header, content io.Reader) error {
	if err := l.count(); err != nil {
		return err
	}
	e, refused := l.lim.examine(h)
	if refused != nil {
		return refused
	}
	l.report.note(h, e.name)
	switch {
	case e.name == "." && !e.opaque:
		return l.root0(e)
	case e.opaque:
		return l.opaque(e.name)
	case e.whiteout:
		return l.whiteout(e.name)
	}
	p, err := l.locate(e.name, true)
	if err != nil {
		return err
	}
	defer p.close()
	if err := l.make(p, e.kind == ustar.Folder); err != nil {
		return err
	}
	return l.put(p, e, content)
}

// root0 sets owner and mode of the tree itself.
func (l *layer) root0(e entry) error {
	if err := os.Chown(fdPath(l.root), l.owner(e.uid), l.owner(e.gid)); err != nil {
		return err
	}
	return os.Chmod(fdPath(l.root), os.FileMode(e.mode))
}

// make clears a place for a new entry. A folder may be where one was.
func (l *layer) make(p place, folder bool) error {
	if wasFolder, again := l.made[p.name]; again && !(folder && wasFolder) {
		return &Refusal{Reason: Twice}
	}
	if l.deleted[p.name] {
		return &Refusal{Reason: Contradicts}
	}
	l.made[p.name] = folder
	kind, err := typeAt(p.dir, p.base)
	if err != nil || kind == 0 || folder && kind == unix.S_IFDIR {
		return err
	}
	return l.remove(p.dir, p.base, p.name)
}

// whiteout deletes what a lower layer added. It need not be there.
func (l *layer) whiteout(name string) error {
	p, err := l.locate(name, false)
	if err != nil {
		return ignoreMissing(err)
	}
	defer p.close()
	if _, both := l.made[p.name]; both {
		return &Refusal{Reason: Contradicts}
	}
	l.deleted[p.name] = true
	kind, err := typeAt(p.dir, p.base)
	if err != nil || kind == 0 {
		return err
	}
	return l.remove(p.dir, p.base, p.name)
}

// ignoreMissing accepts the deletion of what is below no folder.
func ignoreMissing(err error) error {
	var r *Refusal
	if errors.As(err, &r) && r.Reason == NotAFolder {
		return nil
	}
	return err
}

// remove deletes what lower layers added, with all that is in it. It refuses to
// delete what this layer added.
func (l *layer) remove(dir int, base, name string) error {
	kind, err := typeAt(dir, base)
	if err != nil {
		return err
	}
	if kind != unix.S_IFDIR {
		return unlink(dir, base, 0)
	}
	kept, err := l.clear(dir, base, name)
	if err != nil {
		return err
	}
	if kept {
		return &Refusal{Reason: Contradicts}
	}
	return unlink(dir, base, unix.AT_REMOVEDIR)
}

func unlink(dir int, base string, flags int) error {
	if err := unix.Unlinkat(dir, base, flags); err != nil {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	return nil
}

// opaque deletes all that lower layers put into a folder.
func (l *layer) opaque(name string) error {
	fd, err := l.folder(name, false)
	if err != nil {
		return ignoreMissing(err)
	}
	defer unix.Close(fd)
	at, err := l.nameOf(fd)
	if err != nil {
		return err
	}
	_, err = l.clear(fd, ".", at)
	return err
}

// clear empties a folder of what this layer did not add, and reports whether
// something was left.
func (l *layer) clear(dir int, base, name string) (kept bool, err error) {
	fd, names, err := children(dir, base)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	for _, child := range names {
		left, err := l.clearOne(fd, child, path.Join(name, child))
		if err != nil {
			return false, err
		}
		kept = kept || left
	}
	return kept, nil
}

func (l *layer) clearOne(dir int, base, name string) (kept bool, err error) {
	_, ours := l.made[name]
	kind, err := typeAt(dir, base)
	if err != nil {
		return false, err
	}
	flags := 0
	if kind == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
		inside, err := l.clear(dir, base, name)
		if err != nil {
			return false, err
		}
		ours = ours || inside
	}
	if ours {
		return true, nil
	}
	return false, unlink(dir, base, flags)
}

// newStream prepares the hashing of a layer.
func newStream(stored int64, left *int64, ratio int64) *stream {
	return &stream{sum: sha256.New(), stored: stored, left: left, ratio: ratio}
}
