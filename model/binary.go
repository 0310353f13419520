package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// headerLength is how many of a body's first bytes are JSON; the rest are tensors in
// the order in which the JSON names them. Source: Triton's binary tensor data
// extension, which kserve speaks too.
const headerLength = "Inference-Header-Content-Length"

// lengthSize is the bytes before each element of a BYTES tensor that say its length.
const lengthSize = 4

// split cuts a body into its JSON and the tensors behind it. Without the header
// all of it is JSON.
func split(h http.Header, body []byte) (head, tensors []byte, err error) {
	said := h.Values(headerLength)
	if len(said) == 0 {
		return body, nil, nil
	}
	n, err := strconv.ParseUint(said[0], 10, 63)
	switch {
	case len(said) > 1:
		return nil, nil, fail(http.StatusBadRequest, "%s is there %d times, expected once", headerLength, len(said))
	case err != nil:
		return nil, nil, fail(http.StatusBadRequest, "%s is %.40q, expected a number of bytes", headerLength, said[0])
	case n > uint64(len(body)):
		return nil, nil, fail(http.StatusBadRequest, "%s is %d, and the body has %d bytes", headerLength, n, len(body))
	}
	return body[:n], body[n:], nil
}

// binaryTensor reads the elements of a tensor from their bytes, little-endian and in
// row-major order. n is the shape's element count.
func binaryTensor(data []byte, typ tensor.DataType, shape []int64, n int64, beside *work) (*tensor.Tensor, error) {
	switch {
	case typ == tensor.String:
		return binaryStrings(data, shape, n, beside)
	case n > int64(len(data)) || int64(len(data)) != n*typ.Size():
		return nil, fmt.Errorf("shape %v of %s needs %d elements of %d bytes, binary_data_size is %d", shape, datatypeOf(typ), n, typ.Size(), len(data))
	case typ == tensor.Bool:
		return binaryBools(data, shape)
	}
	t, err := tensor.New(typ, shape)
	if err != nil {
		return nil, err
	}
	room := tensor.LittleEndian(t)
	if len(room) != len(data) {
		return nil, fmt.Errorf("elements of type %s cannot be read from bytes on this machine", typ)
	}
	copy(room, data)
	return t, nil
}

// binaryBools takes 0 and 1 and nothing else for a bool.
func binaryBools(data []byte, shape []int64) (*tensor.Tensor, error) {
	out := make([]bool, len(data))
	for i, b := range data {
		if b > 1 {
			return nil, fmt.Errorf("element %d of a BOOL tensor is %d, expected 0 or 1", i, b)
		}
		out[i] = b == 1
	}
	return tensor.Of(out, shape...), nil
}

// binaryStrings reads n strings, each behind its length.
func binaryStrings(data []byte, shape []int64, n int64, beside *work) (*tensor.Tensor, error) {
	if n > int64(len(data))/lengthSize {
		return nil, fmt.Errorf("shape %v needs %d elements, the tensor's %d bytes hold fewer", shape, n, len(data))
	}
	out := make([]string, n)
	for i := range out {
		if err := beside.element(i); err != nil {
			return nil, err
		}
		if len(data) < lengthSize {
			return nil, errEnded(i, n)
		}
		size := binary.LittleEndian.Uint32(data)
		if data = data[lengthSize:]; uint64(size) > uint64(len(data)) {
			return nil, errEnded(i, n)
		}
		out[i], data = string(data[:size]), data[size:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%d bytes follow the last of %d elements", len(data), n)
	}
	return tensor.Of(out, shape...), nil
}

func errEnded(i int, n int64) error {
	return fmt.Errorf("the tensor's bytes end in element %d of %d", i, n)
}

// takeBinary is the next size bytes of the tensors behind the JSON.
func (p *requestReader) takeBinary(size int64) ([]byte, error) {
	if size > int64(len(p.tensors)) {
		return nil, fmt.Errorf("binary_data_size is %d, and %d bytes are left behind the JSON", size, len(p.tensors))
	}
	data := p.tensors[:size]
	p.tensors = p.tensors[size:]
	return data, nil
}

// appendBinary writes the elements of a tensor as their bytes.
func appendBinary(b []byte, t *tensor.Tensor, beside *work) ([]byte, error) {
	switch t.Type {
	case tensor.String:
		for i, s := range tensor.Data[string](t) {
			if err := beside.element(i); err != nil {
				return nil, err
			}
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
		}
		return b, nil
	case tensor.Bool:
		for _, v := range tensor.Data[bool](t) {
			b = append(b, bit(v))
		}
		return b, nil
	}
	raw := tensor.LittleEndian(t)
	if t.Len() > 0 && raw == nil {
		return nil, errors.New("its elements cannot be written as bytes")
	}
	return append(b, raw...), nil
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// binarySize is how many bytes appendBinary will write.
func binarySize(t *tensor.Tensor) int64 {
	if t.Type != tensor.String {
		return int64(t.Len()) * t.Type.Size()
	}
	size := int64(0)
	for _, s := range tensor.Data[string](t) {
		size += lengthSize + int64(len(s))
	}
	return size
}
