package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// tree is the files of an image by name.
type tree map[string]node

type node struct {
	kind   byte // of package tar
	mode   int64
	target string
	body   []byte
}

// late is 1 for what must come after all else.
func (n node) late() int {
	if n.kind == tar.TypeLink {
		return 1
	}
	return 0
}

// newTree is what every image has: mount points, the merged /usr of Debian, and
// one user.
func newTree() tree {
	t := tree{}
	for _, dir := range []string{"dev", "etc", "proc", "run", "sys", "tmp", "usr", "var", "var/lib"} {
		t.folder(dir)
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		t.folder("usr/" + name)
		t[name] = node{kind: tar.TypeSymlink, mode: 0o777, target: "usr/" + name}
	}
	t.add("etc/passwd", "root:x:0:0::/:/usr/sbin/nologin\n"+account)
	t.add("etc/group", "root:x:0:\napp:x:1000:\n")
	return t
}

func (t tree) folder(name string) { t[name] = node{kind: tar.TypeDir, mode: 0o755} }

// add puts a file of our own into the tree.
func (t tree) add(name, text string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t.folder(dir)
		}
	}
	t[name] = node{kind: tar.TypeReg, mode: 0o755, body: []byte(text)}
}

// merged is where a name of a package lies once /usr is merged, "" if nobody needs it.
func merged(name string) string {
	name = path.Clean("./" + name)
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, first) {
		name = "usr/" + name
	}
	for _, useless := range []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/info"} {
		if name == useless || strings.HasPrefix(name, useless+"/") {
			return ""
		}
	}
	return name
}

// unpack adds the files of a package. None of its scripts is run.
func (t tree) unpack(deb string) error {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = t.read(tar.NewReader(out))
	_, rest := io.Copy(io.Discard, out)
	return errors.Join(err, rest, cmd.Wait())
}

func (t tree) read(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := merged(h.Name)
		if name == "" || name == "." {
			continue
		}
		n := node{kind: h.Typeflag, mode: h.Mode & 0o777, target: h.Linkname}
		if h.Typeflag == tar.TypeLink {
			n.target = merged(h.Linkname)
		}
		if n.body, err = io.ReadAll(r); err != nil {
			return err
		}
		if old, ok := t[name]; ok && old.kind == tar.TypeDir && n.kind == tar.TypeDir {
			continue
		}
		t[name] = n
	}
}

// tar writes the tree in order of name. Hard links come last: their targets
// must be there.
func (t tree) tar(at time.Time) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	names := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return cmp.Or(cmp.Compare(t[a].late(), t[b].late()), cmp.Compare(a, b))
	})
	for _, name := range names {
		n := t[name]
		h := &tar.Header{Name: name, Typeflag: n.kind, Mode: n.mode, Linkname: n.target, Size: int64(len(n.body)), ModTime: at, Format: tar.FormatPAX}
		if n.kind == tar.TypeDir {
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(n.body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// write makes the layout.
func (r recipe) write(dir string, layer []byte) (string, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(layer); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": map[string]any{"User": "1000:1000", "Entrypoint": r.entrypoint, "Env": append([]string{"LC_ALL=C.UTF-8", "HOME=/tmp"}, r.env...), "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return "", err
	}
	const media = "application/vnd.oci.image."
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": media + "manifest.v1+json",
		"config": descriptor(media+"config.v1+json", config), "layers": []any{descriptor(media+"layer.v1.tar+gzip", packed.Bytes())},
	})
	if err != nil {
		return "", err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": media + "index.v1+json", "manifests": []any{descriptor(media+"manifest.v1+json", manifest)}})
	if err != nil {
		return "", err
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for _, b := range [][]byte{config, manifest, packed.Bytes()} {
		files["blobs/sha256/"+strings.TrimPrefix(digest(b), "sha256:")] = b
	}
	if err := writeAll(dir, files); err != nil {
		return "", err
	}
	return digest(manifest), nil
}

func writeAll(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	var err error
	for name, b := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), b, 0o644))
	}
	return err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func descriptor(mediaType string, b []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(b), "size": len(b)}
}
