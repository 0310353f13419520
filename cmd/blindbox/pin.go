package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/registry"
	"github.com/blindbox/blindbox/policy"
)

// imageOptions are what the commands that look at images share.
type imageOptions struct {
	arch    string
	timeout time.Duration
}

func (o *imageOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.arch, "arch", "amd64", "the box's architecture, of an image for several")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long the registry may take in all")
}

// boxOS is the operating system in every box.
const boxOS = "linux"

// login holds a user name and a password for the registry, with a colon between.
const login = "BLINDBOX_REGISTRY_LOGIN"

func newPin(s *session) *cobra.Command {
	var o imageOptions
	cmd := &cobra.Command{
		Use:   "pin FILE",
		Short: "Write the digests of the images into a policy",
		Long: `Find out which image the policy's app.image names now, and write the digest of
its manifest into app.digest, and so for each of its services. Nothing else in the
file is changed. From then on the box runs these bytes and no others, whatever the
tag says later.

An image "oci:PATH" is looked for beside the policy; anything else is asked for
at its registry. ` + login + `=USER:PASSWORD is shown to the registry if it asks.`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, err := o.context(cmd.Context())
			if err != nil {
				return err
			}
			defer cancel()
			return s.pin(ctx, args[0], o)
		},
	}
	o.register(cmd)
	return cmd
}

func newImage(s *session) *cobra.Command {
	group := &cobra.Command{
		Use:   "image",
		Short: "Fetch an app's image",
		Args:  exactly(1, "a command: pull"),
		RunE:  func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args[0]) },
	}
	var o imageOptions
	pull := &cobra.Command{
		Use:   "pull REFERENCE FOLDER",
		Short: "Fetch an image from a registry into a folder, as an OCI layout",
		Long: `Fetch an image into a new folder, which app.image can then name as oci:FOLDER.
Every part of it is compared with the digest that names it.
` + login + `=USER:PASSWORD is shown to the registry if it asks.`,
		Args: exactly(2, "a REFERENCE and a FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, err := o.context(cmd.Context())
			if err != nil {
				return err
			}
			defer cancel()
			return s.pull(ctx, args[0], args[1], o)
		},
	}
	o.register(pull)
	group.AddCommand(pull)
	return group
}

func (o imageOptions) context(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if o.timeout <= 0 {
		return nil, nil, usage("--timeout %s, expected more than none", o.timeout)
	}
	if o.arch != "amd64" && o.arch != "arm64" {
		return nil, nil, usage("--arch %q, expected amd64 or arm64", o.arch)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	return ctx, cancel, nil
}

// pinResult is what the commands say in JSON.
type pinResult struct {
	Image   string `json:"image"`
	Digest  string `json:"digest"`
	Changed bool   `json:"changed"`
	// Services are those beside the app.
	Services []pinnedService `json:"services,omitempty"`
}

type pinnedService struct {
	Name   string `json:"name"`
	Image  string `json:"image"`
	Digest string `json:"digest"`
}

func (s *session) pin(ctx context.Context, file string, o imageOptions) error {
	doc, err := s.readFile(file, policy.MaxSize)
	if err != nil {
		return err
	}
	all, err := findImages(doc)
	if err != nil {
		return fail(catalogue.CodeBadPolicy, "policy", file+": "+err.Error(), "app: {image: ...}")
	}
	digests := make([]string, len(all))
	for i, p := range all {
		digest, err := s.digestOf(ctx, p.image, filepath.Dir(file), o)
		if err != nil {
			return imageRefusal(ctx, err)
		}
		digests[i] = digest.String()
	}
	after, err := withDigests(doc, digests)
	if err != nil {
		return fail(catalogue.CodeBadPolicy, "policy", file+": "+err.Error(), "")
	}
	changed := !bytes.Equal(doc, after)
	switch {
	case file == "-":
		if _, err := s.stdout.Write(after); err != nil {
			return fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		return nil
	case changed:
		if err := s.writeFile(file, after, 0o644, true); err != nil {
			return err
		}
	}
	result := pinResult{Image: all[0].image, Digest: digests[0], Changed: changed}
	for i, p := range all[1:] {
		result.Services = append(result.Services, pinnedService{p.service, p.image, digests[i+1]})
	}
	return s.sayPinned(result, file)
}

func (s *session) sayPinned(r pinResult, file string) error {
	if s.json() {
		s.writeJSON(r)
	}
	s.printf("image   %s\ndigest  %s\n", oneLine(r.Image), r.Digest)
	for _, p := range r.Services {
		s.printf("service %s\nimage   %s\ndigest  %s\n", oneLine(p.Name), oneLine(p.Image), p.Digest)
	}
	if r.Changed {
		s.printf("written into %s; nothing else was changed\n", file)
	} else {
		s.printf("%s has it already\n", file)
	}
	return nil
}

// digestOf finds the image that a policy names.
func (s *session) digestOf(ctx context.Context, image, dir string, o imageOptions) (oci.Digest, error) {
	if path, ok := strings.CutPrefix(image, "oci:"); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		d, err := oci.Find(path, boxOS, o.arch, oci.DefaultLimits())
		if err != nil {
			return oci.Digest{}, err
		}
		// An image that the box would refuse is not one to pin.
		im, err := oci.Open(path, d, boxOS, o.arch, oci.DefaultLimits())
		if err != nil {
			return oci.Digest{}, err
		}
		return d, im.Close()
	}
	im, err := s.resolve(ctx, s.registry(), image, o)
	if err != nil {
		return oci.Digest{}, err
	}
	return im.Digest, nil
}

func (s *session) resolve(ctx context.Context, c *registry.Client, image string, o imageOptions) (*registry.Resolved, error) {
	ref, err := registry.ParseReference(image)
	if err != nil {
		return nil, err
	}
	return c.Resolve(ctx, ref, boxOS, o.arch)
}

func (s *session) registry() *registry.Client {
	c := &registry.Client{HTTP: &http.Client{Transport: http.DefaultTransport}, Limits: oci.DefaultLimits()}
	c.User, c.Password, _ = strings.Cut(s.env(login), ":")
	return c
}

func (s *session) pull(ctx context.Context, image, dir string, o imageOptions) error {
	c := s.registry()
	im, err := s.resolve(ctx, c, image, o)
	if err != nil {
		return imageRefusal(ctx, err)
	}
	err = c.Pull(ctx, im, filepath.Clean(dir), func(d oci.Descriptor) { s.note("fetching %s, %d bytes\n", d.Digest, d.Size) })
	if errors.Is(err, os.ErrExist) {
		return fail(catalogue.CodeFile, "file", dir+" exists already", "a new folder")
	}
	if err != nil {
		return imageRefusal(ctx, err)
	}
	if s.json() {
		s.writeJSON(pinResult{Image: image, Digest: im.Digest.String(), Changed: true})
	}
	s.printf("image   %s\ndigest  %s\nfetched into %s\n", oneLine(image), im.Digest, dir)
	return nil
}

// imageRefusal tells an image that cannot be had from being interrupted.
func imageRefusal(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fail(catalogue.CodeInterrupted, "interrupted", "", "")
	}
	return fail(catalogue.CodeImage, "image", err.Error(), "")
}
