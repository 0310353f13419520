package tensor

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"unsafe"
)

// New makes a tensor of zeros. The caller has checked that the shape is valid and
// its size is one that it can pay for.
func New(t DataType, shape []int64) (*Tensor, error) {
	n, err := Count(shape)
	if err != nil {
		return nil, err
	}
	d, err := sliceOf(t, n, nil)
	if err != nil {
		return nil, err
	}
	return &Tensor{Type: t, Shape: slices.Clone(shape), data: d}, nil
}

// Alignment is where tensors begin in an Arena: multiples of a cache line.
const Alignment = 64

// Arena is a stretch of memory that holds the elements of many tensors, one
// after the other or, when their lives do not overlap, in the same place. It is
// the one place in the engine that reinterprets memory. Strings hold pointers and
// therefore never lie in an arena.
type Arena struct{ words []cacheLine }

// cacheLine makes the allocator align an arena for every element type.
type cacheLine [Alignment / 8]uint64

// NewArena makes an arena of at least so many bytes, all zero.
func NewArena(bytes int64) *Arena {
	return &Arena{make([]cacheLine, (bytes+Alignment-1)/Alignment)}
}

// Bytes is the size of the arena.
func (a *Arena) Bytes() int64 { return int64(len(a.words)) * Alignment }

// At makes a tensor whose elements lie in the arena from the byte offset on, which
// must be a multiple of [Alignment]. They hold whatever was there before.
func (a *Arena) At(offset int64, t DataType, shape []int64) (*Tensor, error) {
	n, err := Count(shape)
	if err != nil {
		return nil, err
	}
	room, err := a.room(offset, t.Size(), n)
	if err != nil {
		return nil, err
	}
	d, err := sliceOf(t, n, room)
	if err != nil {
		return nil, err
	}
	return &Tensor{Type: t, Shape: shape, data: d}, nil
}

// Floats returns n float32 from the byte offset on: scratch memory of a kernel.
func (a *Arena) Floats(offset, n int64) ([]float32, error) {
	room, err := a.room(offset, 4, n)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*float32)(room), n), nil
}

// Fill sets every byte: tests use it to show that nothing reads what it has not
// written.
func (a *Arena) Fill(b byte) {
	word := uint64(b) * 0x0101010101010101
	for i := range a.words {
		for j := range a.words[i] {
			a.words[i][j] = word
		}
	}
}

// Spoil sets every byte of the elements of t, as Fill does; strings, which hold
// pointers, become empty.
func Spoil(t *Tensor, b byte) {
	clear(Data[string](t))
	if n := int64(t.Len()); t.data != nil && n > 0 && t.Type != String {
		all := unsafe.Slice((*byte)(reflect.ValueOf(t.elements()).UnsafePointer()), n*t.Type.Size())
		for i := range all {
			all[i] = b
		}
	}
}

// empty is where tensors without elements begin.
var empty cacheLine

// room checks that n elements of the given size fit from the offset on, and
// returns where they begin.
func (a *Arena) room(offset, size, n int64) (unsafe.Pointer, error) {
	total := a.Bytes()
	switch {
	case size <= 0 || n < 0 || offset < 0 || offset%Alignment != 0:
		return nil, fmt.Errorf("tensor: %d elements of %d bytes at offset %d of an arena", n, size, offset)
	case n == 0:
		return unsafe.Pointer(&empty), nil
	case offset > total || n > (total-offset)/size:
		return nil, fmt.Errorf("tensor: %d elements of %d bytes at offset %d reach beyond an arena of %d bytes", n, size, offset, total)
	}
	return unsafe.Pointer(&a.words[offset/Alignment]), nil
}

// sliceOf makes a slice of n elements at the given place; nil: in memory of its own.
func sliceOf(t DataType, n int64, at unsafe.Pointer) (any, error) {
	switch t {
	case Float32:
		return slice[float32](n, at), nil
	case Uint8:
		return slice[uint8](n, at), nil
	case Int8:
		return slice[int8](n, at), nil
	case Uint16:
		return slice[uint16](n, at), nil
	case Int16:
		return slice[int16](n, at), nil
	case Int32:
		return slice[int32](n, at), nil
	case Int64:
		return slice[int64](n, at), nil
	case Bool:
		return slice[bool](n, at), nil
	case Float16:
		return slice[F16](n, at), nil
	case Float64:
		return slice[float64](n, at), nil
	case Uint32:
		return slice[uint32](n, at), nil
	case Uint64:
		return slice[uint64](n, at), nil
	case Complex64:
		return slice[complex64](n, at), nil
	case Complex128:
		return slice[complex128](n, at), nil
	case BFloat16:
		return slice[BF16](n, at), nil
	case String:
		if at == nil {
			return make([]string, n), nil
		}
		return nil, fmt.Errorf("tensor: strings cannot lie in an arena")
	}
	return smallSliceOf(t, n, at)
}

func smallSliceOf(t DataType, n int64, at unsafe.Pointer) (any, error) {
	switch t {
	case Float8E4M3FN:
		return slice[E4M3](n, at), nil
	case Float8E4M3FNUZ:
		return slice[E4M3UZ](n, at), nil
	case Float8E5M2:
		return slice[E5M2](n, at), nil
	case Float8E5M2FNUZ:
		return slice[E5M2UZ](n, at), nil
	case Uint4:
		return slice[U4](n, at), nil
	case Int4:
		return slice[I4](n, at), nil
	case Float4E2M1:
		return slice[E2M1](n, at), nil
	case Float8E8M0:
		return slice[E8M0](n, at), nil
	case Uint2:
		return slice[U2](n, at), nil
	case Int2:
		return slice[I2](n, at), nil
	}
	return nil, fmt.Errorf("tensor: %s is not an element type", t)
}

func slice[T Elem](n int64, at unsafe.Pointer) []T {
	if at == nil {
		return make([]T, n)
	}
	return unsafe.Slice((*T)(at), n)
}

// Word is what the elements of tensors look like to a loop that only moves them.
type Word interface {
	uint8 | uint16 | uint32 | uint64 | [2]uint64 | string
}

// Words views the elements of t, of any type of the size of W, as words. What is
// moved is then what was there, bit for bit. It returns nil for a W of another size.
func Words[W Word](t *Tensor) []W {
	var w W
	n := t.Len()
	if s, ok := t.data.([]W); ok {
		return s
	}
	if n == 0 || t.Type == String || int64(unsafe.Sizeof(w)) != t.Type.Size() {
		return nil
	}
	if _, isString := any(w).(string); isString {
		return nil
	}
	return unsafe.Slice((*W)(reflect.ValueOf(t.elements()).UnsafePointer()), n)
}

// LittleEndian views the elements of t as the bytes that files have for them. It
// returns nil where memory has them otherwise: on machines of another order, for
// strings and bools (of which few bytes are valid), and for types below a byte.
func LittleEndian(t *Tensor) []byte {
	n := int64(t.Len())
	own := t.Type == String || t.Type == Bool || t.Type.Packed() > 1
	if t.data == nil || n == 0 || own || binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil
	}
	return unsafe.Slice((*byte)(reflect.ValueOf(t.elements()).UnsafePointer()), n*t.Type.Size())
}

// Address tells tensors that share their elements from others: two that begin at the
// same place have the same. It is 0 for lists and for what has no elements.
func Address(t *Tensor) uintptr {
	if t.data == nil || t.Len() == 0 {
		return 0
	}
	if p, ok := t.data.(*panels); ok {
		return uintptr(unsafe.Pointer(unsafe.SliceData(p.all)))
	}
	return reflect.ValueOf(t.data).Pointer()
}

// Reuse views scratch memory as elements of another type, as many as fit into it.
func Reuse[T int8 | uint8 | int32](scratch []float32) []T {
	var v T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(scratch))), len(scratch)*4/int(unsafe.Sizeof(v)))
}
