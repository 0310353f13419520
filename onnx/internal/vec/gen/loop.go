package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A loop is a function over slices of the same length: for each position it
// reads an element of every input, computes the elements of the outputs, and may
// fold one more value into a result.
//
// The last elements are computed by the same instructions as all others, with
// the lanes beyond the end masked. So an element's value does not depend on where
// in a slice it is, and nothing is read or written outside of the slices.
type loop struct {
	name    string
	does    string   // for the stub: "computes ..."
	out, in []string // names of slices; the first gives the length
	scalars []string // names of float32 parameters
	fold    *fold    // the result; nil: none
	unroll  int      // vectors in a round of the main loop; 0: one

	// body returns the vectors of the outputs and, if there is a fold, the
	// vector to fold in.
	body func(m *machine, in, scalars []vector) []vector
}

// A fold combines all values into one.
type fold struct {
	identity float64
	combine  func(m *machine, all, x vector) vector
}

func (l *loop) slices() []string { return append(append([]string{}, l.out...), l.in...) }

func (l *loop) signature() signature {
	return signature{name: l.name, slices: l.slices(), scalars: l.scalars, result: l.fold != nil}
}

// running is a loop while its instructions are emitted.
type running struct {
	*loop
	*machine
	base    map[string]reg.GPVirtual // of the slices
	at      reg.GPVirtual            // index of the next element
	left    reg.GPVirtual            // elements not done
	scalars []vector
	all     []vector // accumulators of the fold, one for each vector of a round
}

func (l *loop) emit(m *machine) {
	m.begin(l.signature(), l.does)
	r := l.enter(m)
	r.rounds("rounds", max(1, l.unroll))
	if l.unroll > 1 {
		r.rounds("vectors", 1)
	}
	r.tail()
	if l.fold != nil {
		r.finish()
	}
	m.VZEROUPPER()
	m.RET()
}

// enter loads the parameters.
func (l *loop) enter(m *machine) *running {
	r := &running{loop: l, machine: m, base: map[string]reg.GPVirtual{}, at: m.GP64(), left: m.GP64()}
	for _, name := range l.slices() {
		r.base[name] = m.GP64()
		m.Load(m.Param(name).Base(), r.base[name])
	}
	m.Load(m.Param(l.slices()[0]).Len(), r.left)
	m.XORQ(r.at, r.at)
	r.scalars = m.scalars(l.scalars)
	if l.fold != nil {
		for range max(1, l.unroll) {
			v := m.vector()
			m.VBROADCASTSS(m.number(l.fold.identity), v)
			r.all = append(r.all, v)
		}
	}
	return r
}

// rounds handles n vectors at a time, as long as there are so many.
func (r *running) rounds(label string, n int) {
	step := n * r.width()
	r.JMP(operand.LabelRef(label + "Test"))
	r.Label(label)
	for i := range n {
		r.step(i, i*r.width()*4)
	}
	r.ADDQ(operand.I32(step), r.at)
	r.SUBQ(operand.I32(step), r.left)
	r.Label(label + "Test")
	r.CMPQ(r.left, operand.I32(step))
	r.JGE(operand.LabelRef(label))
}

// tail handles what is less than a vector.
func (r *running) tail() {
	r.TESTQ(r.left, r.left)
	r.JZ(operand.LabelRef("done"))
	r.setMask()
	r.step(0, 0)
	r.mask = nil
	r.Label("done")
}

// step handles the vector at offset bytes from the next element.
func (r *running) step(accumulator, offset int) {
	in := make([]vector, len(r.in))
	for i, name := range r.in {
		in[i] = r.read(r.element(name, offset))
	}
	values := r.body(r.machine, in, r.scalars)
	for i, name := range r.out {
		r.write(values[i], r.element(name, offset))
	}
	if r.fold != nil {
		r.take(r.all[accumulator], values[len(r.out)])
	}
}

func (r *running) element(name string, offset int) operand.Mem {
	return operand.Mem{Base: r.base[name], Index: r.at, Scale: 4, Disp: offset}
}

// take folds x into all; masked lanes keep what they have.
func (r *running) take(all, x vector) {
	sum := r.fold.combine(r.machine, all, x)
	switch {
	case r.mask == nil:
		r.VMOVAPS(sum, all)
	case r.avx512:
		r.VMOVAPS(sum, r.mask, all)
	default:
		r.VBLENDVPS(r.mask, sum, all, all)
	}
}

// finish folds the accumulators into one, its lanes into one, and returns that.
func (r *running) finish() {
	for n := len(r.all); n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			r.all[i] = r.fold.combine(r.machine, r.all[i], r.all[n-1-i])
		}
	}
	x := r.foldLanes(r.all[0])
	r.Store(x.AsX(), r.ReturnIndex(0))
}

// foldLanes leaves the fold of all lanes in the first one.
func (m *running) foldLanes(x vector) vector {
	narrow := *m.machine
	narrow.avx512 = false
	if m.avx512 {
		high := m.YMM()
		m.VEXTRACTF64X4(operand.U8(1), x, high)
		x = m.fold.combine(&narrow, x.AsY().(vector), high)
	}
	high := m.XMM()
	m.VEXTRACTF128(operand.U8(1), x, high)
	x = m.fold.combine(&narrow, x, high.AsY().(vector))
	for _, order := range []uint8{0x4e, 0xb1} { // swap halves, swap neighbours
		other := m.YMM()
		m.VPERMILPS(operand.U8(order), x, other)
		x = m.fold.combine(&narrow, x, other)
	}
	return x
}

// setMask selects the first r.left lanes, fewer than a vector.
func (r *running) setMask() {
	if !r.avx512 {
		from := r.GP64()
		mask := r.YMM()
		r.LEAQ(r.maskTable(), from)
		r.SHLQ(operand.U8(2), r.left)
		r.SUBQ(r.left, from)
		r.VMOVUPS(operand.Mem{Base: from, Disp: 32}, mask)
		r.mask = mask
		return
	}
	ones := r.GP64()
	mask := r.K()
	r.MOVQ(operand.I32(-1), ones)
	r.BZHIQ(r.left, ones, ones)
	r.KMOVW(ones.As32(), mask)
	r.mask = mask
}

// read loads a vector; masked lanes are 0.
func (m *machine) read(at operand.Mem) vector {
	d := m.vector()
	switch {
	case m.mask == nil:
		m.VMOVUPS(at, d)
	case m.avx512:
		m.VMOVUPS_Z(at, m.mask, d)
	default:
		m.VMASKMOVPS(at, m.mask, d)
	}
	return d
}

// write stores a vector but for masked lanes.
func (m *machine) write(x vector, at operand.Mem) {
	switch {
	case m.mask == nil:
		m.VMOVUPS(x, at)
	case m.avx512:
		m.VMOVUPS(x, m.mask, at)
	default:
		m.VMASKMOVPS(x, m.mask, at)
	}
}

// maskTable is eight lanes of ones and eight of zeros.
func (m *machine) maskTable() operand.Mem {
	if t, ok := m.constants[maskKey]; ok {
		return t
	}
	t := m.StaticGlobal("lanes")
	m.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		m.AppendDatum(operand.U32([]uint32{0xffffffff, 0}[i/8]))
	}
	m.constants[maskKey] = t
	return t
}

// maskKey stands for the table among the constants; no function uses these bits.
const maskKey = 0xffffdead
