package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// source is where the bytes come from: a slice that holds all of them, or a stream
// of which a window is held.
type source struct {
	from io.Reader // nil: all is in held
	held []byte    // read; those before used are done with
	used int
	base int64 // position of held[0]
	err  error // why no more comes; nil while there may be more
}

// windowSize is how much of a stream is held. It must be larger than any element of
// a message that is read in one piece.
const windowSize = 128 << 10

func (s *source) position() int64 { return s.base + int64(s.used) }

// window returns what is held from here on, at least n bytes unless the source ends
// before. It stays valid until the next call.
func (s *source) window(n int) []byte {
	if len(s.held)-s.used < n && s.from != nil && s.err == nil {
		s.fill(n)
	}
	return s.held[s.used:]
}

// fill moves the window on.
func (s *source) fill(n int) {
	left := copy(s.held[:cap(s.held)], s.held[s.used:])
	s.base += int64(s.used)
	s.used = 0
	s.held = s.held[:cap(s.held)]
	more, err := io.ReadAtLeast(s.from, s.held[left:], n-left)
	s.held = s.held[:left+more]
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	s.err = err
}

// varint reads a varint that ends before the position end.
func (s *source) varint(end int64) (uint64, error) {
	b := s.window(min(binary.MaxVarintLen64, int(min(end-s.position(), binary.MaxVarintLen64))))
	if most := end - s.position(); int64(len(b)) > most {
		b = b[:most]
	}
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, s.broken(errors.New("a varint is cut off"))
	case n < 0:
		return 0, errors.New("a varint does not fit into 64 bits")
	}
	s.used += n
	return v, nil
}

// broken returns the reason for which a stream broke off, or else err.
func (s *source) broken(err error) error {
	if s.err != nil && s.err != io.EOF {
		return fmt.Errorf("reading: %w", s.err)
	}
	return err
}

// pieces hands the next n bytes to each, in pieces whose length is a multiple of
// unit, except for the last one. They stay valid until each returns.
func (s *source) pieces(n int64, unit int, each func([]byte) error) error {
	for n > 0 {
		b := s.window(int(min(n, int64(unit))))
		if int64(len(b)) > n {
			b = b[:n]
		}
		if whole := len(b) / unit * unit; int64(len(b)) < n {
			b = b[:whole]
		}
		if len(b) == 0 {
			return s.broken(fmt.Errorf("needs %d bytes more than there are", n))
		}
		s.used += len(b)
		n -= int64(len(b))
		if err := each(b); err != nil {
			return err
		}
	}
	return nil
}
