// Package oci reads a container image from an OCI image layout. It answers one
// question: are these the bytes that the policy names?
//
// The policy pins the digest of the image's manifest. The manifest names its
// configuration and its layers by digest and size, and the configuration names
// what each layer is once it is unpacked (OCI image-spec v1.1, manifest.md and
// config.md). So one digest fixes every byte, and whoever fetched the image, or
// stores it, need not be trusted. Nothing is parsed before its digest was
// compared: what [Image.Copy] wrote is of use only after it returned no error.
//
// A layout is a folder, or a tar archive of one. Its index.json is not read
// here: the box looks for the one manifest that it was given the digest of.
//
// The package stands inside the box. The layout comes from a stranger; the
// image, once it agrees with the digest, from the policy's author, who may
// still have been careless: everything has a bound.
package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Limits bounds an image. Every field must be set; [DefaultLimits] does.
type Limits struct {
	Manifest int64 // bytes of the manifest, and of the configuration
	Layers   int   // how many
	Layer    int64 // bytes of one layer as it is stored
	Entries  int   // entries in the archive that holds the layout
}

// DefaultLimits has room for any image in use: registries refuse manifests
// of more than 4 MiB, and overlay file systems more than 128 layers.
func DefaultLimits() Limits {
	return Limits{Manifest: 4 << 20, Layers: 128, Layer: 16 << 30, Entries: 10000}
}

func (l Limits) valid() error {
	if l.Manifest <= 0 || l.Layers <= 0 || l.Layer <= 0 || l.Entries <= 0 {
		return fmt.Errorf("oci: limits %+v, expected every one to be more than none", l)
	}
	return nil
}

// What is wrong with an image.
var (
	ErrMissing     = errors.New("not in the layout")
	ErrDigest      = errors.New("other bytes than the digest names")
	ErrSize        = errors.New("another size than is said")
	ErrTooLarge    = errors.New("too large")
	ErrMediaType   = errors.New("media type that the box does not read")
	ErrMalformed   = errors.New("not of the form of the OCI image specification")
	ErrPlatform    = errors.New("made for another platform")
	ErrNotAFile    = errors.New("not a regular file")
	ErrUnsupported = errors.New("not supported")
)

// Digest is SHA-256 of some bytes. It is the only algorithm that is read.
type Digest [sha256.Size]byte

// ParseDigest reads "sha256:" and 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, "sha256:")
	if !ok {
		algorithm, _, _ := strings.Cut(s, ":")
		return d, fmt.Errorf("oci: digest algorithm %.40q, expected sha256: %w", algorithm, ErrUnsupported)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(d) || strings.ToLower(digits) != digits {
		return d, fmt.Errorf("oci: digest %.80q, expected sha256: and 64 lower-case hexadecimal digits: %w", s, ErrMalformed)
	}
	return Digest(raw), nil
}

func (d Digest) String() string { return "sha256:" + d.Hex() }

// Hex is the digest without its algorithm, the name of its blob's file.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }
