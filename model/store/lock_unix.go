//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"errors"
	"os"
	"syscall"
)

// lock takes a folder for this process, until the file is closed or the process ends.
func lock(r *os.Root) (*os.File, error) {
	f, err := r.Open(".")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another box uses it")
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
