package main

import (
	"bytes"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The fields of conv.poolTile in bytes. TestLayout compares them.
const (
	poolDst   = 0
	poolSrc   = 24
	poolTaps  = 48
	poolCount = 72
	poolStep  = 80
	poolScale = 88
	poolStart = 92
)

// poolPixels is how many pixels are computed at once.
const poolPixels = 4

// pool is a pooling kernel.
type pool struct {
	isa
	mean bool

	tile, dst, count, step reg.GPVirtual
	src                    [poolPixels]reg.GPVirtual
	tap, taps, offset      reg.GPVirtual
}

// pools writes the pooling kernels of an instruction set.
func pools(s isa, stubs, choice *bytes.Buffer) {
	fmt.Fprintf(choice, "func (t *poolTile) pool%d(mean bool) {\nif mean {\nmean%d(t)\n} else {\nmax%d(t)\n}\n}\n\n", s.lanes, s.lanes, s.lanes)
	for _, mean := range []bool{false, true} {
		p := &pool{isa: s, mean: mean}
		p.write()
		fmt.Fprintf(stubs, "//go:noescape\nfunc %s(t *poolTile)\n\n", p.name())
	}
}

func (p *pool) name() string {
	if p.mean {
		return fmt.Sprintf("mean%d", p.lanes)
	}
	return fmt.Sprintf("max%d", p.lanes)
}

func (p *pool) field(offset int) Mem { return Mem{Base: p.tile, Disp: offset} }

func (p *pool) write() {
	TEXT(p.name(), NOSPLIT, "func(t uintptr)")
	Doc(p.name() + " pools t.count pixels.")
	p.tile = GP64()
	Load(Param("t"), p.tile)
	for _, r := range []*reg.GPVirtual{&p.dst, &p.count, &p.step, &p.src[0], &p.src[1], &p.src[2], &p.src[3], &p.tap, &p.taps, &p.offset} {
		*r = GP64()
	}
	MOVQ(p.field(poolDst), p.dst)
	MOVQ(p.field(poolSrc), p.src[0])
	MOVQ(p.field(poolCount), p.count)
	MOVQ(p.field(poolStep), p.step)
	VBROADCASTSS(p.field(poolScale), p.registers[poolPixels])
	VBROADCASTSS(p.field(poolStart), p.registers[poolPixels+2])
	SUBQ(Imm(poolPixels), p.count)
	JLT(LabelRef("rest"))
	p.loop("many", poolPixels, JGE)
	Label("rest")
	ADDQ(Imm(poolPixels), p.count)
	JEQ(LabelRef("done"))
	p.loop("one", 1, JNE)
	Label("done")
	VZEROUPPER()
	RET()
}

// loop pools n pixels a round while the count allows.
func (p *pool) loop(label string, n int, more func(Op)) {
	Label(label)
	for i := 1; i < n; i++ {
		LEAQ(Mem{Base: p.src[i-1], Index: p.step, Scale: 1}, p.src[i])
	}
	MOVQ(p.field(poolTaps), p.tap)
	MOVQ(p.field(poolTaps+8), p.taps)
	for i := range n {
		VMOVAPS(p.registers[poolPixels+2], p.registers[i])
	}
	Label(label + "tap")
	MOVQ(Mem{Base: p.tap}, p.offset)
	for i := range n {
		p.take(Mem{Base: p.src[i], Index: p.offset, Scale: 1}, p.registers[i])
	}
	ADDQ(Imm(8), p.tap)
	DECQ(p.taps)
	JNZ(LabelRef(label + "tap"))
	for i := range n {
		if p.mean {
			VMULPS(p.registers[poolPixels], p.registers[i], p.registers[i])
		}
		VMOVUPS(p.registers[i], Mem{Base: p.dst, Disp: i * 4 * p.lanes})
	}
	LEAQ(Mem{Base: p.src[n-1], Index: p.step, Scale: 1}, p.src[0])
	ADDQ(U32(n*4*p.lanes), p.dst)
	SUBQ(Imm(uint64(n)), p.count)
	more(LabelRef(label))
}

// take adds a pixel, or keeps the larger one. A maximum with NaN is the other.
func (p *pool) take(at Mem, acc reg.VecPhysical) {
	if p.mean {
		VADDPS(at, acc, acc)
		return
	}
	tmp := p.registers[poolPixels+1]
	VMOVUPS(at, tmp)
	VMAXPS(acc, tmp, acc)
}
