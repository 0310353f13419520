package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a root: names that end in / are folders, "name -> target" are links,
// others files.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, target, link := strings.Cut(e, " -> ")
		at := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, at)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(at, 0o755)
		default:
			err = os.WriteFile(at, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestWorkDir: the runtime is told of no link, and of nothing that the kernel shows.
func TestWorkDir(t *testing.T) {
	root := tree(t, "srv/data/", "file", "etc/",
		"ok -> /srv/data", "up -> ../../../srv", "chain -> ok", "home -> /", "sub/in -> ../srv",
		"wd -> /proc/self/fd/7", "wd2 -> wd", "kernel -> /proc/self/fd", "proc/self/fd/7/x/", "proc/link -> /srv",
		"dev/null/", "device -> /dev/null", "sys/fs/", "cgroup -> sys/fs",
		"gone -> /nowhere", "gone2 -> gone", "loop -> loop", "fileto -> file", "half -> /proc/self/fd/8")
	for _, tc := range []struct{ dir, want string }{
		{"", "/"}, {"/", "/"}, {"/srv", "/srv"}, {"/srv/", "/srv"}, {"/srv/data", "/srv/data"}, {"/ok", "/srv/data"}, {"/up", "/srv"},
		{"/chain", "/srv/data"}, {"/home", "/"}, {"/home/srv", "/srv"}, {"/sub/in/data", "/srv/data"}, {"/srv/../etc", "/etc"},
		// What is not there the runtime makes.
		{"/new", "/new"}, {"/new/a/b", "/new/a/b"}, {"/ok/new/a", "/srv/data/new/a"}, {"/home/new", "/new"},
	} {
		c := valid()
		c.Root, c.Image.WorkingDir = root, tc.dir
		if got, err := c.workDir(); err != nil || got != tc.want {
			t.Errorf("%q: %q, %v, expected %q", tc.dir, got, err, tc.want)
		}
	}
	for dir, want := range map[string]string{
		"/proc/self/fd/7": "what the kernel shows", "/wd": "what the kernel shows", "/wd2": "what the kernel shows", "/kernel": "what the kernel shows",
		"/kernel/7": "what the kernel shows", "/kernel/7/x": "what the kernel shows", "/kernel/9": "what the kernel shows", "/wd/new": "what the kernel shows",
		"/device": "what the kernel shows", "/cgroup": "what the kernel shows",
		"/half": "does not have", "/gone": "does not have", "/gone2": "does not have", "/gone/x/y": "does not have",
		"/loop": "too many levels", "/loop/x": "too many levels", "/file": "not a directory", "/fileto": "not a directory", "/file/x": "not a directory",
		"srv": "absolute",
	} {
		for _, policy := range []bool{false, true} {
			c := valid()
			c.Root = root
			if policy {
				c.WorkDir = dir
			} else {
				c.Image.WorkingDir = dir
			}
			if got, err := c.workDir(); err == nil || got != "" || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q, %v, expected an error with %q", dir, got, err, want)
			}
		}
	}
	c := valid()
	c.Root, c.WorkDir = filepath.Join(root, "none"), "/srv"
	if got, err := c.workDir(); err == nil {
		t.Errorf("without a root: %q", got)
	}
	c.Root = filepath.Join(tree(t, "a/b/", "a/up -> ../../.."), "a")
	for dir, want := range map[string]string{"/up": "/", "/up/b": "/b"} {
		c.WorkDir = dir
		if got, err := c.workDir(); err != nil || got != want {
			t.Errorf("a link out of the root: %q, %v, expected %q", got, err, want)
		}
	}
}

// TestResolveMagic: no link of the kernel's is followed, wherever the root is.
func TestResolveMagic(t *testing.T) {
	for _, dir := range []string{"/self/cwd", "/self/root/etc"} {
		if got, err := resolve("/proc", dir); err == nil {
			t.Errorf("%s: %q", dir, got)
		}
	}
}
