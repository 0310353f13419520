package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// MulBeside is Mul for packed matrices of as many rows that lie beside each other: dst
// has the columns of bs[0], then those of bs[1], and so on, and the epilogue's biases
// and C run over all of them. Each element is what Mul makes of it alone.
//
// The matrices stay where they are packed, each with panels of its own: that takes no
// memory, and no tile is narrower than if they were multiplied one by one. Threads wake
// up once for all of them.
func MulBeside(on *kernel.On, dst []float32, ldc, m int, a View, bs []*Packed, e *Epilogue) error {
	if len(bs) == 0 {
		return on.Err()
	}
	p := product{m: m, k: bs[0].k, a: a, dst: dst, ldc: ldc, e: *e, level: bs[0].level}
	for _, b := range bs {
		p.n += b.n
	}
	p.check()
	workers := p.workers(on, 1)
	if workers > 1 {
		return p.spreadBeside(on, bs, workers)
	}
	first := 0
	for _, b := range bs {
		g := p.of(b).cut(1)
		for unit := range g.units() {
			if err := on.Err(); err != nil {
				return err
			}
			p.block(on, g.at(unit).right(first), b.from(first))
		}
		first += b.n
	}
	return on.Err()
}

// spreadBeside lets threads share the parts of all matrices.
func (p *product) spreadBeside(on *kernel.On, bs []*Packed, workers int) error {
	type part struct {
		at area
		b  panels
	}
	var parts []part
	first := 0
	for _, b := range bs {
		g := p.of(b).cut(workers)
		for unit := range g.units() {
			parts = append(parts, part{g.at(unit).right(first), b.from(first)})
		}
		first += b.n
	}
	return on.Parallel(len(parts), func(i int) { p.block(on, parts[i].at, parts[i].b) })
}

// of is the product with one of several right matrices.
func (p *product) of(b *Packed) *product {
	one := *p
	one.n = b.n
	return &one
}

// from is the panels of a matrix whose first column is a later one of the product.
func (b *Packed) from(first int) panels {
	s := b.panels()
	s.first = first
	return s
}

// right moves an area by so many columns.
func (a area) right(by int) area { return area{a.r0, a.r1, a.c0 + by, a.c1 + by} }
