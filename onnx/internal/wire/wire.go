// Package wire reads the protocol buffers wire format, one message at a time,
// without generated code. It answers only "which fields are here"; what they
// mean is for the caller. The bytes come from strangers: every length is
// checked against what is left, nothing is copied, and nothing panics.
//
// Source: protobuf.dev, "Encoding".
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Type is the wire type of a field.
type Type uint8

// The wire types. Groups (3 and 4) are deprecated and refused.
const (
	Varint  Type = 0
	Fixed64 Type = 1
	Bytes   Type = 2
	Fixed32 Type = 5
)

// maxField is the largest field number that the format allows.
const maxField = 1<<29 - 1

// Field is one field of a message. Exactly one of bits and data holds its
// content, by type.
type Field struct {
	Number int
	Type   Type
	bits   uint64
	data   []byte
}

// Reader walks the fields of one message.
type Reader struct{ rest []byte }

// NewReader reads the message in data, which it keeps and does not change.
func NewReader(data []byte) *Reader { return &Reader{rest: data} }

// Done says whether all fields have been read.
func (r *Reader) Done() bool { return len(r.rest) == 0 }

// Next reads one field.
func (r *Reader) Next() (Field, error) {
	tag, err := r.varint()
	if err != nil {
		return Field{}, err
	}
	number := tag >> 3
	if number == 0 || number > maxField {
		return Field{}, fmt.Errorf("field number %d, must be 1 to %d", number, maxField)
	}
	f := Field{Number: int(number), Type: Type(tag & 7)}
	switch f.Type {
	case Varint:
		f.bits, err = r.varint()
	case Fixed64:
		var b []byte
		if b, err = r.take(8); err == nil {
			f.bits = binary.LittleEndian.Uint64(b)
		}
	case Fixed32:
		var b []byte
		if b, err = r.take(4); err == nil {
			f.bits = uint64(binary.LittleEndian.Uint32(b))
		}
	case Bytes:
		var n uint64
		if n, err = r.varint(); err == nil {
			f.data, err = r.take(n)
		}
	default:
		err = fmt.Errorf("wire type %d is not supported", f.Type)
	}
	if err != nil {
		return Field{}, fmt.Errorf("field %d: %w", number, err)
	}
	return f, nil
}

func (r *Reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.rest)) {
		return nil, fmt.Errorf("needs %d bytes, %d are left", n, len(r.rest))
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out, nil
}

func (r *Reader) varint() (uint64, error) {
	v, n := binary.Uvarint(r.rest)
	if n == 0 {
		return 0, errors.New("a varint is cut off")
	}
	if n < 0 {
		return 0, errors.New("a varint does not fit into 64 bits")
	}
	r.rest = r.rest[n:]
	return v, nil
}

func (f Field) expect(t Type) error {
	if f.Type != t {
		return fmt.Errorf("field %d has wire type %d, expected %d", f.Number, f.Type, t)
	}
	return nil
}

// Int returns the content of an int32, int64 or enum field.
func (f Field) Int() (int64, error) { return int64(f.bits), f.expect(Varint) }

// Float returns the content of a float field.
func (f Field) Float() (float32, error) {
	return math.Float32frombits(uint32(f.bits)), f.expect(Fixed32)
}

// Bytes returns the content of a string, bytes or message field. It shares
// memory with the message.
func (f Field) Bytes() ([]byte, error) { return f.data, f.expect(Bytes) }

// Ints calls each for every element of a repeated int field, packed or not.
// Writers may use both forms, and readers must take both.
func (f Field) Ints(each func(int64) error) error {
	if f.Type == Varint {
		return each(int64(f.bits))
	}
	if err := f.expect(Bytes); err != nil {
		return err
	}
	for r := NewReader(f.data); !r.Done(); {
		v, err := r.varint()
		if err != nil {
			return fmt.Errorf("field %d: %w", f.Number, err)
		}
		if err := each(int64(v)); err != nil {
			return err
		}
	}
	return nil
}

// Floats calls each for every element of a repeated float field, packed or not.
func (f Field) Floats(each func(float32) error) error {
	if f.Type == Fixed32 {
		return each(math.Float32frombits(uint32(f.bits)))
	}
	if err := f.expect(Bytes); err != nil {
		return err
	}
	if len(f.data)%4 != 0 {
		return fmt.Errorf("field %d: %d bytes of packed floats, not a multiple of 4", f.Number, len(f.data))
	}
	for b := f.data; len(b) > 0; b = b[4:] {
		if err := each(math.Float32frombits(binary.LittleEndian.Uint32(b))); err != nil {
			return err
		}
	}
	return nil
}
