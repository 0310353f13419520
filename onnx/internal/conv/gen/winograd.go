package main

import (
	"bytes"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The fields of conv.inward in bytes. TestLayout compares them.
const (
	inwardDst     = 0
	inwardSrc     = 24
	inwardTmp     = 48
	inwardCount   = 72
	inwardSrcRow  = 80
	inwardDstStep = 88
	inwardFactors = 96
)

// The fields of conv.outward in bytes.
const (
	outwardDst      = 0
	outwardSrc      = 24
	outwardTmp      = 48
	outwardBias     = 72
	outwardResidual = 96
	outwardBad      = 120
	outwardCount    = 144
	outwardSrcStep  = 152
	outwardDstRow   = 160
	outwardFactors  = 168
	outwardLo       = 184
	outwardHi       = 188
	outwardAlpha    = 192
	outwardAct      = 196
)

// side and inner are the pixels of a tile's side in the input and in the output.
const (
	side  = 6
	inner = 4
)

// transform is one of the two kernels around the products of Winograd's form.
type transform struct {
	isa
	tile, src, dst, tmp, count, step, at, residual reg.GPVirtual
}

// winograds writes the transforms of an instruction set.
func winograds(s isa, stubs, choice *bytes.Buffer) {
	for _, of := range []string{"inward", "outward"} {
		name := fmt.Sprintf("%s%d", of, s.lanes)
		t := &transform{isa: s}
		TEXT(name, NOSPLIT, "func(t uintptr)")
		Doc(name + " transforms t.count tiles.")
		t.tile = GP64()
		Load(Param("t"), t.tile)
		for _, r := range []*reg.GPVirtual{&t.src, &t.dst, &t.tmp, &t.count, &t.step, &t.at, &t.residual} {
			*r = GP64()
		}
		if of == "inward" {
			t.inward()
		} else {
			t.outward()
		}
		VZEROUPPER()
		RET()
		fmt.Fprintf(stubs, "//go:noescape\nfunc %s(t *%s)\n\n", name, of)
	}
	for _, of := range []string{"inward", "outward"} {
		fmt.Fprintf(choice, "func (t *%s) assembly%d() { %s%d(t) }\n\n", of, s.lanes, of, s.lanes)
	}
}

func (t *transform) field(offset int) Mem           { return Mem{Base: t.tile, Disp: offset} }
func (t *transform) get(offset int, r reg.Register) { MOVQ(t.field(offset), r) }
func (t *transform) vector() int                    { return 4 * t.lanes }

// r is a register; the last four of the first sixteen hold the factors.
func (t *transform) r(i int) reg.VecPhysical { return t.registers[i] }

func (t *transform) factor(i int) reg.VecPhysical { return t.registers[12+i] }

func (t *transform) factors(offset int) {
	for i := range 4 {
		VBROADCASTSS(t.field(offset+4*i), t.factor(i))
	}
}

// slot is vector i of the memory between the two passes.
func (t *transform) slot(i int) Mem { return Mem{Base: t.tmp, Disp: i * t.vector()} }

// inward is B^T d B for each tile d of 6x6 pixels: first its columns, then its rows.
func (t *transform) inward() {
	t.get(inwardSrc, t.src)
	t.get(inwardDst, t.dst)
	t.get(inwardTmp, t.tmp)
	t.get(inwardCount, t.count)
	t.get(inwardDstStep, t.step)
	t.factors(inwardFactors)
	Label("tile")
	MOVQ(t.src, t.at)
	for j := range side {
		for i := range side {
			VMOVUPS(Mem{Base: t.at, Disp: j * t.vector()}, t.r(i))
			if i+1 < side {
				ADDQ(t.field(inwardSrcRow), t.at)
			}
		}
		MOVQ(t.src, t.at)
		for i, y := range t.six() {
			VMOVUPS(y, t.slot(i*side+j))
		}
	}
	MOVQ(t.dst, t.at)
	for i := range side {
		for j := range side {
			VMOVUPS(t.slot(i*side+j), t.r(j))
		}
		for _, y := range t.six() {
			VMOVUPS(y, Mem{Base: t.at})
			ADDQ(t.step, t.at)
		}
	}
	ADDQ(U32(t.vector()), t.dst)
	ADDQ(U32(inner*t.vector()), t.src)
	DECQ(t.count)
	JNZ(LabelRef("tile"))
}

// six is B^T x for x in the first six registers. The factors are 5/2, 2, 1/2 and
// the root of 2; inward.line does the same.
func (t *transform) six() []reg.VecPhysical {
	x := t.registers[:6]
	t0, t1, t2 := t.r(6), t.r(7), t.r(8)
	more, two, half, root := t.factor(0), t.factor(1), t.factor(2), t.factor(3)
	VADDPS(x[0], x[4], t0)
	VFNMADD231PS(more, x[2], t0)
	VADDPS(x[1], x[5], x[5])
	VFNMADD231PS(more, x[3], x[5])
	VMOVAPS(x[4], t1)
	VFNMADD231PS(two, x[2], t1)
	VFNMADD231PS(half, x[2], x[4])
	VMOVAPS(x[3], t2)
	VFMSUB213PS(x[1], half, t2)
	VFNMADD231PS(half, x[1], x[3])
	VMOVAPS(t1, x[0])
	VFMADD231PS(root, t2, x[0])
	VFNMADD231PS(root, t2, t1)
	VMOVAPS(x[4], x[1])
	VFMADD231PS(root, x[3], x[1])
	VFNMADD231PS(root, x[3], x[4])
	return []reg.VecPhysical{t0, x[0], t1, x[1], x[4], x[5]}
}

// outward is A^T m A for each tile m of 6x6 sums, which becomes 4x4 pixels of the
// output: first its rows, then its columns.
func (t *transform) outward() {
	t.get(outwardSrc, t.src)
	t.get(outwardDst, t.dst)
	t.get(outwardTmp, t.tmp)
	t.get(outwardCount, t.count)
	t.get(outwardSrcStep, t.step)
	t.get(outwardResidual, t.residual)
	t.factors(outwardFactors)
	Label("tile")
	MOVQ(t.src, t.at)
	for i := range side {
		for j := range side {
			VMOVUPS(Mem{Base: t.at}, t.r(j))
			if i*side+j+1 < side*side {
				ADDQ(t.step, t.at)
			}
		}
		for j, y := range t.four() {
			VMOVUPS(y, t.slot(j*side+i))
		}
	}
	for j := range inner {
		for i := range side {
			VMOVUPS(t.slot(j*side+i), t.r(i))
		}
		t.finish(j, t.four())
	}
	ADDQ(U32(t.vector()), t.src)
	ADDQ(U32(inner*t.vector()), t.dst)
	CMPQ(t.field(outwardResidual+8), Imm(0))
	JEQ(LabelRef("next"))
	ADDQ(U32(inner*t.vector()), t.residual)
	Label("next")
	DECQ(t.count)
	JNZ(LabelRef("tile"))
}

// four is A^T m for m in the first six registers. The factors are 1/4, 2, 1/2 and
// the root of 2; outward.line does the same.
func (t *transform) four() []reg.VecPhysical {
	m := t.registers[:6]
	p, q := t.r(6), t.r(7)
	quarter, two, half, root := t.factor(0), t.factor(1), t.factor(2), t.factor(3)
	VADDPS(m[1], m[2], p)
	VSUBPS(m[2], m[1], m[1])
	VADDPS(m[3], m[4], q)
	VSUBPS(m[4], m[3], m[3])
	VADDPS(p, m[0], m[0])
	VADDPS(q, m[0], m[0])
	VMULPS(half, p, p)
	VFMADD231PS(two, q, p)
	VMOVAPS(m[3], m[2])
	VFMADD231PS(half, m[1], m[2])
	VMULPS(root, m[2], m[2])
	VMULPS(two, m[3], m[4])
	VFMADD231PS(quarter, m[1], m[4])
	VFMADD231PS(root, m[4], m[5])
	return []reg.VecPhysical{m[0], m[2], p, m[5]}
}

// finish stores column j of a tile: it adds the bias, notes what is not finite,
// adds the residual and activates.
func (t *transform) finish(j int, y []reg.VecPhysical) {
	bias, bad := t.r(1), t.r(3)
	label := func(s string) string { return fmt.Sprintf("%s%d", s, j) }
	t.get(outwardBias, t.at)
	VMOVUPS(Mem{Base: t.at}, bias)
	t.get(outwardBad, t.at)
	VMOVUPS(Mem{Base: t.at}, bad)
	zero := t.r(4)
	VXORPS(zero, zero, zero)
	for _, v := range y {
		VADDPS(bias, v, v)
		VFMADD231PS(zero, v, bad)
	}
	VMOVUPS(bad, Mem{Base: t.at})
	CMPQ(t.field(outwardResidual+8), Imm(0))
	JEQ(LabelRef(label("activate")))
	t.rows(t.residual, j, y, func(at Mem, v reg.VecPhysical) { VADDPS(at, v, v) })
	Label(label("activate"))
	CMPL(t.field(outwardAct), Imm(actClip))
	JLT(LabelRef(label("store")))
	JNE(LabelRef(label("leaky")))
	lo, hi := t.r(1), t.r(3)
	VBROADCASTSS(t.field(outwardLo), lo)
	VBROADCASTSS(t.field(outwardHi), hi)
	for _, v := range y {
		VMAXPS(v, lo, v)
		VMINPS(v, hi, v)
	}
	JMP(LabelRef(label("store")))
	Label(label("leaky"))
	t.leaky(y)
	Label(label("store"))
	t.rows(t.dst, j, y, func(at Mem, v reg.VecPhysical) { VMOVUPS(v, at) })
}

// rows calls do for each value with its place in column j of a tile.
func (t *transform) rows(base reg.GPVirtual, j int, y []reg.VecPhysical, do func(at Mem, v reg.VecPhysical)) {
	MOVQ(base, t.at)
	for i, v := range y {
		do(Mem{Base: t.at, Disp: j * t.vector()}, v)
		if i+1 < len(y) {
			ADDQ(t.field(outwardDstRow), t.at)
		}
	}
}

func (t *transform) leaky(y []reg.VecPhysical) {
	alpha, tmp := t.r(1), t.r(3)
	VBROADCASTSS(t.field(outwardAlpha), alpha)
	VXORPS(tmp, tmp, tmp)
	for _, v := range y {
		if t.wide {
			VCMPPS(Imm(1), tmp, v, reg.K1)
			VMULPS(alpha, v, reg.K1, v)
			continue
		}
		VMULPS(alpha, v, tmp)
		VBLENDVPS(v, tmp, v, v)
	}
}
