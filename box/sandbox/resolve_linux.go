package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// resolve returns where a folder of an image really is, seen from its root: links
// are followed as they lead inside of the container, those of the kernel not at all.
// What is not there is made by the runtime (config.md of the runtime's
// specification, process.cwd), below the last folder that is.
func resolve(root, dir string) (string, error) {
	at, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("the image's root: %w", err)
	}
	defer unix.Close(at)
	base, err := where(at)
	if err != nil {
		return "", err
	}
	for there, missing := dir, ""; ; there, missing = path.Dir(there), path.Join(path.Base(there), missing) {
		real, err := folderIn(at, base, there)
		if err == nil {
			return path.Join(real, missing), nil
		}
		if !errors.Is(err, unix.ENOENT) || there == "/" {
			return "", err
		}
		if dangling(at, there) {
			return "", fmt.Errorf("%.200s is a link to what the image does not have", there)
		}
	}
}

// folderIn returns where a folder is that exists.
func folderIn(root int, base, dir string) (string, error) {
	fd, err := openIn(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", fmt.Errorf("expected a folder of the image: %w", err)
	}
	defer unix.Close(fd)
	real, err := where(fd)
	if err != nil {
		return "", err
	}
	inside, found := strings.CutPrefix(real, strings.TrimSuffix(base, "/"))
	if !found || inside != "" && inside[0] != '/' {
		return "", fmt.Errorf("%.200s is outside of the image", real)
	}
	return path.Join("/", inside), nil
}

// dangling reports whether there is a link at a place at which nothing opens.
func dangling(root int, name string) bool {
	fd, err := openIn(root, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// openIn opens as if root were the root (openat2(2)). Linux follows none of its own
// links under RESOLVE_IN_ROOT today, but says that it may one day: so both.
func openIn(root int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	const most = 128 // a rename anywhere in the machine can make one fail
	for range most {
		fd, err := unix.Openat2(root, name, &how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

func where(fd int) (string, error) { return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)) }
