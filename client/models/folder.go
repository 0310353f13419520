package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/foreign"
	"github.com/blindbox/blindbox/model/pipeline"
)

// Pack makes one file of a folder with a pipeline: of pipeline.yaml and what it names,
// and of nothing else that lies there. Its bytes are made while they are read, and are
// the same whenever the files are. The caller closes it.
func Pack(folder fs.FS) (*bundle.Packed, error) {
	text, err := manifest(folder)
	if err != nil {
		return nil, err
	}
	d, err := pipeline.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	for _, name := range d.Models() {
		if err := recogniseIn(folder, name); err != nil {
			return nil, err
		}
	}
	names := append([]string{bundle.Manifest}, d.Models()...)
	return bundle.Pack(folder, append(names, d.Files()...), bundle.DefaultLimits())
}

// recogniseIn refuses a model of a folder that is something else. That there is none is
// said by who packs it.
func recogniseIn(folder fs.FS, name string) error {
	f, err := bundle.Open(folder, name)
	if err != nil {
		return nil
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, foreign.Head))
	if other := foreign.Of(head); err == nil && other != nil {
		return fmt.Errorf("models: %s: %w", name, other)
	}
	return nil
}

// manifest reads a folder's pipeline.yaml.
func manifest(folder fs.FS) ([]byte, error) {
	f, err := bundle.Open(folder, bundle.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("models: the folder has no %s, which says what is done with the models in it: %w", bundle.Manifest, err)
	}
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	defer f.Close()
	limit := bundle.DefaultLimits().Manifest
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %s", bundle.Manifest, sizes.Exact(limit))
	}
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	return text, nil
}

// PushFolder is Push of a folder with a pipeline, as [Pack] makes one file of it.
func (c *Client) PushFolder(ctx context.Context, folder fs.FS, s Spec, sent func(int64)) (Model, error) {
	p, err := Pack(folder)
	if err != nil {
		return Model{}, err
	}
	defer p.Close()
	return c.Push(ctx, p, p.Size(), s, sent)
}
