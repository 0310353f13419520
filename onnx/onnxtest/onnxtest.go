// Package onnxtest writes ONNX files for tests, field by field, so that any
// malformed model can be made. It shares nothing with the reader on purpose:
// what it writes is an oracle for what the reader must see.
//
// Every function returns the bytes of one field; a message is fields joined.
// Field numbers: onnx.proto3.
package onnxtest

import (
	"encoding/binary"
	"math"
	"slices"
)

// Int is a varint field.
func Int(field int, v int64) []byte {
	b := binary.AppendUvarint(nil, uint64(field)<<3)
	return binary.AppendUvarint(b, uint64(v))
}

// Float is a fixed32 field.
func Float(field int, v float32) []byte {
	b := binary.AppendUvarint(nil, uint64(field)<<3|5)
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
}

// Str is a string or bytes field.
func Str(field int, s string) []byte { return Msg(field, []byte(s)) }

// Msg is a message field.
func Msg(field int, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := binary.AppendUvarint(nil, uint64(field)<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// Model is a whole file at operator set 17 with a graph of the given fields.
func Model(graph ...[]byte) []byte { return ModelAt(17, graph...) }

// ModelAt is Model at another operator set.
func ModelAt(opset int64, graph ...[]byte) []byte {
	return slices.Concat(Int(1, 8), Msg(8, Str(1, ""), Int(2, opset)), Msg(7, graph...))
}

// Node is a node of a graph. Names may be empty.
func Node(name, op string, in, out []string, attrs ...[]byte) []byte {
	return Msg(1, node(name, op, in, out, attrs))
}

// Call is a node of a graph in a domain of its own.
func Call(domain, op string, in, out []string, attrs ...[]byte) []byte {
	return Msg(1, node("", op, in, out, attrs), Str(7, domain))
}

func node(name, op string, in, out []string, attrs [][]byte) []byte {
	var b []byte
	for _, s := range in {
		b = append(b, Str(1, s)...)
	}
	for _, s := range out {
		b = append(b, Str(2, s)...)
	}
	if name != "" {
		b = append(b, Str(3, name)...)
	}
	b = append(b, Str(4, op)...)
	return append(b, slices.Concat(attrs...)...)
}

// Function is a function of a model, at operator set 17, with further fields.
func Function(domain, name string, in, out []string, fields ...[]byte) []byte {
	b := Str(1, name)
	for _, s := range in {
		b = append(b, Str(4, s)...)
	}
	for _, s := range out {
		b = append(b, Str(5, s)...)
	}
	return Msg(25, b, Str(10, domain), Msg(9, Str(1, ""), Int(2, 17)), slices.Concat(fields...))
}

// Inner is a node of a function; its domain may be empty.
func Inner(domain, op string, in, out []string, attrs ...[]byte) []byte {
	b := node("", op, in, out, attrs)
	if domain != "" {
		b = append(b, Str(7, domain)...)
	}
	return Msg(7, b)
}

// AttrInt is an attribute of kind INT.
func AttrInt(name string, v int64) []byte { return Msg(5, Str(1, name), Int(3, v), Int(20, 2)) }

// AttrFloat is an attribute of kind FLOAT.
func AttrFloat(name string, v float32) []byte { return Msg(5, Str(1, name), Float(2, v), Int(20, 1)) }

// AttrInts is an attribute of kind INTS.
func AttrInts(name string, v ...int64) []byte {
	parts := [][]byte{Str(1, name), Int(20, 7)}
	for _, x := range v {
		parts = append(parts, Int(8, x))
	}
	return Msg(5, parts...)
}

// AttrRef is an attribute of a function's node that is an attribute of the function.
func AttrRef(name, ref string, kind int64) []byte {
	return Msg(5, Str(1, name), Str(21, ref), Int(20, kind))
}

// AttrTensor is an attribute of kind TENSOR with the given fields of a tensor.
func AttrTensor(name string, tensor ...[]byte) []byte {
	return Msg(5, Str(1, name), Msg(5, tensor...), Int(20, 4))
}

// AttrGraph is an attribute of kind GRAPH with the given fields of a graph.
func AttrGraph(name string, graph ...[]byte) []byte {
	return Msg(5, Str(1, name), Msg(6, graph...), Int(20, 5))
}

// Initializer is a stored tensor with the given fields.
func Initializer(tensor ...[]byte) []byte { return Msg(5, tensor...) }

// Floats are the fields of a float32 tensor.
func Floats(name string, shape []int64, v ...float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return slices.Concat(Head(name, 1, shape...), Msg(9, raw))
}

// Ints are the fields of an int64 tensor.
func Ints(name string, shape []int64, v ...int64) []byte {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return slices.Concat(Head(name, 7, shape...), Msg(9, raw))
}

// Head is a tensor's name, type and shape without its elements.
func Head(name string, dataType int64, shape ...int64) []byte {
	b := slices.Concat(Str(8, name), Int(2, dataType))
	for _, d := range shape {
		b = append(b, Int(1, d)...)
	}
	return b
}

// Input is an input of a graph; a dimension is an int64, a string (its symbol),
// or nil.
func Input(name string, dataType int64, dims ...any) []byte {
	return value(11, name, dataType, dims)
}

// Output is an output of a graph.
func Output(name string, dataType int64, dims ...any) []byte {
	return value(12, name, dataType, dims)
}

// OpenOutput is an output without a shape.
func OpenOutput(name string, dataType int64) []byte {
	return Msg(12, Str(1, name), Msg(2, Msg(1, Int(1, dataType))))
}

func value(field int, name string, dataType int64, dims []any) []byte {
	var shape []byte
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape = append(shape, Msg(1, Int(1, int64(d)))...)
		case int64:
			shape = append(shape, Msg(1, Int(1, d))...)
		case string:
			shape = append(shape, Msg(1, Str(2, d))...)
		default:
			shape = append(shape, Msg(1)...)
		}
	}
	return Msg(field, Str(1, name), Msg(2, Msg(1, Int(1, dataType), Msg(2, shape))))
}
