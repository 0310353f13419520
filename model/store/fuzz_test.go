package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// seedCatalog is a catalog with a shared, a pinned and a second model of one file.
func seedCatalog(t testing.TB) []byte {
	t.Helper()
	f := Config{Memory: 1 << 20, OwnerBytes: 1 << 20, OwnerModels: 9, OwnerLoads: 1, LoadTime: 1 << 40, Loader: &reader{}}
	sealedOn(t, 1<<20)(&f)
	s, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	e := mustSend(t, s, "anna", Spec{Name: "a", Options: `{"x":1}`, Visibility: Shared}, file("a", 100))
	mustSend(t, s, "ben", Spec{Name: "b"}, file("a", 100))
	mustSend(t, s, "ben", Spec{Name: "b"}, file("b", 100))
	must(t, s.Pin(context.Background(), "anna", e.Reference()), s.Close())
	data, err := os.ReadFile(filepath.Join(f.State, catalogName))
	must(t, err)
	return data
}

// FuzzCatalog: what is read as a catalog makes a store whose counts are right, and is
// written again as the same catalog.
func FuzzCatalog(f *testing.F) {
	good := seedCatalog(f)
	f.Add(good)
	f.Add([]byte(`{"version":1,"files":[],"models":[]}`))
	f.Add([]byte(`{"version":1,"files":null,"models":null}`))
	f.Add(bytes.Replace(good, []byte(`"size":100`), []byte(`"size":9223372036854775807`), 1))
	f.Add(bytes.Replace(good, []byte(`"version":1,"digest"`), []byte(`"version":1073741824,"digest"`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := readCatalog(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readCatalog(again); err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		cfg := Config{Memory: 1, OwnerBytes: 1, OwnerModels: 1, OwnerLoads: 1, LoadTime: 1, Loader: &reader{}}
		s, err := Open(cfg)
		must(t, err)
		s.disk = &disk{}
		s.fill(c)
		models, files := 0, 0
		for _, o := range s.owners {
			if len(o.entries) == 0 || o.bytes < 0 {
				t.Errorf("owner with %d models and %d bytes", len(o.entries), o.bytes)
			}
			models += len(o.entries)
		}
		for _, one := range s.contents {
			if len(one.entries) == 0 {
				t.Error("a file without a model")
			}
			files++
		}
		if models != len(c.Models) || files != len(c.Files) || s.disk.used < 0 {
			t.Errorf("%d models of %d, %d files of %d", models, len(c.Models), files, len(c.Files))
		}
		s.disk = nil
		must(t, s.Close())
	})
}

// FuzzSealed: of a sealed file that is not the one that was sealed, nothing is ready.
func FuzzSealed(f *testing.F) {
	folder := f.TempDir()
	root, err := os.OpenRoot(folder)
	must(f, err)
	f.Cleanup(func() { _ = root.Close() })
	d := &disk{folder: root, step: func(string) {}}
	text := file("text", 70*kib)
	s, err := d.create()
	must(f, err)
	if _, err := s.Write(text); err != nil {
		f.Fatal(err)
	}
	good, err := s.commit(Digest{1}, int64(len(text)))
	must(f, err)
	whole, err := os.ReadFile(filepath.Join(folder, good.Name))
	must(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:300])
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\n\n--- \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := randomName() + ".sealed"
		must(t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
		defer d.remove(name)
		changed := good
		changed.Name = name
		changed.Length = int64(len(data)) // as if the host had found one of the right length
		in, err := d.open(changed)
		var refused *SealedError
		if err != nil {
			if !errors.As(err, &refused) {
				t.Errorf("%T %v", err, err)
			}
			return
		}
		defer in.Close()
		got, err := io.ReadAll(in)
		if err == nil && !bytes.Equal(data, whole) {
			t.Errorf("read %d bytes of a file that was altered", len(got))
		}
		if !bytes.HasPrefix(text, got) {
			t.Error("read what was never sealed")
		}
	})
}
