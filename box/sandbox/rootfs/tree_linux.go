package rootfs

import (
	"errors"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/box/sandbox/ustar"
)

// tree is a folder that is being filled. All names are resolved by the kernel
// with the folder as their root.
type tree struct {
	root  int    // descriptor
	path  string // of root, as the kernel calls it
	owner func(inside uint32) int
	lim   Limits
	files int // entries left, in all layers
	buf   []byte
}

func openTree(dir string, owner func(inside uint32) int, lim Limits) (*tree, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	real, err := os.Readlink(fdPath(fd))
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &tree{root: fd, path: real, owner: owner, lim: lim, files: lim.Files, buf: make([]byte, 256<<10)}, nil
}

func (t *tree) Close() error { return unix.Close(t.root) }

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// count takes one of the entries that are left. A folder that no entry names takes
// as much memory as one that has an entry.
func (t *tree) count() error {
	if t.files--; t.files < 0 {
		return &Refusal{Reason: TooMany}
	}
	return nil
}

// place is where an entry goes: a folder that exists and a name in it.
type place struct {
	dir  int    // descriptor, to be closed
	base string // one component, never "." or ".."
	name string // of the entry, with all links of its folders resolved
}

func (p place) close() { unix.Close(p.dir) }

// locate finds the place of a name. Folders that no layer mentions are made if
// create is set.
func (t *tree) locate(name string, create bool) (place, error) {
	dir, err := t.folder(path.Dir(name), create)
	if err != nil {
		return place{}, err
	}
	at, err := t.nameOf(dir)
	if err == nil {
		at = path.Join(at, path.Base(name))
		err = t.bounded(at)
	}
	if err != nil {
		unix.Close(dir)
		return place{}, err
	}
	return place{dir, path.Base(name), at}, nil
}

// bounded checks a name whose links are resolved: they can lead deeper than the
// name in the archive says.
func (t *tree) bounded(name string) error {
	if len(name) > t.lim.Path {
		return &Refusal{Reason: LongName}
	}
	if strings.Count(name, "/") >= t.lim.Depth {
		return &Refusal{Reason: TooDeep}
	}
	return nil
}

// nameOf returns the name of a folder of the tree, "." for its root.
func (t *tree) nameOf(fd int) (string, error) {
	real, err := os.Readlink(fdPath(fd))
	if err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(real, t.path)
	if !ok || rest != "" && rest[0] != '/' {
		return "", &Refusal{Reason: Outside, Detail: "the kernel says " + strconv.Quote(real)}
	}
	return path.Clean("./" + strings.TrimPrefix(rest, "/")), nil
}

// folder opens a folder of the tree.
func (t *tree) folder(name string, create bool) (int, error) {
	fd, err := t.resolve(name)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT) && create && name != ".":
		return t.makeFolder(name)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENOENT):
		return -1, &Refusal{Reason: NotAFolder, Detail: strconv.Quote(name)}
	case errors.Is(err, unix.ELOOP):
		return -1, &Refusal{Reason: LoopingLinks, Detail: strconv.Quote(name)}
	}
	return -1, &os.PathError{Op: "openat2", Path: name, Err: err}
}

// resolve has the kernel find a folder with the tree as its root. A rename
// anywhere on the machine can make it lose its way at a ".." (openat2(2), EAGAIN).
func (t *tree) resolve(name string) (fd int, err error) {
	const tries = 100
	for range tries {
		fd, err = unix.Openat2(t.root, name, &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	return fd, err
}

func (t *tree) makeFolder(name string) (int, error) {
	p, err := t.locate(name, true)
	if err != nil {
		return -1, err
	}
	defer p.close()
	if err := t.count(); err != nil {
		return -1, err
	}
	err = unix.Mkdirat(p.dir, p.base, 0o755)
	if errors.Is(err, unix.EEXIST) { // a link that leads nowhere
		return -1, &Refusal{Reason: NotAFolder, Detail: strconv.Quote(name)}
	}
	if err == nil {
		err = unix.Fchownat(p.dir, p.base, t.owner(0), t.owner(0), unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return -1, &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return t.folder(name, false)
}

// typeAt returns the file type bits of what is at a place, 0 if nothing is.
func typeAt(dir int, base string) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "stat", Path: base, Err: err}
	}
	return st.Mode & unix.S_IFMT, nil
}

// put makes an entry at a place where nothing is, or a folder where one is.
func (t *tree) put(p place, e entry, content io.Reader) error {
	var err error
	switch e.kind {
	case ustar.File:
		return t.file(p, e, content)
	case ustar.HardLink:
		return t.hardLink(p, e)
	case ustar.Symlink:
		if err = unix.Symlinkat(e.target, p.dir, p.base); err == nil {
			err = t.own(p, e)
		}
	case ustar.Folder:
		err = unix.Mkdirat(p.dir, p.base, 0o700)
		if err == nil || errors.Is(err, unix.EEXIST) {
			err = t.own(p, e)
		}
		if err == nil {
			err = unix.Fchmodat(p.dir, p.base, e.mode, 0)
		}
	}
	if err != nil {
		return &os.PathError{Op: "make", Path: e.name, Err: err}
	}
	return nil
}

// own sets owner and time of what is not followed.
func (t *tree) own(p place, e entry) error {
	if err := unix.Fchownat(p.dir, p.base, t.owner(e.uid), t.owner(e.gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.UtimesNanoAt(p.dir, p.base, times(e), unix.AT_SYMLINK_NOFOLLOW)
}

func times(e entry) []unix.Timespec {
	ts := unix.NsecToTimespec(0)
	if year := e.mtime.Year(); year > 1900 && year < 2200 { // fits into nanoseconds
		ts = unix.NsecToTimespec(e.mtime.UnixNano())
	}
	return []unix.Timespec{ts, ts}
}

// file writes a regular file that did not exist.
func (t *tree) file(p place, e entry, content io.Reader) (err error) {
	fd, err := unix.Openat(p.dir, p.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: e.name, Err: err}
	}
	f := os.NewFile(uintptr(fd), e.name)
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	// The buffer would be left aside if the file could copy by itself.
	if _, err = io.CopyBuffer(struct{ io.Writer }{f}, content, t.buf); err != nil {
		return err
	}
	// The owner first: the kernel clears bits of the mode when it changes.
	if err = unix.Fchown(fd, t.owner(e.uid), t.owner(e.gid)); err == nil {
		err = unix.Fchmod(fd, e.mode)
	}
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, fdPath(fd), times(e), 0)
	}
	if err != nil {
		return &os.PathError{Op: "set", Path: e.name, Err: err}
	}
	return nil
}

// hardLink makes a second name for a file of the tree.
func (t *tree) hardLink(p place, e entry) error {
	to, err := t.locate(e.target, false)
	if err != nil {
		return err
	}
	defer to.close()
	kind, err := typeAt(to.dir, to.base)
	if err != nil {
		return err
	}
	if kind != unix.S_IFREG && kind != unix.S_IFLNK {
		return &Refusal{Reason: BadLink, Detail: strconv.Quote(e.target)}
	}
	// Without AT_SYMLINK_FOLLOW a link to a symbolic link is one to it itself.
	if err := unix.Linkat(to.dir, to.base, p.dir, p.base, 0); err != nil {
		return &os.PathError{Op: "link", Path: e.name, Err: err}
	}
	return nil
}

// children lists a folder.
func children(dir int, base string) (int, []string, error) {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &os.PathError{Op: "open", Path: base, Err: err}
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	f := os.NewFile(uintptr(dup), base)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, names, nil
}
