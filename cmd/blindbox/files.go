package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
)

// readFile reads a file of at most limit bytes; "-" is standard input.
func (s *session) readFile(name string, limit int64) ([]byte, error) {
	in := s.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		return nil, fail(catalogue.CodeFile, "file", err.Error(), "")
	case int64(len(data)) > limit:
		return nil, fail(catalogue.CodeFile, "file", name+" is larger than anything of its kind", "at most "+sizes.Exact(limit))
	}
	return data, nil
}

// writeFile writes a file that is there whole or not at all. It replaces an
// existing one only by force, and leaves that one as it was if it fails.
func (s *session) writeFile(name string, data []byte, mode os.FileMode, force bool) error {
	return s.writeStream(name, bytes.NewReader(data), mode, force)
}

// writeStream is writeFile of what is read.
func (s *session) writeStream(name string, data io.Reader, mode os.FileMode, force bool) error {
	var err error
	if force {
		err = replaceFile(name, data, mode)
	} else {
		err = createFile(name, data, mode)
	}
	if errors.Is(err, os.ErrExist) {
		return fail(catalogue.CodeFile, "file", name+" exists already", "a new name, or --force")
	}
	if err != nil {
		return fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	return nil
}

// createFile writes a new file, and removes it again if that fails.
func createFile(name string, data io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := writeAndClose(f, data); err != nil {
		os.Remove(name)
		return err
	}
	return nil
}

// replaceFile writes a new file beside the old one and renames it, so that a
// disk that is full costs nothing. An existing file keeps its permissions, a
// link its place. What is no ordinary file, such as /dev/stdout, is written to.
// What is for its owner alone goes nowhere else: a link, or a file that others may
// read, that somebody has put at a name that can be guessed is replaced.
func replaceFile(name string, data io.Reader, mode os.FileMode) error {
	if mode&0o077 == 0 {
		return renameInto(name, data, mode)
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	old, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return renameInto(name, data, mode)
	case err != nil:
		return err
	case old.Mode().IsRegular():
		return renameInto(name, data, old.Mode().Perm())
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return writeAndClose(f, data)
}

func renameInto(name string, data io.Reader, mode os.FileMode) error {
	beside := name + "." + rand.Text()[:8] + ".tmp"
	err := createFile(beside, data, mode)
	if err == nil {
		err = os.Rename(beside, name)
	}
	if err != nil {
		os.Remove(beside)
	}
	return err
}

func writeAndClose(f *os.File, data io.Reader) error {
	_, err := io.Copy(f, data)
	if err == nil && isRegular(f) {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func isRegular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}
