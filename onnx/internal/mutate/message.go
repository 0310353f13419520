// Package mutate answers: which hostile models are near this one? It takes the file
// of a model apart into messages and fields, changes some of them by what a list of
// bytes says, and writes a file again: operands are swapped, sizes become 2^62, nodes
// move into loops, names vanish. So most of what it makes is still read far enough to
// reach the code behind the parser, which bytes that are changed at random rarely do.
//
// It is for tests and linked into nothing. It shares no code with the engine's reader,
// and believes nothing of a file but its wire format.
package mutate

import (
	"encoding/binary"
	"errors"
)

// Kind names a message of onnx.proto3; [Other] is one that is kept as bytes.
type Kind uint8

// The messages that are taken apart.
const (
	Other Kind = iota
	Model
	Opset
	Function
	Graph
	Node
	Attribute
	Tensor
	Value
	Type
	TensorType
	ListType
	Shape
	Dim
)

// inside lists the fields of a message that are messages, by their numbers in
// onnx.proto3.
func inside(k Kind) map[int]Kind {
	switch k {
	case Model:
		return map[int]Kind{7: Graph, 8: Opset, 25: Function}
	case Function:
		return map[int]Kind{7: Node, 9: Opset, 11: Attribute}
	case Graph:
		return map[int]Kind{1: Node, 5: Tensor, 11: Value, 12: Value, 13: Value}
	case Node:
		return map[int]Kind{5: Attribute}
	case Attribute:
		return map[int]Kind{5: Tensor, 6: Graph, 10: Tensor, 11: Graph, 14: Type}
	case Value:
		return map[int]Kind{2: Type}
	case Type:
		return map[int]Kind{1: TensorType, 4: ListType, 9: ListType}
	case ListType:
		return map[int]Kind{1: Type}
	case TensorType:
		return map[int]Kind{2: Shape}
	case Shape:
		return map[int]Kind{1: Dim}
	}
	return nil
}

// Wire types of protocol buffers.
const (
	varint  = 0
	fixed64 = 1
	length  = 2
	fixed32 = 5
)

// Field is one field of a message: Int, Bytes or Sub holds its value.
type Field struct {
	Number int
	wire   byte
	Int    uint64
	Bytes  []byte
	Sub    *Message
}

// Message is a message's fields in the order of the file.
type Message struct {
	Kind   Kind
	Fields []Field
}

var errWire = errors.New("mutate: not a message")

// Read takes a file, or one message of it, apart. The result shares its memory. What
// should be a message inside and is none, or too deep, is an error.
func Read(k Kind, data []byte) (*Message, error) { return read(k, data, 0) }

// deepest is how far messages are taken apart.
const deepest = 60

func read(k Kind, data []byte, depth int) (*Message, error) {
	m, kinds := &Message{Kind: k}, inside(k)
	for len(data) > 0 {
		f, rest, err := readField(data)
		if err != nil {
			return nil, err
		}
		if sub, ok := kinds[f.Number]; ok {
			if f.wire != length || depth == deepest {
				return nil, errWire // the changes rely on messages inside
			}
			if f.Sub, err = read(sub, f.Bytes, depth+1); err != nil {
				return nil, err
			}
		}
		m.Fields, data = append(m.Fields, f), rest
	}
	return m, nil
}

func readField(data []byte) (f Field, rest []byte, err error) {
	key, n := binary.Uvarint(data)
	if n <= 0 || key>>3 == 0 || key>>3 > 1<<20 {
		return f, nil, errWire
	}
	f.Number, f.wire, data = int(key>>3), byte(key&7), data[n:]
	size := uint64(0)
	switch f.wire {
	case varint:
		f.Int, n = binary.Uvarint(data)
		if n <= 0 {
			return f, nil, errWire
		}
		return f, data[n:], nil
	case fixed64:
		size = 8
	case fixed32:
		size = 4
	case length:
		if size, n = binary.Uvarint(data); n <= 0 {
			return f, nil, errWire
		}
		data = data[n:]
	default:
		return f, nil, errWire
	}
	if size > uint64(len(data)) {
		return f, nil, errWire
	}
	f.Bytes = data[:size]
	return f, data[size:], nil
}

// Append writes the message behind b.
func (m *Message) Append(b []byte) []byte {
	for i := range m.Fields {
		b = m.Fields[i].append(b)
	}
	return b
}

func (f *Field) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(f.Number)<<3|uint64(f.wire))
	switch {
	case f.wire == varint:
		return binary.AppendUvarint(b, f.Int)
	case f.wire != length:
		return append(b, f.Bytes...)
	}
	body := f.Bytes
	if f.Sub != nil {
		body = f.Sub.Append(nil)
	}
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// clone copies all fields, but not the bytes, which nothing writes to.
func (m *Message) clone() *Message {
	out := &Message{m.Kind, append([]Field(nil), m.Fields...)}
	for i := range out.Fields {
		if sub := out.Fields[i].Sub; sub != nil {
			out.Fields[i].Sub = sub.clone()
		}
	}
	return out
}
