package oci

import (
	"bytes"
	"fmt"
	"io"
)

// Image is an image whose manifest and configuration agree with the digest it
// was asked for by.
type Image struct {
	// Digest is that of the manifest.
	Digest Digest
	Config *Config
	// Layers, the lowest first.
	Layers []Layer

	layout layout
}

// Layer is one layer of an image.
type Layer struct {
	Descriptor
	Compression Compression
	// DiffID is the digest of the layer once decompressed.
	DiffID Digest
}

// Open finds the image with that manifest digest in the layout at a path, a
// folder or an archive, and reads all of it but the layers. The image must be
// for that operating system and architecture, in Go's words.
func Open(name string, digest Digest, os, arch string, lim Limits) (*Image, error) {
	if err := lim.valid(); err != nil {
		return nil, err
	}
	if digest == (Digest{}) {
		return nil, fmt.Errorf("oci: no digest to look for in %s: %w", name, ErrMalformed)
	}
	l, err := openLayout(name, lim)
	if err != nil {
		return nil, err
	}
	im, err := open(l, digest, lim)
	if err == nil && (im.Config.OS != os || im.Config.Architecture != arch) {
		err = fmt.Errorf("oci: image for %.40q on %.40q, expected %s on %s: %w", im.Config.OS, im.Config.Architecture, os, arch, ErrPlatform)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return im, nil
}

func open(l layout, digest Digest, lim Limits) (*Image, error) {
	doc, err := manifestBytes(l, digest, lim)
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(doc, lim)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := copyVerified(l, m.Config, &buf); err != nil {
		return nil, fmt.Errorf("%w (the configuration)", err)
	}
	c, err := ParseConfig(buf.Bytes(), lim)
	if err != nil {
		return nil, err
	}
	if len(c.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("oci: %d layers, and %d of them in the configuration: %w", len(m.Layers), len(c.DiffIDs), ErrMalformed)
	}
	im := &Image{Digest: digest, Config: c, layout: l}
	for i, d := range m.Layers {
		how, err := compression(d.MediaType)
		if err != nil {
			return nil, err
		}
		im.Layers = append(im.Layers, Layer{d, how, c.DiffIDs[i]})
	}
	return im, nil
}

// manifestBytes reads the manifest. Its size is in no document that is trusted
// by now, so the layout says how long it is.
func manifestBytes(l layout, digest Digest, lim Limits) ([]byte, error) {
	r, size, err := l.file(blobName(digest))
	if err != nil {
		return nil, fmt.Errorf("%w (the manifest)", err)
	}
	r.Close()
	if size > lim.Manifest {
		return nil, fmt.Errorf("oci: manifest of %d bytes, the limit is %d: %w", size, lim.Manifest, ErrTooLarge)
	}
	var buf bytes.Buffer
	if err := copyVerified(l, Descriptor{Digest: digest, Size: size}, &buf); err != nil {
		return nil, fmt.Errorf("%w (the manifest)", err)
	}
	return buf.Bytes(), nil
}

// Copy writes layer i to w as it is stored. What was written is worth nothing
// unless the error is nil.
func (im *Image) Copy(i int, w io.Writer) error {
	if i < 0 || i >= len(im.Layers) {
		return fmt.Errorf("oci: layer %d of %d", i, len(im.Layers))
	}
	if err := copyVerified(im.layout, im.Layers[i].Descriptor, w); err != nil {
		return fmt.Errorf("%w (layer %d)", err, i)
	}
	return nil
}

// Close closes the layout.
func (im *Image) Close() error { return im.layout.Close() }
