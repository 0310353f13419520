package ustar_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/blindbox/blindbox/box/sandbox/ustar"
)

const text = 64 << 10

// read lists what an archive holds, as we read it.
func read(b []byte) ([]string, error) {
	r := ustar.NewReader(iotest.OneByteReader(bytes.NewReader(b)), text)
	var out []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("%c %q %q %o %d:%d %d %q", h.Type, h.Name, h.Target, h.Mode, h.UID, h.GID, h.Time.Unix(), body))
	}
}

// oracle is the same by the standard library.
func oracle(b []byte) ([]string, error) {
	r := tar.NewReader(bytes.NewReader(b))
	var out []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("%c %q %q %o %d:%d %d %q", h.Typeflag, h.Name, h.Linkname, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), body))
	}
}

func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// samples are archives in every format.
func samples(t testing.TB) [][]byte {
	long := strings.Repeat("long/", 60)
	at := time.Unix(1700000000, 0)
	var out [][]byte
	for _, f := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		name := "short"
		if f != tar.FormatUSTAR {
			name = long + "é"
		}
		out = append(out, archive(t,
			tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: at, Format: f},
			tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o4644, Uid: 1000, Gid: 65535, Size: 1000, ModTime: at, Format: f},
			tar.Header{Name: "e", Typeflag: tar.TypeReg, Format: f},
			tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: name, Format: f},
			tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "e", Format: f},
			tar.Header{Name: strings.Repeat("p", 90) + "/" + strings.Repeat("n", 90), Typeflag: tar.TypeReg, Size: 512, Format: f},
		))
	}
	out = append(out,
		archive(t, tar.Header{Name: "big", Typeflag: tar.TypeReg, Uid: 1 << 22, Format: tar.FormatGNU}),
		archive(t, tar.Header{Name: "big", Typeflag: tar.TypeReg, Uid: 1 << 22, ModTime: time.Unix(1, 500), Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.user.x": "1"}}),
		archive(t, tar.Header{Name: "p", Typeflag: tar.TypeFifo}, tar.Header{Name: "c", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		archive(t),
	)
	return out
}

// TestAsOthers: what writers make is read as the standard library reads it.
func TestAsOthers(t *testing.T) {
	for i, b := range samples(t) {
		got, err := read(b)
		want, wrong := oracle(b)
		if err != nil || wrong != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%d: %v\n%q\nexpected %v\n%q", i, err, got, wrong, want)
		}
	}
}

// raw is one header block with a right checksum, and content.
func raw(change func(b []byte), content string) []byte {
	b := make([]byte, 512)
	copy(b, "name")
	copy(b[100:], "0000644\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00", len(content)))
	b[156] = ustar.File
	copy(b[257:], "ustar\x0000")
	if change != nil {
		change(b)
	}
	sum := 8 * int(' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	b = append(b, content...)
	return append(b, make([]byte, -len(content)&511)...)
}

func kind(k byte) func([]byte) { return func(b []byte) { b[156] = k } }

func field(at int, s string) func([]byte) { return func(b []byte) { copy(b[at:], s) } }

func join(parts ...[]byte) []byte { return append(bytes.Join(parts, nil), make([]byte, 1024)...) }

func record(key, value string) string {
	for n := len(key) + len(value) + 3; ; n++ {
		if s := fmt.Sprintf("%d %s=%s\n", n, key, value); len(s) == n {
			return s
		}
	}
}

// TestRefused: archives that two readers could understand differently.
func TestRefused(t *testing.T) {
	pax := func(s string) []byte { return raw(kind('x'), s) }
	plain := raw(nil, "body")
	for what, b := range map[string][]byte{
		"a wrong checksum":               flip(join(plain), 0),
		"cut off in a header":            plain[:300],
		"cut off in a file":              plain[:514],
		"cut off in what fills a block":  plain[:600],
		"half a mark of the end":         append(make([]byte, 512), plain...),
		"a size below none":              join(raw(field(124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "")),
		"a size that is too large":       join(raw(field(124, "\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "")),
		"a size beyond its sign":         join(raw(field(124, "\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00"), "")),
		"a size that is no number":       join(raw(field(124, "0000000009x"), "")),
		"a mode below none":              join(raw(field(100, "-000644\x00"), "")),
		"a user that is no number":       join(raw(field(108, "root"), "")),
		"a user behind zero bytes":       join(raw(field(108, "\x00\x00\x00\x00750\x00"), "")),
		"a user behind a space and zero": join(raw(field(108, " \x00 \x00750\x00"), "")),
		"a group that is no number":      join(raw(field(116, "root"), "")),
		"a time that is no number":       join(raw(field(136, "now"), "")),
		"a checksum that is no number":   func() []byte { b := join(plain); copy(b[148:], "zzz"); return b }(),
		"a link with content":            join(raw(kind('2'), "x")),
		"a hard link with content":       join(raw(kind('1'), "x")),
		"a folder with content":          join(raw(kind('5'), "x")),
		"a pipe with content":            join(raw(kind('6'), "x")),
		"a description of nothing":       join(pax(record("path", "a"))),
		"a long name of nothing":         join(raw(kind('L'), "a\x00")),
		"two descriptions":               join(pax(record("path", "a")), pax(record("path", "b")), plain),
		"two long names":                 join(raw(kind('L'), "a\x00"), raw(kind('L'), "b\x00"), plain),
		"two long links":                 join(raw(kind('K'), "a\x00"), raw(kind('K'), "b\x00"), plain),
		"names of two formats":           join(raw(kind('L'), "a\x00"), pax(record("path", "b")), plain),
		"links of two formats":           join(raw(kind('K'), "a\x00"), pax(record("linkpath", "b")), plain),
		"a record twice":                 join(pax(record("path", "a")+record("path", "b")), plain),
		"a record of no key":             join(pax("5 =a\n"), plain),
		"a record of no value":           join(pax("7 path\n"), plain),
		"a record of no length":          join(pax("path=a\n"), plain),
		"a record longer than it is":     join(pax("99 path=a\n"), plain),
		"a record shorter than it is":    join(pax("3 path=a\n"), plain),
		"a record without its end":       join(pax("9 path=ab"), plain),
		"a size below none by record":    join(pax(record("size", "-1")), plain),
		"a user that is none by record":  join(pax(record("uid", "x")), plain),
		"a group that is none by record": join(pax(record("gid", "")), plain),
		"a time that is none by record":  join(pax(record("mtime", "x.1")), plain),
		"a long description":             join(raw(kind('x'), record("a", strings.Repeat("x", text))), plain),
	} {
		if got, err := read(b); !errors.Is(err, ustar.ErrFormat) {
			t.Errorf("%s: %q, %v, expected that it is no archive", what, got, err)
		}
	}
}

func flip(b []byte, at int) []byte { b[at] ^= 1; return b }

// TestQuirks: what differs between formats, and is not wrong.
func TestQuirks(t *testing.T) {
	for what, c := range map[string]struct {
		b    []byte
		want string
	}{
		"no mark of the end":        {raw(nil, ""), `0 "name"`},
		"half a mark, and the end":  {append(raw(nil, ""), make([]byte, 512)...), `0 "name"`},
		"an old file":               {join(raw(func(b []byte) { kind(0)(b); field(257, "\x00\x00\x00\x00\x00\x00\x00\x00")(b) }, "")), `0 "name"`},
		"an old folder":             {join(raw(func(b []byte) { kind(0)(b); copy(b, "name/\x00") }, "")), `5 "name/"`},
		"a prefix":                  {join(raw(field(345, "in"), "")), `0 "in/name"`},
		"GNU's other use of it":     {join(raw(func(b []byte) { field(257, "ustar  \x00")(b); field(345, "0123")(b) }, "")), `0 "name"`},
		"a size by record":          {join(raw(kind('x'), record("size", "4")), raw(field(124, "00000000000\x00"), "body")[:512], []byte("body"), make([]byte, 508)), `"body"`},
		"a number of spaces alone":  {join(raw(field(108, "  \x00   \x00 "), "")), ` 0:`},
		"numbers with spaces":       {join(raw(field(100, "   644 \x00"), "")), ` 644 `},
		"a time with a fraction":    {join(raw(kind('x'), record("mtime", "12.5")), raw(nil, "")), " 12 "},
		"a global header, as it is": {join(raw(kind('g'), record("path", "x"))), `g "name"`},
	} {
		got, err := read(c.b)
		if err != nil || len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %q, %v, expected %s", what, got, err, c.want)
		}
	}
	if got, err := read(nil); err != nil || got != nil {
		t.Errorf("nothing: %q, %v", got, err)
	}
}

// TestSeeks: a file is jumped over, and its end is looked at all the same.
func TestSeeks(t *testing.T) {
	b := samples(t)[0]
	r := ustar.NewReader(bytes.NewReader(b), text)
	n := 0
	for {
		_, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d entries, expected 6", n)
	}
	r = ustar.NewReader(bytes.NewReader(raw(nil, "body")[:600]), text)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ustar.ErrFormat) {
		t.Errorf("error %v, expected that the file is cut off", err)
	}
	broken := errors.New("broken")
	if _, err := ustar.NewReader(iotest.ErrReader(broken), text).Next(); !errors.Is(err, broken) {
		t.Errorf("error %v, expected the source's own", err)
	}
}

// FuzzReader: what we take for an archive, the standard library reads alike.
func FuzzReader(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		if err != nil {
			return
		}
		want, wrong := oracle(b)
		if wrong == nil && strings.Join(got, "\n") != strings.Join(want, "\n") && !strings.Contains(string(b), "GNU.sparse") {
			t.Errorf("we read\n%q\nothers\n%q", got, want)
		}
	})
}

// TestSizeThatWraps: a size that is below none with what fills its last block would
// be jumped over as nothing, and its content read as further entries.
func TestSizeThatWraps(t *testing.T) {
	size := field(124, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff")
	r := ustar.NewReader(bytes.NewReader(join(raw(size, ""), raw(nil, ""))), text)
	for range 2 {
		if _, err := r.Next(); errors.Is(err, ustar.ErrFormat) {
			return
		}
	}
	t.Error("an entry that ends beyond all numbers was jumped over")
}
