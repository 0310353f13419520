package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// over runs over a multiple of 16 numbers, from src to dst.
func (f floats) over(fromSize, toSize uint64, body func()) {
	Load(Param("dst").Base(), target)
	Load(Param("src").Base(), source)
	Load(Param("src").Len(), left)
	Label("next")
	CMPQ(left, Imm(16))
	JLT(LabelRef("done"))
	body()
	ADDQ(Imm(16*fromSize), source)
	ADDQ(Imm(16*toSize), target)
	SUBQ(Imm(16), left)
	JMP(LabelRef("next"))
	Label("done")
	VZEROUPPER()
	RET()
}

// narrowFloats writes the function that quantizes float32.
func narrowFloats(e element, f floats) {
	name := "narrow" + e.name + f.name
	TEXT(name, attr.NOSPLIT, "func(dst []"+e.goType+", src []float32, scale, low, high float32, zero int32)")
	Doc(name + " quantizes a multiple of 16 numbers.")
	low, high, zero, scale := f.other(0), f.other(1), f.other(2), f.other(3)
	VBROADCASTSS(parameter("scale"), scale)
	VBROADCASTSS(parameter("low"), low)
	VBROADCASTSS(parameter("high"), high)
	VBROADCASTSS(parameter("zero"), zero)
	f.over(4, 1, func() {
		for v := range f.vectors {
			x := f.number(v)
			VMOVUPS(f.at(source, v), x)
			VDIVPS(scale, x, x)
			VMAXPS(low, x, x)
			VMINPS(high, x, x)
			VCVTPS2DQ(x, x)
			VPADDD(zero, x, x)
		}
		f.bytes(e)
	})
}

// widenBytes writes the function that gives quantized numbers back.
func widenBytes(e element, f floats) {
	name := "widen" + e.name + f.name
	TEXT(name, attr.NOSPLIT, "func(dst []float32, src []"+e.goType+", scale float32, zero int32)")
	Doc(name + " gives a multiple of 16 quantized numbers back.")
	zero, scale := f.other(2), f.other(3)
	VBROADCASTSS(parameter("scale"), scale)
	VBROADCASTSS(parameter("zero"), zero)
	f.over(1, 4, func() {
		for v := range f.vectors {
			x, from := f.number(v), Mem{Base: source, Disp: v * f.lanes}
			if e.flip == 0 {
				VPMOVZXBD(from, x)
			} else {
				VPMOVSXBD(from, x)
			}
			VPSUBD(zero, x, x)
			VCVTDQ2PS(x, x)
			VMULPS(scale, x, x)
			VMOVUPS(x, f.at(target, v))
		}
	})
}

// extremes writes the function that finds the least and the greatest number: dst has 16
// of each, which the caller reduces. NaN changes nothing.
func extremes(f floats) {
	name := "extremes" + f.name
	TEXT(name, attr.NOSPLIT, "func(dst, src []float32)")
	Doc(name + " finds the extremes of a multiple of 16 numbers, for each lane.")
	Load(Param("dst").Base(), target)
	Load(Param("src").Base(), source)
	Load(Param("src").Len(), left)
	for v := range 2 * f.vectors {
		VMOVUPS(f.at(target, v), f.other(v))
	}
	Label("next")
	CMPQ(left, Imm(16))
	JLT(LabelRef("done"))
	for v := range f.vectors {
		x, low, high := f.number(v), f.other(v), f.other(f.vectors+v)
		VMOVUPS(f.at(source, v), x)
		VMINPS(low, x, low)
		VMAXPS(high, x, high)
	}
	ADDQ(Imm(64), source)
	SUBQ(Imm(16), left)
	JMP(LabelRef("next"))
	Label("done")
	for v := range 2 * f.vectors {
		VMOVUPS(f.other(v), f.at(target, v))
	}
	VZEROUPPER()
	RET()
}

// linear writes all of them.
func linear(elements []element) {
	for _, f := range []floats{floats256(), floats512()} {
		for _, e := range elements {
			narrowFloats(e, f)
			widenBytes(e, f)
		}
		extremes(f)
	}
}
