package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// weights is a model of the tests: its file, as it is.
type weights struct {
	data    []byte
	options string
	bytes   int64
}

func (w *weights) Bytes() int64 { return w.bytes }

// reader is a loader that keeps the file. A file that begins with a word of command
// does what that says.
type reader struct {
	mu    sync.Mutex
	loads int
	block chan struct{} // "block" waits for it, whatever ctx says
}

func (l *reader) Load(ctx context.Context, options string, r io.Reader) (Ready, error) {
	l.mu.Lock()
	l.loads++
	l.mu.Unlock()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	switch word, _, _ := bytes.Cut(data, []byte(" ")); string(word) {
	case "panic":
		panic("a hostile model")
	case "refuse":
		return nil, errors.New("no model")
	case "nothing":
		return nil, nil
	case "block":
		<-l.block
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	case "double":
		return &weights{data, options, 2 * int64(len(data))}, nil
	}
	return &weights{data, options, int64(len(data))}, nil
}

func (l *reader) count() int { l.mu.Lock(); defer l.mu.Unlock(); return l.loads }

const kib = 1 << 10

// open makes a store without a disk, with what change says.
func open(t testing.TB, change func(*Config)) *Store {
	t.Helper()
	c := Config{Memory: 1000 * kib, OwnerBytes: 500 * kib, OwnerModels: 20, OwnerLoads: 2, LoadTime: time.Minute, Loader: &reader{}}
	if change != nil {
		change(&c)
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// sealedOn is a change that gives a store a disk.
func sealedOn(t testing.TB, disk int64) func(*Config) {
	t.Helper()
	folder, state := t.TempDir(), t.TempDir()
	return func(c *Config) { c.Disk, c.Folder, c.State = disk, folder, state }
}

// file is a model's file of a size, told apart by its name.
func file(name string, size int) []byte {
	return append([]byte(name+" "), bytes.Repeat([]byte{'x'}, max(size-len(name)-1, 0))...)
}

func send(s *Store, owner string, spec Spec, data []byte) (Entry, error) {
	u, err := s.Begin(owner, spec)
	if err != nil {
		return Entry{}, err
	}
	if _, err := u.ReadFrom(bytes.NewReader(data)); err != nil {
		u.Abort()
		return Entry{}, err
	}
	e, err := u.Finish(context.Background())
	if err != nil {
		u.Abort()
	}
	return e, err
}

func mustSend(t testing.TB, s *Store, owner string, spec Spec, data []byte) Entry {
	t.Helper()
	e, err := send(s, owner, spec, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// contentOf is what a caller gets of a model.
func contentOf(s *Store, caller, name string) (string, error) {
	h, err := s.Use(context.Background(), caller, Reference{Name: name})
	if err != nil {
		return "", err
	}
	defer h.Release()
	return string(h.Ready().(*weights).data), nil
}

func mustHave(t testing.TB, s *Store, caller, name string, data []byte) {
	t.Helper()
	if got, err := contentOf(s, caller, name); err != nil || got != string(data) {
		t.Errorf("%s asks for %s: %.40q, %v; expected %.40q", caller, name, got, err, data)
	}
}

// is reports whether err is of a type, and shows it to a test.
func is[E error](t testing.TB, err error, holds func(E) bool) {
	t.Helper()
	var e E
	if !errors.As(err, &e) || holds != nil && !holds(e) {
		t.Errorf("got %T %v, expected %T", err, err, e)
	}
}

func notFound(t testing.TB, err error) { t.Helper(); is[*NotFoundError](t, err, nil) }

func TestConfig(t *testing.T) {
	good := Config{Memory: 1, OwnerBytes: 1, OwnerModels: 1, OwnerLoads: 1, LoadTime: 1, Loader: &reader{}}
	for name, change := range map[string]func(*Config){
		"memory": func(c *Config) { c.Memory = 0 }, "bytes": func(c *Config) { c.OwnerBytes = -1 }, "models": func(c *Config) { c.OwnerModels = 0 },
		"loads": func(c *Config) { c.OwnerLoads = 0 }, "time": func(c *Config) { c.LoadTime = 0 }, "loader": func(c *Config) { c.Loader = nil },
		"folder alone": func(c *Config) { c.Folder = t.TempDir() }, "disk alone": func(c *Config) { c.Disk = 1 }, "state alone": func(c *Config) { c.State = t.TempDir() },
		"no state":       func(c *Config) { c.Disk, c.Folder = 1, t.TempDir() },
		"no such folder": func(c *Config) { c.Disk, c.Folder, c.State = 1, "/nowhere", t.TempDir() },
		"startup name":   func(c *Config) { c.Startup = []Startup{{Name: "a/b", Digest: Digest{1}, Ready: &weights{}}} },
		"startup twice": func(c *Config) {
			m := Startup{Name: "a", Digest: Digest{1}, Ready: &weights{}}
			c.Startup = []Startup{m, m}
		},
		"startup without a digest": func(c *Config) { c.Startup = []Startup{{Name: "a", Ready: &weights{}}} },
		"startup that cannot run":  func(c *Config) { c.Startup = []Startup{{Name: "a", Digest: Digest{1}}} },
	} {
		c := good
		change(&c)
		if s, err := Open(c); err == nil || s != nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := Open(good); err != nil {
		t.Error(err)
	}
}

// TestLife is a model from its upload to its end, without and with a disk.
func TestLife(t *testing.T) {
	for name, change := range map[string]func(*Config){"memory": nil, "disk": sealedOn(t, 1<<20)} {
		t.Run(name, func(t *testing.T) {
			s := open(t, change)
			data := file("one", 100*kib)
			e := mustSend(t, s, "anna", Spec{Name: "xray", Options: "fast", Length: int64(len(data)), Expected: sha256.Sum256(data)}, data)
			if e.Owner != "anna" || e.Name != "xray" || e.Version != 1 || e.Digest != sha256.Sum256(data) || e.Size != int64(len(data)) ||
				e.Options != "fast" || e.State != Loaded || e.Canonical() != "anna~xray" || e.Uploaded.IsZero() || e.Memory != e.Size {
				t.Errorf("entry %+v", e)
			}
			for _, ref := range []string{"xray", "anna~xray", e.Digest.String(), strings.Replace(e.Digest.String(), ":", "-", 1)} {
				mustHave(t, s, "anna", ref, data)
			}
			if list, err := s.List("anna"); err != nil || len(list) != 1 || list[0] != e {
				t.Errorf("list %+v, %v", list, err)
			}
			if got := s.Stats("anna").Own; got != (Usage{Models: 1, Bytes: e.Size, Ready: 1, Memory: e.Size}) {
				t.Errorf("usage %+v", got)
			}
			if err := s.Delete("anna", e.Reference()); err != nil {
				t.Error(err)
			}
			_, err := contentOf(s, "anna", "xray")
			notFound(t, err)
			if got := s.Stats("anna"); got.Own != (Usage{}) || got.Memory != 0 || got.Disk != 0 || len(s.owners)+len(s.contents)+len(s.units)+len(s.uploads) != 0 {
				t.Errorf("left over: %+v", got)
			}
		})
	}
}

// TestStrangers see nothing of a private model: every answer is that for a model that
// does not exist.
func TestStrangers(t *testing.T) {
	s := open(t, sealedOn(t, 1<<20))
	data := file("secret", 1000)
	e := mustSend(t, s, "anna", Spec{Name: "xray"}, data)
	ctx := context.Background()
	for _, name := range []string{"xray", "anna~xray", e.Digest.String()} {
		none := Reference{Name: strings.NewReplacer("xray", "none", e.Digest.String(), Digest{1}.String()).Replace(name)}
		r := Reference{Name: name}
		for what, try := range map[string]func(Reference) error{
			"get":    func(r Reference) error { _, err := s.Get("ben", r); return err },
			"use":    func(r Reference) error { _, err := s.Use(ctx, "ben", r); return err },
			"load":   func(r Reference) error { return s.Load(ctx, "ben", r) },
			"unload": func(r Reference) error { return s.Unload("ben", r) },
			"delete": func(r Reference) error { return s.Delete("ben", r) },
			"pin":    func(r Reference) error { return s.Pin(ctx, "ben", r) },
			"unpin":  func(r Reference) error { return s.Unpin("ben", r) },
		} {
			got, expected := try(r), try(none)
			is(t, got, func(e *NotFoundError) bool { return e.Reference == r })
			if strings.ReplaceAll(got.Error(), r.Name, none.Name) != expected.Error() {
				t.Errorf("%s: %q for another's, %q for none", what, got, expected)
			}
		}
	}
	if list, _ := s.List("ben"); len(list) != 0 {
		t.Errorf("list %+v", list)
	}
	if own := s.Stats("ben").Own; own != (Usage{}) {
		t.Errorf("usage %+v", own)
	}
	mustHave(t, s, "anna", "xray", data)
}

// TestShared models are for everybody to use, and for their owner to change.
func TestShared(t *testing.T) {
	s := open(t, sealedOn(t, 1<<20))
	data := file("gift", 1000)
	e := mustSend(t, s, "anna", Spec{Name: "xray", Visibility: Shared}, data)
	mustHave(t, s, "ben", "anna~xray", data)
	mustHave(t, s, "ben", e.Digest.String(), data)
	_, err := contentOf(s, "ben", "xray") // a name alone is one's own
	notFound(t, err)
	for _, err := range []error{s.Delete("ben", e.Reference()), s.Unload("ben", e.Reference()), s.Pin(context.Background(), "ben", e.Reference()), s.Unpin("ben", e.Reference())} {
		is(t, err, func(e *OwnerError) bool { return e.Model == "anna~xray" })
	}
	if list, _ := s.List("ben"); len(list) != 1 || list[0].Visibility != Shared {
		t.Errorf("list %+v", list)
	}
	mustSend(t, s, "anna", Spec{Name: "xray"}, data) // private now
	_, err = contentOf(s, "ben", "anna~xray")
	notFound(t, err)
}

// TestStartup models have no owner: everybody's, and nobody's to change.
func TestStartup(t *testing.T) {
	ready := &weights{data: []byte("the box's"), bytes: 9}
	d := Digest(sha256.Sum256(ready.data))
	s := open(t, func(c *Config) { c.Startup = []Startup{{Name: "xray", Digest: d, Ready: ready}} })
	for _, name := range []string{"xray", "~xray", d.String()} {
		mustHave(t, s, "ben", name, ready.data)
	}
	e, err := s.Get("ben", Reference{Name: "xray", Version: 1})
	if err != nil || e.Canonical() != "xray" || e.Reference().Name != "~xray" || e.State != Loaded {
		t.Errorf("%+v, %v", e, err)
	}
	_, err = s.Get("ben", Reference{Name: "xray", Version: 2})
	notFound(t, err)
	is[*OwnerError](t, s.Delete("ben", Reference{Name: "xray"}), nil)
	is[*OwnerError](t, s.Delete("", Reference{Name: "xray"}), nil)
	own := file("own", 100)
	mustSend(t, s, "ben", Spec{Name: "xray"}, own)
	mustHave(t, s, "ben", "xray", own)
	mustHave(t, s, "anna", "xray", ready.data)
	// What was decided on is what is used, whatever its owner has uploaded since.
	mustHave(t, s, "ben", e.Reference().Name, ready.data)
	if list, _ := s.List("ben"); len(list) != 2 || list[0].Canonical() != "ben~xray" || list[1].Canonical() != "xray" {
		t.Errorf("list %+v", list)
	}
	if s.Stats("ben").Memory != 100 {
		t.Error("what the box brings is counted")
	}
}

func TestVersions(t *testing.T) {
	s := open(t, nil)
	a, b := file("a", 100), file("b", 100)
	for i, c := range []struct {
		data     []byte
		version  int
		expected int
	}{{a, 0, 1}, {a, 0, 1}, {b, 0, 2}, {b, 2, 2}, {a, 0, 3}, {a, 7, 7}, {b, 0, 8}} {
		if e := mustSend(t, s, "anna", Spec{Name: "m", Version: c.version}, c.data); e.Version != c.expected {
			t.Errorf("upload %d: version %d, expected %d", i, e.Version, c.expected)
		}
	}
	_, err := send(s, "anna", Spec{Name: "m", Version: 7}, b)
	is[*ConflictError](t, err, nil)
	if list, _ := s.List("anna"); len(list) != 5 || list[0].Version != 8 || list[4].Version != 1 {
		t.Errorf("list %+v", list)
	}
	mustHave(t, s, "anna", "m", b)
	h, err := s.Use(context.Background(), "anna", Reference{"m", 7})
	if err != nil || string(h.Ready().(*weights).data) != string(a) {
		t.Errorf("version 7: %v", err)
	}
	_, err = s.Get("anna", Reference{"m", 4})
	notFound(t, err)
	if got := s.Stats("anna").Own; got.Bytes != 500 || got.Memory != 200 {
		t.Errorf("usage %+v", got)
	}
}

// TestOptions: the same file with other options is another model.
func TestOptions(t *testing.T) {
	s := open(t, sealedOn(t, 1<<20))
	data := file("a", 1000)
	for _, o := range []string{"fast", "exact"} {
		mustSend(t, s, "anna", Spec{Name: o, Options: o}, data)
	}
	for _, o := range []string{"fast", "exact"} {
		h, err := s.Use(context.Background(), "anna", Reference{Name: o})
		if err != nil || h.Ready().(*weights).options != o {
			t.Errorf("%s: %v", o, err)
		}
		h.Release()
	}
	if got := s.Stats("anna"); got.Own.Memory != 2000 || got.Own.Bytes != 2000 || len(s.contents) != 1 || got.Disk > 2000 {
		t.Errorf("%+v: expected two in memory, one on the disk", got)
	}
	if err := s.Delete("anna", Reference{Name: "fast"}); err != nil {
		t.Error(err)
	}
	mustHave(t, s, "anna", "exact", data)
}

func TestNames(t *testing.T) {
	s := open(t, nil)
	for _, spec := range []Spec{
		{}, {Name: "a/b"}, {Name: "../x"}, {Name: "a~b"}, {Name: ".a"}, {Name: strings.Repeat("a", 129)}, {Name: "sha256-00"}, {Name: "a", Options: "\xff"},
		{Name: "a", Options: strings.Repeat("o", maxOptions+1)}, {Name: "a", Version: -1}, {Name: "a", Version: maxVersion + 1}, {Name: "a", Length: -1}, {Name: "a", Visibility: 7},
	} {
		_, err := s.Begin("anna", spec)
		is[*InputError](t, err, nil)
	}
	for _, owner := range []string{"", "a\xff", strings.Repeat("a", maxOwner+1)} {
		_, err := s.Begin(owner, Spec{Name: "a"})
		is[*InputError](t, err, nil)
	}
	if e := mustSend(t, s, "CN=ward~3, O=clinic", Spec{Name: "a", Visibility: Shared}, file("a", 10)); e.Canonical() != "CN=ward~3, O=clinic~a" {
		t.Error(e.Canonical())
	} else {
		mustHave(t, s, "ben", e.Canonical(), file("a", 10))
	}
}

// TestHostileReferences are answered like any model that is not there.
func TestHostileReferences(t *testing.T) {
	s := open(t, nil)
	mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 10))
	for _, name := range []string{"", "~", "~~", "anna~", "sha256:", "sha256:zz", "sha256:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat("0", 1<<20), "a\x00", "../a", strings.Repeat("~", 1000)} {
		for _, v := range []int{0, -1, 1, 1 << 62} {
			_, err := s.Use(context.Background(), "anna", Reference{name, v})
			notFound(t, err)
			if len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, nil)
	mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 10))
	u, err := s.Begin("anna", Spec{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.Use(context.Background(), "anna", Reference{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if h.Ready() == nil {
		t.Error("a model in use went away")
	}
	h.Release()
	_, err = s.Begin("anna", Spec{Name: "c"})
	_, get := s.Get("anna", Reference{Name: "a"})
	_, use := s.Use(context.Background(), "anna", Reference{Name: "a"})
	_, list := s.List("anna")
	_, write := u.Write([]byte("x"))
	for i, err := range []error{err, get, use, list, write, s.Delete("anna", Reference{Name: "a"}), s.Close()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if s.memory != 0 {
		t.Errorf("memory %d", s.memory)
	}
}

func TestDigest(t *testing.T) {
	d := Digest(sha256.Sum256(nil))
	for _, text := range []string{d.String(), "sha256-" + d.String()[7:]} {
		if got, err := ParseDigest(text); err != nil || got != d {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sha256", d.String()[7:], d.String()[:70], d.String() + "00", strings.ToUpper(d.String()), "sha256:" + strings.Repeat("g", 64), "sha512:" + d.String()[7:]} {
		if got, err := ParseDigest(text); err == nil || !got.IsZero() {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestErrorTexts: each says what was seen and expected.
func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{&QuotaError{What: "bytes", Seen: 12, Limit: 10}, []string{"quota of bytes: 12 B with this one, limit 10 B;"}},
		{&QuotaError{What: "bytes of memory", Seen: 24536789, Limit: 20 << 20}, []string{"23.4 MiB (24536789 bytes) with this one, limit 20 MiB;"}},
		{&QuotaError{What: "models", Seen: 5000, Limit: 4000}, []string{"quota of models: 5000 with this one, limit 4000;"}},
		{&QuotaError{What: "models", Seen: 5, Limit: 4, Open: 2}, []string{"5 with this one and uploads that have not ended (2), limit 4"}},
		{&QuotaError{What: "bytes", Seen: 12, Limit: 10, Alone: true}, []string{"larger than all that one caller may have, 10 B: store.owner.bytes"}},
		{&FullError{"memory", 12, 10, true}, []string{"12", "10", "memory"}},
		{&FullError{"disk", 12, 10, false}, []string{"disk", "again"}},
		{&LengthError{5, 10}, []string{"5", "10", "rest"}},
		{&LengthError{11, 10}, []string{"10", "nothing was kept"}},
		{&OffsetError{5, 10}, []string{"5", "10"}},
		{&SlowError{"m", time.Second}, []string{"m", "1s"}},
		{&SealedError{"m", "is missing", nil}, []string{"m", "is missing", "upload it again"}},
		{&LoadError{"m", true, errors.New("x")}, []string{"m", "inside"}},
	} {
		for _, w := range c.want {
			if !strings.Contains(c.err.Error(), w) {
				t.Errorf("%q does not say %q", c.err, w)
			}
		}
	}
	if fmt.Sprint(Private, Shared) != "private shared" {
		t.Error("visibility")
	}
}
