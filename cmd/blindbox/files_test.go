package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// onlyFile fails the test unless the directory holds one file with that text.
func onlyFile(t *testing.T, dir, name, text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("the directory holds %v, %v; expected %s alone", entries, err, name)
	}
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
		t.Errorf("%s holds %q, %v; expected %q", name, got, err, text)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	var s session
	for _, step := range []struct {
		text  string
		force bool
		want  string // what the file holds then
	}{
		{"one", false, "one"},
		{"two", false, "one"},
		{"three", true, "three"},
		{"", true, ""},
	} {
		err := s.writeFile(file, []byte(step.text), 0o644, step.force)
		if (err == nil) != (step.text == step.want) {
			t.Errorf("%q, force %t: %v", step.text, step.force, err)
		}
		onlyFile(t, dir, "f", step.want)
	}
}

func TestForceMakesANewFile(t *testing.T) {
	dir := t.TempDir()
	if err := new(session).writeFile(filepath.Join(dir, "f"), []byte("x"), 0o600, true); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dir, "f", "x")
}

// TestForceReplacesAtOnce: whoever has the old file open reads the old file to
// its end. Truncated in place, it would be gone from under them.
func TestForceReplacesAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file is not replaced there")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := new(session).writeFile(file, []byte("new"), 0o644, true); err != nil {
		t.Fatal(err)
	}
	var old [8]byte
	if n, _ := reader.Read(old[:]); string(old[:n]) != "old" {
		t.Errorf("the open file holds %q", old[:n])
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v: they were 0600", info.Mode(), err)
	}
	onlyFile(t, dir, "f", "new")
}

func TestPrivateFilesGoNowhereElse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links and permissions")
	}
	dir, other := t.TempDir(), t.TempDir()
	target, link, open := filepath.Join(other, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "open")
	for _, file := range []string{target, open} {
		if err := errors.Join(os.WriteFile(file, []byte("old"), 0o666), os.Chmod(file, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	var s session
	for _, name := range []string{link, open} {
		if err := s.writeFile(name, []byte("private"), 0o600, true); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v: for others too", name, info.Mode(), err)
		}
	}
	onlyFile(t, other, "target", "old")
}

func TestForceKeepsWhatIsNoFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links and devices")
	}
	dir, other := t.TempDir(), t.TempDir()
	target, link := filepath.Join(other, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	var s session
	if err := s.writeFile(link, []byte("new"), 0o644, true); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, other, "target", "new")
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is no link any more: %v, %v", info, err)
	}
	// A socket can neither be written to nor taken for a file.
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := s.writeFile(socket, []byte("x"), 0o644, true); err == nil {
		t.Error("a socket was written")
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().IsRegular() {
		t.Errorf("the socket was replaced: %v, %v", info, err)
	}
	// A directory is not replaced, and nothing is left beside it.
	if err := s.writeFile(other, []byte("x"), 0o644, true); err == nil {
		t.Error("a directory was written")
	}
	onlyFile(t, other, "target", "new")
}
