package registry

import (
	"bytes"
	"context"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Config fetches the configuration of an image: its own command, above all.
func (c *Client) Config(ctx context.Context, im *Resolved) (*oci.Config, error) {
	m, err := oci.ParseManifest(im.Manifest, c.Limits)
	if err != nil {
		return nil, err
	}
	var doc bytes.Buffer
	if err := c.blob(ctx, im.Reference, m.Config, &doc); err != nil {
		return nil, err
	}
	return oci.ParseConfig(doc.Bytes(), c.Limits)
}
