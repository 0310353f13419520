package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumColumns adds up rows of a matrix, in float64.
type sumColumns struct{}

func (sumColumns) signature() signature {
	return signature{name: "sumColumns", slices: []string{"dst", "src"}, ints: []string{"rows", "stride"}, checked: true}
}

// strip is how many accumulators go down the rows together.
const strip = 4

func (f sumColumns) emit(m *machine) {
	m.begin(f.signature(), "computes dst[j] = sum of src[i*stride+j] over i < rows, for a multiple of 8 columns")
	dst, src, left, stride := m.GP64(), m.GP64(), m.GP64(), m.GP64()
	m.Load(m.Param("dst").Base(), dst)
	m.Load(m.Param("src").Base(), src)
	m.Load(m.Param("dst").Len(), left)
	m.Load(m.Param("stride"), stride)
	m.SHLQ(operand.U8(2), stride)
	f.columns(m, "strips", strip, dst, src, left, stride)
	f.columns(m, "vectors", 8/(m.width()/2), dst, src, left, stride)
	m.VZEROUPPER()
	m.RET()
}

// columns handles n accumulators at a time, as long as there are so many columns.
func (sumColumns) columns(m *machine, label string, n int, dst, src, left, stride reg.Register) {
	lanes := m.width() / 2
	m.JMP(operand.LabelRef(label + "Test"))
	m.Label(label)
	sums := make([]vector, n)
	for i := range sums {
		sums[i] = m.vector()
		m.VXORPS(sums[i], sums[i], sums[i])
	}
	at, row := m.GP64(), m.GP64()
	m.MOVQ(src, at)
	m.Load(m.Param("rows"), row)
	m.JMP(operand.LabelRef(label + "RowTest"))
	m.Label(label + "Row")
	for i, sum := range sums {
		m.VADDPD(m.widen(m.VCVTPS2PD, operand.Mem{Base: at, Disp: i * lanes * 4}), sum, sum)
	}
	m.ADDQ(stride, at)
	m.DECQ(row)
	m.Label(label + "RowTest")
	m.TESTQ(row, row)
	m.JNZ(operand.LabelRef(label + "Row"))
	for i, sum := range sums {
		rounded := m.half()
		m.narrow(sum, rounded)
		m.VMOVUPS(rounded, operand.Mem{Base: dst, Disp: i * lanes * 4})
	}
	m.ADDQ(operand.I32(n*lanes*4), dst)
	m.ADDQ(operand.I32(n*lanes*4), src)
	m.SUBQ(operand.I32(n*lanes), left)
	m.Label(label + "Test")
	m.CMPQ(left, operand.I32(n*lanes))
	m.JGE(operand.LabelRef(label))
}

// narrow rounds float64 to float32.
func (m *machine) narrow(x vector, to reg.Register) {
	if m.avx512 {
		m.VCVTPD2PS(x, to)
		return
	}
	m.VCVTPD2PSY(x, to)
}

// transpose turns eight rows into columns. It exists for AVX2 alone: shuffles of
// wider vectors are no faster, for they run on one port.
type transpose struct{}

func (transpose) signature() signature {
	return signature{
		name: "transpose8", slices: []string{"dst", "src"}, ints: []string{"dstStride", "srcStride", "blocks"},
		levels: []string{"AVX2"}, checked: true,
	}
}

func (f transpose) emit(m *machine) {
	m.begin(f.signature(), "transposes blocks of 8 x 8 that lie beside each other in src")
	dst, src, left := m.GP64(), m.GP64(), m.GP64()
	dstStride, srcStride := m.GP64(), m.GP64()
	m.Load(m.Param("dst").Base(), dst)
	m.Load(m.Param("src").Base(), src)
	m.Load(m.Param("blocks"), left)
	m.Load(m.Param("dstStride"), dstStride)
	m.Load(m.Param("srcStride"), srcStride)
	m.SHLQ(operand.U8(2), dstStride)
	m.SHLQ(operand.U8(2), srcStride)
	lower := m.GP64() // the fifth row
	m.LEAQ(operand.Mem{Base: src, Index: srcStride, Scale: 4}, lower)
	m.JMP(operand.LabelRef("test"))
	m.Label("block")
	for half := range 2 {
		var pairs [4]vector // row i beside row i+4
		for i := range pairs {
			pairs[i] = m.YMM()
		}
		at, below := m.GP64(), m.GP64()
		m.LEAQ(operand.Mem{Base: src, Disp: 16 * half}, at)
		m.LEAQ(operand.Mem{Base: lower, Disp: 16 * half}, below)
		for i := range pairs {
			m.VMOVUPS(operand.Mem{Base: at}, pairs[i].AsX())
			m.VINSERTF128(operand.U8(1), operand.Mem{Base: below}, pairs[i], pairs[i])
			if i < 3 {
				m.ADDQ(srcStride, at)
				m.ADDQ(srcStride, below)
			}
		}
		for _, column := range m.columns(pairs) {
			m.VMOVUPS(column, operand.Mem{Base: dst})
			m.ADDQ(dstStride, dst)
		}
	}
	m.ADDQ(operand.I32(32), src)
	m.ADDQ(operand.I32(32), lower)
	m.DECQ(left)
	m.Label("test")
	m.TESTQ(left, left)
	m.JNZ(operand.LabelRef("block"))
	m.VZEROUPPER()
	m.RET()
}

// columns turns four rows of two 4 x 4 matrices beside each other.
func (m *machine) columns(rows [4]vector) [4]vector {
	shuffle := func(by instruction, a, b vector) vector {
		d := m.YMM()
		by(b, a, d)
		return d
	}
	first01, last01 := shuffle(m.VUNPCKLPS, rows[0], rows[1]), shuffle(m.VUNPCKHPS, rows[0], rows[1])
	first23, last23 := shuffle(m.VUNPCKLPS, rows[2], rows[3]), shuffle(m.VUNPCKHPS, rows[2], rows[3])
	return [4]vector{
		shuffle(m.VUNPCKLPD, first01, first23), shuffle(m.VUNPCKHPD, first01, first23),
		shuffle(m.VUNPCKLPD, last01, last23), shuffle(m.VUNPCKHPD, last01, last23),
	}
}
