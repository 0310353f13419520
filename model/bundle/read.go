package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Reader reads a bundle as it comes. It is for one goroutine.
type Reader struct {
	in   io.Reader
	left budget
	now  Entry // the file at hand
	rest int64 // of it, in bytes, not read yet
	sum  hash.Hash
	done []File
	err  error // sticky
}

// File is a file of a bundle that was read to its end.
type File struct {
	Entry
	SHA256 [sha256.Size]byte
}

// NewReader reads a bundle within limits.
func NewReader(in io.Reader, lim Limits) *Reader {
	return &Reader{in: in, left: newBudget(lim), sum: sha256.New()}
}

// Next goes to the next file; what was not read of the one at hand is passed over. After
// the last it is [io.EOF], if the bundle ends as it must.
func (r *Reader) Next() (Entry, error) {
	if r.err == nil {
		r.err = r.next()
	}
	if r.err != nil {
		return Entry{}, r.err
	}
	return r.now, nil
}

func (r *Reader) next() error {
	if r.now.Name != "" {
		if err := r.leave(); err != nil {
			return err
		}
	}
	var h [block]byte
	if err := r.fill(h[:], "where a header or the end was expected"); err != nil {
		return err
	}
	if h == [block]byte{} {
		return r.end()
	}
	e, err := parse(&h)
	if err == nil {
		err = r.admit(e)
	}
	if err != nil {
		return r.wrong(e.Name, err)
	}
	r.now, r.rest = e, e.Size
	r.sum.Reset()
	return nil
}

// wrong says which entry an error is about.
func (r *Reader) wrong(name string, err error) error {
	if name == "" {
		return fmt.Errorf("bundle: entry %d: %w", len(r.done)+1, err)
	}
	return fmt.Errorf("bundle: entry %d, %s: %w", len(r.done)+1, name, err)
}

// admit refuses a file that is not the next of a bundle, and one over the limits.
func (r *Reader) admit(e Entry) error {
	switch order := compare(r.now.Name, e.Name); {
	case r.now.Name == "" && e.Name != Manifest:
		return fmt.Errorf("expected %s first", Manifest)
	case r.now.Name == "":
	case order == 0:
		return errors.New("is there twice")
	case order > 0:
		return fmt.Errorf("comes after %s, expected before: %s, then other files, then models, each by name", r.now.Name, Manifest)
	}
	return r.left.take(e)
}

// leave passes over what is left of the file at hand, and its padding.
func (r *Reader) leave() error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	var padding [block]byte
	if n := pad(r.now.Size); n > 0 {
		if err := r.fill(padding[:n], "in the padding of "+r.now.Name); err != nil {
			return err
		}
	}
	if padding != [block]byte{} {
		return r.wrong(r.now.Name, errors.New("padding that is not zero"))
	}
	r.done = append(r.done, File{r.now, [sha256.Size]byte(r.sum.Sum(nil))})
	return nil
}

// pad is how many bytes fill up the last block of a file.
func pad(size int64) int64 { return -size & (block - 1) }

// end reads the second block of zeros, and that nothing comes behind it.
func (r *Reader) end() error {
	var b [block]byte
	if r.now.Name == "" {
		return fmt.Errorf("bundle: is empty, expected %s", Manifest)
	}
	if err := r.fill(b[:], "in its end"); err != nil {
		return err
	}
	if b != [block]byte{} {
		return errors.New("bundle: one block of zeros at the end, expected two")
	}
	switch _, err := io.ReadFull(r.in, b[:1]); {
	case err == nil:
		return errors.New("bundle: bytes follow its end")
	case !errors.Is(err, io.EOF):
		return err
	}
	return io.EOF
}

// fill reads all of b.
func (r *Reader) fill(b []byte, where string) error {
	_, err := io.ReadFull(r.in, b)
	return cut(err, where)
}

// cut says where a bundle ended too early; other errors are those of who gives the bytes.
func cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("bundle: ends early, %s", where)
	}
	return err
}

// Read reads the file at hand.
func (r *Reader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.rest == 0:
		return 0, io.EOF
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.rest)])
	r.rest -= int64(n)
	r.sum.Write(p[:n])
	if err != nil && r.rest == 0 && errors.Is(err, io.EOF) {
		err = nil // the padding or the end is missing, and Next says so
	}
	if err != nil {
		r.err = cut(err, "in "+r.now.Name)
	}
	return n, r.err
}

// Files are the files that were read to their ends so far, in their order.
func (r *Reader) Files() []File { return r.done }
