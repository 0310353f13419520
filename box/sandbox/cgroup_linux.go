package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// controllers are those that the app's cgroup can have.
func (c *Config) controllers() controllers {
	if c.OneUser {
		return controllers{} // cgroups are root's
	}
	return available()
}

// available finds out which limits this machine's cgroups can hold.
func available() controllers {
	swaps, err := os.ReadFile("/proc/swaps")
	// The first line is the head of the table.
	c := controllers{swapOn: err != nil || strings.Count(string(swaps), "\n") > 1}
	if fsType(cgroupRoot) == unix.CGROUP2_SUPER_MAGIC {
		list, _ := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		for _, name := range strings.Fields(string(list)) {
			c.add(name)
		}
		c.swap = c.memory
		return c
	}
	for _, name := range []string{"memory", "pids", "cpu"} {
		if fsType(filepath.Join(cgroupRoot, name)) == unix.CGROUP_SUPER_MAGIC {
			c.add(name)
		}
	}
	_, err = os.Stat(filepath.Join(cgroupRoot, "memory", "memory.memsw.limit_in_bytes"))
	c.swap = err == nil
	return c
}

func (c *controllers) add(name string) {
	switch name {
	case "memory":
		c.memory = true
	case "pids":
		c.pids = true
	case "cpu":
		c.cpu = true
	}
}

func fsType(path string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return st.Type
}

// removeCgroup removes what a runtime left that was killed. Its processes are gone,
// or on their way: the kernel ends those of a box that was killed after it.
func removeCgroup(name string) error {
	const most, pause = 500, 10 * time.Millisecond
	for range most {
		if err := removeEmptyCgroup(name); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(pause)
	}
	return removeEmptyCgroup(name)
}

func removeEmptyCgroup(name string) error {
	dirs, err := filepath.Glob(filepath.Join(cgroupRoot, "*", name))
	if err != nil {
		return err
	}
	dirs = append(dirs, filepath.Join(cgroupRoot, name))
	for _, dir := range dirs {
		// Those of commands that ended with the box.
		below, _ := filepath.Glob(filepath.Join(dir, commandPrefix+"*"))
		for _, one := range below {
			os.Remove(one)
		}
		if e := os.Remove(dir); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
