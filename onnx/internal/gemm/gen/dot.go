package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// dot writes the function for a single row of A and a transposed B: squares of B
// are transposed in registers and used at once. Two columns of squares are
// summed side by side, because each addition waits for the one before.
func dot() {
	TEXT("dotAVX2", attr.NOSPLIT, "func(dst, a, b *float32, aCol, bCol, blocks int)")
	Doc("dotAVX2 computes 16 sums of 8*blocks products.")
	left, below, right, last := RSI, RDX, RBX, R12
	a, aCol, aCol3, row, row3, blocks, dst := RAX, R8, R9, R10, R11, RCX, RDI
	Load(Param("dst"), dst)
	Load(Param("a"), a)
	Load(Param("b"), left)
	Load(Param("aCol"), aCol)
	Load(Param("bCol"), row)
	Load(Param("blocks"), blocks)
	SHLQ(Imm(2), aCol)
	SHLQ(Imm(2), row)
	LEAQ(Mem{Base: aCol, Index: aCol, Scale: 2}, aCol3)
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	LEAQ(Mem{Base: left, Index: row, Scale: 4}, below)
	LEAQ(Mem{Base: left, Index: row, Scale: 8}, right)
	LEAQ(Mem{Base: below, Index: row, Scale: 8}, last)
	VXORPS(Y14, Y14, Y14)
	VXORPS(Y15, Y15, Y15)

	Label("block")
	for half := range 2 {
		turnHalf(left, below, row, row3, 16*half)
		dotHalf(a, aCol, aCol3, Y14)
		turnHalf(right, last, row, row3, 16*half)
		dotHalf(a, aCol, aCol3, Y15)
		LEAQ(Mem{Base: a, Index: aCol, Scale: 4}, a)
	}
	for _, pointer := range []Register{left, below, right, last} {
		ADDQ(Imm(32), pointer)
	}
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VMOVUPS(Y14, Mem{Base: dst})
	VMOVUPS(Y15, Mem{Base: dst, Disp: 32})
	VZEROUPPER()
	RET()
}

// dotHalf adds the products of four elements of a and what turnHalf has left.
func dotHalf(a, aCol, aCol3 Register, sum Op) {
	for i, o := range []Op{Y8, Y9, Y10, Y11} {
		x := []Op{Y12, Y13}[i%2]
		VBROADCASTSS(rowOf(a, aCol, aCol3, i, 0), x)
		VFMADD231PS(o, x, sum)
	}
}
