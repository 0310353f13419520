package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// finish makes results of the sums, in the order of gemm's type Epilogue.
func (s shape) finish() {
	s.unless(flagFinish, "store")
	s.scale()
	s.bias()
	s.rowBias()
	s.extra()
	s.clip()
}

// unless jumps when a flag is not set.
func (s shape) unless(flag uint32, to string) {
	TESTQ(U32(flag), flags)
	JZ(LabelRef(s.label(to)))
}

// given jumps when a slice is nil, and leaves its address in the cursor.
func (s shape) given(offset int, otherwise string) {
	MOVQ(field(offset), cursor)
	TESTQ(cursor, cursor)
	JZ(LabelRef(s.label(otherwise)))
}

func (s shape) scale() {
	s.unless(flagScale, "scaled")
	VBROADCASTSS(field(fieldAlpha), s.broadcast(0))
	s.each(func(row, v int) { VMULPS(s.broadcast(0), s.sum(row, v), s.sum(row, v)) })
	Label(s.label("scaled"))
}

func (s shape) bias() {
	s.given(fieldBias, "unbiased")
	for v := range s.vectors {
		s.load(cursor, v, s.column(v))
	}
	s.each(func(row, v int) { VADDPS(s.column(v), s.sum(row, v), s.sum(row, v)) })
	Label(s.label("unbiased"))
}

func (s shape) rowBias() {
	s.given(fieldRowBias, "even")
	for row := range s.height {
		VBROADCASTSS(Mem{Base: cursor, Disp: 4 * row}, s.broadcast(row))
		for v := range s.vectors {
			VADDPS(s.broadcast(row), s.sum(row, v), s.sum(row, v))
		}
	}
	Label(s.label("even"))
}

// extra adds beta times a matrix.
func (s shape) extra() {
	s.unless(flagAdd, "added")
	beta := s.broadcast(0)
	VBROADCASTSS(field(fieldBeta), beta)
	s.down(fieldExtra, fieldExtraRow, func(row, v int) {
		s.load(cursor, v, s.column(v))
		VFMADD231PS(s.column(v), beta, s.sum(row, v))
	})
	Label(s.label("added"))
}

// clip has the sums as the operand that VMAXPS and VMINPS return when one of
// the two is NaN, or both are zero.
func (s shape) clip() {
	s.unless(flagClip, "store")
	lo, hi := s.column(0), s.column(1)
	VBROADCASTSS(field(fieldLo), lo)
	VBROADCASTSS(field(fieldHi), hi)
	s.each(func(row, v int) {
		VMAXPS(s.sum(row, v), lo, s.sum(row, v))
		VMINPS(s.sum(row, v), hi, s.sum(row, v))
	})
}
