package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What is here is for learning a policy on a developer's own machine. No box that is
// one calls it.

// Loosen lets the app write everywhere in its tree, where it could write nowhere, and
// makes the folders if they are missing. It is called before Start. Everything in the
// tree is the app's then, and what the runtime would make there is there already, so
// that whatever changes afterwards was changed by the app.
func (a *App) Loosen(folders ...string) error {
	user, _, err := a.cfg.user()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(a.cfg.Root)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer root.Close()
	for _, dir := range append([]string{"/proc", "/dev", "/etc"}, folders...) {
		if e := root.MkdirAll(strings.TrimPrefix(dir, "/"), 0o755); e != nil && !errors.Is(e, fs.ErrExist) {
			err = errors.Join(err, e)
		}
	}
	if a.cfg.ResolvConf != "" {
		f, e := root.OpenFile("etc/resolv.conf", os.O_CREATE|os.O_WRONLY, 0o644)
		if e == nil {
			e = f.Close()
		}
		err = errors.Join(err, e)
	}
	if err == nil && !a.cfg.OneUser {
		uid, gid := int(a.cfg.Shift+user.UID), int(a.cfg.Shift+user.GID)
		err = filepath.WalkDir(a.cfg.Root, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, uid, gid))
		})
	}
	if err != nil {
		return fmt.Errorf("sandbox: the app's files: %w", err)
	}
	a.cfg.loose = true
	return nil
}

// Usage is what an app uses.
type Usage struct {
	Memory    int64 // bytes, the most since it was started
	PIDs      int   // processes and threads now
	OpenFiles int   // of the process that has the most now
}

// Usage returns what the app uses. What the machine does not count is 0.
func (a *App) Usage() (Usage, error) {
	k := a.now.Load()
	if k == nil {
		return Usage{}, errors.New("sandbox: the app does not run")
	}
	id, err := os.ReadFile(filepath.Join(k.run, "id"))
	if err != nil {
		return Usage{}, fmt.Errorf("sandbox: %w", err)
	}
	memory, pids := filepath.Join(cgroupRoot, "memory", string(id)), filepath.Join(cgroupRoot, "pids", string(id))
	peak := "memory.max_usage_in_bytes"
	if fsType(cgroupRoot) == unix.CGROUP2_SUPER_MAGIC {
		memory, pids, peak = filepath.Join(cgroupRoot, string(id)), filepath.Join(cgroupRoot, string(id)), "memory.peak"
	}
	u := Usage{Memory: count(filepath.Join(memory, peak)), PIDs: int(count(filepath.Join(pids, "pids.current")))}
	processes, _ := os.ReadFile(filepath.Join(pids, "cgroup.procs"))
	for _, pid := range strings.Fields(string(processes)) {
		files, _ := os.ReadDir(filepath.Join("/proc", pid, "fd"))
		u.OpenFiles = max(u.OpenFiles, len(files))
	}
	return u, nil
}

// count reads a file with one number.
func count(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
