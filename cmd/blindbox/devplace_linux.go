package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/blindbox/blindbox/box/sandbox"
)

// Where dev keeps what an app in a container is made of. A container must not lie on
// a disk, where it could change after it was verified.
const (
	devMemory   = "/dev/shm"
	placePrefix = "blindbox-dev-"
	draftPrefix = "blindbox-new-"
	aliveName   = "alive"
)

// devPlace makes a folder in memory for one app. What others of this user left there
// that were killed is removed first, with its cgroups: a folder is a dead one's if
// nobody holds the lock in it, which the kernel takes from a process that ends.
func (s *session) devPlace(in string) (dir string, remove func(), err error) {
	for _, line := range clearDead(in) {
		s.note("%s\n", oneLine(line))
	}
	draft, err := os.MkdirTemp(in, draftPrefix)
	if err != nil {
		return "", nil, err
	}
	alive, err := os.OpenFile(filepath.Join(draft, aliveName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	dir = filepath.Join(in, placePrefix+strings.TrimPrefix(filepath.Base(draft), draftPrefix))
	if err == nil {
		err = os.Chmod(draft, 0o711) // the app's users must get through
	}
	if err == nil {
		err = os.Rename(draft, dir) // nobody sees it without its lock
	}
	if err != nil {
		alive.Close()
		return "", nil, errors.Join(err, os.RemoveAll(draft))
	}
	return dir, func() {
		os.RemoveAll(dir)
		alive.Close()
	}, nil
}

// clearDead removes the folders of this user that nobody uses, and says so.
func clearDead(in string) []string {
	var said []string
	all, _ := filepath.Glob(filepath.Join(in, placePrefix+"*"))
	for _, dir := range all {
		if !ours(dir) {
			continue
		}
		alive, err := os.OpenFile(filepath.Join(dir, aliveName), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err == nil {
			err = syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		} else if errors.Is(err, os.ErrNotExist) {
			err = nil // it was killed while it was removing the folder
		}
		if err == nil {
			said = append(said, clearPlace(dir))
		}
		alive.Close()
	}
	return said
}

// ours reports whether a path is a folder of this user's, and no link to one.
func ours(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// dying is how long the kernel may take to end what a killed box had running. Until
// then a cgroup cannot be removed.
const dying = 5 * time.Second

// clearPlace removes a dead one's folder. One whose cgroups cannot be removed stays:
// it is where their names are.
func clearPlace(dir string) string {
	services, _ := filepath.Glob(filepath.Join(dir, "box", "services", "*", "runs"))
	runs := append(services, filepath.Join(dir, "box", "runs"))
	var err error
	for until := time.Now().Add(dying); ; time.Sleep(20 * time.Millisecond) {
		err = nil
		for _, run := range runs {
			err = errors.Join(err, sandbox.Clear(run))
		}
		if err == nil || time.Now().After(until) {
			break
		}
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Sprintf("a box that was killed left %s, and it cannot be removed: %v", dir, err)
	}
	return "removed what a box left that was killed: " + dir
}
