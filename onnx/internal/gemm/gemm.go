// Package gemm multiplies matrices of float32. It answers one question: what is
// act(alpha * A x B + beta * C + bias)? It knows nothing of models; its callers have
// checked every shape.
//
// Every sum runs over k in rising order, one multiplication and addition after
// the other. Blocks, tiles and threads only decide when a part of a sum is
// computed: an element does not depend on them, nor on how many rows are
// multiplied together. A record gives the same answer alone and in a batch.
// Only the portable form differs in the last bits from the assembly, which does
// not round between multiplication and addition; all forms in assembly agree.
package gemm

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// View is a matrix in a slice: element (r, c) is Data[r*Row + c*Col]. Neither
// distance is negative.
type View struct {
	Data     []float32
	Row, Col int
}

// Dense is the view of a matrix whose rows of n elements lie one after the other.
func Dense(data []float32, n int) View { return View{data, n, 1} }

// Turned is the transpose.
func (v View) Turned() View { return View{v.Data, v.Col, v.Row} }

// check goes to the last element of a rows x cols matrix: a slice that is too
// short must stop here, where Go looks at bounds, and not be overrun in assembly.
func (v View) check(rows, cols int) {
	if rows > 0 && cols > 0 {
		_ = v.Data[(rows-1)*v.Row+(cols-1)*v.Col+1:]
	}
}

// Epilogue is what becomes of a product before it is written:
//
//	Row(clip(Alpha*product + Bias[column] + RowBias[row] + Beta*C, Lo, Hi))
//
// The zero value leaves the product as it is.
type Epilogue struct {
	Alpha float32 // 0 stands for 1

	Bias    []float32 // one for each column, or nil
	RowBias []float32 // one for each row, or nil

	// C is a matrix to add, Beta times, with CRow elements from row to row. It
	// may be dst itself; with Beta and Alpha 1 the sums then begin with it, which
	// is the fastest way to add a residual. With Beta 0 it is not read.
	Beta float32
	C    []float32
	CRow int

	Clip   bool // into Lo..Hi, Hi if they are the wrong way round; NaN stays
	Lo, Hi float32

	// Row is applied to stretches of finished rows while they are in a cache.
	// It must treat every element alike.
	Row func(level kernel.Level, row []float32)
}

// Mul computes dst = epilogue(a x b) for a of m rows; dst has m rows of b's n
// columns, ldc elements apart, and overlaps neither operand. a may have any
// strides; it is read fastest when its rows are contiguous (Col 1).
//
// On one thread it takes no memory from the heap. The error is the context's.
func Mul(on *kernel.On, dst []float32, ldc, m int, a View, b *Packed, e *Epilogue) error {
	p := product{m: m, k: b.k, n: b.n, a: a, dst: dst, ldc: ldc, e: *e, level: b.level}
	p.check()
	workers := p.workers(on, 1)
	g := p.cut(workers)
	if workers > 1 {
		return b.spread(on, p, g)
	}
	for unit := range g.units() {
		if err := on.Err(); err != nil {
			return err
		}
		p.block(on, g.at(unit), b.panels())
	}
	return on.Err()
}

// spread is apart from Mul because what a closure shares between goroutines is
// on the heap.
func (b *Packed) spread(on *kernel.On, p product, g grid) error {
	return on.Parallel(g.units(), func(unit int) { p.block(on, g.at(unit), b.panels()) })
}
