// Command apps makes container images of ordinary programs out of Debian
// packages, for tests and as examples of what a box wraps: nginx, Redis,
// PostgreSQL, a Python app, the front of examples/compose, and the LLM server of
// examples/llm, whose server and model come from the Python Package Index.
//
//	go run ./examples/apps -out DIR [nginx redis postgresql python notes llm]
//
// It writes DIR/NAME.oci, an OCI layout with one layer, and prints its digest.
// The same packages give the same digest: names are sorted, owners and times are
// fixed (SOURCE_DATE_EPOCH, or 0), and no script of a package is run. It needs
// apt-get and dpkg-deb with a Debian archive behind them, for llm pip as well, and no
// root.
//
// It stands outside of every box. What it makes is as trusted as whoever pins
// the digest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", "", "the `folder` to write to (required)")
	flag.Parse()
	if err := run(*out, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "apps:", err)
		os.Exit(1)
	}
}

func run(out string, names []string, stdout io.Writer) error {
	if out == "" {
		return errors.New("no -out DIR")
	}
	all := recipes()
	if len(names) == 0 {
		for name := range all {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	epoch, err := epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	for _, name := range names {
		r, ok := all[name]
		if !ok {
			return fmt.Errorf("no recipe for %q", name)
		}
		digest, err := r.build(filepath.Join(out, name+".oci"), epoch)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(stdout, "%s.oci  %s\n", name, digest)
	}
	return nil
}

func epoch(s string) (time.Time, error) {
	if s == "" {
		return time.Unix(0, 0), nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(n, 0), nil
}

// build makes one image.
func (r recipe) build(dir string, at time.Time) (digest string, err error) {
	cache, err := os.MkdirTemp("", "apps-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(cache)
	debs, err := r.download(cache)
	if err != nil {
		return "", err
	}
	files := newTree()
	for _, deb := range debs {
		if err := files.unpack(deb); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
	}
	if err := r.wheels(cache, files); err != nil {
		return "", err
	}
	for name, text := range r.files {
		files.add(name, text)
	}
	layer, err := files.tar(at)
	if err != nil {
		return "", err
	}
	return r.write(dir, layer)
}

// download fetches the packages and what they need, as if nothing were
// installed: apt then adds neither a shell nor anything else that nobody asks
// for. Where the machine's own lists of packages are missing or old, it fetches
// lists of its own.
func (r recipe) download(cache string) ([]string, error) {
	err := errors.Join(
		os.WriteFile(filepath.Join(cache, "status"), nil, 0o644),
		os.Mkdir(filepath.Join(cache, "partial"), 0o755), os.MkdirAll(filepath.Join(cache, "lists", "partial"), 0o755),
	)
	if err != nil {
		return nil, err
	}
	get := append([]string{"--no-install-recommends", "--download-only", "install"}, r.packages...)
	if apt(cache, "", get...) != nil {
		lists := filepath.Join(cache, "lists")
		if err := apt(cache, lists, "update"); err != nil {
			return nil, err
		}
		if err := apt(cache, lists, get...); err != nil {
			return nil, err
		}
	}
	debs, err := filepath.Glob(filepath.Join(cache, "*.deb"))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(debs, func(deb string) bool {
		name, _, _ := strings.Cut(filepath.Base(deb), "_")
		return slices.Contains(r.without, name)
	}), nil
}

// apt runs apt-get on a state of its own; lists is "" for the machine's.
func apt(cache, lists string, args ...string) error {
	options := []string{
		"-q", "-y", "-o", "Dir::State::status=" + filepath.Join(cache, "status"), "-o", "Dir::Cache::archives=" + cache,
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
		"-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30", // an archive that stalls is asked again
	}
	if lists != "" {
		options = append(options, "-o", "Dir::State::lists="+lists)
	}
	if said, err := exec.Command("apt-get", append(options, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get: %w: %s", err, said)
	}
	return nil
}
