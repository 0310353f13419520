package mutate

import (
	"encoding/binary"
	"math"
	"slices"
)

// Numbers of fields in onnx.proto3 that several messages have, or that are read more
// than once here.
const (
	modelVersion = 1
	modelGraph   = 7
	modelOpset   = 8
	graphNode    = 1
	graphTensor  = 5
	graphInput   = 11
	graphOutput  = 12
	graphValue   = 13
	nodeInput    = 1
	nodeOutput   = 2
	nodeOp       = 4
	nodeAttr     = 5
	nodeDomain   = 7
	attrFloat    = 2
	attrInt      = 3
	attrString   = 4
	attrGraph    = 6
	attrFloats   = 7
	attrInts     = 8
	attrKind     = 20
	tensorDim    = 1
	tensorType   = 2
	tensorName   = 8
	tensorRaw    = 9
	typeElement  = 1
	typeShape    = 2
	dimValue     = 1
	dimSymbol    = 2
)

// Text is a field of bytes.
func Text(number int, s string) Field { return Field{Number: number, wire: length, Bytes: []byte(s)} }

// Number is a field of an integer.
func Number(number int, v int64) Field { return Field{Number: number, wire: varint, Int: uint64(v)} }

// Inner is a field of a message.
func Inner(number int, m *Message) Field { return Field{Number: number, wire: length, Sub: m} }

// message makes a message of fields.
func message(k Kind, fields ...Field) *Message { return &Message{k, fields} }

// all is the places of the fields with a number.
func (m *Message) all(number int) []int {
	var at []int
	for i := range m.Fields {
		if m.Fields[i].Number == number {
			at = append(at, i)
		}
	}
	return at
}

// sub is the first message with a number; nil if there is none.
func (m *Message) sub(number int) *Message {
	for i := range m.Fields {
		if m.Fields[i].Number == number && m.Fields[i].Sub != nil {
			return m.Fields[i].Sub
		}
	}
	return nil
}

// text is the first text with a number.
func (m *Message) text(number int) string {
	for i := range m.Fields {
		if m.Fields[i].Number == number && m.Fields[i].Sub == nil {
			return string(m.Fields[i].Bytes)
		}
	}
	return ""
}

// set gives the first field with the number of f its value, or adds it.
func (m *Message) set(f Field) {
	for i := range m.Fields {
		if m.Fields[i].Number == f.Number {
			m.Fields[i] = f
			return
		}
	}
	m.Fields = append(m.Fields, f)
}

func (m *Message) remove(at int) { m.Fields = slices.Delete(m.Fields, at, at+1) }

func (m *Message) insert(at int, f ...Field) { m.Fields = slices.Insert(m.Fields, at, f...) }

// drop removes all fields with a number.
func (m *Message) drop(number int) {
	m.Fields = slices.DeleteFunc(m.Fields, func(f Field) bool { return f.Number == number })
}

// each walks over a message and all of those inside, in the order of the file.
func (m *Message) each(do func(*Message)) {
	do(m)
	for i := range m.Fields {
		if m.Fields[i].Sub != nil {
			m.Fields[i].Sub.each(do)
		}
	}
}

// find is the messages of a kind.
func (m *Message) find(k Kind) []*Message {
	var found []*Message
	m.each(func(m *Message) {
		if m.Kind == k {
			found = append(found, m)
		}
	})
	return found
}

// names is every name of a value: of inputs, stored tensors, and results of nodes.
func (m *Message) names() []string {
	var out []string
	m.each(func(m *Message) {
		switch m.Kind {
		case Node:
			for _, i := range m.all(nodeOutput) {
				out = append(out, string(m.Fields[i].Bytes))
			}
		case Tensor:
			out = append(out, m.text(tensorName))
		case Value:
			out = append(out, m.text(1))
		}
	})
	return out
}

// float is a field of a float32.
func float(number int, v float32) Field {
	return Field{Number: number, wire: fixed32, Bytes: binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))}
}

// tensorOfInts is a stored tensor of int64, whose dimensions are those of shape.
func tensorOfInts(name string, shape []int64, values ...int64) *Message {
	t := message(Tensor)
	for _, d := range shape {
		t.Fields = append(t.Fields, Number(tensorDim, d))
	}
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	t.Fields = append(t.Fields, Number(tensorType, 7), Text(tensorName, name), Text(tensorRaw, string(raw)))
	return t
}

// tensorOfBool is a stored scalar.
func tensorOfBool(name string, v bool) *Message {
	raw := "\x00"
	if v {
		raw = "\x01"
	}
	return message(Tensor, Number(tensorType, 9), Text(tensorName, name), Text(tensorRaw, raw))
}
