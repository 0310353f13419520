package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A conversion is a function from a slice of one type to a slice of another. Its
// assembly takes a multiple of 16 elements; the caller pads what is less.
type conversion struct {
	name    string
	does    string
	to      string // types of the elements
	from    string
	scalars []string // float32 parameters

	// body reads a vector of elements from one place and writes it to the other.
	// without says that there is no form for AVX2.
	body    func(m *machine, dst, src operand.Mem, scalars []vector)
	without bool
}

// sizes of elements in bytes.
var sizes = map[string]uint8{"int8": 1, "uint8": 1, "uint16": 2, "int32": 4, "float32": 4, "int64": 8}

func (c *conversion) signature() signature {
	s := signature{name: c.name, slices: []string{"dst", "src"}, scalars: c.scalars, types: []string{c.to, c.from}}
	if c.without {
		s.levels = []string{"AVX512"}
	}
	return s
}

func (c *conversion) emit(m *machine) {
	m.begin(c.signature(), c.does)
	dst, src, left := m.GP64(), m.GP64(), m.GP64()
	m.Load(m.Param("dst").Base(), dst)
	m.Load(m.Param("src").Base(), src)
	m.Load(m.Param("dst").Len(), left)
	scalars := m.scalars(c.scalars)
	m.JMP(operand.LabelRef("test"))
	m.Label("vectors")
	c.body(m, operand.Mem{Base: dst}, operand.Mem{Base: src}, scalars)
	m.ADDQ(operand.I32(m.width()*int(sizes[c.to])), dst)
	m.ADDQ(operand.I32(m.width()*int(sizes[c.from])), src)
	m.SUBQ(operand.I32(m.width()), left)
	m.Label("test")
	m.CMPQ(left, operand.I32(m.width()))
	m.JGE(operand.LabelRef("vectors"))
	m.VZEROUPPER()
	m.RET()
}

// half is a vector of half the width.
func (m *machine) half() reg.Register {
	if m.avx512 {
		return m.YMM()
	}
	return m.XMM()
}

// widen emits an instruction that reads narrow elements and makes lanes of 32
// bits.
func (m *machine) widen(by instruction, src operand.Mem) vector {
	d := m.vector()
	by(src, d)
	return d
}

// storeWords stores the low 16 bits of each lane; the others must be 0.
func (m *machine) storeWords(x vector, dst operand.Mem) {
	if m.avx512 {
		m.VPMOVDW(x, dst)
		return
	}
	d := m.YMM()
	m.VPACKUSDW(x, x, d)
	m.VPERMQ(operand.U8(0x08), d, d)
	m.VMOVDQU(d.AsX(), dst)
}

// storeBytes stores lanes that fit in bytes; pack is VPACKSSWB or VPACKUSWB.
func (m *machine) storeBytes(x vector, pack instruction, dst operand.Mem) {
	if m.avx512 {
		m.VPMOVDB(x, dst)
		return
	}
	d, high := m.YMM(), m.XMM()
	m.VPACKSSDW(x, x, d)
	pack(d, d, d)
	m.VEXTRACTI128(operand.U8(1), d, high)
	m.VPUNPCKLDQ(high, d.AsX(), high)
	m.VMOVQ(high, dst)
}

// quantized is round(x/scale) + zero within low..high, as integers; low for NaN.
func (m *machine) quantized(x, scale, zero vector, low, high float64) vector {
	y := m.add(m.round(nearest, m.div(x, scale)), zero)
	return m.toInt(m.min(m.max(y, m.number(low)), m.number(high)))
}

func quantize(to string, low, high float64, pack func(m *machine) instruction) *conversion {
	return &conversion{
		name: "quantize" + to, does: "computes round(src/scale) + zero, saturating",
		to: map[string]string{"Int8": "int8", "Uint8": "uint8"}[to], from: "float32", scalars: []string{"scale", "zero"},
		body: func(m *machine, dst, src operand.Mem, s []vector) {
			m.storeBytes(m.quantized(m.read(src), s[0], s[1], low, high), pack(m), dst)
		},
	}
}

func dequantize(from, element string, widen func(m *machine) instruction) *conversion {
	return &conversion{
		name: "dequantize" + from, does: "computes (src-zero) * scale",
		to: "float32", from: element, scalars: []string{"scale", "zero"},
		body: func(m *machine, dst, src operand.Mem, s []vector) {
			x := m.fromInt(m.widen(widen(m), src))
			m.write(m.mul(m.sub(x, s[1]), s[0]), dst)
		},
	}
}

func conversions() []*conversion {
	return []*conversion{
		{
			name: "fromFloat16", does: "converts IEEE 754 half precision", to: "float32", from: "uint16",
			body: func(m *machine, dst, src operand.Mem, _ []vector) { m.write(m.widen(m.VCVTPH2PS, src), dst) },
		},
		{
			name: "toFloat16", does: "converts to IEEE 754 half precision", to: "uint16", from: "float32",
			body: func(m *machine, dst, src operand.Mem, _ []vector) {
				m.VCVTPS2PH(operand.U8(0), m.read(src), dst)
			},
		},
		{
			name: "fromBfloat16", does: "converts the upper halves of float32", to: "float32", from: "uint16",
			body: func(m *machine, dst, src operand.Mem, _ []vector) {
				m.write(m.shift(m.VPSLLD, 16, m.widen(m.VPMOVZXWD, src)), dst)
			},
		},
		{
			name: "toBfloat16", does: "rounds to the upper halves of float32", to: "uint16", from: "float32",
			body: func(m *machine, dst, src operand.Mem, _ []vector) {
				x := m.read(src)
				odd := m.and(m.shift(m.VPSRLD, 16, x), m.bits(1))
				y := m.addInt(m.addInt(x, m.bits(0x7fff)), odd)
				y = m.choose(m.compare(unordered, x, x), m.or(x, m.bits(0x00400000)), y)
				m.storeWords(m.shift(m.VPSRLD, 16, y), dst)
			},
		},
		{
			name: "fromInt32", does: "converts integers", to: "float32", from: "int32",
			body: func(m *machine, dst, src operand.Mem, _ []vector) { m.write(m.fromInt(m.read(src)), dst) },
		},
		{
			name: "toInt32", does: "truncates to integers", to: "int32", from: "float32",
			body: func(m *machine, dst, src operand.Mem, _ []vector) { m.write(m.widen(m.VCVTTPS2DQ, src), dst) },
		},
		{
			name: "fromInt64", does: "converts integers", to: "float32", from: "int64", without: true,
			body: func(m *machine, dst, src operand.Mem, _ []vector) {
				for _, i := range []int{0, 1} {
					h := m.half()
					m.VCVTQQ2PS(m.read(src.Offset(64*i)), h)
					m.VMOVUPS(h, dst.Offset(32*i))
				}
			},
		},
		{
			name: "toInt64", does: "truncates to integers", to: "int64", from: "float32", without: true,
			body: func(m *machine, dst, src operand.Mem, _ []vector) {
				for _, i := range []int{0, 1} {
					x := m.vector()
					m.VCVTTPS2QQ(src.Offset(32*i), x)
					m.write(x, dst.Offset(64*i))
				}
			},
		},
		quantize("Int8", -128, 127, func(m *machine) instruction { return m.VPACKSSWB }),
		quantize("Uint8", 0, 255, func(m *machine) instruction { return m.VPACKUSWB }),
		dequantize("Int8", "int8", func(m *machine) instruction { return m.VPMOVSXBD }),
		dequantize("Uint8", "uint8", func(m *machine) instruction { return m.VPMOVZXBD }),
	}
}
