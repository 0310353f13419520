package oci

import (
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// Media types of an image. A registry that predates the OCI specification
// serves Docker's names for the same documents (image-spec, media-types.md).
const (
	MediaManifest       = "application/vnd.oci.image.manifest.v1+json"
	MediaIndex          = "application/vnd.oci.image.index.v1+json"
	MediaConfig         = "application/vnd.oci.image.config.v1+json"
	MediaTar            = "application/vnd.oci.image.layer.v1.tar"
	MediaTarGzip        = "application/vnd.oci.image.layer.v1.tar+gzip"
	MediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaDockerTarGzip  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Compression is how a layer is stored.
type Compression int

// How layers are stored. The zero Compression is none of them.
const (
	Plain Compression = iota + 1
	Gzip
)

// compression tells how a layer is stored. What has another name is refused by
// it: zstd would add a decompressor to the box, layers that are not to be
// distributed are not in the layout, and encrypted ones are for other tools.
func compression(mediaType string) (Compression, error) {
	switch mediaType {
	case MediaTar:
		return Plain, nil
	case MediaTarGzip, mediaDockerTarGzip:
		return Gzip, nil
	}
	return 0, fmt.Errorf("oci: layer of media type %.120q, expected a tar archive, plain or compressed with gzip: %w", mediaType, ErrMediaType)
}

// Descriptor names some bytes (image-spec, descriptor.md).
type Descriptor struct {
	MediaType string
	Digest    Digest
	Size      int64
}

type descriptorDoc struct {
	MediaType string       `json:"mediaType"`
	Digest    string       `json:"digest"`
	Size      int64        `json:"size"`
	Platform  *platformDoc `json:"platform"`
}

type platformDoc struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant"`
}

func (d descriptorDoc) parse(what string) (Descriptor, error) {
	digest, err := ParseDigest(d.Digest)
	if err != nil {
		return Descriptor{}, fmt.Errorf("%w (of the %s)", err, what)
	}
	if d.Size < 0 {
		return Descriptor{}, fmt.Errorf("oci: %s of %d bytes: %w", what, d.Size, ErrMalformed)
	}
	return Descriptor{d.MediaType, digest, d.Size}, nil
}

type manifestDoc struct {
	SchemaVersion int              `json:"schemaVersion"`
	MediaType     string           `json:"mediaType"`
	Config        *descriptorDoc   `json:"config"`
	Layers        *[]descriptorDoc `json:"layers"`
}

// Manifest names the parts of an image.
type Manifest struct {
	Config Descriptor
	Layers []Descriptor
}

// ParseManifest reads a manifest. Members that the specification may add are
// skipped, as it demands; members given twice are refused.
func ParseManifest(doc []byte, lim Limits) (*Manifest, error) {
	if err := lim.valid(); err != nil {
		return nil, err
	}
	var m manifestDoc
	if err := decode(doc, &m, lim); err != nil {
		return nil, fmt.Errorf("oci: manifest: %w", err)
	}
	if err := m.check(lim); err != nil {
		return nil, err
	}
	config, err := m.Config.parse("configuration")
	if err != nil {
		return nil, err
	}
	out := &Manifest{Config: config}
	for i, l := range *m.Layers {
		if _, err := compression(l.MediaType); err != nil {
			return nil, fmt.Errorf("%w (layer %d)", err, i)
		}
		d, err := l.parse(fmt.Sprintf("layer %d", i))
		if err != nil {
			return nil, err
		}
		if d.Size > lim.Layer {
			return nil, fmt.Errorf("oci: layer %d of %d bytes, the limit is %d: %w", i, d.Size, lim.Layer, ErrTooLarge)
		}
		out.Layers = append(out.Layers, d)
	}
	return out, nil
}

func (m *manifestDoc) check(lim Limits) error {
	switch {
	case m.MediaType == MediaIndex || m.MediaType == MediaDockerIndex:
		return fmt.Errorf("oci: the digest is that of an index of images, expected that of one image's manifest; `blindbox pin` finds it: %w", ErrMediaType)
	case m.MediaType != "" && m.MediaType != MediaManifest && m.MediaType != MediaDockerManifest:
		return fmt.Errorf("oci: manifest of media type %.120q, expected %s: %w", m.MediaType, MediaManifest, ErrMediaType)
	case m.SchemaVersion != 2:
		return fmt.Errorf("oci: manifest of schema version %d, expected 2: %w", m.SchemaVersion, ErrMalformed)
	case m.Config == nil || m.Layers == nil:
		return fmt.Errorf("oci: manifest without config or layers: %w", ErrMalformed)
	case m.Config.MediaType != MediaConfig && m.Config.MediaType != mediaDockerConfig:
		return fmt.Errorf("oci: configuration of media type %.120q, expected %s: %w", m.Config.MediaType, MediaConfig, ErrMediaType)
	case m.Config.Size > lim.Manifest:
		return fmt.Errorf("oci: configuration of %d bytes, the limit is %d: %w", m.Config.Size, lim.Manifest, ErrTooLarge)
	case len(*m.Layers) == 0:
		return fmt.Errorf("oci: an image without layers: %w", ErrMalformed)
	case len(*m.Layers) > lim.Layers:
		return fmt.Errorf("oci: %d layers, the limit is %d: %w", len(*m.Layers), lim.Layers, ErrTooLarge)
	}
	return nil
}

func decode(doc []byte, out any, lim Limits) error {
	err := strictjson.Decode(doc, out, strictjson.Options{AllowUnknown: true, Limits: strictjson.Limits{Bytes: int(lim.Manifest)}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// Config is what an image says about how it is run.
type Config struct {
	OS, Architecture string
	User             string // "" means root
	Env              []string
	Entrypoint, Cmd  []string
	WorkingDir       string // "" means "/"
	// DiffIDs are the digests of the layers once decompressed, the lowest first.
	DiffIDs []Digest
}

type configDoc struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       *struct {
		User       string   `json:"User"`
		Env        []string `json:"Env"`
		Entrypoint []string `json:"Entrypoint"`
		Cmd        []string `json:"Cmd"`
		WorkingDir string   `json:"WorkingDir"`
	} `json:"config"`
	RootFS *struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// ParseConfig reads a configuration.
func ParseConfig(doc []byte, lim Limits) (*Config, error) {
	if err := lim.valid(); err != nil {
		return nil, err
	}
	var c configDoc
	if err := decode(doc, &c, lim); err != nil {
		return nil, fmt.Errorf("oci: configuration: %w", err)
	}
	if c.RootFS == nil || c.RootFS.Type != "layers" {
		return nil, fmt.Errorf("oci: configuration without a root file system of layers: %w", ErrMalformed)
	}
	out := &Config{OS: c.OS, Architecture: c.Architecture}
	for _, s := range c.RootFS.DiffIDs {
		d, err := ParseDigest(s)
		if err != nil {
			return nil, err
		}
		out.DiffIDs = append(out.DiffIDs, d)
	}
	if c.Config == nil {
		return out, nil
	}
	out.User, out.WorkingDir = c.Config.User, c.Config.WorkingDir
	out.Env, out.Entrypoint, out.Cmd = c.Config.Env, c.Config.Entrypoint, c.Config.Cmd
	if err := out.check(); err != nil {
		return nil, err
	}
	return out, nil
}

// check refuses what the kernel would cut off, or read as something else.
func (c *Config) check() error {
	for _, e := range c.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("oci: variable %.60q of the image, expected NAME=VALUE: %w", e, ErrMalformed)
		}
	}
	for _, list := range [][]string{c.Env, c.Entrypoint, c.Cmd, {c.WorkingDir, c.User}} {
		for _, s := range list {
			if strings.ContainsRune(s, 0) {
				return fmt.Errorf("oci: %.60q of the image's configuration holds a zero byte: %w", s, ErrMalformed)
			}
		}
	}
	return nil
}
