package oci

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

type indexDoc struct {
	SchemaVersion int              `json:"schemaVersion"`
	MediaType     string           `json:"mediaType"`
	Manifests     *[]descriptorDoc `json:"manifests"`
}

// IsIndex reports whether a media type is that of a list of images for several
// platforms.
func IsIndex(mediaType string) bool {
	return mediaType == MediaIndex || mediaType == MediaDockerIndex
}

func isManifest(mediaType string) bool {
	return mediaType == MediaManifest || mediaType == MediaDockerManifest
}

// Choose reads an index and finds the one image in it for an operating system
// and architecture (image-spec, image-index.md). An image that does not say
// what it is for is taken if it is the only one. None and several are errors:
// the box runs what was chosen, so nothing is chosen by its place in a list.
func Choose(index []byte, os, arch string, lim Limits) (Descriptor, error) {
	if err := lim.valid(); err != nil {
		return Descriptor{}, err
	}
	var doc indexDoc
	if err := decode(index, &doc, lim); err != nil {
		return Descriptor{}, fmt.Errorf("oci: index: %w", err)
	}
	if doc.SchemaVersion != 2 || doc.Manifests == nil || doc.MediaType != "" && !IsIndex(doc.MediaType) {
		return Descriptor{}, fmt.Errorf("oci: index of schema version %d and media type %.120q: %w", doc.SchemaVersion, doc.MediaType, ErrMalformed)
	}
	var fit []descriptorDoc
	var seen []string
	for _, d := range *doc.Manifests {
		if !isManifest(d.MediaType) && !IsIndex(d.MediaType) {
			continue
		}
		seen = append(seen, d.platform())
		if d.Platform == nil && len(*doc.Manifests) == 1 || d.Platform != nil && d.Platform.OS == os && d.Platform.Architecture == arch {
			fit = append(fit, d)
		}
	}
	if len(fit) != 1 {
		return Descriptor{}, fmt.Errorf("oci: %d images for %s/%s among %.400q, expected one: %w", len(fit), os, arch, strings.Join(seen, " "), ErrPlatform)
	}
	return fit[0].parse("image")
}

func (d descriptorDoc) platform() string {
	if d.Platform == nil {
		return "unsaid"
	}
	p := d.Platform.OS + "/" + d.Platform.Architecture
	if d.Platform.Variant != "" {
		p += "/" + d.Platform.Variant
	}
	return p
}

// Find returns the digest of the one image for a platform in the layout at a
// path. It believes the layout's index.json, so it is for whoever writes a
// digest down, not for the box, which is given one.
func Find(name, os, arch string, lim Limits) (Digest, error) {
	if err := lim.valid(); err != nil {
		return Digest{}, err
	}
	l, err := openLayout(name, lim)
	if err != nil {
		return Digest{}, err
	}
	defer l.Close()
	doc, err := readBounded(l, "index.json", lim.Manifest)
	if err != nil {
		return Digest{}, err
	}
	const nested = 4 // an index may hold indexes
	for range nested {
		d, err := Choose(doc, os, arch, lim)
		if err != nil {
			return Digest{}, err
		}
		if isManifest(d.MediaType) {
			return d.Digest, nil
		}
		if d.Size > lim.Manifest {
			return Digest{}, fmt.Errorf("oci: index of %d bytes, the limit is %d: %w", d.Size, lim.Manifest, ErrTooLarge)
		}
		var buf bytes.Buffer
		if err := copyVerified(l, d, &buf); err != nil {
			return Digest{}, err
		}
		doc = buf.Bytes()
	}
	return Digest{}, fmt.Errorf("oci: more than %d indexes inside each other: %w", nested, ErrMalformed)
}

func readBounded(l layout, name string, most int64) ([]byte, error) {
	r, size, err := l.file(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > most {
		return nil, fmt.Errorf("oci: %s of %d bytes, the limit is %d: %w", name, size, most, ErrTooLarge)
	}
	doc, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return nil, fmt.Errorf("oci: %s: %w", name, err)
	}
	return doc, nil
}
