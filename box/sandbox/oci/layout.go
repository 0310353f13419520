package oci

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/blindbox/blindbox/box/sandbox/ustar"
)

// layout finds blobs by digest.
type layout interface {
	// file returns a stored file and its length.
	file(name string) (io.ReadCloser, int64, error)
	Close() error
}

func openLayout(name string, lim Limits) (layout, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	switch {
	case info.IsDir():
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, fmt.Errorf("oci: %w", err)
		}
		return folder{root}, nil
	case info.Mode().IsRegular():
		return openArchive(name, lim)
	}
	return nil, fmt.Errorf("oci: %s: neither a folder nor a file: %w", name, ErrNotAFile)
}

// blobName is where a layout keeps a blob (image-spec, image-layout.md).
func blobName(d Digest) string { return "blobs/sha256/" + d.Hex() }

type folder struct{ root *os.Root }

func (f folder) Close() error { return f.root.Close() }

func (f folder) file(name string) (io.ReadCloser, int64, error) {
	// Opening a pipe would wait for somebody to write.
	info, err := f.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("oci: %s: %w", name, ErrMissing)
	case err != nil:
		return nil, 0, fmt.Errorf("oci: %w", err)
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("oci: %s of the layout: %w", name, ErrNotAFile)
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("oci: %w", err)
	}
	return file, info.Size(), nil
}

// archive is a tar file of a layout, not compressed.
type archive struct {
	from  *os.File
	spans map[string]span
}

type span struct{ start, size int64 }

func openArchive(name string, lim Limits) (layout, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	spans, err := index(file, lim.Entries)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("oci: %s: %w", name, err)
	}
	return &archive{file, spans}, nil
}

// index notes where the files of an archive are. The reader seeks over what it
// skips and buffers nothing, so the file's position after Next is where the
// entry's bytes begin.
func index(file *os.File, most int) (map[string]span, error) {
	spans := map[string]span{}
	r := ustar.NewReader(file, 8<<10)
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			return spans, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if n == most {
			return nil, fmt.Errorf("more than %d entries: %w", most, ErrTooLarge)
		}
		if h.Type != ustar.File || isSparse(h) {
			continue
		}
		start, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		clean := path.Clean(h.Name)
		if _, twice := spans[clean]; twice {
			return nil, fmt.Errorf("%.120q twice: %w", clean, ErrMalformed)
		}
		spans[clean] = span{start, h.Size}
	}
}

func isSparse(h *ustar.Header) bool {
	for k := range h.Records {
		if strings.HasPrefix(k, "GNU.sparse") {
			return true
		}
	}
	return false
}

func (a *archive) Close() error { return a.from.Close() }

func (a *archive) file(name string) (io.ReadCloser, int64, error) {
	s, ok := a.spans[name]
	if !ok {
		return nil, 0, fmt.Errorf("oci: %s: %w", name, ErrMissing)
	}
	return io.NopCloser(io.NewSectionReader(a.from, s.start, s.size)), s.size, nil
}

// copyVerified copies a blob to w. What was written is worth nothing unless
// the error is nil.
func copyVerified(l layout, d Descriptor, w io.Writer) error {
	r, size, err := l.file(blobName(d.Digest))
	if err != nil {
		return err
	}
	defer r.Close()
	if size != d.Size {
		return fmt.Errorf("oci: %s has %d bytes, expected %d: %w", d.Digest, size, d.Size, ErrSize)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, d.Size))
	switch {
	case err != nil:
		return fmt.Errorf("oci: %s: %w", d.Digest, err)
	case n != d.Size:
		return fmt.Errorf("oci: %s ended after %d bytes, expected %d: %w", d.Digest, n, d.Size, ErrSize)
	case Digest(h.Sum(nil)) != d.Digest:
		return fmt.Errorf("oci: %s holds bytes of digest %s: %w", d.Digest, Digest(h.Sum(nil)), ErrDigest)
	}
	return nil
}
