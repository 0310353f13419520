// Package cbor reads the few forms of CBOR (RFC 8949, 3.1) that the Nitro Security
// Module writes, inside the enclave.
//
// It answers one question: which bytes of the module's answer, or of the document
// that it signed, are which field? It stands inside the box and verifies nothing:
// the reader that verifiers use is far stricter and is not linked into the box.
// What it reads comes from the hypervisor, so every length is compared with what
// is there, depth is bounded, and a field that comes twice is an error.
package cbor

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Major types.
const (
	MajorUint  byte = 0
	MajorBytes byte = 2
	MajorText  byte = 3
	MajorArray byte = 4
	MajorMap   byte = 5
)

const endOfStream byte = 0xff

const depthLimit = 4 // a map in a map in a document

// Fields are the encoded values of a map, by their names.
type Fields map[string][]byte

// Bytes returns a field that is a byte string.
func (f Fields) Bytes(name string) ([]byte, error) {
	item, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("no field %q", name)
	}
	value, err := Bytes(item)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", name, err)
	}
	return value, nil
}

// Bytes reads a byte string and nothing after it.
func Bytes(item []byte) ([]byte, error) {
	r := &reader{data: item}
	value := r.string(MajorBytes)
	if r.err == nil && len(r.data) != 0 {
		r.fail("%d bytes after the end", len(r.data))
	}
	if r.err != nil {
		return nil, r.err
	}
	return value, nil
}

// Text reads a text, "" if the item is none.
func Text(item []byte) string { return string((&reader{data: item}).string(MajorText)) }

// Map reads a map of text to anything, and nothing after it.
func Map(data []byte) (Fields, error) {
	r := &reader{data: data}
	out := r.fields()
	if r.err != nil {
		return nil, r.err
	}
	return out, nil
}

// Payload reads the map that a COSE_Sign1 document (RFC 9052, 4.2) is over.
func Payload(document []byte) (Fields, error) {
	r := &reader{data: document}
	if n := r.head(MajorArray); r.err == nil && n != 4 {
		r.fail("%d parts, expected 4", n)
	}
	r.skip(depthLimit) // protected header
	r.skip(depthLimit) // unprotected header
	payload := r.string(MajorBytes)
	if r.err != nil {
		return nil, r.err
	}
	return Map(payload)
}

// ErrNone says that a map has no such key.
var ErrNone = errors.New("none")

// Numbered returns the byte string of a map of numbers to byte strings that stands
// under that number.
func Numbered(data []byte, number uint64) ([]byte, error) {
	r := &reader{data: data}
	var found []byte
	seen := false
	r.each(func() {
		key := r.head(MajorUint)
		value := r.string(MajorBytes)
		if r.err != nil || key != number {
			return
		}
		if seen {
			r.fail("number %d twice", key)
		}
		found, seen = value, true
	})
	switch {
	case r.err != nil:
		return nil, r.err
	case !seen:
		return nil, fmt.Errorf("number %d: %w", number, ErrNone)
	}
	return found, nil
}

// reader reads what the hypervisor wrote. After the first error it reads
// nothing more.
type reader struct {
	data []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.data)) {
		r.fail("%d bytes missing", n-uint64(len(r.data)))
	}
	if r.err != nil {
		return nil
	}
	out := r.data[:n:n]
	r.data = r.data[n:]
	return out
}

// head reads the start of an item of that type.
func (r *reader) head(major byte) uint64 {
	got, n := r.any()
	if r.err == nil && got != major {
		r.fail("an item of type %d, expected %d", got, major)
		return 0
	}
	return n
}

// any reads the start of an item of any type and of definite length.
func (r *reader) any() (major byte, n uint64) {
	first := r.take(1)
	if first == nil {
		return 0, 0
	}
	major, info := first[0]>>5, first[0]&31
	if info < 24 {
		return major, uint64(info)
	}
	if info > 27 {
		r.fail("additional information %d, expected a definite length", info)
		return 0, 0
	}
	size := 1 << (info - 24)
	var wide [8]byte
	copy(wide[8-size:], r.take(uint64(size)))
	return major, binary.BigEndian.Uint64(wide[:])
}

func (r *reader) string(major byte) []byte { return r.take(r.head(major)) }

// skip passes over an item.
func (r *reader) skip(depth int) {
	if depth == 0 {
		r.fail("more than %d levels", depthLimit)
		return
	}
	if r.streams() {
		for r.err == nil && !r.ends() {
			r.skip(depth - 1)
		}
		return
	}
	major, n := r.any()
	switch major {
	case MajorBytes, MajorText:
		r.take(n)
	case MajorMap:
		// Each pair takes two bytes at least, so this ends with the data.
		for i := uint64(0); r.err == nil && i < n; i++ {
			r.skip(depth - 1)
			r.skip(depth - 1)
		}
	case MajorArray:
		for i := uint64(0); r.err == nil && i < n; i++ {
			r.skip(depth - 1)
		}
	case 6:
		r.fail("a tag, which the module does not write")
	}
}

// streams reads the start of a map or array of indefinite length, if that is
// what comes: serde_cbor, which the module is written with, has both forms.
func (r *reader) streams() bool {
	if r.err != nil || len(r.data) == 0 || r.data[0] != MajorMap<<5|31 && r.data[0] != MajorArray<<5|31 {
		return false
	}
	r.data = r.data[1:]
	return true
}

// ends reads the end of such an item, if that is what comes.
func (r *reader) ends() bool {
	if r.err != nil || len(r.data) == 0 || r.data[0] != endOfStream {
		return false
	}
	r.data = r.data[1:]
	return true
}

// fields reads a map of text to anything, and nothing after it.
func (r *reader) fields() Fields {
	out := Fields{}
	r.each(func() { r.pair(out) })
	return out
}

// each reads a map, and nothing after it; pair reads one of its pairs.
func (r *reader) each(pair func()) {
	if r.streams() {
		for r.err == nil && !r.ends() {
			pair()
		}
	} else {
		n := r.head(MajorMap)
		for i := uint64(0); r.err == nil && i < n; i++ {
			pair()
		}
	}
	if r.err == nil && len(r.data) != 0 {
		r.fail("%d bytes after the end", len(r.data))
	}
}

func (r *reader) pair(out Fields) {
	name := string(r.string(MajorText))
	before := r.data
	r.skip(depthLimit)
	if r.err != nil {
		return
	}
	if _, twice := out[name]; twice {
		r.fail("field %q twice", name)
	}
	out[name] = before[:len(before)-len(r.data)]
}
