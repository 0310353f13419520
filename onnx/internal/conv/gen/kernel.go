package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The fields of conv.tile in bytes. TestLayout compares them.
const (
	tileDst      = 0
	tileSrc      = 24
	tileFilter   = 48
	tileBias     = 72
	tileResidual = 96
	tileTaps     = 120
	tileBlocks   = 144
	tileLast     = 152
	tileSrcBlock = 160
	tileDstBlock = 168
	tileCount    = 176
	tileLo       = 184
	tileHi       = 188
	tileAlpha    = 192
	tileAct      = 196
	tileAhead    = 200
	tileStride   = 224
)

const (
	actClip  = 1
	actLeaky = 2
)

// unroll is how many channels a round of the innermost loop has.
const unroll = 4

// hints is how many lines of weights the cache is told of in a round, at the least: if
// the stride is all that the round uses, it is told of as much.
const (
	hints    = 2
	hintLine = 64
)

// kernel is one microkernel: q pixels of f blocks of output channels.
type kernel struct {
	isa
	form string
	f, q int

	tile, src, off         reg.GPVirtual // off: bytes from the first pixel of dst
	count, in, blocks      reg.GPVirtual
	tap, taps, pixel, left reg.GPVirtual
	filter, tmp, channels  reg.GPVirtual
	ahead                  reg.GPVirtual
}

func (k *kernel) name() string {
	if k.depth() {
		return fmt.Sprintf("%s%dq%d", k.form, k.lanes, k.q)
	}
	return fmt.Sprintf("%s%df%dq%d", k.form, k.lanes, k.f, k.q)
}

// depth says that each lane is convolved by itself.
func (k *kernel) depth() bool { return k.form == "depth" || k.form == "skip" }

// vector is the number of bytes of a register.
func (k *kernel) vector() int { return 4 * k.lanes }

// pixelBytes is the distance of input pixels.
func (k *kernel) pixelBytes() int {
	switch k.form {
	case "planar":
		return 4
	case "skip":
		return 2 * k.vector()
	}
	return k.vector()
}

// acc is the register of a sum; spare are those without one.
func (k *kernel) acc(f, q int) reg.VecPhysical   { return k.registers[f*k.q+q] }
func (k *kernel) spare(i int) reg.VecPhysical    { return k.registers[k.f*k.q+i] }
func (k *kernel) spares() int                    { return len(k.registers) - k.f*k.q }
func (k *kernel) field(offset int) Mem           { return Mem{Base: k.tile, Disp: offset} }
func (k *kernel) get(offset int, r reg.Register) { MOVQ(k.field(offset), r) }

// all calls do for each sum with its place behind a pointer that is moved from
// block to block.
func (k *kernel) all(base int, do func(acc reg.VecPhysical, at Mem)) {
	k.get(base, k.tmp)
	ADDQ(k.off, k.tmp)
	for f := range k.f {
		for q := range k.q {
			do(k.acc(f, q), Mem{Base: k.tmp, Disp: q * k.vector()})
		}
		if f+1 < k.f {
			ADDQ(k.field(tileDstBlock), k.tmp)
		}
	}
}

func (k *kernel) write() {
	TEXT(k.name(), NOSPLIT, "func(t uintptr)")
	Doc(fmt.Sprintf("%s computes t.count tiles of %d pixels by %d blocks.", k.name(), k.q, k.f))
	k.tile = GP64()
	Load(Param("t"), k.tile)
	for _, r := range []*reg.GPVirtual{&k.src, &k.off, &k.count, &k.in, &k.blocks, &k.tap, &k.taps, &k.pixel, &k.left, &k.filter, &k.tmp, &k.channels, &k.ahead} {
		*r = GP64()
	}
	k.get(tileSrc, k.src)
	k.get(tileCount, k.count)
	XORQ(k.off, k.off)
	if k.form == "blocked" {
		k.get(tileAhead, k.ahead)
	}
	Label("tile")
	k.begin()
	k.get(tileFilter, k.filter)
	switch k.form {
	case "blocked":
		k.sumBlocked()
	default:
		k.sumTaps()
	}
	k.end()
	ADDQ(U32(k.q*k.vector()), k.off)
	ADDQ(U32(k.q*k.pixelBytes()), k.src)
	DECQ(k.count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// begin loads the sums: the bias, or what dst holds.
func (k *kernel) begin() {
	CMPQ(k.field(tileBias+8), Imm(0))
	JEQ(LabelRef("more"))
	k.get(tileBias, k.tmp)
	for f := range k.f {
		VMOVUPS(Mem{Base: k.tmp, Disp: f * k.vector()}, k.acc(f, 0))
		for q := 1; q < k.q; q++ {
			VMOVAPS(k.acc(f, 0), k.acc(f, q))
		}
	}
	JMP(LabelRef("sum"))
	Label("more")
	k.all(tileDst, func(acc reg.VecPhysical, at Mem) { VMOVUPS(at, acc) })
	Label("sum")
}

// sumBlocked adds all channels of all taps of all input blocks.
func (k *kernel) sumBlocked() {
	MOVQ(k.src, k.in)
	k.get(tileBlocks, k.blocks)
	Label("block")
	MOVQ(U32(k.lanes), k.channels)
	CMPQ(k.blocks, Imm(1))
	CMOVQEQ(k.field(tileLast), k.channels)
	k.get(tileTaps, k.tap)
	k.get(tileTaps+8, k.taps)
	Label("tap")
	MOVQ(Mem{Base: k.tap}, k.pixel)
	ADDQ(k.in, k.pixel)
	MOVQ(k.channels, k.left)
	SUBQ(Imm(unroll), k.left)
	JLT(LabelRef("rest"))
	Label("channels")
	for c := range unroll {
		k.step(c)
	}
	for i := range hints {
		PREFETCHT1(Mem{Base: k.ahead, Disp: hintLine * i})
	}
	if used := unroll * k.f * k.vector(); used > hints*hintLine {
		CMPQ(k.field(tileStride), U32(used))
		JLT(LabelRef("hinted"))
		for i := hints * hintLine; i < used; i += hintLine {
			PREFETCHT1(Mem{Base: k.ahead, Disp: i})
		}
		Label("hinted")
	}
	ADDQ(k.field(tileStride), k.ahead)
	ADDQ(Imm(4*unroll), k.pixel)
	ADDQ(U32(unroll*k.f*k.vector()), k.filter)
	SUBQ(Imm(unroll), k.left)
	JGE(LabelRef("channels"))
	Label("rest")
	ADDQ(Imm(unroll), k.left)
	JEQ(LabelRef("next"))
	Label("channel")
	k.step(0)
	ADDQ(Imm(4), k.pixel)
	ADDQ(U32(k.f*k.vector()), k.filter)
	DECQ(k.left)
	JNZ(LabelRef("channel"))
	Label("next")
	ADDQ(Imm(8), k.tap)
	DECQ(k.taps)
	JNZ(LabelRef("tap"))
	ADDQ(k.field(tileSrcBlock), k.in)
	DECQ(k.blocks)
	JNZ(LabelRef("block"))
}

// sumTaps adds one channel of each tap, or one block of channels lane by lane.
func (k *kernel) sumTaps() {
	k.get(tileTaps, k.tap)
	k.get(tileTaps+8, k.taps)
	Label("tap")
	MOVQ(Mem{Base: k.tap}, k.pixel)
	ADDQ(k.src, k.pixel)
	if k.depth() {
		k.stepDepth()
		ADDQ(Imm(16), k.tap)
		SUBQ(Imm(2), k.taps)
	} else {
		k.step(0)
		ADDQ(Imm(8), k.tap)
		ADDQ(U32(k.f*k.vector()), k.filter)
		DECQ(k.taps)
	}
	JNZ(LabelRef("tap"))
}

// step adds the products of channel c. The weights are in spare registers, but for
// the last one if there are too few.
func (k *kernel) step(c int) {
	x := func(q int) Mem { return Mem{Base: k.pixel, Disp: q*k.pixelBytes() + 4*c} }
	weights := make([]Op, k.f)
	loaded := min(k.f, k.spares()-1)
	for f := range k.f {
		m := Mem{Base: k.filter, Disp: (c*k.f + f) * k.vector()}
		weights[f] = m
		if f < loaded {
			weights[f] = k.spare(f)
			VMOVUPS(m, k.spare(f))
		}
	}
	for q := range k.q {
		if k.f == 1 && k.wide {
			VFMADD231PS_BCST(x(q), weights[0], k.acc(0, q))
			continue
		}
		VBROADCASTSS(x(q), k.spare(loaded))
		for f := range k.f {
			VFMADD231PS(weights[f], k.spare(loaded), k.acc(f, q))
		}
	}
}

// stepDepth adds the products of a tap, which says where its weights are.
func (k *kernel) stepDepth() {
	MOVQ(Mem{Base: k.tap, Disp: 8}, k.tmp)
	VMOVUPS(Mem{Base: k.filter, Index: k.tmp, Scale: 1}, k.spare(0))
	for q := range k.q {
		VFMADD231PS(Mem{Base: k.pixel, Disp: q * k.pixelBytes()}, k.spare(0), k.acc(0, q))
	}
}

// end adds the residual, activates and stores.
func (k *kernel) end() {
	CMPQ(k.field(tileResidual+8), Imm(0))
	JEQ(LabelRef("activate"))
	k.all(tileResidual, func(acc reg.VecPhysical, at Mem) { VADDPS(at, acc, acc) })
	Label("activate")
	CMPL(k.field(tileAct), Imm(actClip))
	JLT(LabelRef("store"))
	JNE(LabelRef("leaky"))
	k.clip()
	JMP(LabelRef("store"))
	Label("leaky")
	k.leaky()
	Label("store")
	k.all(tileDst, func(acc reg.VecPhysical, at Mem) { VMOVUPS(acc, at) })
}

// clip keeps NaN, which the instructions take from their second operand.
func (k *kernel) clip() {
	lo, hi := k.spare(0), k.spare(1)
	VBROADCASTSS(k.field(tileLo), lo)
	VBROADCASTSS(k.field(tileHi), hi)
	for i := range k.f * k.q {
		acc := k.registers[i]
		VMAXPS(acc, lo, acc)
		VMINPS(acc, hi, acc)
	}
}

func (k *kernel) leaky() {
	alpha, tmp := k.spare(0), k.spare(1)
	VBROADCASTSS(k.field(tileAlpha), alpha)
	VXORPS(tmp, tmp, tmp)
	for i := range k.f * k.q {
		acc := k.registers[i]
		if k.wide {
			VCMPPS(Imm(1), tmp, acc, reg.K1)
			VMULPS(alpha, acc, reg.K1, acc)
			continue
		}
		VMULPS(alpha, acc, tmp)
		VBLENDVPS(acc, tmp, acc, acc)
	}
}
