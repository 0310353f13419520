// Package wire reads the protocol buffers wire format, one message at a time,
// without generated code, from memory or from a stream. It answers only "which fields
// are here"; what they mean is for the caller. The bytes come from strangers: every
// length is checked against what is left of the message around it, nothing is copied
// that the caller does not ask for, and nothing panics.
//
// Source: protobuf.dev, "Encoding".
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
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

// Field is one field of a message. The content of a Bytes field is read on demand:
// once, and before the next field of the message is asked for.
type Field struct {
	Number int
	Type   Type
	bits   uint64 // of a varint or a fixed field
	src    *source
	start  int64 // position of the content of a Bytes field
	size   int64
}

// Reader walks the fields of one message.
type Reader struct {
	src  *source
	end  int64 // position after the message; of a stream, where it must have ended
	next int64 // position of the next field
	open bool  // a stream, which ends where it ends
}

// NewReader reads the message in data, which it keeps and does not change.
func NewReader(data []byte) *Reader {
	return &Reader{src: &source{held: data, err: io.EOF}, end: int64(len(data))}
}

// NewStream reads the message that the stream holds up to its end. More than limit
// bytes are an error. It holds one window of the stream, and reads ahead by as much.
func NewStream(from io.Reader, limit int64) *Reader {
	return &Reader{src: &source{from: from, held: make([]byte, 0, windowSize)}, end: limit, open: true}
}

// Done says whether all fields have been read.
func (r *Reader) Done() bool {
	if !r.open {
		return r.next >= r.end
	}
	if r.skip() != nil { // Next meets it again and tells
		return false
	}
	return len(r.src.window(1)) == 0 && r.src.err == io.EOF
}

// skip passes over what nobody has read of the field before.
func (r *Reader) skip() error {
	return r.src.pieces(r.next-r.src.position(), 1, func([]byte) error { return nil })
}

// Next reads one field.
func (r *Reader) Next() (Field, error) {
	if err := r.skip(); err != nil {
		return Field{}, err
	}
	if r.open && r.next >= r.end {
		return Field{}, r.src.broken(fmt.Errorf("more than %d bytes", r.end))
	}
	tag, err := r.src.varint(r.end)
	if err != nil {
		return Field{}, err
	}
	number := tag >> 3
	if number == 0 || number > maxField {
		return Field{}, fmt.Errorf("field number %d, must be 1 to %d", number, maxField)
	}
	f := Field{Number: int(number), Type: Type(tag & 7), src: r.src}
	if err := r.value(&f); err != nil {
		return Field{}, fmt.Errorf("field %d: %w", number, err)
	}
	r.next = r.src.position() + f.size
	return f, nil
}

// value reads a field's content, or of a Bytes field where it lies.
func (r *Reader) value(f *Field) (err error) {
	switch f.Type {
	case Varint:
		f.bits, err = r.src.varint(r.end)
	case Fixed64:
		return r.fixed(8, func(b []byte) { f.bits = binary.LittleEndian.Uint64(b) })
	case Fixed32:
		return r.fixed(4, func(b []byte) { f.bits = uint64(binary.LittleEndian.Uint32(b)) })
	case Bytes:
		var n uint64
		if n, err = r.src.varint(r.end); err == nil {
			f.start, f.size = r.src.position(), int64(n)
			err = r.room(n)
		}
	default:
		err = fmt.Errorf("wire type %d is not supported", f.Type)
	}
	return err
}

// room refuses content that reaches beyond the message.
func (r *Reader) room(n uint64) error {
	if left := r.end - r.src.position(); n > uint64(left) {
		return fmt.Errorf("needs %d bytes, %d are left", n, left)
	}
	return nil
}

func (r *Reader) fixed(n int, use func([]byte)) error {
	if err := r.room(uint64(n)); err != nil {
		return err
	}
	return r.src.pieces(int64(n), n, func(b []byte) error {
		use(b)
		return nil
	})
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

// Size is the number of bytes of the content of a Bytes field, and else 0.
func (f Field) Size() int64 { return f.size }

// content makes sure that the field's content is there to be read.
func (f Field) content() error {
	if err := f.expect(Bytes); err != nil {
		return err
	}
	if f.src.position() != f.start {
		return fmt.Errorf("field %d is read out of turn", f.Number)
	}
	return nil
}

// Message returns a reader of the content, which is a message or packed numbers.
func (f Field) Message() (*Reader, error) {
	return &Reader{src: f.src, end: f.start + f.size, next: f.start}, f.content()
}

// Pieces hands the content to each, piece by piece, in pieces whose length is a
// multiple of unit, except for the last one. A piece is valid until each returns.
func (f Field) Pieces(unit int, each func([]byte) error) error {
	if err := f.content(); err != nil {
		return err
	}
	if err := f.src.pieces(f.size, unit, each); err != nil {
		return fmt.Errorf("field %d: %w", f.Number, err)
	}
	return nil
}

// Bytes returns the content of a string or bytes field. It shares memory with the
// message, if that lies in memory; of a stream it is a copy, which takes memory only
// as the bytes come.
func (f Field) Bytes() ([]byte, error) {
	var all []byte
	err := f.Pieces(1, func(b []byte) error {
		if f.src.from == nil {
			all = b[:len(b):len(b)]
		} else {
			all = append(all, b...)
		}
		return nil
	})
	return all, err
}

// Ints calls each for every element of a repeated int field, packed or not.
// Writers may use both forms, and readers must take both.
func (f Field) Ints(each func(int64) error) error {
	if f.Type == Varint {
		return each(int64(f.bits))
	}
	r, err := f.Message()
	if err != nil {
		return err
	}
	for r.src.position() < r.end {
		v, err := r.src.varint(r.end)
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
	return f.packed(4, "floats", func(b []byte) error {
		return each(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	})
}

// Doubles calls each for every element of a repeated double field, packed or not.
func (f Field) Doubles(each func(float64) error) error {
	if f.Type == Fixed64 {
		return each(math.Float64frombits(f.bits))
	}
	return f.packed(8, "doubles", func(b []byte) error {
		return each(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	})
}

// packed calls each for every element of the given width.
func (f Field) packed(width int64, what string, each func([]byte) error) error {
	if f.size%width != 0 {
		return fmt.Errorf("field %d: %d bytes of packed %s, not a multiple of %d", f.Number, f.size, what, width)
	}
	return f.Pieces(int(width), func(b []byte) error {
		for ; len(b) > 0; b = b[width:] {
			if err := each(b); err != nil {
				return err
			}
		}
		return nil
	})
}
