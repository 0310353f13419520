package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// machine is what the levels differ in.
type machine struct {
	name   string
	lanes  int // int32 in a vector
	rows   int // of the highest tile
	vector []Op
	spare  []Op // beside the sums of the highest tile two vectors wide

	zero func(v Op)
	// prepare sets up what stays in registers.
	prepare func()
	// right loads a vector of the panel, and left a quad of a row into all lanes;
	// v and row say which. dot adds their products to a sum.
	right func(v int, from Op)
	left  func(row int, from Op)
	dot   func(row, v int, sum Op)
}

func zmm() []Op {
	return []Op{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
	}
}

func ymm() []Op {
	return []Op{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
}

// vnni has a dot product of four unsigned and four signed bytes.
func vnni() machine {
	m := machine{name: "VNNI", lanes: 16, rows: 12, vector: zmm()}
	m.spare = m.vector[24:]
	panels, quads := m.spare[:2], m.spare[2:8]
	m.zero = func(v Op) { VPXORD(v, v, v) }
	m.prepare = func() {}
	m.right = func(v int, from Op) { VMOVDQU32(from, panels[v]) }
	m.left = func(row int, from Op) { VPBROADCASTD(from, quads[row%len(quads)]) }
	m.dot = func(row, v int, sum Op) { dotBytes(panels[v], quads[row%len(quads)], sum) }
	return m
}

// dotBytes is an instruction that avo does not know.
func dotBytes(signed, unsigned, sum Op) {
	Instruction(&ir.Instruction{
		Opcode:   "VPDPBUSD",
		Operands: []Op{signed, unsigned, sum},
		Inputs:   []Op{signed, unsigned, sum},
		Outputs:  []Op{sum},
		ISA:      []string{"AVX512VNNI"},
	})
}

// words is a machine that multiplies 16-bit integers and adds pairs of products.
// The even bytes of a quad and the odd ones make two such pairs. Nothing saturates.
func words(m machine, and func(a, b, to Op)) machine {
	even, odd := m.spare[:2], m.spare[2:4]
	evenLeft, oddLeft, product, mask := m.spare[4], m.spare[5], m.spare[6], m.spare[7]
	m.prepare = func() {
		Comment("The even bytes of a vector of words")
		MOVL(U32(0x00ff00ff), EAX)
		VMOVD(EAX, X15)
		VPBROADCASTD(X15, mask)
	}
	m.right = func(v int, from Op) {
		move(m.lanes, from, even[v])
		VPSRAW(Imm(8), even[v], odd[v])
		VPSLLW(Imm(8), even[v], even[v])
		VPSRAW(Imm(8), even[v], even[v])
	}
	m.left = func(_ int, from Op) {
		VPBROADCASTD(from, evenLeft)
		VPSRLW(Imm(8), evenLeft, oddLeft)
		and(evenLeft, mask, evenLeft)
	}
	m.dot = func(_, v int, sum Op) {
		VPMADDWD(even[v], evenLeft, product)
		VPADDD(product, sum, sum)
		VPMADDWD(odd[v], oddLeft, product)
		VPADDD(product, sum, sum)
	}
	return m
}

func avx512() machine {
	m := machine{name: "AVX512", lanes: 16, rows: 12, vector: zmm()}
	m.spare = m.vector[24:]
	m.zero = func(v Op) { VPXORD(v, v, v) }
	return words(m, func(a, b, to Op) { VPANDD(a, b, to) })
}

func avx2() machine {
	m := machine{name: "AVX2", lanes: 8, rows: 4, vector: ymm()}
	m.spare = m.vector[8:]
	m.zero = func(v Op) { VPXOR(v, v, v) }
	return words(m, func(a, b, to Op) { VPAND(a, b, to) })
}

// move loads or stores a whole vector of int32.
func move(lanes int, from, to Op) {
	if lanes == 16 {
		VMOVDQU32(from, to)
		return
	}
	VMOVDQU(from, to)
}
