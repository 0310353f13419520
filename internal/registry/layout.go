package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Pull writes an image as an OCI layout into a folder that does not exist. The
// folder is there whole or not at all. progress is told the blobs before they
// are fetched; it may be nil.
func (c *Client) Pull(ctx context.Context, im *Resolved, dir string, progress func(oci.Descriptor)) error {
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("registry: %s: %w", dir, os.ErrExist)
	}
	draft, err := os.MkdirTemp(filepath.Dir(dir), ".draft-")
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	err = c.fill(ctx, im, draft, progress)
	if err == nil {
		err = errors.Join(os.Chmod(draft, 0o755), os.Rename(draft, dir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(draft))
	}
	return nil
}

func (c *Client) fill(ctx context.Context, im *Resolved, dir string, progress func(oci.Descriptor)) error {
	m, err := oci.ParseManifest(im.Manifest, c.Limits)
	if err != nil {
		return err
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	done := map[oci.Digest]bool{}
	for _, d := range append([]oci.Descriptor{m.Config}, m.Layers...) {
		if done[d.Digest] {
			continue
		}
		if progress != nil {
			progress(d)
		}
		if err := c.save(ctx, im.Reference, d, filepath.Join(blobs, d.Digest.Hex())); err != nil {
			return err
		}
		done[d.Digest] = true
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": oci.MediaIndex,
		"manifests": []any{map[string]any{"mediaType": im.MediaType, "digest": im.Digest.String(), "size": len(im.Manifest)}},
	})
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(blobs, im.Digest.Hex()), im.Manifest, 0o644),
		os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644),
	)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

func (c *Client) save(ctx context.Context, r Reference, d oci.Descriptor, name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return errors.Join(c.blob(ctx, r, d, f), f.Close())
}
