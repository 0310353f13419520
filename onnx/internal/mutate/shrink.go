package mutate

import (
	"encoding/binary"
	"strings"
)

// Shrink returns the model with the nodes that it has and an eighth of its channels:
// sizes of 16 to 4096 that eight divides become an eighth of what they are, in stored
// tensors, in attributes, and in small stored tensors of integers, which are shapes.
// Sizes that are in to become what it says. Numbers are the first of the old ones.
func Shrink(model *Message, to map[int64]int64) *Message {
	less := func(d int64) int64 {
		if v, ok := to[d]; ok {
			return v
		}
		if d >= 16 && d <= 4096 && d%8 == 0 {
			return d / 8
		}
		return d
	}
	m := model.clone()
	m.each(func(m *Message) {
		switch m.Kind {
		case Tensor:
			shrinkTensor(m, less)
		case Attribute:
			shrinkAttribute(m, less)
		case Graph:
			m.drop(graphValue)
		}
	})
	for _, t := range m.find(Dim) {
		if i := t.all(dimValue); len(i) == 1 {
			t.Fields[i[0]].Int = uint64(less(int64(t.Fields[i[0]].Int)))
		}
	}
	return m
}

// shrinkAttribute leaves alone what is not a size.
func shrinkAttribute(a *Message, less func(int64) int64) {
	if !strings.Contains("group kernel_shape strides pads hidden_size", a.text(1)) {
		return
	}
	for i := range a.Fields {
		if f := &a.Fields[i]; (f.Number == attrInt || f.Number == attrInts) && f.wire == varint {
			f.Int = uint64(less(int64(f.Int)))
		}
	}
}

// sizes of elements, by the number of their type.
func size(element uint64) int {
	switch element {
	case 1, 6, 12:
		return 4
	case 7, 11, 13:
		return 8
	case 4, 5, 10, 16:
		return 2
	}
	return 1
}

func shrinkTensor(t *Message, less func(int64) int64) {
	raw := t.all(tensorRaw)
	at := t.all(tensorType)
	if len(raw) == 0 || len(at) == 0 {
		return
	}
	element, n := t.Fields[at[0]].Int, size(t.Fields[at[0]].Int)
	for _, i := range t.all(tensorDim) {
		t.Fields[i].Int = uint64(less(int64(t.Fields[i].Int)))
		n *= int(t.Fields[i].Int)
	}
	f := &t.Fields[raw[0]]
	f.Bytes = f.Bytes[:min(n, len(f.Bytes))]
	if len(f.Bytes) > 8*8 {
		return
	}
	var sizes []byte
	for b := f.Bytes; len(b) >= 8 && element == 7; b = b[8:] {
		sizes = binary.LittleEndian.AppendUint64(sizes, uint64(less(int64(binary.LittleEndian.Uint64(b)))))
	}
	for b := f.Bytes; len(b) >= 4 && element == 6; b = b[4:] {
		sizes = binary.LittleEndian.AppendUint32(sizes, uint32(less(int64(binary.LittleEndian.Uint32(b)))))
	}
	if sizes != nil {
		f.Bytes = sizes
	}
}
