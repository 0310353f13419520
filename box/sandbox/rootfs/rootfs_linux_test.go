package rootfs_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
	"github.com/blindbox/blindbox/box/sandbox/rootfs"
)

const shift = 1 << 20

func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: owners of files are root's to set")
	}
}

// inMemory is a folder on tmpfs.
func inMemory(t testing.TB) string {
	t.Helper()
	needsRoot(t)
	dir, err := os.MkdirTemp("/dev/shm", "blindbox-test-")
	if err != nil {
		t.Skip("SKIP: no /dev/shm:", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func limits() rootfs.Limits {
	return rootfs.Limits{Bytes: 64 << 20, Files: 200, Path: 300, Depth: 10, Ratio: 100}
}

// open makes an image and reads it.
func open(t testing.TB, im ociforge.Image) *oci.Image {
	t.Helper()
	dir := t.TempDir()
	digest, err := im.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	d, err := oci.ParseDigest(digest)
	if err != nil {
		t.Fatal(err)
	}
	out, err := oci.Open(dir, d, "linux", runtime.GOARCH, oci.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

func layers(t testing.TB, all ...[]ociforge.Entry) ociforge.Image {
	t.Helper()
	var im ociforge.Image
	for _, entries := range all {
		b, err := ociforge.Tar(entries...)
		if err != nil {
			t.Fatal(err)
		}
		im.Layers = append(im.Layers, ociforge.Packed(b))
	}
	return im
}

type list = []ociforge.Entry

func unpack(t testing.TB, dir string, im ociforge.Image, lim rootfs.Limits) (*rootfs.Tree, error) {
	t.Helper()
	store, err := rootfs.NewStore(rootfs.Config{Dir: dir, Shift: shift, Limits: lim})
	if err != nil {
		t.Fatal(err)
	}
	return store.Get(open(t, im))
}

// listing is every name of a tree with what it is.
func listing(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name, _ := filepath.Rel(root, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			name += "/"
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			name += " -> " + to
		default:
			b, _ := os.ReadFile(p)
			name += "=" + string(b)
		}
		out = append(out, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

var (
	file = ociforge.File
	dir  = ociforge.Dir
	link = ociforge.Link
)

const (
	symbolic = tar.TypeSymlink
	hard     = tar.TypeLink
)

// TestLayers: what layers make of each other.
func TestLayers(t *testing.T) {
	for _, c := range []struct {
		what   string
		layers []list
		want   []string
	}{
		{"parents that no layer mentions", []list{{file("a/b/c", "1")}}, []string{"a/", "a/b/", "a/b/c=1"}},
		{"names that begin with a dot", []list{{dir("./"), dir("./a/"), file("./a/b", "1")}}, []string{"a/", "a/b=1"}},
		{"a file replaced", []list{{file("a", "1")}, {file("a", "2")}}, []string{"a=2"}},
		{"a folder kept", []list{{file("d/a", "1")}, {dir("d/"), file("d/b", "2")}}, []string{"d/", "d/a=1", "d/b=2"}},
		{"a folder twice", []list{{dir("d/"), file("d/a", "1"), dir("d/")}}, []string{"d/", "d/a=1"}},
		{"a folder becomes a file", []list{{file("d/a", "1")}, {file("d", "2")}}, []string{"d=2"}},
		{"a file becomes a folder", []list{{file("d", "1")}, {file("d2", ""), dir("d/"), file("d/a", "2")}}, []string{"d/", "d/a=2", "d2="}},
		{"a link becomes a folder", []list{{link(symbolic, "d", "/etc"), dir("etc/")}, {dir("d/"), file("d/a", "2")}}, []string{"d/", "d/a=2", "etc/"}},
		{"deleted", []list{{file("a", "1"), file("b", "1")}, {file(".wh.a", "")}}, []string{"b=1"}},
		{"a folder deleted", []list{{file("d/a", "1"), file("d/e/b", "1")}, {file(".wh.d", "")}}, nil},
		{"deleted and never there", []list{{file("a", "1")}, {file(".wh.b", ""), file("no/.wh.c", ""), file("a/.wh.c", "")}}, []string{"a=1"}},
		{"deleted, then added again", []list{{file("a", "1")}, {file(".wh.a", "")}, {file("a", "3")}}, []string{"a=3"}},
		{"emptied first", []list{{file("d/a", "1"), file("d/e/b", "1")}, {file("d/.wh..wh..opq", ""), file("d/c", "2")}}, []string{"d/", "d/c=2"}},
		{"emptied last", []list{{file("d/a", "1"), file("d/e/b", "1")}, {file("d/c", "2"), file("d/e/n", "2"), file("d/.wh..wh..opq", "")}}, []string{"d/", "d/c=2", "d/e/", "d/e/n=2"}},
		{"emptied altogether", []list{{file("a", "1"), file("d/b", "1")}, {file(".wh..wh..opq", ""), file("c", "2")}}, []string{"c=2"}},
		{"emptied and never there", []list{{file("a", "1")}, {file("no/.wh..wh..opq", "")}}, []string{"a=1"}},
		{"an absolute link below which something is put", []list{{link(symbolic, "bin", "/usr/bin"), dir("usr/"), dir("usr/bin/")}, {file("bin/x", "1")}},
			[]string{"bin -> /usr/bin", "usr/", "usr/bin/", "usr/bin/x=1"}},
		{"a link that goes up and up", []list{{link(symbolic, "up", "../../../../../../tmp"), dir("tmp/")}, {file("up/x", "1")}},
			[]string{"tmp/", "tmp/x=1", "up -> ../../../../../../tmp"}},
		{"a hard link", []list{{file("a", "1")}, {link(hard, "b", "a")}}, []string{"a=1", "b=1"}},
		{"a hard link through an absolute link", []list{{file("d/a", "1"), link(symbolic, "l", "/d")}, {link(hard, "b", "l/a")}}, []string{"b=1", "d/", "d/a=1", "l -> /d"}},
		{"a hard link to a link", []list{{link(symbolic, "a", "/etc/shadow")}, {link(hard, "b", "a")}}, []string{"a -> /etc/shadow", "b -> /etc/shadow"}},
		{"a name of 200 bytes", []list{{file(strings.Repeat("x", 200), "1")}}, []string{strings.Repeat("x", 200) + "=1"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			tree, err := unpack(t, inMemory(t), layers(t, c.layers...), limits())
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(t, tree.Path); !slices.Equal(got, c.want) {
				t.Errorf("tree\n%q\nexpected\n%q", got, c.want)
			}
		})
	}
}

// change alters the header of an entry.
func change(e ociforge.Entry, f func(*tar.Header)) ociforge.Entry {
	f(&e.Header)
	return e
}

func typed(kind byte) ociforge.Entry {
	return ociforge.Entry{Header: tar.Header{Name: "x", Typeflag: kind, Mode: 0o644}}
}

func deep(n int) string { return strings.Repeat("d/", n) + "f" }

// TestHostile: each hostile image is refused for a reason of its own, and
// nothing of it is left, inside or outside.
func TestHostile(t *testing.T) {
	for _, c := range []struct {
		what   string
		why    rootfs.Reason
		layers []list
	}{
		{"an absolute name", rootfs.Absolute, []list{{file("/etc/passwd", "x")}}},
		{"a name that goes up", rootfs.Outside, []list{{file("../../x", "x")}}},
		{"a name that goes up and comes back", rootfs.Outside, []list{{file("a/../b", "x")}}},
		{"a name that ends going up", rootfs.Outside, []list{{dir("a/..")}}},
		{"a long component", rootfs.LongName, []list{{file(strings.Repeat("x", 256), "x")}}},
		{"a long name", rootfs.LongName, []list{{file(strings.Repeat("xxxxxxxxx/", 31)+"x", "")}}},
		{"a long symbolic link", rootfs.LongName, []list{{link(symbolic, "x", strings.Repeat("x", 301))}}},
		{"a symbolic link to nothing", rootfs.LongName, []list{{link(symbolic, "x", "")}}},
		{"a deep name", rootfs.TooDeep, []list{{file(deep(10), "x")}}},
		{"deeper through a link", rootfs.TooDeep, []list{{file(deep(8), "x"), link(symbolic, "l", strings.Repeat("d/", 8))}, {file("l/"+deep(3), "x")}}},
		{"many entries", rootfs.TooMany, []list{many(150), many(150)}},
		{"many folders that no entry names", rootfs.TooMany, []list{nested(30)}},
		{"a character device", rootfs.Device, []list{{typed(tar.TypeChar)}}},
		{"a block device", rootfs.Device, []list{{typed(tar.TypeBlock)}}},
		{"a pipe", rootfs.Pipe, []list{{typed(tar.TypeFifo)}}},
		{"a contiguous file", rootfs.OddType, []list{{typed(tar.TypeCont)}}},
		{"an owner too high", rootfs.OddOwner, []list{{change(file("x", ""), func(h *tar.Header) { h.Uid = 65536 })}}},
		{"a group too high", rootfs.OddOwner, []list{{change(file("x", ""), func(h *tar.Header) { h.Gid = 65536 })}}},
		{"an owner below none", rootfs.NotATar, []list{{change(file("x", ""), func(h *tar.Header) { h.Uid, h.Format = -1, tar.FormatGNU })}}},
		{"a group below none", rootfs.NotATar, []list{{change(file("x", ""), func(h *tar.Header) { h.Gid, h.Format = -1, tar.FormatGNU })}}},
		{"a file twice", rootfs.Twice, []list{{file("x", "1"), file("x", "2")}}},
		{"a file twice, by two names", rootfs.Twice, []list{{dir("d/"), link(symbolic, "l", "d"), file("d/x", "1"), file("l/x", "2")}}},
		{"a file where a folder is", rootfs.Twice, []list{{dir("x/"), file("x", "2")}}},
		{"a folder where a link is", rootfs.Twice, []list{{link(symbolic, "x", "/tmp"), dir("x/")}}},
		{"added and deleted", rootfs.Contradicts, []list{{file("x", "1"), file(".wh.x", "")}}},
		{"deleted and added", rootfs.Contradicts, []list{{file(".wh.x", ""), file("x", "1")}}},
		{"deleted with what was added below", rootfs.Contradicts, []list{{file("d/a", "1")}, {file("d/b", "1"), file(".wh.d", "")}}},
		{"replaced with what was added below", rootfs.Contradicts, []list{{file("d/a", "1")}, {file("d/b", "1"), file("d", "")}}},
		{"a deletion of nothing", rootfs.BadWhiteout, []list{{file("d/.wh.", "")}}},
		{"a deletion of the folder", rootfs.BadWhiteout, []list{{file("d/.wh..", "")}}},
		{"a deletion of the folder above", rootfs.BadWhiteout, []list{{file("d/.wh...", "")}}},
		{"a mark of another file system", rootfs.BadWhiteout, []list{{file(".wh..wh.plnk", "")}}},
		{"a deletion with content", rootfs.BadWhiteout, []list{{file(".wh.x", "1")}}},
		{"a deletion that is a folder", rootfs.BadWhiteout, []list{{dir(".wh.x/")}}},
		{"a hard link out", rootfs.Outside, []list{{link(hard, "x", "../../etc/passwd")}}},
		{"an absolute hard link", rootfs.Absolute, []list{{link(hard, "x", "/etc/passwd")}}},
		{"a hard link to nothing", rootfs.BadLink, []list{{link(hard, "x", "y")}}},
		{"a hard link to a folder", rootfs.BadLink, []list{{dir("y/"), link(hard, "x", "y")}}},
		{"a hard link to the root", rootfs.BadLink, []list{{link(hard, "x", ".")}}},
		{"a hard link below nothing", rootfs.NotAFolder, []list{{link(hard, "x", "no/y")}}},
		{"below a file", rootfs.NotAFolder, []list{{file("x", "1"), file("x/y", "2")}}},
		{"below a link to nothing", rootfs.NotAFolder, []list{{link(symbolic, "l", "/no"), file("l/y", "2")}}},
		{"the root is a file", rootfs.NotAFolder, []list{{file(".", "")}}},
		{"the root is a link", rootfs.NotAFolder, []list{{link(symbolic, ".", "/")}}},
		{"links in a circle", rootfs.LoopingLinks, []list{{link(symbolic, "a", "b"), link(symbolic, "b", "a"), file("a/x", "1")}}},
	} {
		t.Run(c.what, func(t *testing.T) { refused(t, layers(t, c.layers...), limits(), c.why) })
	}
}

func many(n int) list {
	var out list
	for i := range n {
		out = append(out, file(fmt.Sprint("f", i), ""))
	}
	return out
}

// nested are n files below nine folders each.
func nested(n int) list {
	var out list
	for i := range n {
		out = append(out, file(fmt.Sprint(i, "/", deep(8)), ""))
	}
	return out
}

// refused unpacks an image that must not be unpacked.
func refused(t *testing.T, im ociforge.Image, lim rootfs.Limits, why rootfs.Reason) {
	t.Helper()
	parent := inMemory(t)
	sentinel(t, parent)
	store := filepath.Join(parent, "a", "b", "store")
	_, err := unpack(t, store, im, lim)
	var r *rootfs.Refusal
	if !errors.As(err, &r) || r.Reason != why {
		t.Fatalf("error %v, expected one for %q", err, why)
	}
	if r.Layer != len(im.Layers)-1 {
		t.Errorf("%v names layer %d, expected the last of %d", err, r.Layer, len(im.Layers))
	}
	if left, _ := os.ReadDir(store); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.RemoveAll(store); err != nil {
		t.Error(err)
	}
	untouched(t, parent)
}

// sentinel fills a folder that no image may touch.
func sentinel(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"x", "etc/passwd", "tmp/x"} {
		p := filepath.Join(dir, "a", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("sentinel"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// untouched checks that a folder of sentinel holds nothing else and the same.
func untouched(t testing.TB, root string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		st := info.Sys().(*syscall.Stat_t)
		got = append(got, fmt.Sprint(strings.TrimPrefix(p, root), " ", string(b), " ", info.Mode(), " ", st.Uid, " ", st.Nlink))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/a/etc/passwd sentinel -rw-r----- 0 1", "/a/tmp/x sentinel -rw-r----- 0 1", "/a/x sentinel -rw-r----- 0 1"}
	if !slices.Equal(got, want) {
		t.Errorf("outside of the tree\n%q\nexpected\n%q", got, want)
	}
}

// TestHostileBytes: layers that package tar would not write.
func TestHostileBytes(t *testing.T) {
	whole, err := ociforge.Tar(file("x", strings.Repeat("x", 2000)))
	if err != nil {
		t.Fatal(err)
	}
	zeros, err := ociforge.Tar(file("x", strings.Repeat("\x00", 20<<20)))
	if err != nil {
		t.Fatal(err)
	}
	plain := func(b []byte) ociforge.Layer {
		return ociforge.Layer{MediaType: ociforge.MediaTar, Stored: b, DiffID: ociforge.Digest(b)}
	}
	stored := func(b []byte) ociforge.Layer {
		return ociforge.Layer{MediaType: ociforge.MediaGzip, Stored: b, DiffID: ociforge.Digest(whole)}
	}
	small := limits()
	small.Bytes = 3000
	for _, c := range []struct {
		what  string
		layer ociforge.Layer
		lim   rootfs.Limits
		why   rootfs.Reason
	}{
		{"noise", plain(bytes.Repeat([]byte("noise"), 1000)), limits(), rootfs.NotATar},
		{"cut off", plain(whole[:1500]), limits(), rootfs.NotATar},
		{"a wrong checksum", plain(flipped(whole, 10)), limits(), rootfs.NotATar},
		{"bytes behind the end", plain(append(bytes.Clone(whole), make([]byte, 2000)...)), limits(), ""},
		{"other bytes behind the end", plain(append(bytes.Clone(whole), append(make([]byte, 70000), 1)...)), limits(), rootfs.Trailing},
		{"a second archive behind the end", plain(append(bytes.Clone(whole), whole...)), limits(), rootfs.Trailing},
		{"no gzip", stored(whole), limits(), rootfs.NotGzip},
		{"gzip cut off", stored(ociforge.Gzip(whole)[:40]), limits(), rootfs.NotGzip},
		{"a wrong checksum of gzip", stored(flipped(ociforge.Gzip(whole), len(ociforge.Gzip(whole))-6)), limits(), rootfs.NotGzip},
		{"bytes behind gzip", stored(append(ociforge.Gzip(whole), "more"...)), limits(), rootfs.NotGzip},
		{"other content", ociforge.Layer{MediaType: ociforge.MediaGzip, Stored: ociforge.Gzip(whole), DiffID: ociforge.Digest([]byte("other"))}, limits(), rootfs.WrongContent},
		{"a bomb", ociforge.Packed(zeros), limits(), rootfs.TooDense},
		{"more than may be", plain(whole), small, rootfs.TooLarge},
		{"an old sparse file", plain(sparse(t)), limits(), rootfs.Sparse},
		{"a new sparse file", plain(paxSparse(t)), limits(), rootfs.Sparse},
		{"a global header", plain(global(t)), limits(), rootfs.OddType},
	} {
		t.Run(c.what, func(t *testing.T) {
			im := ociforge.Image{Layers: []ociforge.Layer{c.layer}}
			if c.why != "" {
				refused(t, im, c.lim, c.why)
				return
			}
			if _, err := unpack(t, inMemory(t), im, c.lim); err != nil {
				t.Error(err)
			}
		})
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x55
	return b
}

// resum writes the checksum of a header (tar(5), "checksum").
func resum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header[:512] {
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func sparse(t *testing.T) []byte {
	b, err := ociforge.Tar(change(file("x", ""), func(h *tar.Header) { h.Format = tar.FormatGNU }))
	if err != nil {
		t.Fatal(err)
	}
	b[156] = tar.TypeGNUSparse
	copy(b[483:], "00001000000\x00") // the real size, a mebibyte or so
	resum(b)
	return b
}

func paxSparse(t *testing.T) []byte {
	// Version 0.0 of the format: the map is in records. Package tar writes none
	// of that name, so it gets it afterwards.
	b, err := ociforge.Tar(change(file("x", ""), func(h *tar.Header) {
		h.Format = tar.FormatPAX
		h.PAXRecords = map[string]string{"GNX.sparse.major": "0", "GNX.sparse.minor": "1", "GNX.sparse.size": "9", "GNX.sparse.numblocks": "0", "GNX.sparse.map": ""}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("GNX.sparse"), []byte("GNU.sparse"))
}

func global(t *testing.T) []byte {
	b, err := ociforge.Tar(ociforge.Entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"path": "../x"}}}, file("y", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDropped: what could give an app more than its user has is left out, and
// said to be.
func TestDropped(t *testing.T) {
	suid := change(file("bin/su", "1"), func(h *tar.Header) { h.Mode = 0o4755 })
	sticky := change(dir("tmp/"), func(h *tar.Header) { h.Mode = 0o1777 })
	caps := change(file("bin/ping", "1"), func(h *tar.Header) {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
	})
	attr := change(file("bin/a", "1"), func(h *tar.Header) {
		h.Uid, h.Gid = 1000, 65535
		h.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y", "comment": "none"}
	})
	tree, err := unpack(t, inMemory(t), layers(t, list{suid, sticky, caps, attr}), limits())
	if err != nil {
		t.Fatal(err)
	}
	r := tree.Report
	if r.SetID.Count != 2 || r.Capabilities.Count != 1 || r.Attributes.Count != 1 {
		t.Errorf("report %+v, expected 2, 1 and 1", r)
	}
	lines := strings.Join(r.Lines(), "\n")
	for _, want := range []string{"bin/su", "bin/ping", "bin/a", "dropped file capabilities of 1 entries"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q lacks %q", lines, want)
		}
	}
	for name, want := range map[string]string{"bin/su": "-rwxr-xr-x 1048576 1048576", "tmp": "drwxrwxrwx 1048576 1048576", "bin": "drwxr-xr-x 1048576 1048576", "bin/a": "-rwxr-xr-x 1049576 1114111", ".": "drwxr-xr-x 1048576 1048576"} {
		info, err := os.Lstat(filepath.Join(tree.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprint(info.Mode(), " ", st.Uid, " ", st.Gid); got != want {
			t.Errorf("%s is %s, expected %s", name, got, want)
		}
		var buf [256]byte
		if n, _ := syscall.Listxattr(filepath.Join(tree.Path, name), buf[:]); n > 0 {
			t.Errorf("%s has attributes %q", name, buf[:n])
		}
	}
	if (rootfs.Report{}).Lines() != nil {
		t.Error("nothing was dropped, and said to be")
	}
}

// TestStore: a tree is made once, believed while the process lives, and never
// taken from what lies there.
func TestStore(t *testing.T) {
	dirName := inMemory(t)
	im := open(t, layers(t, list{file("a", "1")}))
	forged := filepath.Join(dirName, im.Digest.Hex(), "root")
	if err := os.MkdirAll(forged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(forged, "a"), []byte("forged"), 0o644); err != nil {
		t.Fatal(err)
	}
	store, err := rootfs.NewStore(rootfs.Config{Dir: dirName, Shift: shift, Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	first, err := store.Get(im)
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, first.Path); !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("tree %q", got)
	}
	again, err := store.Get(im)
	if err != nil || again != first {
		t.Errorf("a second tree %v, %v", again, err)
	}
	left, err := os.ReadDir(dirName)
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v, expected one tree", left, err)
	}
}

func TestStoreRefuses(t *testing.T) {
	needsRoot(t)
	good := rootfs.Config{Dir: inMemory(t), Shift: shift, Limits: limits()}
	for what, change := range map[string]func(*rootfs.Config){
		"no bytes":        func(c *rootfs.Config) { c.Limits.Bytes = 0 },
		"no files":        func(c *rootfs.Config) { c.Limits.Files = 0 },
		"no path":         func(c *rootfs.Config) { c.Limits.Path = 0 },
		"no depth":        func(c *rootfs.Config) { c.Limits.Depth = 0 },
		"no ratio":        func(c *rootfs.Config) { c.Limits.Ratio = 0 },
		"a relative path": func(c *rootfs.Config) { c.Dir = "images" },
		"a disk":          func(c *rootfs.Config) { c.Dir = onDisk(t) },
	} {
		c := good
		change(&c)
		if _, err := rootfs.NewStore(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	good.Dir, good.InsecureDisk = onDisk(t), true
	if _, err := rootfs.NewStore(good); err != nil {
		t.Errorf("a disk that is asked for: %v", err)
	}
}

// onDisk is a folder beside this file, which is on no tmpfs on any machine that
// builds from a disk.
func onDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", "testdisk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(abs, &st); err == nil && (st.Type == 0x01021994 || st.Type == 0x858458f6) {
		t.Skip("SKIP: this checkout is in memory")
	}
	return abs
}

// FuzzLayer: whatever a layer says, nothing lands outside of the tree.
func FuzzLayer(f *testing.F) {
	for _, entries := range []list{
		{file("a/b", "1"), link(symbolic, "l", "/a"), link(hard, "c", "a/b")},
		{file("../x", "1")}, {file("/x", "1")}, {link(symbolic, "u", "../../.."), file("u/x", "1"), file("u/a/x", "1")},
		{link(hard, "x", "../../x")}, {file(".wh.x", ""), file("d/.wh..wh..opq", ""), dir("d/")}, {link(symbolic, "u", ".."), file("u/.wh.x", "")},
	} {
		b, err := ociforge.Tar(entries...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		base, err := ociforge.Tar(file("d/e/f", "1"), link(symbolic, "d/up", "../../../.."), link(symbolic, "abs", "/d"))
		if err != nil {
			t.Fatal(err)
		}
		im := ociforge.Image{Layers: []ociforge.Layer{ociforge.Packed(base), {MediaType: ociforge.MediaTar, Stored: b, DiffID: ociforge.Digest(b)}}}
		parent := inMemory(t)
		sentinel(t, parent)
		store := filepath.Join(parent, "a", "b", "store")
		tree, err := unpack(t, store, im, limits())
		if err == nil {
			harmless(t, tree.Path)
		} else if left, _ := os.ReadDir(store); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := os.RemoveAll(store); err != nil {
			t.Error(err)
		}
		untouched(t, parent)
	})
}

// harmless checks that a tree holds only files, folders and links, without
// special bits, of the app's users.
func harmless(t *testing.T, root string) {
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		odd := fs.ModeDevice | fs.ModeCharDevice | fs.ModeNamedPipe | fs.ModeSocket | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | fs.ModeIrregular
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode()&odd != 0 || st.Uid < shift || st.Gid < shift || st.Uid > shift+65535 || st.Gid > shift+65535 {
			t.Errorf("%s is %s of %d:%d", p, info.Mode(), st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
