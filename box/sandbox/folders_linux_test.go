package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHides: files and links are hidden, folders are not, and no link leads out.
func TestHides(t *testing.T) {
	root := tree(t, "empty/", "nested/a/b/", "conf/", "conf/d/", "linked/", "linked/to -> /nowhere", "to -> conf", "out -> ../../..", "file", "half/", "half/a/", "half/b")
	for folder, want := range map[string]string{
		"/empty": "", "/nested": "", "/none": "", "/none/x": "", "/conf": "", "/linked": "/linked/to", "/half": "/half/b", "/out/half": "/out/half/b",
	} {
		if got, err := Hides(root, folder); err != nil || got != want {
			t.Errorf("%s: %q, %v, expected %q", folder, got, err, want)
		}
	}
	for folder, in := range map[string]string{"/file": root, "/file/x": root, "/empty": filepath.Join(root, "none")} {
		if got, err := Hides(in, folder); err == nil || got != "" {
			t.Errorf("%s in %s: %q, expected an error", folder, in, got)
		}
	}
}

// TestMakeFolder: what is missing is made, for root inside, and what is there stays.
func TestMakeFolder(t *testing.T) {
	root := tree(t, "there/", "link -> there", "file")
	if err := os.Chmod(filepath.Join(root, "there"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := valid()
	c.Root, c.OneUser = root, os.Geteuid() != 0
	old := syscall.Umask(0o77)
	defer syscall.Umask(old)
	for range 2 {
		for _, dir := range []string{"/", "/there", "/there/new/a"} {
			if err := c.makeFolder(dir); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	for name, mode := range map[string]os.FileMode{"there": 0o700, "there/new": 0o755, "there/new/a": 0o755} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
			continue
		}
		made := strings.Contains(name, "new")
		if owner := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && made && (owner.Uid != c.Shift || owner.Gid != c.Shift) {
			t.Errorf("%s is of %d:%d, expected %d", name, owner.Uid, owner.Gid, c.Shift)
		}
	}
	for _, dir := range []string{"/link/x", "/file/x", "/file"} {
		if err := c.makeFolder(dir); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
	if c.Root = filepath.Join(root, "none"); c.makeFolder("/x") == nil {
		t.Error("made without a root")
	}
}
