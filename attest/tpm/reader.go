package tpm

import (
	"encoding/binary"
	"fmt"
)

// reader reads the TPM's structures, which are big-endian (Part 2, 4.1), and keeps
// the first error.
type reader struct {
	what string
	rest []byte
	off  int
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("tpm: %s malformed at byte %d: %s", r.what, r.off, fmt.Sprintf(format, args...))
	}
}

func (r *reader) take(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.fail("%d bytes wanted, %d left", n, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	v := r.rest[:n:n]
	r.rest, r.off = r.rest[n:], r.off+n
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// sized returns a TPM2B: bytes behind their two-byte length (Part 2, 10.4).
func (r *reader) sized(limit int) []byte {
	n := int(r.u16())
	if n > limit {
		r.fail("%d bytes, limit %d", n, limit)
	}
	return r.take(n)
}

// end returns the first error, one of them being bytes that are left.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d bytes after the end", len(r.rest))
	}
	return r.err
}
