package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// FileName is the file that a Root is kept in.
const FileName = "simulated-root.pem"

// maxFile bounds it; two certificates and two keys take less than 8 KiB.
const maxFile = 64 << 10

// LoadOrCreateRoot returns the Root that is kept in dir, making both if need
// be. The directory and the file are for their owner alone (0700, 0600). If
// several processes come first at once, they all return the same Root. A file
// that is damaged, or that others can read, is an error and is left alone.
func LoadOrCreateRoot(dir string, now time.Time) (*Root, error) {
	if dir == "" {
		return nil, errors.New("sim: no directory given for the simulated root")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, FileName)
	r, err := load(name, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if r, err = NewRoot(nil, now); err != nil {
		return nil, err
	}
	if err := r.save(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return load(name, now) // ours, or that of whoever was faster
}

func load(name string, now time.Time) (*Root, error) {
	data, err := readPrivate(name)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	r, err := parseRoot(data, now)
	if err != nil {
		return nil, fmt.Errorf("sim: %s %w (remove it to get a new one; trust files that pin it will no longer match)", name, err)
	}
	return r, nil
}

// readPrivate reads a bounded regular file that only its owner may touch.
func readPrivate(name string) ([]byte, error) {
	before, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is %s, expected a regular file", name, before.Mode())
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, info) {
		return nil, fmt.Errorf("%s was replaced while it was being opened", name)
	}
	if err := checkPrivate(name, info, "600"); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxFile)
	}
	return data, nil
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	if err := checkPrivate(dir, info, "700"); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}

// checkPrivate refuses what others may read or change, or own. Windows has no
// such bits; there a profile's directories are private by inheritance.
func checkPrivate(name string, info fs.FileInfo, want string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %s, expected it to be its owner's alone: chmod %s %s", name, info.Mode(), want, name)
	}
	return checkOwner(name, info)
}

// save writes the file under another name and links it into place, which
// happens at once or, if the name is taken, not at all.
func (r *Root) save(name string) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+FileName+"-") // mode 0600
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("sim: write %s: %w", name, err)
	}
	return nil
}
