package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// A part of the output is tall x wide: its sums stay in a second-level cache until
// the epilogue takes them, a row of the part at a time.
const (
	tall = 96
	wide = 128
)

// product is one multiplication: what is the same for all of its parts.
type product struct {
	a     *Left
	b     *Right
	out   Output
	level kernel.Level
	sums  []int32 // tall x wide for each thread
}

func ceil(a, b int) int { return (a + b - 1) / b }

// parts counts the parts: all rows of some columns before the next columns.
func (p *product) parts() int { return ceil(p.a.m, tall) * ceil(p.b.n, wide) }

// part computes one part, unless the context ends: then it means nothing.
func (p *product) part(on *kernel.On, lane, part int) {
	rows := ceil(p.a.m, tall)
	r0, c0 := part%rows*tall, part/rows*wide
	height, width := min(tall, p.a.m-r0), min(wide, p.b.n-c0)
	sums := p.sums[lane*tall*wide:][:tall*wide]
	for c := 0; c < width; c += tileColumns(p.level) {
		if !p.column(on, sums[c:], r0, height, c0+c) {
			return
		}
	}
	for r := range height {
		p.out.store(p.level, r0+r, c0, sums[r*wide:][:width])
	}
}

// column computes the tiles below each other from column c on: the panels stay in a
// cache while all rows use them. The heights of the tiles differ by one at most.
func (p *product) column(on *kernel.On, sums []int32, r0, height, c int) bool {
	columns := min(tileColumns(p.level), panels(p.b.n-c)*panel)
	tiles := ceil(height, tileRows(p.level))
	for i := range tiles {
		r, end := i*height/tiles, (i+1)*height/tiles
		t := tile{
			c: sums[r*wide:], rows: end - r, columns: columns, aRow: quads(p.a.k) * quad, cRow: wide,
			bPanel: quads(p.b.k) * quad * panel,
			zeroA:  p.a.zero[r0+r:], excess: p.a.excess[r0+r:], zeroB: p.b.zero[c:], sum: p.b.sum[c:],
		}
		if !p.steps(on, &t, r0+r, c) {
			return false
		}
	}
	return true
}

// steps goes along k, in stretches that end well within a millisecond. Between two
// of them the sums wait in memory.
func (p *product) steps(on *kernel.On, t *tile, r, c int) bool {
	all := quads(p.a.k)
	most := stretch(p.level)
	for q := 0; q == 0 || q < all; q += most {
		if on.Err() != nil {
			return false
		}
		t.quads = min(most, all-q)
		t.flags = 0
		if q > 0 {
			t.flags = carry
		}
		if q+t.quads == all {
			t.flags |= finish
		}
		if t.quads > 0 {
			t.a = p.a.data[r*t.aRow+q*quad:]
			t.b = p.b.data[c/panel*t.bPanel+q*quad*panel:]
		}
		t.run(p.level)
	}
	return true
}
