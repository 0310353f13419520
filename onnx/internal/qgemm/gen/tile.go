package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// width is how many vectors wide a tile is.
type width struct {
	name    string
	vectors int
}

// Registers with one meaning in a whole tile. Distances are in bytes.
var (
	self   = RDI
	aLow   = RSI // row 0 of A
	aHigh  = RDX // row 6 of A
	aRow   = R8
	aRow3  = R9
	aRow5  = R10
	b      = RBX
	second = R12 // the second panel, of 64-byte vectors
	steps  = RCX
	flags  = R13
	cursor = RAX // moves down the rows of C
	stride = R11 // of the cursor
)

// shape is a tile of one height.
type shape struct {
	machine
	width
	height int
}

func field(offset int) Mem { return Mem{Base: self, Disp: offset} }

// tile writes the function of one machine and width: it looks at the height and
// goes on to code for that.
func tile(m machine, w width) {
	name := "tile" + m.name + w.name
	TEXT(name, attr.NOSPLIT, "func(t *byte)")
	Doc(fmt.Sprintf("%s computes a tile of %d columns.", name, w.vectors*m.lanes))
	Load(Param("t"), self)
	m.prepare()
	operands()
	MOVQ(field(fieldRows), RAX)
	for height := m.rows; height > 0; height-- {
		CMPQ(RAX, Imm(uint64(height)))
		JEQ(LabelRef(fmt.Sprintf("rows%d", height)))
	}
	JMP(LabelRef("done"))
	for height := m.rows; height > 0; height-- {
		Label(fmt.Sprintf("rows%d", height))
		shape{m, w, height}.body()
		JMP(LabelRef("done"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// operands loads what every height needs.
func operands() {
	MOVQ(field(fieldA), aLow)
	MOVQ(field(fieldARow), aRow)
	LEAQ(Mem{Base: aRow, Index: aRow, Scale: 2}, aRow3)
	LEAQ(Mem{Base: aRow, Index: aRow, Scale: 4}, aRow5)
	LEAQ(Mem{Base: aLow, Index: aRow3, Scale: 2}, aHigh)
	MOVQ(field(fieldB), b)
	MOVQ(field(fieldBPanel), second)
	ADDQ(b, second)
	MOVQ(field(fieldQuads), steps)
	MOVQ(field(fieldFlags), flags)
	MOVQ(field(fieldCRow), stride)
	SHLQ(Imm(2), stride)
}

// sum is the register of the sums of a row and vector.
func (s shape) sum(row, v int) Op { return s.vector[row*s.vectors+v] }

func (s shape) label(name string) string { return fmt.Sprintf("%s%d", name, s.height) }

// body is the code of one height.
func (s shape) body() {
	s.begin()
	Label(s.label("quad"))
	TESTQ(steps, steps)
	JZ(LabelRef(s.label("summed")))
	s.step()
	DECQ(steps)
	JMP(LabelRef(s.label("quad")))
	Label(s.label("summed"))
	s.finish()
	s.down(func(row, v int, at Mem) { move(s.lanes, s.sum(row, v), at) })
}

// begin sets the sums to zero or to what is in C.
func (s shape) begin() {
	TESTQ(U32(flagCarry), flags)
	JNZ(LabelRef(s.label("carry")))
	for row := range s.height {
		for v := range s.vectors {
			s.zero(s.sum(row, v))
		}
	}
	JMP(LabelRef(s.label("quad")))
	Label(s.label("carry"))
	s.down(func(row, v int, at Mem) { move(s.lanes, at, s.sum(row, v)) })
}

// down goes along the rows of C.
func (s shape) down(do func(row, v int, at Mem)) {
	MOVQ(field(fieldC), cursor)
	for row := range s.height {
		for v := range s.vectors {
			do(row, v, Mem{Base: cursor, Disp: v * s.lanes * 4})
		}
		if row < s.height-1 {
			ADDQ(stride, cursor)
		}
	}
}

// step adds the products of one quad.
func (s shape) step() {
	for v := range s.vectors {
		from := Mem{Base: b, Disp: v * s.lanes * 4}
		if v > 0 && s.lanes == panel {
			from = Mem{Base: second}
		}
		s.right(v, from)
	}
	for row := range s.height {
		s.left(row, rowOfA(row))
		for v := range s.vectors {
			s.dot(row, v, s.sum(row, v))
		}
	}
	ADDQ(Imm(quad), aLow)
	ADDQ(Imm(quad), aHigh)
	ADDQ(Imm(quad*panel), b)
	ADDQ(Imm(quad*panel), second)
}

// rowOfA is where the quad of a row is.
func rowOfA(row int) Mem {
	m := Mem{Base: aLow}
	if row >= 6 {
		m.Base = aHigh
	}
	switch row % 6 {
	case 0:
		return m
	case 3:
		m.Index, m.Scale = aRow3, 1
	case 5:
		m.Index, m.Scale = aRow5, 1
	default:
		m.Index, m.Scale = aRow, uint8(row%6)
	}
	return m
}

// finish takes away zeroB * excess and zeroA * sum.
func (s shape) finish() {
	TESTQ(U32(flagFinish), flags)
	JZ(LabelRef(s.label("store")))
	s.correct(fieldZeroB, fieldExcess)
	s.correct(fieldSum, fieldZeroA)
	Label(s.label("store"))
}

// correct subtracts the products of one number per column and one per row.
func (s shape) correct(columns, rows int) {
	column, row, product := s.spare[:2], s.spare[2], s.spare[3]
	MOVQ(field(columns), cursor)
	for v := range s.vectors {
		move(s.lanes, Mem{Base: cursor, Disp: v * s.lanes * 4}, column[v])
	}
	MOVQ(field(rows), cursor)
	for r := range s.height {
		VPBROADCASTD(Mem{Base: cursor, Disp: 4 * r}, row)
		for v := range s.vectors {
			VPMULLD(column[v], row, product)
			VPSUBD(product, s.sum(r, v), s.sum(r, v))
		}
	}
}
