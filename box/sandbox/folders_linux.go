package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hides names a file of the image with that root that a folder in memory at a path
// would hide from the app, "" if there is none. Folders that hold no file are none:
// images have them as places to write to.
func Hides(root, folder string) (string, error) {
	at, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("sandbox: the image's root: %w", err)
	}
	defer unix.Close(at)
	fd, err := openIn(at, folder, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("sandbox: %.200s, expected a folder or nothing in the image: %w", folder, err)
	}
	defer unix.Close(fd)
	below := "/proc/self/fd/" + strconv.Itoa(fd) + "/"
	file := ""
	err = filepath.WalkDir(below, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file = path.Join(folder, strings.TrimPrefix(name, below))
		return fs.SkipAll
	})
	if err != nil {
		return "", fmt.Errorf("sandbox: %.200s in the image: %w", folder, err)
	}
	return file, nil
}

// makeFolder makes what is missing of a folder of the image, for root inside, as the
// runtime would, which leaves it open who owns it. Where the app gets a folder in
// memory there is nothing to be made in the image: it would be hidden.
func (c *Config) makeFolder(dir string) error {
	at, err := unix.Open(c.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sandbox: the image's root: %w", err)
	}
	defer func() { unix.Close(at) }()
	for _, name := range strings.FieldsFunc(dir, func(r rune) bool { return r == '/' }) {
		err := unix.Mkdirat(at, name, 0o755)
		made := err == nil
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("sandbox: working folder %.200s: %w", dir, err)
		}
		// The folder was found without links, see resolve.
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("sandbox: working folder %.200s: %w", dir, err)
		}
		unix.Close(at)
		at = next
		if made {
			err = unix.Fchmod(at, 0o755) // whatever our umask is
			if !c.OneUser {
				err = errors.Join(err, os.NewSyscallError("chown", unix.Fchown(at, int(c.Shift), int(c.Shift))))
			}
		}
		if err != nil {
			return fmt.Errorf("sandbox: working folder %.200s: %w", dir, err)
		}
	}
	return nil
}
