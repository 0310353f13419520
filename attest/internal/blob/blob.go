// Package blob writes and reads lists of byte strings, each behind its length.
//
// It answers one question: where does one part end and the next begin? Every
// container of our own (a bundle, the evidence of a vTPM, of a GPU, of several
// devices) is made of it, so that no two lists share an encoding. It stands on
// both sides of the trust boundary: what it reads comes from a stranger, and no
// length is believed before it was compared with a limit.
package blob

import (
	"encoding/binary"
	"fmt"
)

// Append adds v behind its length, four bytes, big-endian.
func Append(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

// Reader reads parts and remembers the first error, so that a parser reads as a
// list of its fields. After an error every read returns nothing.
type Reader struct {
	what string
	rest []byte
	off  int
	err  error
}

// NewReader reads data; what names it in errors, "attest: bundle".
func NewReader(what string, data []byte) *Reader { return &Reader{what: what, rest: data} }

// Fail records an error at the current byte, unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s malformed at byte %d: %s", r.what, r.off, fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Take returns the next n bytes. They share memory with the input.
func (r *Reader) Take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.Fail("%d bytes wanted, %d left", n, len(r.rest))
		return nil
	}
	v := r.rest[:n:n]
	r.rest, r.off = r.rest[n:], r.off+n
	return v
}

// Magic refuses input that does not begin with want.
func (r *Reader) Magic(want string) {
	if got := r.Take(len(want)); r.err == nil && string(got) != want {
		r.off = 0
		r.Fail("begins with %q, expected %q", got, want)
	}
}

// Blob returns the next part, of at most limit bytes.
func (r *Reader) Blob(limit int) []byte {
	head := r.Take(4)
	if r.err != nil {
		return nil
	}
	n := binary.BigEndian.Uint32(head)
	if uint64(n) > uint64(limit) {
		r.Fail("a part of %d bytes, limit %d", n, limit)
		return nil
	}
	return r.Take(int(n))
}

// Count returns the next byte, a number of items of at most limit.
func (r *Reader) Count(limit int) int {
	head := r.Take(1)
	if r.err != nil {
		return 0
	}
	if int(head[0]) > limit {
		r.Fail("%d items, limit %d", head[0], limit)
		return 0
	}
	return int(head[0])
}

// End returns the first error, one of them being bytes that are left.
func (r *Reader) End() error {
	if r.err == nil && len(r.rest) != 0 {
		r.Fail("%d bytes after the end", len(r.rest))
	}
	return r.err
}
