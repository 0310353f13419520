package dcap

import (
	"encoding/binary"
	"fmt"
)

// reader takes fields from the front of a quote. Integers are little-endian
// throughout. After an error every read returns nothing.
type reader struct {
	data []byte
	off  int
	end  int // where the part that is being read ends
	err  error
}

// take returns the next n bytes, nil if there are not that many.
func (r *reader) take(what string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.end-r.off {
		r.err = fmt.Errorf("%s at byte %d needs %d bytes, %d left", what, r.off, n, r.end-r.off)
		return nil
	}
	b := r.data[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// fill copies the next bytes into an array.
func (r *reader) fill(what string, dst []byte) { copy(dst, r.take(what, len(dst))) }

func (r *reader) uint16(what string) uint16 {
	if b := r.take(what, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32(what string) uint32 {
	if b := r.take(what, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(what string) uint64 {
	if b := r.take(what, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// zeros refuses reserved bytes that are set: whatever they will mean, it is not
// what is read here.
func (r *reader) zeros(what string, n int) {
	at := r.off
	for _, b := range r.take(what, n) {
		if b != 0 {
			r.err = fmt.Errorf("%s at byte %d is not zero", what, at)
			return
		}
	}
}

// size reads a length and refuses one that does not fit into what is left. The
// comparison is made before the conversion, so no 32-bit int can wrap.
func (r *reader) size(what string) int {
	n := r.uint32(what)
	if r.err == nil && uint64(n) > uint64(r.end-r.off) {
		r.err = fmt.Errorf("%s of %d bytes at byte %d, %d left", what, n, r.off, r.end-r.off)
		return 0
	}
	return int(n)
}

// done refuses bytes between the last field and the end of the part.
func (r *reader) done(what string) {
	if r.err == nil && r.off != r.end {
		r.err = fmt.Errorf("%d bytes at byte %d after the end of the %s", r.end-r.off, r.off, what)
	}
}
