// Package qgemm multiplies matrices of 8-bit integers. It answers one question:
// what is (A - zeroA) x (B - zeroB), summed in int32, and what is that as int32, as
// float32 or as 8 bits again? It knows nothing of models; its callers have checked
// every shape.
//
// Operands are packed first: weights once, other operands in each run, into memory
// that the caller brings. The packed form is the same for all levels. The left
// operand becomes unsigned and the right one signed, since that is the product that
// the processor has; a sign that changes moves its zero point along. Sums are taken
// of the packed bytes, and what the zero points would have contributed is taken away
// afterwards:
//
//	sum over k of (a-za)(b-zb)  =  sum of ab  -  za * sum of b  -  zb * sum of (a-za)
//
// All of this is exact in int32, or wraps around as int32 does, so every level gives
// the same bits, whatever the number of threads. The epilogues round float32 after
// each operation, and agree bit for bit as well.
package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Byte is the element types of operands.
type Byte interface{ uint8 | int8 }

// View is a matrix in a slice: element (r, c) is Data[r*Row + c*Col]. Neither
// distance is negative.
type View[T Byte] struct {
	Data     []T
	Row, Col int
}

// Dense is the view of a matrix whose rows of n elements lie one after the other.
func Dense[T Byte](data []T, n int) View[T] { return View[T]{data, n, 1} }

// Turned is the transpose.
func (v View[T]) Turned() View[T] { return View[T]{v.Data, v.Col, v.Row} }

// check reads the last element of a rows x cols matrix: a slice that is too short
// must stop here, where Go looks at bounds, and not be overrun in assembly.
func (v View[T]) check(rows, cols int) {
	if rows > 0 && cols > 0 {
		_ = v.Data[(rows-1)*v.Row+(cols-1)*v.Col]
	}
}

// Size is memory: so many bytes and so many int32.
type Size struct{ Bytes, Words int }

// Plus is the memory of both.
func (s Size) Plus(t Size) Size { return Size{s.Bytes + t.Bytes, s.Words + t.Words} }

// Memory is what packed operands and sums are written to. Each use takes its part
// from the front; what is there before is of no meaning.
type Memory struct {
	Bytes []uint8
	Words []int32
}

// Make takes memory of a size from the heap.
func (s Size) Make() *Memory { return &Memory{make([]uint8, s.Bytes), make([]int32, s.Words)} }

func (m *Memory) bytes(n int) []uint8 {
	part := m.Bytes[:n:n]
	m.Bytes = m.Bytes[n:]
	return part
}

func (m *Memory) words(n int) []int32 {
	part := m.Words[:n:n]
	m.Words = m.Words[n:]
	return part
}

// MulSize is the memory that Mul takes on as many threads.
func MulSize(threads int) Size { return Size{Words: max(1, threads) * tall * wide} }

// Mul computes the product of a and b, whose inner dimensions are the same, and
// hands it to out. The error is the context's.
func Mul(on *kernel.On, a *Left, b *Right, out Output, memory *Memory) error {
	p := product{a: a, b: b, out: out, level: on.Level}
	if a.m == 0 || b.n == 0 {
		return on.Err()
	}
	out.check(a.m, b.n)
	p.sums = memory.words(MulSize(on.Workers()).Words)
	return on.Share(p.parts(), func(lane, part int) { p.part(on, lane, part) })
}
