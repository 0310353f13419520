package tensor

import (
	"encoding/binary"
	"slices"
	"sync"
	"unsafe"

	"github.com/blindbox/blindbox/onnx/internal/panel"
)

// panels are the elements of a matrix of float32 that lies as a product reads it, see
// package panel, until somebody asks for it row by row. Tensors may share it.
type panels struct {
	k, n, width int

	mu    sync.Mutex
	all   []float32
	rows  bool // it lies row by row
	taken bool // by [Panels]
}

// NewInPanels makes a matrix of zeros, in panels of so many columns. What asks for its
// elements has them row by row, and moves them for that once; [Panels] has them as
// they are. It returns nil where memory does not have elements as files do.
func NewInPanels(k, n int64, width int) *Tensor {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil
	}
	p := &panels{k: int(k), n: int(n), width: width, all: Lasting(int(k * n))}
	return &Tensor{Type: Float32, Shape: []int64{k, n}, data: p}
}

// byRow returns the elements row by row.
func (p *panels) byRow() []float32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows {
		return p.all
	}
	all := p.all
	if p.rows = !p.taken; p.taken {
		all = slices.Clone(all)
	}
	panel.Back(all, p.k, p.n, p.width)
	return all
}

// own returns the panels of a matrix that is still as it was made.
func own(t *Tensor) *panels {
	p, ok := t.data.(*panels)
	if !ok || len(t.Shape) != 2 || t.Shape[0] != int64(p.k) || t.Shape[1] != int64(p.n) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows {
		return nil
	}
	return p
}

// Panels returns the elements of a matrix in panels of so many columns; nil if they do
// not lie so. They stay there: what asks for the matrix row by row after that gets a copy.
func Panels(t *Tensor, width int) []float32 {
	p := own(t)
	if p == nil || p.width != width {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows {
		return nil
	}
	p.taken = true
	return p.all
}

// Filler returns what takes the bytes of a matrix that was made in panels, as
// [LittleEndian] has them, piece by piece from the first on; nil for other tensors.
func Filler(t *Tensor) func([]byte) {
	p := own(t)
	if p == nil || len(p.all) == 0 {
		return nil
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p.all))), len(p.all)*4)
	return panel.NewFiller(bytes, p.k, p.n*4, p.width*4).Add
}

// RowWords returns the elements of a row of a matrix of float32 from a column on, bit by
// bit, as many as buf takes: in buf, or where they lie.
func RowWords(buf []uint32, t *Tensor, row, column int) []uint32 {
	if p := own(t); p != nil {
		words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(p.all))), len(p.all))
		panel.Row(buf, words, p.k, p.n, p.width, row, column)
		return buf
	}
	return Words[uint32](t)[row*int(t.Shape[1])+column:][:len(buf)]
}

// elements are the elements of t, row by row, whatever they are.
func (t *Tensor) elements() any {
	if p, ok := t.data.(*panels); ok {
		return p.byRow()
	}
	return t.data
}
