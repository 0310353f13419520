package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// placesOf lists what the box of a process has in memory now: the folders whose lock it,
// or what it started, holds. Boxes of other tests may come and go meanwhile.
func placesOf(t *testing.T, pid int) (all []string) {
	t.Helper()
	for _, pid := range append(below(t, pid), pid) {
		open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range open {
			file, _ := os.Readlink(fd)
			if dir := filepath.Dir(file); strings.HasPrefix(dir, filepath.Join(devMemory, placePrefix)) && filepath.Base(file) == aliveName && !slices.Contains(all, dir) {
				all = append(all, dir)
			}
		}
	}
	return all
}

// cgroupsOf returns the cgroups of the box in a place.
func cgroupsOf(t *testing.T, place string) []string {
	t.Helper()
	ids, _ := filepath.Glob(filepath.Join(place, "box", "runs", "run-*", "id"))
	var all []string
	for _, file := range ids {
		id, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
			if dir := filepath.Join(at, string(id)); exists(dir) {
				all = append(all, dir)
			}
		}
	}
	return all
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// TestKilledDev: what a box left that was killed is removed by the next one, and what
// another has that runs is not.
func TestKilledDev(t *testing.T) {
	file := imagePolicy(t, "")
	home := t.TempDir()
	cmd := exec.Command("blindbox", "dev", "-o", "json", "--listen", "127.0.0.1:0", "-f", file)
	cmd.Env = append(os.Environ(), "BLINDBOX_HOME="+home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var document map[string]any
	if err := json.NewDecoder(out).Decode(&document); err != nil {
		t.Fatal(err)
	}
	killed := placesOf(t, cmd.Process.Pid)
	if len(killed) != 1 {
		t.Fatalf("places %v", killed)
	}
	cgroups := cgroupsOf(t, killed[0])
	if len(cgroups) == 0 {
		t.Fatal("no cgroup of it")
	}
	if lines := clearDead(devMemory); slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, killed[0]) }) || !exists(killed[0]) {
		t.Fatalf("the place of a box that runs: %v", lines)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if !exists(killed[0]) {
		t.Log("the box of another test has removed it")
	}
	start(t, map[string]string{"BLINDBOX_HOME": home}, "dev", "--listen", "127.0.0.1:0", "-f", file)
	for _, left := range append(cgroups, killed[0]) {
		if exists(left) {
			t.Errorf("%s is left", left)
		}
	}
}

// TestClearDead: only folders are removed, that are this user's and that nobody uses.
func TestClearDead(t *testing.T) {
	in := t.TempDir()
	s := &session{stderr: io.Discard}
	alive, remove, err := s.devPlace(in)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(alive); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info, err)
	}
	half := filepath.Join(in, placePrefix+"half")
	dead := filepath.Join(in, placePrefix+"dead")
	elsewhere := t.TempDir()
	link := filepath.Join(in, placePrefix+"link")
	plain := filepath.Join(in, placePrefix+"file")
	for _, err := range []error{
		os.Mkdir(half, 0o700), os.MkdirAll(filepath.Join(dead, "box", "runs", "run-1"), 0o700), os.WriteFile(filepath.Join(dead, aliveName), nil, 0o600),
		os.Symlink(elsewhere, link), os.WriteFile(plain, nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	others := filepath.Join(in, placePrefix+"other")
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Mkdir(others, 0o700), os.Chown(others, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if said := clearDead(in); len(said) != 2 || !strings.HasPrefix(said[0], "removed what a box left") {
		t.Errorf("%q", said)
	}
	for path, want := range map[string]bool{alive: true, half: false, dead: false, link: true, plain: true, elsewhere: true, others: os.Geteuid() == 0} {
		if exists(path) != want {
			t.Errorf("%s: there is %v, expected %v", path, !want, want)
		}
	}
	remove()
	if left, _ := filepath.Glob(filepath.Join(in, placePrefix+"*")); exists(alive) || slices.Contains(left, alive) {
		t.Errorf("left %v", left)
	}
}
