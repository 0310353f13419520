package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/blindbox/blindbox/receipt"
)

// frameMagic stands before each segment in a stream of them, with four bytes for
// the length, big-endian.
const frameMagic = "BBXSEAL1"

func digestOf(text []byte) receipt.Digest { return sha256.Sum256(text) }

// NewStream returns a Sink that writes one segment after the other to w, such as a file
// that is only appended to.
func NewStream(w io.Writer) Sink { return &frames{w: w} }

type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) WriteSegment(_ uint64, sealed []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := append(make([]byte, 0, len(frameMagic)+4+len(sealed)), frameMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(sealed)))
	if n, err := f.w.Write(append(b, sealed...)); err != nil || n != len(b)+len(sealed) {
		return errors.Join(err, fmt.Errorf("%d of %d bytes written", n, len(b)+len(sealed)))
	}
	return nil
}

// NewDirectory returns a Sink that writes each segment to a file of its own, which any
// age program opens, and keeps the last so many of them. A file is there whole or
// not at all. The directory is outside too: no link in it is followed.
func NewDirectory(dir, prefix string, keep int) (Sink, error) {
	if keep < 1 {
		return nil, fmt.Errorf("seal: %d segments kept, expected one or more", keep)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return directory{root, prefix, uint64(keep)}, nil
}

type directory struct {
	root   *os.Root
	prefix string
	keep   uint64
}

func (d directory) name(number uint64) string {
	return fmt.Sprintf("%s-%08d.age", d.prefix, number)
}

func (d directory) WriteSegment(number uint64, sealed []byte) error {
	name := d.name(number)
	if err := d.write(name+".tmp", sealed); err != nil {
		return errors.Join(err, d.remove(name+".tmp"))
	}
	if err := d.root.Rename(name+".tmp", name); err != nil {
		return errors.Join(err, d.remove(name+".tmp"))
	}
	if number >= d.keep {
		return d.remove(d.name(number - d.keep))
	}
	return nil
}

// write makes a file where nothing is. What a box that was killed left there, or
// somebody else, is removed and not written to.
func (d directory) write(name string, sealed []byte) error {
	if err := d.remove(name); err != nil {
		return err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(sealed)
	return errors.Join(err, f.Close())
}

func (d directory) remove(name string) error {
	if err := d.root.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
