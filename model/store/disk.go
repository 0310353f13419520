package store

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"filippo.io/age"
)

// disk is the two folders. Whoever has the host's disk sees and changes what is in
// folder at any time; state is in the box's memory.
type disk struct {
	state, folder *os.Root
	locks         [2]*os.File // of both, held until they are closed
	step          func(string)
	limit, used   int64 // bytes of sealed files; under the store's lock
}

func (d *disk) close() error {
	var errs []error
	for _, l := range d.locks {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	for _, r := range []*os.Root{d.state, d.folder} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// chunk is how much of a file age encrypts at once, with 16 bytes more
// (age-encryption.org/v1, "Payload"); the header and the nonce take under 512.
const (
	chunk    = 64 << 10
	overhead = 512
)

// sealedLength bounds the length of a sealed file by that of the model's.
func sealedLength(n int64) int64 { return n + (n/chunk+1)*16 + overhead }

// sealing is a file on its way to the disk. Its name ends in .part until it is whole.
type sealing struct {
	disk   *disk
	name   string // without the end
	key    *age.X25519Identity
	file   *os.File
	out    io.WriteCloser
	length int64
	early  int64 // bytes that are on their way to the disk
}

// stretch is how much of a file is sent to the disk at once while it is written.
const stretch = 8 << 20

// create begins a sealed file under a random name and a key of its own.
func (d *disk) create() (*sealing, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &sealing{disk: d, name: randomName(), key: key}
	s.file, err = d.folder.OpenFile(s.name+".part", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	d.step("upload.created")
	if s.out, err = age.Encrypt(counter{s}, key.Recipient()); err != nil {
		s.discard()
		return nil, diskError(err)
	}
	return s, nil
}

// randomName is 128 bits in hex.
func randomName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// counter counts what is written to the file.
type counter struct{ s *sealing }

func (c counter) Write(p []byte) (int, error) {
	n, err := c.s.file.Write(p)
	c.s.length += int64(n)
	if n := c.s.length - c.s.early; n >= stretch {
		flushEarly(c.s.file, c.s.early, n)
		c.s.early = c.s.length
	}
	return n, err
}

// Write seals a part of the model.
func (s *sealing) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	if err != nil {
		return n, diskError(err)
	}
	return n, nil
}

// commit ends the file, and returns what the catalog has to know of it.
func (s *sealing) commit(d Digest, size int64) (sealed, error) {
	err := s.out.Close()
	s.disk.step("upload.written")
	if err := errors.Join(err, s.file.Sync(), s.file.Close()); err != nil {
		return sealed{}, diskError(err)
	}
	s.file = nil
	s.disk.step("upload.synced")
	if err := s.disk.folder.Rename(s.name+".part", s.name+".sealed"); err != nil {
		return sealed{}, diskError(err)
	}
	s.disk.step("upload.renamed")
	if err := flush(s.disk.folder); err != nil {
		return sealed{}, diskError(err)
	}
	return sealed{Digest: d, Size: size, Name: s.name + ".sealed", Length: s.length, Key: s.key.String()}, nil
}

// discard removes the file, whatever became of it. What cannot be removed is at the
// next start.
func (s *sealing) discard() {
	if s.file != nil {
		_ = s.file.Close()
	}
	s.disk.remove(s.name + ".part")
	s.disk.remove(s.name + ".sealed")
}

// remove takes a file from the disk. Its key is gone already, and a host that keeps
// the file all the same keeps nothing that anybody can read.
func (d *disk) remove(name string) { _ = d.folder.Remove(name) }

// diskError says that the disk is full, or what else it said.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return &FullError{What: "disk"}
	}
	return fmt.Errorf("store: disk: %w", err)
}

// open returns the text of a sealed file. What is read of it is authentic, chunk by
// chunk, and the last chunk was looked at first: it is as long as what was sealed.
func (d *disk) open(f sealed) (io.ReadCloser, error) {
	key, err := age.ParseX25519Identity(f.Key)
	if err != nil {
		return nil, errors.New("store: the catalog has no key for the file")
	}
	file, err := d.regular(f.Name)
	if err != nil {
		return nil, err
	}
	text, err := d.decrypt(file, f, key)
	if err != nil {
		_ = file.Close() // was only read
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{text, file}, nil
}

func (d *disk) decrypt(file *os.File, f sealed, key *age.X25519Identity) (io.Reader, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, &SealedError{Problem: "cannot be read", Cause: err}
	case info.Size() != f.Length:
		return nil, &SealedError{Problem: fmt.Sprintf("has %d bytes, expected %d", info.Size(), f.Length)}
	}
	text, size, err := age.DecryptReaderAt(file, f.Length, key)
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &other):
		return nil, &SealedError{Problem: "is another file, or an older version of it"}
	case err != nil:
		return nil, &SealedError{Problem: "was altered", Cause: err}
	}
	return bufio.NewReaderSize(io.NewSectionReader(text, 0, size), int(min(size, ahead))), nil
}

// ahead is how much of a sealed file is decrypted at once: age takes a chunk's memory
// for each read and leaves it as garbage.
const ahead = 8 * chunk

// regular opens a file that is one: no link, no folder, no pipe, at which open would
// wait for a writer, and no device, which does something when it is opened. Between the
// look and the open the host may have put something else there, so what was opened must
// be what was looked at.
func (d *disk) regular(name string) (*os.File, error) {
	seen, err := d.folder.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &SealedError{Problem: "is missing"}
	case err != nil:
		return nil, &SealedError{Problem: "cannot be read", Cause: err}
	case !seen.Mode().IsRegular():
		return nil, &SealedError{Problem: "is not a regular file"}
	}
	d.step("disk.seen")
	file, err := d.folder.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, &SealedError{Problem: "cannot be read", Cause: err}
	}
	if info, err := file.Stat(); err != nil || !os.SameFile(seen, info) || !info.Mode().IsRegular() {
		_ = file.Close() // was not even read
		return nil, &SealedError{Problem: "is not a regular file"}
	}
	return file, nil
}

// maxListed bounds how many names of the disk's folder are looked at.
const maxListed = 1 << 20

// clean removes files that the catalog does not name: of uploads that did not end,
// and of deleted models. It leaves what does not look like a file of the store.
func (d *disk) clean(c catalog) error {
	if err := d.state.Remove(catalogNew); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: state folder: %w", err)
	}
	keep := make(map[string]bool, len(c.Files))
	for _, f := range c.Files {
		keep[f.Name] = true
	}
	f, err := d.folder.Open(".")
	if err != nil {
		return fmt.Errorf("store: disk: %w", err)
	}
	defer f.Close()
	var stray []string
	for listed := 0; listed < maxListed; {
		names, err := f.Readdirnames(1024)
		for _, n := range names {
			if !keep[n] && (fileName.MatchString(n) || partName.MatchString(n)) {
				stray = append(stray, strings.Clone(n))
			}
		}
		if listed += len(names); err != nil || len(names) == 0 {
			break
		}
	}
	for _, n := range stray {
		d.remove(n)
	}
	return nil
}
