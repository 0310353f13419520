// Package ociforge makes container images, good and hostile, for tests of
// whoever reads them. It answers no question of the box and is linked into none.
package ociforge

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Entry is one entry of a layer. The zero Type is a file or, if the name ends
// with a slash, a folder.
type Entry struct {
	tar.Header
	Body string
}

// File is a file of root's.
func File(name, body string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))}, Body: body}
}

// Dir is a folder of root's.
func Dir(name string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}}
}

// Link is a link of a type of package tar, hard or symbolic.
func Link(kind byte, name, target string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o777}}
}

// Tar makes a layer.
func Tar(entries ...Entry) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			return nil, fmt.Errorf("ociforge: %q: %w", e.Name, err)
		}
		if _, err := w.Write([]byte(e.Body)); err != nil {
			return nil, fmt.Errorf("ociforge: %q: %w", e.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ociforge: %w", err)
	}
	return buf.Bytes(), nil
}

// Gzip compresses.
func Gzip(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

// Layer is a layer as it is stored.
type Layer struct {
	MediaType string
	Stored    []byte
	DiffID    string // "" means none in the configuration
}

// Media types that images are made with.
const (
	MediaManifest = "application/vnd.oci.image.manifest.v1+json"
	MediaConfig   = "application/vnd.oci.image.config.v1+json"
	MediaGzip     = "application/vnd.oci.image.layer.v1.tar+gzip"
	MediaTar      = "application/vnd.oci.image.layer.v1.tar"
)

// Packed is a layer of tar bytes, compressed.
func Packed(layer []byte) Layer { return Layer{MediaGzip, Gzip(layer), Digest(layer)} }

// Digest is the SHA-256 of some bytes as images write it.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Image is an image to be made. Manifest and Config change the documents before
// they are written.
type Image struct {
	Layers           []Layer
	User, WorkDir    string
	Env              []string
	Entrypoint, Cmd  []string
	Manifest, Config func(map[string]any)
}

// Documents returns the manifest and the configuration.
func (im Image) Documents() (manifest, config []byte, err error) {
	diffs, layers := []string{}, []any{}
	for _, l := range im.Layers {
		if l.DiffID != "" {
			diffs = append(diffs, l.DiffID)
		}
		layers = append(layers, descriptor(l.MediaType, l.Stored))
	}
	c := map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"User": im.User, "Env": im.Env, "Entrypoint": im.Entrypoint, "Cmd": im.Cmd, "WorkingDir": im.WorkDir},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	}
	if im.Config != nil {
		im.Config(c)
	}
	if config, err = json.Marshal(c); err != nil {
		return nil, nil, err
	}
	m := map[string]any{"schemaVersion": 2, "mediaType": MediaManifest, "config": descriptor(MediaConfig, config), "layers": layers}
	if im.Manifest != nil {
		im.Manifest(m)
	}
	manifest, err = json.Marshal(m)
	return manifest, config, err
}

func descriptor(mediaType string, b []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": Digest(b), "size": len(b)}
}

// Write makes a layout of the image in a folder, and returns its digest.
func (im Image) Write(dir string) (string, error) {
	manifest, config, err := im.Documents()
	if err != nil {
		return "", fmt.Errorf("ociforge: %w", err)
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{descriptor(MediaManifest, manifest)}})
	if err != nil {
		return "", fmt.Errorf("ociforge: %w", err)
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for _, b := range [][]byte{manifest, config} {
		files[Blob(Digest(b))] = b
	}
	for _, l := range im.Layers {
		files[Blob(Digest(l.Stored))] = l.Stored
	}
	return Digest(manifest), writeAll(dir, files)
}

// Blob is where a layout keeps the bytes of a digest.
func Blob(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

func writeAll(dir string, files map[string][]byte) error {
	for name, b := range files {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("ociforge: %w", err)
		}
		if err := os.WriteFile(to, b, fs.FileMode(0o644)); err != nil {
			return fmt.Errorf("ociforge: %w", err)
		}
	}
	return nil
}
