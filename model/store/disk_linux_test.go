package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// folders is a disk and a state folder that outlive a store.
type folders struct{ disk, state string }

func newFolders(t testing.TB) folders { return folders{t.TempDir(), t.TempDir()} }

func (f folders) on(c *Config) { c.Disk, c.Folder, c.State = 8<<20, f.disk, f.state }

// sealedFile is the path of a model's file.
func (f folders) sealedFile(t testing.TB, s *Store, d Digest) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contents[d]
	if c == nil {
		t.Fatalf("no file of %v", d)
	}
	return filepath.Join(f.disk, c.Name)
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}

// flip changes one byte of a file; at from the end if it is negative.
func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	return os.WriteFile(path, data, 0o600)
}

// problems are what the error says, where it is not that the file was altered.
var problems = map[string]string{
	"one byte less": "bytes, expected", "whole chunks": "bytes, expected", "empty": "has 0 bytes", "one byte more": "bytes, expected", "huge": "has 1099511627776 bytes",
	"swapped": "is another file, or an older version", "older version": "is another file, or an older version", "missing": "is missing",
	"link": "is not a regular file", "link outside": "is not a regular file", "pipe": "is not a regular file", "folder": "is not a regular file",
}

// TestHostileDisk: whatever the host puts in a file's place, the model is refused by
// name, nobody else's is, and its owner can send it again.
func TestHostileDisk(t *testing.T) {
	t.Parallel()
	data := file("anna's", 130*kib)
	for name, attack := range map[string]func(path, other, old string) error{
		"first byte":    func(p, _, _ string) error { return flip(p, 0) },
		"header":        func(p, _, _ string) error { return flip(p, 60) },
		"in the middle": func(p, _, _ string) error { return flip(p, 80*kib) },
		"last byte":     func(p, _, _ string) error { return flip(p, -1) },
		"one byte less": func(p, _, _ string) error { return shorten(p, 1) },
		"whole chunks":  func(p, _, _ string) error { return os.Truncate(p, 64*kib+16+200) },
		"empty":         func(p, _, _ string) error { return os.Truncate(p, 0) },
		"one byte more": func(p, _, _ string) error { return appendTo(p, "x") },
		"huge":          func(p, _, _ string) error { return os.Truncate(p, 1<<40) },
		"swapped":       func(p, other, _ string) error { return os.Rename(other, p) },
		"older version": func(p, _, old string) error { return os.Rename(old, p) },
		"missing":       func(p, _, _ string) error { return os.Remove(p) },
		"link":          func(p, other, _ string) error { return errors.Join(os.Remove(p), os.Symlink(filepath.Base(other), p)) },
		"link to itself": func(p, _, _ string) error {
			return errors.Join(os.Rename(p, p+"x"), os.Symlink(filepath.Base(p)+"x", p))
		},
		"link outside":   func(p, _, _ string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
		"loop":           func(p, _, _ string) error { return errors.Join(os.Remove(p), os.Symlink(filepath.Base(p), p)) },
		"endless device": func(p, _, _ string) error { return errors.Join(os.Remove(p), os.Symlink("/dev/zero", p)) },
		"pipe":           func(p, _, _ string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"folder":         func(p, _, _ string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"not allowed":    func(p, _, _ string) error { return errors.Join(os.Remove(p), os.WriteFile(p, nil, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolders(t)
			s := open(t, f.on)
			e := mustSend(t, s, "anna", Spec{Name: "m"}, data)
			path := f.sealedFile(t, s, e.Digest)
			old := path + ".old"
			saved, err := os.ReadFile(path)
			must(t, err, os.WriteFile(old, saved, 0o600))
			mustSend(t, s, "anna", Spec{Name: "m"}, data) // sealed anew, of the same length
			ben := mustSend(t, s, "ben", Spec{Name: "m"}, file("ben's!", 130*kib))
			other := filepath.Join(f.disk, "other")
			path = f.sealedFile(t, s, e.Digest)
			copied, err := os.ReadFile(f.sealedFile(t, s, ben.Digest))
			must(t, err, os.WriteFile(other, copied, 0o600), s.Unload("anna", e.Reference()), s.Unload("ben", ben.Reference()))

			must(t, attack(path, other, old))
			for range 2 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				_, err = s.Use(ctx, "anna", e.Reference())
				cancel()
				is(t, err, func(e *SealedError) bool { return e.Model == "anna~m" && strings.Contains(e.Error(), problems[name]) })
			}
			if e, _ := s.Get("anna", e.Reference()); e.State != Unusable {
				t.Errorf("state %s", e.State)
			}
			mustHave(t, s, "ben", "m", file("ben's!", 130*kib))
			mustSend(t, s, "anna", Spec{Name: "m"}, data)
			must(t, s.Unload("anna", e.Reference()))
			mustHave(t, s, "anna", "m", data)
			nothingElse(t, s, "anna", 1)
		})
	}
}

func shorten(path string, by int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-by)
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// TestExchangedInBetween: the host puts a link there after the look and before the open.
func TestExchangedInBetween(t *testing.T) {
	f := newFolders(t)
	var path string
	s := open(t, func(c *Config) {
		f.on(c)
		c.step = func(at string) {
			if at == "disk.seen" {
				data, err := os.ReadFile(path)
				must(t, err, os.WriteFile(path+"x", data, 0o600), os.Remove(path), os.Symlink(filepath.Base(path)+"x", path))
			}
		}
	})
	e := mustSend(t, s, "anna", Spec{Name: "m"}, file("m", 100))
	path = f.sealedFile(t, s, e.Digest)
	must(t, s.Unload("anna", e.Reference()))
	_, err := s.Use(context.Background(), "anna", e.Reference())
	is(t, err, func(e *SealedError) bool {
		return e.Problem == "is not a regular file" || e.Problem == "cannot be read"
	})
}

// TestAnotherModel: a file that can be read and is not the one that was uploaded.
func TestAnotherModel(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	a := mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 100))
	b := mustSend(t, s, "anna", Spec{Name: "b"}, file("b", 100))
	must(t, s.Unload("anna", a.Reference()))
	s.mu.Lock()
	wrong := s.contents[b.Digest].sealed
	wrong.Digest = a.Digest
	s.contents[a.Digest].sealed = wrong
	s.mu.Unlock()
	_, err := s.Use(context.Background(), "anna", a.Reference())
	is(t, err, func(e *SealedError) bool { return e.Problem == "holds another model" })
}

// TestDiskReadsNothing: no text of a model and no name is on the disk.
func TestDiskReadsNothing(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	// Each so long that no ciphertext holds it by chance.
	said := []string{"the-clinic-of-anna", "the-secret-name", "the-secret-options", "the-secret-weights"}
	mustSend(t, s, said[0], Spec{Name: said[1], Options: said[2]}, bytes.Repeat([]byte(said[3]), 7000))
	for _, n := range names(t, f.disk) {
		data, err := os.ReadFile(filepath.Join(f.disk, n))
		must(t, err)
		if slices.ContainsFunc(said, func(s string) bool { return strings.Contains(n+string(data), s) }) {
			t.Errorf("%s says what is in it", n)
		}
	}
}

// TestReopen: what was acknowledged is there in the next process, what was not is
// removed, and what is none of the store's stays.
func TestReopen(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	a, b := file("a", 100*kib), file("b", 100*kib)
	ea := mustSend(t, s, "anna", Spec{Name: "a", Options: "\"<fast>\"", Visibility: Shared}, a)
	mustSend(t, s, "ben", Spec{Name: "a2"}, a)
	mustSend(t, s, "anna", Spec{Name: "gone"}, b)
	must(t, s.Pin(context.Background(), "anna", ea.Reference()), s.Delete("anna", Reference{Name: "gone"}))
	mustSend(t, s, "anna", Spec{Name: "copy"}, a)
	must(t, s.Delete("anna", Reference{Name: "copy"})) // others have this file
	u := begin(t, s, "anna", Spec{Name: "half"})
	if _, err := u.Write(b); err != nil {
		t.Fatal(err)
	}
	before, err := s.List("anna")
	must(t, err)
	whole := names(t, f.disk)
	must(t, s.Close())
	for _, n := range []string{strings.Repeat("0", 32) + ".part", strings.Repeat("1", 32) + ".sealed", "operator's notes", "x.part"} {
		must(t, os.WriteFile(filepath.Join(f.disk, n), []byte("x"), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(f.state, catalogNew), []byte("half"), 0o600))

	s = open(t, f.on)
	if got := names(t, f.disk); len(got) != len(whole)-1+2 {
		t.Errorf("%q are on the disk", got)
	}
	if got := names(t, f.state); len(got) != 1 {
		t.Errorf("%q are in the state folder", got)
	}
	s.Warm(t.Context())
	if own := s.Stats("anna").Own; own.Ready != 1 || own.Pinned != int64(len(a)) {
		t.Errorf("%+v, expected that what is pinned is ready again", own)
	}
	after, err := s.List("anna")
	must(t, err)
	for i := range after {
		after[i].State = Loaded
	}
	if !slices.Equal(before, after) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	mustHave(t, s, "anna", "a", a)
	mustHave(t, s, "ben", "a2", a)
	mustHave(t, s, "ben", "anna~a", a)
	must(t, s.Load(context.Background(), "anna", ea.Reference()))
	is[*ConflictError](t, s.Unload("anna", ea.Reference()), nil) // still pinned
	nothingElse(t, s, "anna", 1)
}

// TestDamagedCatalog: the store does not open, and removes nothing.
func TestDamagedCatalog(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 100))
	must(t, s.Close())
	path := filepath.Join(f.state, catalogName)
	good, err := os.ReadFile(path)
	must(t, err)
	before := names(t, f.disk)
	for _, bad := range []string{"", "{}", "null", string(good[:len(good)-1]), string(good) + "x", strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		strings.Replace(string(good), "anna", "", 1), strings.Replace(string(good), ".sealed", "/../x", 1), strings.Replace(string(good), "AGE-SECRET-KEY-1", "AGE-SECRET-KEY-2", 1)} {
		must(t, os.WriteFile(path, []byte(bad), 0o600))
		c := Config{Memory: 1, OwnerBytes: 1, OwnerModels: 1, OwnerLoads: 1, LoadTime: 1, Loader: &reader{}}
		f.on(&c)
		if _, err := Open(c); err == nil || strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
	must(t, os.Remove(path), syscall.Mkfifo(path, 0o600))
	if fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK, 0); err == nil { // so that opening it does not wait
		defer syscall.Close(fd)
	}
	c := Config{Memory: 1, OwnerBytes: 1, OwnerModels: 1, OwnerLoads: 1, LoadTime: 1, Loader: &reader{}}
	f.on(&c)
	if _, err := Open(c); err == nil {
		t.Error("a pipe for a catalog")
	}
	if after := names(t, f.disk); !slices.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
}

// TestNeverUnreadable: nothing that an owner says makes a catalog that the next start
// refuses, with every other owner's models in it.
func TestNeverUnreadable(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	mustSend(t, s, "anna", Spec{Name: "m"}, nil)
	_, err := send(s, "eve", Spec{Name: "m", Version: maxVersion}, file("a", 10))
	must(t, err)
	_, err = send(s, "eve", Spec{Name: "m"}, file("b", 10))
	is[*InputError](t, err, nil)
	for i, text := range []string{"\x00", "\x7f", "\u2028", "\uffff", "\ufffd", "\U0010ffff", "\U0001f600", "</script>", `"\`, strings.Repeat("[", 1000)} {
		if _, err := send(s, "eve"+text, Spec{Name: fmt.Sprint("m", i), Options: text}, file(text, 10)); err != nil {
			is[*InputError](t, err, nil)
		}
	}
	before, err := s.List("eve")
	must(t, err, s.Close())
	s = open(t, f.on)
	if after, err := s.List("eve"); err != nil || len(after) != len(before) {
		t.Errorf("%d models were there, %d are: %v", len(before), len(after), err)
	}
	mustHave(t, s, "anna", "m", nil)
}

// TestCatalogFails: what cannot be written does not happen.
func TestCatalogFails(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	e := mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 100))
	before := names(t, f.disk)
	must(t, os.Mkdir(filepath.Join(f.state, catalogNew), 0o700))
	_, err := send(s, "anna", Spec{Name: "b"}, file("b", 100))
	for what, err := range map[string]error{"upload": err, "delete": s.Delete("anna", e.Reference()), "pin": s.Pin(context.Background(), "anna", e.Reference())} {
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := names(t, f.disk); !slices.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
	must(t, s.Unload("anna", e.Reference()))
	mustHave(t, s, "anna", "a", file("a", 100))
	nothingElse(t, s, "anna", 1)
}

// TestOneStore: folders that a store uses are no other store's, until it is closed.
func TestOneStore(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 100))
	for _, other := range []folders{f, {f.disk, t.TempDir()}, {t.TempDir(), f.state}} {
		c := s.config
		other.on(&c)
		if second, err := Open(c); err == nil || !strings.Contains(err.Error(), "another box uses it") {
			t.Errorf("%v, %v", second, err)
		}
	}
	if err := s.invariants(); err != nil {
		t.Error(err)
	}
	must(t, s.Close())
	mustHave(t, open(t, f.on), "anna", "a", file("a", 100))
}

// TestDiskTaken: the host removes the folder under a running box.
func TestDiskTaken(t *testing.T) {
	f := newFolders(t)
	s := open(t, f.on)
	a := file("a", 100)
	mustSend(t, s, "anna", Spec{Name: "a"}, a)
	must(t, os.RemoveAll(f.disk))
	if _, err := send(s, "anna", Spec{Name: "b"}, file("b", 100)); err == nil {
		t.Error("sealed on no disk")
	}
	mustHave(t, s, "anna", "a", a) // is ready
	must(t, s.Delete("anna", Reference{Name: "a"}))
	nothingElse(t, s, "anna", 0)
}

// sealedAlone is one file of so many bytes, outside of any store.
func sealedAlone(t *testing.T, size int) (d *disk, f sealed, text []byte, path string) {
	t.Helper()
	folder := t.TempDir()
	root, err := os.OpenRoot(folder)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	d, text = &disk{folder: root, step: func(string) {}}, bytes.Repeat([]byte("text"), size/4+1)[:size]
	s, err := d.create()
	must(t, err)
	_, err = s.Write(text)
	must(t, err)
	f, err = s.commit(Digest{1}, int64(size))
	must(t, err)
	return d, f, text, filepath.Join(folder, f.Name)
}

// TestSealedSizes: files that end where a chunk does, and beside it, are read as they were
// sealed; one byte less of any is none, though it is as long as it should be.
func TestSealedSizes(t *testing.T) {
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, ahead - 1, ahead, ahead + 1, 2*ahead + chunk} {
		d, f, text, path := sealedAlone(t, size)
		in, err := d.open(f)
		must(t, err)
		if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
		must(t, in.Close())
		for _, less := range []int64{1, 16, 17, chunk + 16} { // of the text, a whole tag, a last chunk of one byte, a whole chunk
			if less > f.Length {
				continue
			}
			must(t, os.Truncate(path, f.Length-less))
			cut := f
			cut.Length -= less
			_, err := d.open(cut)
			is(t, err, func(e *SealedError) bool { return e.Problem == "was altered" })
		}
	}
}

// TestChangedWhileRead: the host changes a file that is being read. What is not what was
// sealed is an error, and nothing of it is given out.
func TestChangedWhileRead(t *testing.T) {
	const size = 3*ahead + 100
	for name, attack := range map[string]func(path string, old []byte) error{
		"in the middle": func(p string, _ []byte) error { return flip(p, ahead+ahead/2) },
		"shorter":       func(p string, _ []byte) error { return shorten(p, ahead) },
		"empty":         func(p string, _ []byte) error { return os.Truncate(p, 0) },
		"moved": func(p string, old []byte) error { // a chunk in the place of another
			copy(old[2*ahead:], old[2*ahead-chunk-16:][:chunk+16])
			return os.WriteFile(p, old, 0o600)
		},
		"of another file": func(p string, _ []byte) error {
			_, _, _, other := sealedAlone(t, size)
			data, err := os.ReadFile(other)
			return errors.Join(err, os.WriteFile(p, data, 0o600))
		},
	} {
		d, f, text, path := sealedAlone(t, size)
		old, err := os.ReadFile(path)
		must(t, err)
		in, err := d.open(f)
		must(t, err)
		first := make([]byte, 1)
		_, err = io.ReadFull(in, first)
		must(t, err, attack(path, old))
		rest, err := io.ReadAll(in)
		if err == nil || errors.Is(err, io.EOF) || !bytes.HasPrefix(text, append(first, rest...)) {
			t.Errorf("%s: %d bytes and %v", name, 1+len(rest), err)
		}
		must(t, in.Close())
	}
}
