package cache_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/endorse/cache"
)

var epoch = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string, limit int64) *cache.Dir {
	t.Helper()
	d, err := cache.Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t testing.TB, d *cache.Dir, key, data, chain string, at time.Time) {
	t.Helper()
	e := cache.Entry{Key: key, Data: []byte(data), Fetched: at}
	if chain != "" {
		e.Chain = []byte(chain)
	}
	if err := d.Put(e); err != nil {
		t.Fatal(err)
	}
}

func TestPutGet(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, 0)
	put(t, d, "host/a", "one", "chain", epoch)
	put(t, d, "host/b", "one", "", epoch)
	put(t, d, "host/b", "two", "", epoch.Add(time.Hour))
	d = open(t, dir, 0) // another process
	a, found, err := d.Get("host/a")
	if err != nil || !found || string(a.Data) != "one" || string(a.Chain) != "chain" || !a.Fetched.Equal(epoch) || a.Key != "host/a" {
		t.Errorf("a = %+v, %t, %v", a, found, err)
	}
	b, found, err := d.Get("host/b")
	if err != nil || !found || string(b.Data) != "two" || b.Chain != nil || !b.Fetched.Equal(epoch.Add(time.Hour)) {
		t.Errorf("b = %+v, %t, %v", b, found, err)
	}
	if _, found, err := d.Get("host/c"); found || err != nil {
		t.Errorf("c: %t, %v", found, err)
	}
	if all, err := d.Entries(); err != nil || len(all) != 2 || all[0].Key != "host/a" {
		t.Errorf("Entries = %v, %v", all, err)
	}
}

// TestModes: nobody else may read or change what is kept.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	d := open(t, dir, 0)
	put(t, d, "k", "data", "chain", epoch)
	if err := d.Raise("s", big.NewInt(1)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want || strings.HasSuffix(path, ".new") {
			t.Errorf("%s has mode %o, expected %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDamage: whatever happens to a file, its entry is missing and not another
// one, and it can be put again.
func TestDamage(t *testing.T) {
	for name, spoil := range map[string]func(text []byte) []byte{
		"empty":    func([]byte) []byte { return nil },
		"cut":      func(b []byte) []byte { return b[:len(b)-1] },
		"longer":   func(b []byte) []byte { return append(b, '\n') },
		"changed":  func(b []byte) []byte { b = bytes.Clone(b); b[0] ^= 1; return b },
		"too long": func(b []byte) []byte { return bytes.Repeat([]byte{'a'}, 2<<20) },
	} {
		for _, sub := range []string{"objects", "index"} {
			t.Run(sub+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				d := open(t, dir, 0)
				put(t, d, "host/k", "data", "", epoch)
				files, err := filepath.Glob(filepath.Join(dir, sub, "*"))
				if err != nil || len(files) != 1 {
					t.Fatal(files, err)
				}
				text, err := os.ReadFile(files[0])
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(files[0], spoil(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if e, found, err := d.Get("host/k"); found || err != nil {
					t.Errorf("Get = %q, %t, %v", e.Data, found, err)
				}
				put(t, d, "host/k", "data", "", epoch)
				if e, found, err := d.Get("host/k"); !found || string(e.Data) != "data" || err != nil {
					t.Errorf("put again: %q, %t, %v", e.Data, found, err)
				}
			})
		}
	}
}

// TestSwappedIndex: an index file under another key's name is not that key's.
func TestSwappedIndex(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, 0)
	put(t, d, "k1", "one", "", epoch)
	files, _ := filepath.Glob(filepath.Join(dir, "index", "*"))
	put(t, d, "k2", "two", "", epoch)
	both, _ := filepath.Glob(filepath.Join(dir, "index", "*"))
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range both {
		if err := os.WriteFile(f, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if e, found, _ := d.Get("k2"); found {
		t.Errorf("k2 is answered with %q", e.Data)
	}
	if all, err := d.Entries(); err != nil || len(all) != 1 {
		t.Errorf("%d entries, %v; expected the one that is in its place", len(all), err)
	}
}

func TestLinksLeadNowhere(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	d := open(t, dir, 0)
	put(t, d, "k", "data", "", epoch)
	files, _ := filepath.Glob(filepath.Join(dir, "objects", "*"))
	if err := os.WriteFile(outside, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, files[0]); err != nil {
		t.Skip(err)
	}
	if e, found, _ := d.Get("k"); found {
		t.Errorf("read %q through a link out of the directory", e.Data)
	}
}

func TestPutRefuses(t *testing.T) {
	d := open(t, t.TempDir(), 0)
	for name, e := range map[string]cache.Entry{
		"no data": {Key: "k", Fetched: epoch}, "no time": {Key: "k", Data: []byte("x")}, "no key": {Data: []byte("x"), Fetched: epoch},
		"key of two lines": {Key: "a\nb", Data: []byte("x"), Fetched: epoch}, "long key": {Key: strings.Repeat("k", 2000), Data: []byte("x"), Fetched: epoch},
		"large": {Key: "k", Data: make([]byte, 2<<20), Fetched: epoch},
	} {
		if err := d.Put(e); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := cache.Open(t.TempDir(), -1); err == nil {
		t.Error("negative limit accepted")
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(file, 0); err == nil {
		t.Error("opened a file as a directory")
	}
}

// TestShrinks: the directory stays within its limit, the newest entries stay,
// and floors are never dropped.
func TestShrinks(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, 1000)
	if err := d.Raise("s", big.NewInt(9)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		put(t, d, fmt.Sprintf("k%02d", i), strings.Repeat(string(rune('a'+i)), 300), "", epoch.Add(time.Duration(i)*time.Minute))
	}
	all, err := d.Entries()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range all {
		keys = append(keys, e.Key)
	}
	if !slices.Equal(keys, []string{"k17", "k18", "k19"}) {
		t.Errorf("kept %v, expected the newest three", keys)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "objects", "*")); len(files) != 3 {
		t.Errorf("%d objects, expected 3", len(files))
	}
	if n, err := d.Floor("s"); err != nil || n == nil || n.Int64() != 9 {
		t.Errorf("floor %v, %v", n, err)
	}
}

func TestFloor(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, 0)
	if n, err := d.Floor("s"); n != nil || err != nil {
		t.Errorf("floor of nothing: %v, %v", n, err)
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 159)
	for _, step := range []struct{ raise, want *big.Int }{
		{big.NewInt(0), big.NewInt(0)}, {big.NewInt(5), big.NewInt(5)}, {big.NewInt(3), big.NewInt(5)}, {big.NewInt(5), big.NewInt(5)},
		{big.NewInt(256), big.NewInt(256)}, {huge, huge}, {big.NewInt(300), huge},
	} {
		if err := d.Raise("s", step.raise); err != nil {
			t.Fatal(err)
		}
		if n, err := open(t, dir, 0).Floor("s"); err != nil || n.Cmp(step.want) != 0 {
			t.Errorf("after %v: %v, %v; expected %v", step.raise, n, err, step.want)
		}
	}
	if n, err := d.Floor("other"); n != nil || err != nil {
		t.Errorf("floor of another series: %v, %v", n, err)
	}
	for name, n := range map[string]*big.Int{"nil": nil, "negative": big.NewInt(-1), "too long": new(big.Int).Lsh(huge, 1)} {
		if err := d.Raise("s", n); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := d.Raise("", huge); err == nil {
		t.Error("no series: accepted")
	}
}

// TestDamagedFloor: a floor that cannot be read is not a floor of nothing.
func TestDamagedFloor(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, 0)
	if err := d.Raise("s", big.NewInt(5)); err != nil {
		t.Fatal(err)
	}
	dirs, _ := filepath.Glob(filepath.Join(dir, "floors", "*"))
	files, _ := filepath.Glob(filepath.Join(dirs[0], "*"))
	if err := os.Rename(files[0], filepath.Join(dirs[0], "junk")); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Floor("s"); err == nil || n != nil {
		t.Errorf("damaged floor reads as %v", n)
	}
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dirs[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Floor("s"); err == nil || n != nil {
		t.Errorf("a file in its place reads as %v", n)
	}
}

// TestConcurrent: several users of a directory see whole entries only, and a
// floor never falls.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for w := range 4 {
		d := open(t, dir, 2000)
		wg.Go(func() {
			last := big.NewInt(0)
			for i := range 15 {
				text := strings.Repeat(fmt.Sprint(w), 200+i)
				if err := d.Put(cache.Entry{Key: fmt.Sprint("k", i%5), Data: []byte(text), Fetched: epoch.Add(time.Duration(i) * time.Second)}); err != nil {
					t.Error(err)
				}
				if e, found, err := d.Get(fmt.Sprint("k", i%5)); err != nil || (found && strings.Trim(string(e.Data), string(e.Data[:1])) != "") {
					t.Errorf("read a mixture: %q, %v", e.Data, err)
				}
				if err := d.Raise("s", big.NewInt(int64(i*4+w))); err != nil {
					t.Error(err)
				}
				n, err := d.Floor("s")
				if err != nil || n == nil || n.Cmp(last) < 0 {
					t.Errorf("floor fell from %v to %v, %v", last, n, err)
				} else {
					last = n
				}
			}
		})
	}
	wg.Wait()
	if n, err := open(t, dir, 0).Floor("s"); err != nil || n.Int64() != 59 {
		t.Errorf("floor %v, %v; expected the highest of all, 59", n, err)
	}
}

func FuzzIndex(f *testing.F) {
	dir := f.TempDir()
	d := open(f, dir, 0)
	put(f, d, "host/k", "data", "chain", epoch)
	files, _ := filepath.Glob(filepath.Join(dir, "index", "*"))
	text, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("host/k\n../../etc/passwd\n-\n2026-06-15T12:00:00Z\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
		if e, found, err := d.Get("host/k"); err != nil || (found && string(e.Data) != "data" && string(e.Data) != "chain") {
			t.Fatalf("Get = %q, %v", e.Data, err)
		}
	})
}
