package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"
)

// files is what a folder holds, by name.
type files map[string]string

func (f files) folder() fs.FS {
	m := fstest.MapFS{}
	for name, data := range f {
		m[name] = &fstest.MapFile{Data: []byte(data), Mode: 0o600, ModTime: time.Unix(1e9, 0)}
	}
	return m
}

func (f files) names() []string {
	var names []string
	for name := range f {
		names = append(names, name) // in any order
	}
	return names
}

func (f files) pack(t testing.TB) []byte {
	t.Helper()
	p, err := Pack(f.folder(), f.names(), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	data, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil || int64(len(data)) != p.Size() {
		t.Fatalf("%d of %d bytes, %v", len(data), p.Size(), err)
	}
	return data
}

// read reads a whole bundle.
func read(data io.Reader, lim Limits) (files, []File, error) {
	r, got := NewReader(data, lim), files{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got, r.Files(), nil
		}
		if err != nil {
			return got, r.Files(), err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return got, r.Files(), err
		}
		if int64(len(b)) != e.Size {
			return got, r.Files(), fmt.Errorf("%s: %d bytes, said %d", e.Name, len(b), e.Size)
		}
		got[e.Name] = string(b)
	}
}

func ocr() files {
	return files{"pipeline.yaml": "ocr: {}\n", "rec.onnx": strings.Repeat("r", 512), "det.onnx": strings.Repeat("d", 1000), "keys.txt": "", "Z.txt": "z"}
}

// TestForm: the bytes of a bundle are those that the standard library and GNU tar write.
func TestForm(t *testing.T) {
	order := []string{"pipeline.yaml", "Z.txt", "keys.txt", "det.onnx", "rec.onnx"}
	got := ocr().pack(t)
	if !Is(got[:512]) || Is(got[:511]) || Is(got[512:1024]) {
		t.Error("a bundle is not told from other files")
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range order {
		data := ocr()[name]
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Error("archive/tar writes other bytes")
	}
	if data, ok := gnuTar(t, ocr(), order); ok && !bytes.Equal(got, data) {
		t.Error("GNU tar writes other bytes")
	}
}

// gnuTar packs with the command of the package comment, if it is there.
func gnuTar(t *testing.T, f files, order []string) ([]byte, bool) {
	t.Helper()
	if version, err := exec.Command("tar", "--version").Output(); err != nil || !bytes.Contains(version, []byte("GNU tar")) {
		return nil, false
	}
	dir := t.TempDir()
	for name, data := range f {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "--mode=0644", "--mtime=@0", "-b1", "-cf", "out.tar"}
	cmd := exec.Command("tar", append(args, order...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out.tar"))
	if err != nil {
		t.Fatal(err)
	}
	return data, true
}

// TestPackThenRead: what was packed is read again, whatever it is; and the same files
// make the same bytes, in whatever order they are named and read.
func TestPackThenRead(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f := files{Manifest: random(rnd, 600)}
		for range rnd.IntN(8) {
			f[[]string{"a", "B9", "x.onnx", "x", "y.onnx", "0.json", "Pipeline.yaml", strings.Repeat("n", 100)}[rnd.IntN(8)]] = random(rnd, 1500)
		}
		data := f.pack(t)
		if !bytes.Equal(data, f.pack(t)) {
			t.Fatal("two packs differ")
		}
		got, sums, err := read(iotest.HalfReader(bytes.NewReader(data)), DefaultLimits())
		if err != nil || len(got) != len(f) || len(sums) != len(f) {
			t.Fatalf("%v: %d files of %d", err, len(got), len(f))
		}
		for _, s := range sums {
			if got[s.Name] != f[s.Name] || s.SHA256 != sha256.Sum256([]byte(f[s.Name])) {
				t.Fatalf("%s differs", s.Name)
			}
		}
		if !slices.IsSortedFunc(sums, func(a, b File) int { return compare(a.Name, b.Name) }) {
			t.Fatal("another order")
		}
		p, err := Pack(f.folder(), f.names(), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		from := rnd.IntN(len(data))
		part := make([]byte, rnd.IntN(len(data)-from))
		if n, err := p.ReadAt(part, int64(from)); n != len(part) || err != nil || !bytes.Equal(part, data[from:from+len(part)]) {
			t.Fatalf("%d bytes from %d: %d, %v", len(part), from, n, err)
		}
	}
}

func random(rnd *rand.Rand, most int) string {
	b := make([]byte, rnd.IntN(most))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return string(b)
}

// TestSkips: a file that is not read is passed over, and has its digest all the same.
func TestSkips(t *testing.T) {
	r := NewReader(iotest.OneByteReader(bytes.NewReader(ocr().pack(t))), DefaultLimits())
	var err error
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) || len(r.Files()) != 5 || r.Files()[3].SHA256 != sha256.Sum256([]byte(ocr()["det.onnx"])) {
		t.Errorf("%v, %v", err, r.Files())
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Error("bytes after the end")
	}
}

// archive writes what a bundle must not be.
type archive struct{ b []byte }

func (a *archive) entry(e Entry, data string, change func(h []byte)) *archive {
	h := header(e)
	if change != nil {
		change(h[:])
		sign(h[:])
	}
	a.b = append(append(a.b, h[:]...), data...)
	a.b = append(a.b, make([]byte, pad(int64(len(data))))...)
	return a
}

func (a *archive) file(name, data string) *archive {
	return a.entry(Entry{name, int64(len(data))}, data, nil)
}

func (a *archive) end() []byte { return append(a.b, make([]byte, 2*block)...) }

// sign makes a header's checksum right.
func sign(h []byte) {
	copy(h[atChecksum:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[atChecksum:], fmt.Sprintf("%06o\x00 ", sum))
}

func flag(f byte) func([]byte) { return func(h []byte) { h[atType] = f } }

func put(at int, text string) func([]byte) { return func(h []byte) { copy(h[at:], text) } }

func TestRefusals(t *testing.T) {
	first := func() *archive { return new(archive).file(Manifest, "a: 1\n") }
	one := Entry{"x", 0}
	broken := first().file("x", "").end()
	broken[1024+atChecksum] ^= 1
	lim := Limits{Files: 4, Manifest: 10, File: 20, Beside: 30, Model: 40}
	for want, data := range map[string][]byte{
		"entry 2: a symbolic link, expected a plain file":                 first().entry(one, "", flag('2')).end(),
		"entry 2: a hard link, expected":                                  first().entry(one, "", flag('1')).end(),
		"entry 2: a folder, expected":                                     first().entry(one, "", flag('5')).end(),
		"entry 2: a device, expected":                                     first().entry(one, "", flag('3')).end(),
		"a device, expected a plain file":                                 new(archive).entry(one, "", flag('4')).end(),
		"a pipe, expected":                                                first().entry(one, "", flag('6')).end(),
		"entry 1: a pax header":                                           new(archive).entry(one, "", flag('x')).end(),
		"entry 2: a pax header":                                           first().entry(one, "", flag('g')).end(),
		"a header of GNU tar's own, expected":                             first().entry(one, "", flag('L')).end(),
		"a sparse file, expected":                                         first().entry(one, "", flag('S')).end(),
		`an entry of type '\x00'`:                                         first().entry(one, "", flag(0)).end(),
		`an entry of type '7'`:                                            first().entry(one, "", flag('7')).end(),
		"a header of GNU tar's own format, expected ustar":                first().entry(one, "", put(atMagic, magicGNU)).end(),
		"entry 2: no ustar header":                                        first().entry(one, "", put(atMagic, "\x00\x00\x00\x00\x00\x00\x00\x00")).end(),
		"a name with a folder in it":                                      first().entry(one, "", put(atPrefix, "a")).end(),
		`entry 2: bundle: name "../x"`:                                    first().file("../x", "").end(),
		`name "a/x"`:                                                      first().file("a/x", "").end(),
		`name ".x"`:                                                       first().file(".x", "").end(),
		`name "x\n"`:                                                      first().file("x\n", "").end(),
		`name ""`:                                                         first().file("", "").end(),
		`entry 2, x: the header's name is "x\x00y", expected "x"`:         first().entry(one, "", put(0, "x\x00y")).end(),
		`the header's mode is "0000755", expected "0000644"`:              first().entry(one, "", put(atMode, "0000755")).end(),
		`the header's owner is "0001750", expected "0000000"`:             first().entry(one, "", put(atOwner, "0001750")).end(),
		`the header's group is`:                                           first().entry(one, "", put(atGroup, "0001750")).end(),
		`size "\x80\x00\x00`:                                              first().entry(one, "", put(atSize, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")).end(),
		`the header's size is`:                                            first().entry(one, "", put(atSize, "00000000000 ")).end(),
		`the header's time is "14000000000"`:                              first().entry(one, "", put(atTime, "14000000000")).end(),
		`the header's link's target is "y", expected ""`:                  first().entry(one, "", put(atLink, "y")).end(),
		`the header's owner's or group's name is "root"`:                  first().entry(one, "", put(atNames, "root")).end(),
		`the header's device is`:                                          first().entry(one, "", put(atDevice, "0000001")).end(),
		`the header's padding is`:                                         first().entry(one, "", put(511, "x")).end(),
		`the header's checksum is`:                                        broken,
		"entry 1, x: expected pipeline.yaml first":                        new(archive).file("x", "").end(),
		"is empty, expected pipeline.yaml":                                new(archive).end(),
		"entry 2, pipeline.yaml: is there twice":                          first().file(Manifest, "").end(),
		"entry 3, x: is there twice":                                      first().file("x", "").file("x", "").end(),
		"entry 3, a: comes after x, expected before":                      first().file("x", "").file("a", "").end(),
		"entry 3, x: comes after m.onnx, expected before":                 first().file("m.onnx", "").file("x", "").end(),
		"entry 3, pipeline.yaml: comes after x":                           first().file("x", "").file(Manifest, "").end(),
		"entry 5, d: more files than the limit":                           first().file("a", "").file("b", "").file("c", "").file("d", "").end(),
		"entry 1, pipeline.yaml: has 11 B, the limit is 10 B":             new(archive).file(Manifest, "01234567890").end(),
		"entry 2, x: has 21 B, the limit is 20 B":                         first().file("x", strings.Repeat("x", 21)).end(),
		"entry 2, x.onnx: has 41 B, the limit is 40 B":                    first().file("x.onnx", strings.Repeat("x", 41)).end(),
		"entry 3, y: the files beside the models have more bytes":         first().file("x", strings.Repeat("x", 20)).file("y", "123456").end(),
		"entry 2, x: has 8.0 GiB (8589934591 bytes), the limit is 20 B":   first().entry(Entry{"x", maxSize}, "", nil).end(),
		"ends early, where a header or the end was expected":              first().b,
		"ends early, in its end":                                          first().end()[:len(first().b)+block],
		"ends early, in pipeline.yaml":                                    first().b[:block+3],
		"ends early, in the padding of pipeline.yaml":                     first().b[:block+5],
		"bytes follow its end":                                            append(first().end(), 0),
		"one block of zeros at the end, expected two":                     append(first().end()[:len(first().b)+block], first().b...),
		"entry 1, pipeline.yaml: padding that is not zero":                append(append(first().b[:len(first().b)-1:len(first().b)-1], 1), make([]byte, 2*block)...),
		"ends early, where a header or the end was expected\n(no bytes)":  {},
		"ends early, where a header or the end was expected\n(few bytes)": []byte("x"),
	} {
		text, _, _ := strings.Cut(want, "\n")
		if _, _, err := read(bytes.NewReader(data), lim); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v\nexpected %s", err, text)
		}
	}
	ok := first().file("x", strings.Repeat("x", 20)).file("m.onnx", strings.Repeat("x", 40)).file("n.onnx", strings.Repeat("x", 40)).end()
	if _, _, err := read(bytes.NewReader(ok), lim); err != nil {
		t.Error("at the limits:", err)
	}
}

// TestForgottenLimits: a limit that is not given is none that lets everything through.
func TestForgottenLimits(t *testing.T) {
	data := ocr().pack(t)
	for i, forget := range []func(*Limits){
		func(l *Limits) { l.Files = 0 }, func(l *Limits) { l.Manifest = 0 }, func(l *Limits) { l.File = 0 }, func(l *Limits) { l.Beside = 0 }, func(l *Limits) { l.Model = 0 },
	} {
		lim := DefaultLimits()
		forget(&lim)
		if _, _, err := read(bytes.NewReader(data), lim); err == nil || !strings.Contains(err.Error(), "not positive") {
			t.Errorf("%d: %v", i, err)
		}
		if _, err := Pack(ocr().folder(), ocr().names(), lim); err == nil || !strings.Contains(err.Error(), "not positive") {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestReaderFails: an error of who gives the bytes stays what it is, and stays.
func TestReaderFails(t *testing.T) {
	data, fails := ocr().pack(t), errors.New("the disk is gone")
	for n := range len(data) + 1 {
		in := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(fails))
		if _, _, err := read(in, DefaultLimits()); !errors.Is(err, fails) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if _, _, err := read(bytes.NewReader(data[:n]), DefaultLimits()); (err == nil) != (n == len(data)) {
			t.Fatalf("of %d bytes: %v", n, err)
		}
	}
	for n := 0; n < len(data)-1024; n += 100 { // the error comes once, and what follows would do
		r := NewReader(io.MultiReader(bytes.NewReader(data[:n]), &once{fails}, bytes.NewReader(data[n:])), DefaultLimits())
		var err error
		for err == nil {
			_, err = r.Next()
		}
		for range 2 {
			if _, again := r.Next(); !errors.Is(err, fails) || !errors.Is(again, fails) {
				t.Fatalf("after %d bytes: %v, then %v", n, err, again)
			}
			if m, err := r.Read(make([]byte, 1)); m > 0 || !errors.Is(err, fails) {
				t.Fatalf("after %d bytes: %d more, %v", n, m, err)
			}
		}
	}
}

// once fails once.
type once struct{ err error }

func (o *once) Read([]byte) (int, error) {
	err := o.err
	o.err = io.EOF
	return 0, err
}

func TestPackRefuses(t *testing.T) {
	f := files{Manifest: "a: 1\n", "x": "1", "y": strings.Repeat("y", 21), "sub/z": "z", "s y": ""}
	lim := Limits{Files: 2, Manifest: 10, File: 20, Beside: 30, Model: 40}
	for want, names := range map[string][]string{
		"no pipeline.yaml":                {"x"},
		"no pipeline.yaml\n(nothing)":     nil,
		"x is there twice":                {Manifest, "x", "x"},
		`name "sub/z"`:                    {Manifest, "sub/z"},
		`name "s y"`:                      {Manifest, "s y"},
		"sub is not a regular file":       {Manifest, "sub"},
		"file does not exist":             {Manifest, "none"},
		"y: has 21 B, the limit is":       {Manifest, "y"},
		"x0: more files than the limit\n": {Manifest, "x", "x0"},
	} {
		f["x0"] = ""
		text, _, _ := strings.Cut(want, "\n")
		if _, err := Pack(f.folder(), names, lim); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, expected %s", err, text)
		}
	}
}

// odd is a folder of one odd file.
type odd struct {
	files
	file fs.File
}

func (o odd) Open(name string) (fs.File, error) {
	if name == Manifest {
		return o.folder().Open(name)
	}
	return o.file, nil
}

// oddFile is a file that is read from its beginning to its end alone.
type oddFile struct {
	fs.FileInfo
	err error
}

func (f *oddFile) Stat() (fs.FileInfo, error) { return f.FileInfo, f.err }
func (*oddFile) Read([]byte) (int, error)     { return 0, io.EOF }
func (*oddFile) Close() error                 { return nil }

// at is one that may be read anywhere, and cannot be.
type at struct{ oddFile }

func (*at) ReadAt(p []byte, _ int64) (int, error) { return 0, errOdd }

var errOdd = errors.New("the disk is gone")

// TestOddFiles: what cannot be read as a file is not packed.
func TestOddFiles(t *testing.T) {
	f := files{Manifest: "a: 1\n", "x": "12345"}
	info, err := fs.Stat(f.folder(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(odd{f, &oddFile{nil, errOdd}}, f.names(), DefaultLimits()); !errors.Is(err, errOdd) {
		t.Error(err)
	}
	if _, err := Pack(odd{f, &oddFile{info, nil}}, f.names(), DefaultLimits()); err == nil || !strings.Contains(err.Error(), "x is not a regular file") {
		t.Error(err)
	}
	p, err := Pack(odd{f, &at{oddFile{info, nil}}}, f.names(), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size())); !errors.Is(err, errOdd) {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, Manifest), nil, 0o600), os.Mkdir(filepath.Join(dir, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(os.DirFS(dir), f.names(), DefaultLimits()); err == nil || !strings.Contains(err.Error(), "x is not a regular file") {
		t.Error(err)
	}
}

// TestFileChanges: a file that is not what it was is not passed off as a bundle.
func TestFileChanges(t *testing.T) {
	dir := t.TempDir()
	for name, data := range ocr() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Pack(os.DirFS(dir), ocr().names(), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "det.onnx"), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size())); err == nil || !strings.Contains(err.Error(), "det.onnx became shorter than 1000 bytes while it was read") {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Error("read before the beginning:", err)
	}
	if n, err := p.ReadAt(make([]byte, 1), p.Size()); n != 0 || !errors.Is(err, io.EOF) {
		t.Error(n, err)
	}
}

// FuzzRead: no bytes make it panic or hold more than they are, and a bundle that is read
// is the only one of its files.
func FuzzRead(f *testing.F) {
	f.Add(ocr().pack(f))
	f.Add(new(archive).file(Manifest, "a: 1\n").file("m.onnx", "x").end())
	f.Add(new(archive).file(Manifest, "a: 1\n").entry(Entry{"x", 5}, "12345", flag('2')).end())
	f.Fuzz(func(t *testing.T, data []byte) {
		got, sums, err := read(bytes.NewReader(data), DefaultLimits())
		if err != nil {
			return
		}
		if !Is(data[:block]) || len(sums) != len(got) {
			t.Fatal("a bundle that is none")
		}
		if !bytes.Equal(got.pack(t), data) {
			t.Fatal("the same files in other bytes")
		}
	})
}
