package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Packed is a bundle that is still the files that it is made of: its bytes are made when
// they are read. It may be read by several at once.
type Packed struct {
	parts []part
	size  int64
	open  []io.Closer
}

// part is some of a bundle's bytes.
type part struct {
	io.ReaderAt
	at, size int64
	name     string // of the file; "" for what is between files
}

// Pack makes a bundle of files that stand side by side. names must have [Manifest]; their
// order does not matter. The files are held open until Close.
func Pack(from fs.FS, names []string, lim Limits) (*Packed, error) {
	names = slices.Clone(names)
	slices.SortFunc(names, compare)
	if len(names) == 0 || names[0] != Manifest {
		return nil, fmt.Errorf("bundle: no %s", Manifest)
	}
	p, left := &Packed{}, newBudget(lim)
	for i, name := range names {
		err := CheckName(name)
		if i > 0 && name == names[i-1] {
			err = fmt.Errorf("bundle: %s is there twice", name)
		}
		if err == nil {
			err = p.add(from, name, &left)
		}
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	p.put(make([]byte, 2*block))
	return p, nil
}

// Open opens a regular file of a folder, which may be a stranger's. Anything else in its place
// is refused before it is opened: a pipe would be waited for, without an end.
func Open(folder fs.FS, name string) (fs.File, error) {
	if info, err := fs.Stat(folder, name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return folder.Open(name)
}

// add puts a file behind what is there.
func (p *Packed) add(from fs.FS, name string, left *budget) error {
	f, err := Open(from, name)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	p.open = append(p.open, f)
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		return fmt.Errorf("bundle: %s is not a regular file", name)
	}
	e := Entry{Name: name, Size: info.Size()}
	if err := left.take(e); err != nil {
		return fmt.Errorf("bundle: %s: %w", name, err)
	}
	h := header(e)
	p.put(h[:])
	p.parts = append(p.parts, part{r, p.size, e.Size, name})
	p.size += e.Size
	p.put(make([]byte, pad(e.Size)))
	return nil
}

// put puts bytes behind what is there that are of no file.
func (p *Packed) put(b []byte) {
	p.parts = append(p.parts, part{bytes.NewReader(b), p.size, int64(len(b)), ""})
	p.size += int64(len(b))
}

// Size is the bundle's length in bytes.
func (p *Packed) Size() int64 { return p.size }

// ReadAt implements [io.ReaderAt].
func (p *Packed) ReadAt(b []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, errors.New("bundle: read before the beginning")
	}
	for _, part := range p.parts {
		from := at + int64(n) - part.at
		if from < 0 || from >= part.size {
			continue
		}
		want := b[n:min(int64(len(b)), int64(n)+part.size-from)]
		m, err := part.ReadAt(want, from)
		n += m
		if m < len(want) && errors.Is(err, io.EOF) {
			return n, fmt.Errorf("bundle: %s became shorter than %d bytes while it was read", part.name, part.size)
		}
		if m < len(want) {
			return n, fmt.Errorf("bundle: %w", err)
		}
		if n == len(b) {
			return n, nil
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Close closes the files.
func (p *Packed) Close() error {
	var errs []error
	for _, f := range p.open {
		errs = append(errs, f.Close())
	}
	p.open = nil
	return errors.Join(errs...)
}
