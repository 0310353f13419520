package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// floats is how a level holds 16 numbers.
type floats struct {
	name    string
	lanes   int
	vector  []Op // first the numbers, then what goes with them
	vectors int
}

func floats256() floats { return floats{"AVX2", 8, ymm(), 2} }

func floats512() floats { return floats{"AVX512", 16, zmm()[16:], 1} }

// Registers of the epilogues. The per-line numbers are read 16 at a time and move on
// by a step, which is 0 if they are one number 16 times.
var (
	target    = RDI
	source    = RSI
	left      = RCX
	scales    = R8
	scaleStep = R9
	biases    = R10
	biasStep  = R11
)

func (f floats) number(v int) Op { return f.vector[v] }
func (f floats) other(i int) Op  { return f.vector[4+i] }

func (f floats) at(base Register, v int) Mem { return Mem{Base: base, Disp: v * f.lanes * 4} }

// loop runs over 16 numbers at a time.
func (f floats) loop(elementSize uint64, body func()) {
	Load(Param("dst").Base(), target)
	Load(Param("sums").Base(), source)
	Load(Param("sums").Len(), left)
	Load(Param("scale").Base(), scales)
	Load(Param("scaleStep"), scaleStep)
	Load(Param("bias").Base(), biases)
	Load(Param("biasStep"), biasStep)
	SHLQ(Imm(2), scaleStep)
	SHLQ(Imm(2), biasStep)
	Label("next")
	CMPQ(left, Imm(16))
	JLT(LabelRef("done"))
	body()
	ADDQ(Imm(64), source)
	ADDQ(Imm(16*elementSize), target)
	ADDQ(scaleStep, scales)
	ADDQ(biasStep, biases)
	SUBQ(Imm(16), left)
	JMP(LabelRef("next"))
	Label("done")
	VZEROUPPER()
	RET()
}

// scale writes the epilogue that makes float32.
func scale(f floats) {
	name := "scale" + f.name
	TEXT(name, attr.NOSPLIT, "func(dst []float32, sums []int32, scale, bias []float32, scaleStep, biasStep int)")
	Doc(name + " makes float32 of a multiple of 16 sums.")
	f.loop(4, func() {
		for v := range f.vectors {
			x := f.number(v)
			VCVTDQ2PS(f.at(source, v), x)
			VMULPS(f.at(scales, v), x, x)
			VADDPS(f.at(biases, v), x, x)
			VMOVUPS(x, f.at(target, v))
		}
	})
}

// quantize writes the epilogue that makes 8-bit integers.
func quantize(e element, f floats) {
	name := "quantize" + e.name + f.name
	TEXT(name, attr.NOSPLIT, "func(dst []"+e.goType+", sums []int32, scale []float32, bias []int32, scaleStep, biasStep int, low, high float32, zero int32)")
	Doc(name + " makes 8-bit integers of a multiple of 16 sums.")
	low, high, zero := f.other(0), f.other(1), f.other(2)
	VBROADCASTSS(parameter("low"), low)
	VBROADCASTSS(parameter("high"), high)
	VBROADCASTSS(parameter("zero"), zero)
	f.loop(1, func() {
		for v := range f.vectors {
			x := f.number(v)
			move(f.lanes, f.at(source, v), x)
			VPADDD(f.at(biases, v), x, x)
			VCVTDQ2PS(x, x)
			VMULPS(f.at(scales, v), x, x)
			VMAXPS(low, x, x)
			VMINPS(high, x, x)
			VCVTPS2DQ(x, x)
			VPADDD(zero, x, x)
		}
		f.bytes(e)
	})
}

// bytes stores 16 numbers that fit into the element type.
func (f floats) bytes(e element) {
	if f.vectors == 1 {
		VPMOVDB(f.number(0), Mem{Base: target})
		return
	}
	VPACKSSDW(Y1, Y0, Y0)
	VPERMQ(Imm(0xd8), Y0, Y0)
	VEXTRACTI128(Imm(1), Y0, X1)
	if e.flip == 0 {
		VPACKUSWB(X1, X0, X0)
	} else {
		VPACKSSWB(X1, X0, X0)
	}
	VMOVDQU(X0, Mem{Base: target})
}

// parameter is where the caller left a number.
func parameter(name string) Op {
	at, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return at.Addr
}
