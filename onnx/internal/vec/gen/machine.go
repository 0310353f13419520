package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A machine emits instructions for one vector width. Its methods are the
// operations that functions are described with: they take vectors, or constants
// in memory, and return new vectors. A description runs once for each width.
type machine struct {
	*build.Context
	avx512    bool
	constants map[uint32]operand.Mem // of the file, by bits
	mask      reg.Register           // the lanes in use; nil while all are
}

// vector is a register full of float32, or of int32 where a description says so.
type vector = reg.VecVirtual

// condition is a choice for each lane: an opmask with AVX-512, else a vector.
type condition = reg.Register

// instruction is a method of build.Context with a free number of operands.
type instruction func(ops ...operand.Op)

// width is the number of float32 in a vector.
func (m *machine) width() int {
	if m.avx512 {
		return 16
	}
	return 8
}

func (m *machine) suffix() string {
	if m.avx512 {
		return "AVX512"
	}
	return "AVX2"
}

func (m *machine) vector() vector {
	if m.avx512 {
		return m.ZMM()
	}
	return m.YMM()
}

// number is a constant in memory.
func (m *machine) number(x float64) operand.Op { return m.bits(math.Float32bits(float32(x))) }

// bits is a constant given by its bits, eight times in a row: AVX2 reads it as
// a vector, AVX-512 reads the first and repeats it.
func (m *machine) bits(b uint32) operand.Op {
	if c, ok := m.constants[b]; ok {
		return c
	}
	c := m.StaticGlobal(fmt.Sprintf("f32x%08x", b))
	m.DataAttributes(attr.RODATA | attr.NOPTR)
	for range 8 {
		m.AppendDatum(operand.U32(b))
	}
	m.constants[b] = c
	return c
}

// load puts a constant into a vector.
func (m *machine) load(x operand.Op) vector {
	d := m.vector()
	if m.avx512 {
		m.VBROADCASTSS(x, d)
	} else {
		m.VMOVUPS(x, d)
	}
	return d
}

// register returns x as a vector.
func (m *machine) register(x operand.Op) vector {
	if v, ok := x.(vector); ok {
		return v
	}
	return m.load(x)
}

// emit3 emits an instruction whose last source b may be a constant in memory.
func (m *machine) emit3(plain, broadcast instruction, b operand.Op, a, d vector) {
	if _, constant := b.(operand.Mem); constant && m.avx512 {
		broadcast(b, a, d)
		return
	}
	plain(b, a, d)
}

func (m *machine) binary(plain, broadcast instruction, a, b operand.Op) vector {
	d := m.vector()
	m.emit3(plain, broadcast, b, m.register(a), d)
	return d
}

func (m *machine) add(a, b operand.Op) vector { return m.binary(m.VADDPS, m.VADDPS_BCST, a, b) }
func (m *machine) sub(a, b operand.Op) vector { return m.binary(m.VSUBPS, m.VSUBPS_BCST, a, b) }
func (m *machine) mul(a, b operand.Op) vector { return m.binary(m.VMULPS, m.VMULPS_BCST, a, b) }
func (m *machine) div(a, b operand.Op) vector { return m.binary(m.VDIVPS, m.VDIVPS_BCST, a, b) }

// max is the larger of a and b; b where they are equal or either is NaN.
func (m *machine) max(a, b operand.Op) vector { return m.binary(m.VMAXPS, m.VMAXPS_BCST, a, b) }

// min is the smaller of a and b; b where they are equal or either is NaN.
func (m *machine) min(a, b operand.Op) vector { return m.binary(m.VMINPS, m.VMINPS_BCST, a, b) }

func (m *machine) and(a, b operand.Op) vector { return m.binary(m.VANDPS, m.VANDPS_BCST, a, b) }
func (m *machine) or(a, b operand.Op) vector  { return m.binary(m.VORPS, m.VORPS_BCST, a, b) }
func (m *machine) xor(a, b operand.Op) vector { return m.binary(m.VXORPS, m.VXORPS_BCST, a, b) }

// fma is a*b + c, rounded once.
func (m *machine) fma(a, b, c operand.Op) vector {
	d := m.copy(c)
	m.emit3(m.VFMADD231PS, m.VFMADD231PS_BCST, b, m.register(a), d)
	return d
}

// fnma is c - a*b, rounded once.
func (m *machine) fnma(a, b, c operand.Op) vector {
	d := m.copy(c)
	m.emit3(m.VFNMADD231PS, m.VFNMADD231PS_BCST, b, m.register(a), d)
	return d
}

func (m *machine) copy(x operand.Op) vector {
	if _, constant := x.(operand.Mem); constant {
		return m.load(x)
	}
	d := m.vector()
	m.VMOVAPS(x, d)
	return d
}

// polynomial is the value at x of the polynomial with coefficients c, the
// constant one first (Horner's rule: the processor has other vectors to work on
// while it waits for this one).
func (m *machine) polynomial(x vector, c ...float64) vector {
	last := len(c) - 1
	d := m.load(m.number(c[last]))
	for i := last - 1; i >= 0; i-- {
		m.emit3(m.VFMADD213PS, m.VFMADD213PS_BCST, m.number(c[i]), x, d)
	}
	return d
}

func (m *machine) sqrt(x vector) vector {
	d := m.vector()
	m.VSQRTPS(x, d)
	return d
}

// Rounding modes of round.
const (
	nearest = 8 // ties to even
	down    = 9
	up      = 10
)

func (m *machine) round(mode uint8, x vector) vector {
	d := m.vector()
	if m.avx512 {
		m.VRNDSCALEPS(operand.U8(mode), x, d)
	} else {
		m.VROUNDPS(operand.U8(mode), x, d)
	}
	return d
}

// Integers, in lanes of 32 bits.

func (m *machine) toInt(x vector) vector {
	d := m.vector()
	m.VCVTPS2DQ(x, d)
	return d
}

func (m *machine) fromInt(x vector) vector {
	d := m.vector()
	m.VCVTDQ2PS(x, d)
	return d
}

func (m *machine) addInt(a, b operand.Op) vector { return m.binary(m.VPADDD, m.VPADDD_BCST, a, b) }
func (m *machine) subInt(a, b operand.Op) vector { return m.binary(m.VPSUBD, m.VPSUBD_BCST, a, b) }

func (m *machine) shift(by instruction, n uint8, x vector) vector {
	d := m.vector()
	by(operand.U8(n), x, d)
	return d
}

// Comparisons, as immediates of VCMPPS. NaN compares as none but unordered.
const (
	equal     = 0
	unordered = 3
	less      = 17
	notLess   = 21 // true for NaN
	atLeast   = 29
	greater   = 30
)

func (m *machine) compare(how uint8, a, b operand.Op) condition {
	x := m.register(a)
	if !m.avx512 {
		d := m.YMM()
		m.VCMPPS(operand.U8(how), b, x, d)
		return d
	}
	k := m.K()
	if _, constant := b.(operand.Mem); constant {
		m.VCMPPS_BCST(operand.U8(how), b, x, k)
	} else {
		m.VCMPPS(operand.U8(how), b, x, k)
	}
	return k
}

// where is x where c holds and 0 elsewhere.
func (m *machine) where(c condition, x vector) vector {
	d := m.vector()
	if m.avx512 {
		m.VMOVAPS_Z(x, c, d)
	} else {
		m.VANDPS(c, x, d)
	}
	return d
}

// choose is yes where c holds and no elsewhere.
func (m *machine) choose(c condition, yes, no operand.Op) vector {
	d := m.vector()
	if !m.avx512 {
		m.VBLENDVPS(c, yes, m.register(no), d)
	} else if _, constant := yes.(operand.Mem); constant {
		m.VBLENDMPS_BCST(yes, m.register(no), c, d)
	} else {
		m.VBLENDMPS(yes, m.register(no), c, d)
	}
	return d
}
