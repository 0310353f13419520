package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// width is a kind of tile: how many vectors wide, and whether the last of them
// is cut off by a mask.
type width struct {
	name    string
	vectors int
	masked  bool
	doc     string
}

var widths = []width{
	{"Wide", 2, false, "two whole vectors wide"},
	{"Edge", 2, true, "a vector and a part of a second one wide"},
	{"Narrow", 1, true, "a vector or a part of one wide"},
}

// Registers with one meaning in a whole tile. Distances are in bytes.
var (
	self      = RDI
	aLow      = RSI // row 0 of A
	aHigh     = RDX // row 6 of A
	aRow      = R8
	aRow3     = R9
	aRow5     = R10
	aCol      = R11
	b         = RBX
	bRow      = R12
	steps     = RCX
	flags     = R13
	ahead     = R15 // of B
	aheadStep = R14
	cursor    = RAX // moves down the rows of C, or of what is added
	stride    = RDX // of the cursor, when A is not needed any more
)

// shape is a tile of one height.
type shape struct {
	machine
	width
	height int
}

func field(offset int) Mem { return Mem{Base: self, Disp: offset} }

// tile writes the function of one machine and width: for each tile of a column it
// goes on to the code for its height.
func tile(m machine, w width) {
	name := "tile" + m.name + w.name
	TEXT(name, attr.NOSPLIT, "func(t *byte)")
	Doc(name + " computes a column of tiles " + w.doc + ".")
	Load(Param("t"), self)
	if w.masked {
		MOVQ(field(fieldCols), R8)
		if w.vectors > 1 {
			SUBQ(Imm(uint64(m.lanes)), R8)
		}
		m.prepare(R8)
	}
	operands()
	Label("next")
	begin(m)
	for height := m.rows; height > 0; height-- {
		Label(fmt.Sprintf("rows%d", height))
		shape{m, w, height}.body()
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// operands loads what stays the same for all tiles.
func operands() {
	MOVQ(field(fieldARow), aRow)
	SHLQ(Imm(2), aRow)
	LEAQ(Mem{Base: aRow, Index: aRow, Scale: 2}, aRow3)
	LEAQ(Mem{Base: aRow, Index: aRow, Scale: 4}, aRow5)
	MOVQ(field(fieldACol), aCol)
	SHLQ(Imm(2), aCol)
	MOVQ(field(fieldBRow), bRow)
	SHLQ(Imm(2), bRow)
	MOVQ(field(fieldFlags), flags)
	MOVQ(field(fieldAhead), ahead)
	MOVQ(field(fieldAheadStep), aheadStep)
}

// begin loads what a tile begins with, and goes on to the code for its height.
func begin(m machine) {
	MOVQ(field(fieldA), aLow)
	LEAQ(Mem{Base: aLow, Index: aRow3, Scale: 2}, aHigh)
	MOVQ(field(fieldB), b)
	MOVQ(field(fieldK), steps)
	MOVQ(field(fieldHeight), RAX)
	CMPQ(field(fieldTaller), Imm(0))
	JEQ(LabelRef("pick"))
	DECQ(field(fieldTaller))
	INCQ(RAX)
	Label("pick")
	for height := m.rows; height > 0; height-- {
		CMPQ(RAX, Imm(uint64(height)))
		JEQ(LabelRef(fmt.Sprintf("rows%d", height)))
	}
	JMP(LabelRef("done"))
}

// sum is the register of the sums of a row and vector.
func (s shape) sum(row, v int) Op { return s.vector[row*s.vectors+v] }

// column is a register for a vector of B, or of a bias.
func (s shape) column(v int) Op { return s.vector[s.rows*2+v] }

// broadcast is a register for an element of A; neighbours have different ones.
func (s shape) broadcast(i int) Op {
	free := len(s.spare)
	if s.masked {
		free -= s.maskTakes
	}
	return s.spare[i%free]
}

// partial says that the mask cuts off vector v.
func (s shape) partial(v int) bool { return s.masked && v == s.vectors-1 }

func (s shape) load(base Register, v int, to Op) {
	from := Mem{Base: base, Disp: 4 * s.lanes * v}
	if s.partial(v) {
		s.loadSome(from, to)
		return
	}
	VMOVUPS(from, to)
}

func (s shape) store(from Op, base Register, v int) {
	to := Mem{Base: base, Disp: 4 * s.lanes * v}
	if s.partial(v) {
		s.storeSome(from, to)
		return
	}
	VMOVUPS(from, to)
}

// each calls do for every vector of sums.
func (s shape) each(do func(row, v int)) {
	for row := range s.height {
		for v := range s.vectors {
			do(row, v)
		}
	}
}

// down calls do for every vector of sums while the cursor goes down the rows of
// a matrix.
func (s shape) down(base, distance int, do func(row, v int)) {
	MOVQ(field(base), cursor)
	MOVQ(field(distance), stride)
	SHLQ(Imm(2), stride)
	for row := range s.height {
		for v := range s.vectors {
			do(row, v)
		}
		if row < s.height-1 {
			ADDQ(stride, cursor)
		}
	}
}

// label names a place in the code of this height.
func (s shape) label(name string) string { return fmt.Sprintf("%s%d", name, s.height) }

func (s shape) body() {
	s.start()
	s.loop()
	s.finish()
	Label(s.label("store"))
	s.down(fieldC, fieldCRow, func(row, v int) { s.store(s.sum(row, v), cursor, v) })
	s.advance()
}

// advance goes on to the tile below. After the last it leaves everything as it
// is: Go must not see an address behind a slice.
func (s shape) advance() {
	DECQ(field(fieldTiles))
	JZ(LabelRef("done"))
	ADDQ(stride, cursor)
	MOVQ(cursor, field(fieldC))
	IMUL3Q(Imm(uint64(s.height)), aRow, cursor)
	ADDQ(cursor, field(fieldA))
	CMPQ(field(fieldRowBias), Imm(0))
	JEQ(LabelRef(s.label("unshifted")))
	ADDQ(Imm(uint64(4*s.height)), field(fieldRowBias))
	Label(s.label("unshifted"))
	TESTQ(U32(flagAdd), flags)
	JZ(LabelRef("next"))
	IMUL3Q(Imm(uint64(4*s.height)), field(fieldExtraRow), cursor)
	ADDQ(cursor, field(fieldExtra))
	JMP(LabelRef("next"))
}

// start sets the sums to zero, or to what is in C.
func (s shape) start() {
	TESTQ(U32(flagCarry), flags)
	JNZ(LabelRef(s.label("carry")))
	s.each(func(row, v int) { s.zero(s.sum(row, v)) })
	JMP(LabelRef(s.label("start")))
	Label(s.label("carry"))
	MOVQ(field(fieldC), cursor)
	for row := range s.height {
		for v := range s.vectors {
			s.load(cursor, v, s.sum(row, v))
		}
		if row < s.height-1 { // no register is free for the distance in bytes
			for range 4 {
				ADDQ(field(fieldCRow), cursor)
			}
		}
	}
	Label(s.label("start"))
	TESTQ(steps, steps)
	JZ(LabelRef(s.label("summed")))
}

// unrolled is how many steps are done at a time in the tiles that most work is
// done in: a processor does not foresee the end of a long loop, but that of one
// with a quarter of its turns.
const unrolled = 4

// loop adds the products of a column of A and a row of B, steps times.
func (s shape) loop() {
	if !s.masked && s.height > s.rows/2 {
		s.longLoop()
	}
	Label(s.label("step"))
	s.step()
	DECQ(steps)
	JNZ(LabelRef(s.label("step")))
	Label(s.label("summed"))
}

// longLoop does as many steps as it can, and leaves the rest.
func (s shape) longLoop() {
	SUBQ(Imm(unrolled), steps)
	JL(LabelRef(s.label("few")))
	Label(s.label("steps"))
	for range unrolled {
		s.step()
	}
	SUBQ(Imm(unrolled), steps)
	JGE(LabelRef(s.label("steps")))
	Label(s.label("few"))
	ADDQ(Imm(unrolled), steps)
	JZ(LabelRef(s.label("summed")))
}

// step adds the products of one column of A and one row of B.
func (s shape) step() {
	for v := range s.vectors {
		s.load(b, v, s.column(v))
	}
	for row := range s.height {
		x := s.broadcast(row)
		VBROADCASTSS(element(row), x)
		for v := range s.vectors {
			VFMADD231PS(s.column(v), x, s.sum(row, v))
		}
	}
	PREFETCHT1(Mem{Base: ahead})
	PREFETCHT1(Mem{Base: ahead, Disp: 64})
	ADDQ(aheadStep, ahead)
	ADDQ(bRow, b)
	ADDQ(aCol, aLow)
	if s.height > 6 {
		ADDQ(aCol, aHigh)
	}
}

// element is where A has the element of a row.
func element(row int) Mem {
	base := aLow
	if row >= 6 {
		base = aHigh
	}
	switch row % 6 {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: aRow3, Scale: 1}
	case 5:
		return Mem{Base: base, Index: aRow5, Scale: 1}
	}
	return Mem{Base: base, Index: aRow, Scale: uint8(row % 6)}
}
