package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/compose"
	"github.com/blindbox/blindbox/internal/sizes"
)

// composeOptions are what a Compose file leaves open.
type composeOptions struct {
	imageOptions
	app        string
	listen     int
	env        []string
	images     []string
	volumeSize string
}

func newCompose(s *session) *cobra.Command {
	var o composeOptions
	cmd := &cobra.Command{
		Use:   "compose FILE",
		Short: "Make a policy out of a Compose file",
		Long: `Read a Compose file and print the policy of a box that runs its services: the one
with ports as the app, the others beside it in a private network. Every image is
resolved to the digest that it has now. What of the file is not taken over is
told on standard error, with its line; what would make something else of it is
refused.

The policy has no callers and no egress: add them. Images are found at their
registries, or beside the file if they are named oci:PATH there or with --image.
Variables are those of --env, and never this machine's: every client of the box
is shown the policy.`,
		Example: "  blindbox compose compose.yaml > box.yaml\n  blindbox compose --image db=oci:./db.oci --env TAG=1.2 compose.yaml > box.yaml",
		Args:    exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, err := o.context(cmd.Context())
			if err != nil {
				return err
			}
			defer cancel()
			return s.compose(ctx, args[0], o)
		},
	}
	o.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.app, "app", "", "the service that answers requests, if several have ports")
	f.IntVar(&o.listen, "listen", 0, "the port at which it answers HTTP, if it has several")
	f.StringArrayVar(&o.env, "env", nil, "NAME=VALUE of a variable that the file uses (several)")
	f.StringArrayVar(&o.images, "image", nil, "SERVICE=IMAGE that runs in place of the file's (several)")
	f.StringVar(&o.volumeSize, "volume-size", "64MiB", "size of volumes, in memory")
	return cmd
}

// composeResult is what the command says in JSON.
type composeResult struct {
	Policy string         `json:"policy"`
	Left   []compose.Note `json:"left"`
}

func (s *session) compose(ctx context.Context, file string, o composeOptions) error {
	cfg, err := s.composeConfig(file, o)
	if err != nil {
		return err
	}
	doc, err := s.readFile(file, compose.MaxSize)
	if err != nil {
		return err
	}
	box, left, err := compose.Convert(ctx, doc, cfg)
	if err != nil {
		if errors.Is(context.Cause(ctx), context.Canceled) {
			return fail(catalogue.CodeInterrupted, "interrupted", "", "")
		}
		r := fail(catalogue.CodeCompose, "compose", err.Error(), "")
		r.apart = true // one thing of the file on each line
		return r
	}
	if s.json() {
		s.writeJSON(composeResult{string(box), left})
		return nil
	}
	for _, n := range left {
		s.note("not taken over: %s\n", oneLine(n.String()))
	}
	_, err = s.stdout.Write(box)
	if err != nil {
		return fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	return nil
}

func (s *session) composeConfig(file string, o composeOptions) (compose.Config, error) {
	cfg := compose.Config{App: o.app, Listen: o.listen}
	var err error
	if cfg.Variables, err = pairs("--env", o.env); err != nil {
		return cfg, err
	}
	if cfg.Images, err = pairs("--image", o.images); err != nil {
		return cfg, err
	}
	size, ok := compose.ParseSize(o.volumeSize)
	if !ok {
		return cfg, usage("--volume-size %q, expected a size such as 64MiB or 1GiB", o.volumeSize)
	}
	if o.listen < 0 || o.listen > 1<<16-1 {
		return cfg, usage("--listen %d, expected 1 to 65535", o.listen)
	}
	dir := filepath.Dir(file)
	cfg.VolumeSize = size
	cfg.EnvFile = func(name string) ([]byte, error) { return readBelow(dir, name) }
	cfg.Image = func(ctx context.Context, name string) (compose.Image, error) {
		return s.composeImage(ctx, name, dir, o.imageOptions)
	}
	return cfg, nil
}

// pairs reads NAME=VALUE.
func pairs(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, one := range list {
		name, value, ok := strings.Cut(one, "=")
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, usage("%s %q, expected NAME=VALUE, each name once", flag, one)
		}
		out[name] = value
	}
	return out, nil
}

// readBelow reads a file below a folder; no link leads out of it.
func readBelow(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Opening a pipe would wait for somebody to write to it.
	switch info, err := root.Stat(name); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%.200q is not a regular file: %w", name, os.ErrInvalid)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s: more than %s", name, sizes.Exact(most))
	}
	return text, err
}

// composeImage finds an image and its own command.
func (s *session) composeImage(ctx context.Context, name, dir string, o imageOptions) (compose.Image, error) {
	if path, ok := strings.CutPrefix(name, "oci:"); ok {
		return localImage(path, dir, o.arch)
	}
	c := s.registry()
	im, err := s.resolve(ctx, c, name, o)
	if err != nil {
		return compose.Image{}, err
	}
	cfg, err := c.Config(ctx, im)
	if err != nil {
		return compose.Image{}, err
	}
	return compose.Image{Digest: im.Digest, Entrypoint: cfg.Entrypoint, Cmd: cfg.Cmd}, nil
}

func localImage(path, dir, arch string) (compose.Image, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	d, err := oci.Find(path, boxOS, arch, oci.DefaultLimits())
	if err != nil {
		return compose.Image{}, err
	}
	im, err := oci.Open(path, d, boxOS, arch, oci.DefaultLimits())
	if err != nil {
		return compose.Image{}, err
	}
	return compose.Image{Digest: d, Entrypoint: im.Config.Entrypoint, Cmd: im.Config.Cmd}, im.Close()
}
