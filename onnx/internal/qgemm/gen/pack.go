package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// element is a type of operands. Its bytes with the bits of flip turned over are
// unsigned; with the other choice of the highest bit they are signed.
type element struct {
	name, goType string
	flip         uint32
}

// repeat fills a vector with a byte.
func repeat(b uint32, to VecPhysical) {
	low := to.AsX()
	MOVL(U32(b), EAX)
	VMOVD(EAX, low)
	VPBROADCASTB(low, to)
}

// copyRow writes the function that makes bytes unsigned and sums them, 32 at a time.
func copyRow(e element) {
	name := "copyRow" + e.name
	TEXT(name, attr.NOSPLIT, "func(dst []uint8, src []"+e.goType+") int64")
	Doc(name + " makes a multiple of 32 bytes unsigned and returns their sum.")
	from, to, left := RSI, RDI, RCX
	Load(Param("dst").Base(), to)
	Load(Param("src").Base(), from)
	Load(Param("src").Len(), left)
	flip, zero, sum, bytes, part := Y0, Y1, Y2, Y3, Y4
	if e.flip != 0 {
		repeat(e.flip, flip)
	}
	VPXOR(zero, zero, zero)
	VPXOR(sum, sum, sum)
	Label("next")
	CMPQ(left, Imm(32))
	JLT(LabelRef("done"))
	VMOVDQU(Mem{Base: from}, bytes)
	if e.flip != 0 {
		VPXOR(bytes, flip, bytes)
	}
	VMOVDQU(bytes, Mem{Base: to})
	VPSADBW(bytes, zero, part)
	VPADDQ(part, sum, sum)
	ADDQ(Imm(32), from)
	ADDQ(Imm(32), to)
	SUBQ(Imm(32), left)
	JMP(LabelRef("next"))
	Label("done")
	VEXTRACTI128(Imm(1), sum, X3)
	VPADDQ(X3, X2, X2)
	VPSHUFD(Imm(0x4e), X2, X3)
	VPADDQ(X3, X2, X2)
	VMOVQ(X2, RAX)
	Store(RAX, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// interleave writes the function that makes a panel of four rows at a time.
func interleave(e element) {
	name := "interleave" + e.name
	TEXT(name, attr.NOSPLIT, "func(dst []uint8, src []"+e.goType+", row, quads int, sums []int32)")
	Doc(name + " writes the quads of 16 columns, signed, and adds their sums to sums.")
	from, to, left, row, row3 := RSI, RDI, RCX, R8, R9
	Load(Param("dst").Base(), to)
	Load(Param("src").Base(), from)
	Load(Param("row"), row)
	Load(Param("quads"), left)
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	Load(Param("sums").Base(), RDX)
	sums := []Op{X8, X9, X10, X11}
	for i, s := range sums {
		VMOVDQU(Mem{Base: RDX, Disp: 16 * i}, s)
	}
	flip := e.flip ^ 0x80
	if flip != 0 {
		repeat(flip, X15)
	}
	repeat(1, X14)
	Comment("Words of 1")
	VPCMPEQW(X13, X13, X13)
	VPSRLW(Imm(15), X13, X13)
	Label("next")
	TESTQ(left, left)
	JZ(LabelRef("done"))
	for i, at := range []Mem{{Base: from}, {Base: from, Index: row, Scale: 1}, {Base: from, Index: row, Scale: 2}, {Base: from, Index: row3, Scale: 1}} {
		x := []Op{X0, X1, X2, X3}[i]
		VMOVDQU(at, x)
		if flip != 0 {
			VPXOR(x, X15, x)
		}
	}
	VPUNPCKLBW(X1, X0, X4)
	VPUNPCKHBW(X1, X0, X5)
	VPUNPCKLBW(X3, X2, X6)
	VPUNPCKHBW(X3, X2, X7)
	VPUNPCKLWD(X6, X4, X0)
	VPUNPCKHWD(X6, X4, X1)
	VPUNPCKLWD(X7, X5, X2)
	VPUNPCKHWD(X7, X5, X3)
	for i, x := range []Op{X0, X1, X2, X3} {
		VMOVDQU(x, Mem{Base: to, Disp: 16 * i})
		VPMADDUBSW(x, X14, x)
		VPMADDWD(x, X13, x)
		VPADDD(x, sums[i], sums[i])
	}
	LEAQ(Mem{Base: from, Index: row, Scale: 4}, from)
	ADDQ(Imm(quad*panel), to)
	DECQ(left)
	JMP(LabelRef("next"))
	Label("done")
	for i, s := range sums {
		VMOVDQU(s, Mem{Base: RDX, Disp: 16 * i})
	}
	RET()
}
