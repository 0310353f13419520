package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// machine is what AVX2 and AVX-512 differ in.
type machine struct {
	name   string
	lanes  int // floats in a vector
	rows   int // of the highest tile
	vector []Op
	spare  []Op // for broadcasts, beside the sums and two vectors of B; the last may be the mask

	zero                func(v Op)
	prepare             func(lanes Register) // makes the mask of the first lanes
	loadSome, storeSome func(from, to Op)    // of the lanes in the mask
	maskTakes           int                  // spare registers that the mask takes
}

func avx512() machine {
	m := machine{name: "AVX512", lanes: 16, rows: 12}
	m.vector = []Op{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
	}
	m.spare = m.vector[26:32]
	m.zero = func(v Op) { VPXORD(v, v, v) }
	m.prepare = func(lanes Register) {
		Comment("The mask has one bit for each lane in use")
		MOVQ(lanes, RCX)
		MOVQ(I32(-1), RAX)
		SHLQ(CL, RAX)
		NOTQ(RAX)
		KMOVW(EAX, K1)
	}
	m.loadSome = func(from, to Op) { VMOVUPS_Z(from, K1, to) }
	m.storeSome = func(from, to Op) { VMOVUPS(from, K1, to) }
	return m
}

func avx2() machine {
	m := machine{name: "AVX2", lanes: 8, rows: 6, maskTakes: 1}
	m.vector = []Op{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
	m.spare = m.vector[14:16]
	m.zero = func(v Op) { VXORPS(v, v, v) }
	table := maskTable()
	m.prepare = func(lanes Register) {
		Comment("The mask is read from a table: as many ones as lanes in use, then zeros")
		LEAQ(table, RAX)
		NEGQ(lanes)
		VMOVUPS(Mem{Base: RAX, Index: lanes, Scale: 4, Disp: 32}, Y15)
	}
	m.loadSome = func(from, to Op) { VMASKMOVPS(from, Y15, to) }
	m.storeSome = func(from, to Op) { VMASKMOVPS(from, Y15, to) }
	return m
}

// maskTable is eight words of ones and eight of zeros.
func maskTable() Mem {
	table := GLOBL("laneMask", RODATA|NOPTR)
	for i := range 16 {
		word := U32(0xffffffff)
		if i >= 8 {
			word = 0
		}
		DATA(i*4, word)
	}
	return table
}
