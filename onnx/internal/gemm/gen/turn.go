package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// turn writes the function that transposes eight rows, eight columns at a time.
// Each half of a register has four elements of one row, rows 0 to 3 below rows 4
// to 7, so that unpacking within the halves is all there is to do.
func turn() {
	TEXT("turnAVX2", attr.NOSPLIT, "func(dst, src *float32, dstRow, srcRow, blocks int)")
	Doc("turnAVX2 transposes eight rows of 8*blocks elements.")
	dst, src, dstRow, srcRow, blocks := RDI, RSI, R8, R9, RCX
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("dstRow"), dstRow)
	Load(Param("srcRow"), srcRow)
	Load(Param("blocks"), blocks)
	SHLQ(Imm(2), dstRow)
	SHLQ(Imm(2), srcRow)
	dstRow3, srcRow3 := R10, R11
	LEAQ(Mem{Base: dstRow, Index: dstRow, Scale: 2}, dstRow3)
	LEAQ(Mem{Base: srcRow, Index: srcRow, Scale: 2}, srcRow3)
	below := RDX // row 4 of src
	LEAQ(Mem{Base: src, Index: srcRow, Scale: 4}, below)

	Label("block")
	for half := range 2 {
		turnHalf(src, below, srcRow, srcRow3, 16*half)
		for i, o := range []Op{Y8, Y9, Y10, Y11} {
			VMOVUPS(o, rowOf(dst, dstRow, dstRow3, i, 0))
		}
		LEAQ(Mem{Base: dst, Index: dstRow, Scale: 4}, dst)
	}
	ADDQ(Imm(32), src)
	ADDQ(Imm(32), below)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// turnHalf leaves four columns of eight rows in Y8 to Y11.
func turnHalf(src, below, row, row3 Register, disp int) {
	for i, r := range [][2]Op{{X0, Y0}, {X1, Y1}, {X2, Y2}, {X3, Y3}} {
		VMOVUPS(rowOf(src, row, row3, i, disp), r[0])
		VINSERTF128(Imm(1), rowOf(below, row, row3, i, disp), r[1], r[1])
	}
	VUNPCKLPS(Y1, Y0, Y4)
	VUNPCKHPS(Y1, Y0, Y5)
	VUNPCKLPS(Y3, Y2, Y6)
	VUNPCKHPS(Y3, Y2, Y7)
	VUNPCKLPD(Y6, Y4, Y8)
	VUNPCKHPD(Y6, Y4, Y9)
	VUNPCKLPD(Y7, Y5, Y10)
	VUNPCKHPD(Y7, Y5, Y11)
}

// rowOf is row 0 to 3 from base on.
func rowOf(base, row, row3 Register, i, disp int) Mem {
	switch i {
	case 0:
		return Mem{Base: base, Disp: disp}
	case 3:
		return Mem{Base: base, Index: row3, Scale: 1, Disp: disp}
	}
	return Mem{Base: base, Index: row, Scale: uint8(i), Disp: disp}
}
