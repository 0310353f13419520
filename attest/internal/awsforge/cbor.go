package awsforge

import (
	"encoding/binary"
	"slices"
)

// Item is one encoded CBOR data item, or bytes that pretend to be one.
type Item []byte

// Pair is one entry of a map.
type Pair struct{ Key, Value Item }

// head writes a major type and its argument in the shortest form.
func head(major byte, n uint64) Item {
	switch {
	case n < 24:
		return Item{major<<5 | byte(n)}
	case n < 1<<8:
		return Item{major<<5 | 24, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(Item{major<<5 | 25}, uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(Item{major<<5 | 26}, uint32(n))
	}
	return binary.BigEndian.AppendUint64(Item{major<<5 | 27}, n)
}

// Uint is an unsigned integer.
func Uint(n uint64) Item { return head(0, n) }

// Negative is -1-n.
func Negative(n uint64) Item { return head(1, n) }

// Bytes is a byte string.
func Bytes(b []byte) Item { return append(head(2, uint64(len(b))), b...) }

// Text is a text string.
func Text(s string) Item { return append(head(3, uint64(len(s))), s...) }

// Array is an array of definite length.
func Array(items ...Item) Item {
	out := head(4, uint64(len(items)))
	for _, i := range items {
		out = append(out, i...)
	}
	return out
}

// Map is a map of definite length, in the order given.
func Map(pairs ...Pair) Item {
	return append(head(5, uint64(len(pairs))), entries(pairs)...)
}

// Streamed is a map of indefinite length.
func Streamed(pairs ...Pair) Item {
	return append(append(Item{0xbf}, entries(pairs)...), 0xff)
}

func entries(pairs []Pair) Item {
	var out Item
	for _, p := range pairs {
		out = append(append(out, p.Key...), p.Value...)
	}
	return out
}

// Tag puts a tag before an item.
func Tag(n uint64, i Item) Item { return append(head(6, n), i...) }

// Null is the simple value null.
func Null() Item { return Item{0xf6} }

// Lying is the start of a string, array or map (major type 2 to 5) that claims
// a length and holds what is given.
func Lying(major byte, length uint64, content []byte) Item {
	return append(head(major, length), content...)
}

// Chunked is a byte string of indefinite length in two chunks.
func Chunked(b []byte) Item {
	half := len(b) / 2
	return slices.Concat(Item{0x5f}, Bytes(b[:half]), Bytes(b[half:]), Item{0xff})
}

// Wide writes the argument of an item's head in the next longer form than it
// needs. An argument of eight bytes stays as it is.
func Wide(i Item) Item {
	major, info := i[0]&0xe0, i[0]&31
	switch {
	case info < 24:
		return append(Item{major | 24, info}, i[1:]...)
	case info < 27:
		size := 1 << (info - 24)
		return slices.Concat(Item{major | (info + 1)}, make(Item, size), i[1:])
	}
	return slices.Clone(i)
}

// Nested is an array in an array, and so on, n deep.
func Nested(n int) Item {
	out := make(Item, n+1)
	for k := range n {
		out[k] = 0x81
	}
	out[n] = 0xf6
	return out
}
