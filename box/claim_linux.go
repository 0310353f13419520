package box

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// claim makes a folder this box's until release, or until the process ends. What
// a box keeps there is deleted when the next one starts, so there is one at a time.
func claim(dir string) (release func(), err error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("folder %q for apps, expected an absolute path", dir)
	}
	// The app's users must get through, and no further.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// nonBlocking opens a pipe without waiting for who reads it.
const nonBlocking = syscall.O_NONBLOCK

// lock makes a file this process's until it is closed.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s is another box's that runs: %w", f.Name(), err)
	}
	return nil
}
