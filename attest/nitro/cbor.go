package nitro

import (
	"encoding/binary"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// Major types (RFC 8949, section 3.1).
const (
	majorUint byte = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

// Whole items and the additional information that ask for more than a number.
const (
	itemNull   = 0xf6 // simple value 22 (section 3.3)
	itemBreak  = 0xff // the end of an item of indefinite length (section 3.2.1)
	indefinite = 31
)

// majorName is for error messages.
func majorName(m byte) string {
	return [...]string{"unsigned integer", "negative integer", "byte string", "text string", "array", "map", "tag", "simple value"}[m&7]
}

// problem is why bytes could not be read.
type problem struct {
	code attest.Code
	text string
}

func (p *problem) Error() string { return "nitro: " + p.text }

// reader reads CBOR item by item; the caller says what has to come next, so
// there is nothing to recurse into. Numbers have to be in their shortest form
// (section 4.2.1), lengths definite, and tags do not occur. After the first
// problem it reads nothing more and returns zero values.
type reader struct {
	data []byte
	at   int
	err  *problem
}

func (r *reader) fail(code attest.Code, format string, args ...any) {
	if r.err == nil {
		r.err = &problem{code, fmt.Sprintf(format, args...)}
	}
}

func (r *reader) malformed(format string, args ...any) {
	r.fail(attest.CodeMalformed, format, args...)
}

// peek returns the next byte without reading it.
func (r *reader) peek() (b byte, ok bool) {
	if r.at >= len(r.data) {
		return 0, false
	}
	return r.data[r.at], true
}

// take reads n bytes. The result shares memory with the input.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.data)-r.at {
		r.malformed("%d bytes missing at offset %d", n-(len(r.data)-r.at), len(r.data))
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at : r.at]
}

// head reads the start of an item of the type given and returns its argument.
func (r *reader) head(major byte, what string) uint64 {
	at := r.at
	first := r.take(1)
	if r.err != nil {
		return 0
	}
	if got := first[0] >> 5; got != major {
		r.malformed("%s at offset %d is a %s, expected a %s", what, at, majorName(got), majorName(major))
		return 0
	}
	info := first[0] & 31
	if info < 24 {
		return uint64(info)
	}
	if info > 27 {
		r.malformed("%s at offset %d has additional information %d, expected a definite length", what, at, info)
		return 0
	}
	return r.argument(1<<(info-24), what)
}

// argument reads a number of 1, 2, 4 or 8 bytes that fits in no fewer.
func (r *reader) argument(size int, what string) uint64 {
	at := r.at
	var wide [8]byte
	if copy(wide[8-size:], r.take(size)) != size {
		return 0
	}
	n := binary.BigEndian.Uint64(wide[:])
	least := uint64(24)
	if size > 1 {
		least = 1 << (4 * size)
	}
	if n < least {
		r.malformed("%s at offset %d: %d is written in %d bytes and fits in fewer", what, at, n, size)
		return 0
	}
	return n
}

// length reads the start of a string, an array or a map of at most limit bytes,
// items or pairs.
func (r *reader) length(major byte, limit int, what string) int {
	n := r.head(major, what)
	if n > uint64(limit) {
		r.fail(attest.CodeTooLarge, "%s of length %d, the limit is %d", what, n, limit)
		return 0
	}
	return int(n)
}

func (r *reader) unsigned(what string) uint64 { return r.head(majorUint, what) }

func (r *reader) bytes(limit int, what string) []byte {
	return r.take(r.length(majorBytes, limit, what))
}

// text does not ask for UTF-8: every text of a document is compared with words
// or letters that are ASCII.
func (r *reader) text(limit int, what string) string {
	return string(r.take(r.length(majorText, limit, what)))
}

// optional reads a byte string or null, which becomes nil. An empty byte string
// is not nil.
func (r *reader) optional(limit int, what string) []byte {
	if b, ok := r.peek(); ok && b == itemNull {
		r.at++
		return nil
	}
	return r.bytes(limit, what)
}

// fields reads a map and calls field after each of its keys has been read; it
// has to read the value, and to refuse keys that it does not know or has seen.
// The length may be indefinite: the Nitro system writes a document's map so
// (serde_cbor, which streams structures), and nothing else.
func (r *reader) fields(limit int, what string, field func(key string)) {
	if b, ok := r.peek(); !ok || b != majorMap<<5|indefinite {
		for range r.length(majorMap, limit, what) {
			r.field(field)
		}
		return
	}
	r.at++
	for r.err == nil {
		if b, ok := r.peek(); ok && b == itemBreak {
			r.at++
			return
		}
		r.field(field)
	}
}

func (r *reader) field(field func(key string)) {
	key := r.text(maxKey, "name of a field")
	if r.err == nil {
		field(key)
	}
}

// end establishes that nothing follows.
func (r *reader) end(what string) {
	if n := len(r.data) - r.at; r.err == nil && n != 0 {
		r.malformed("%d bytes after the end of %s", n, what)
	}
}
