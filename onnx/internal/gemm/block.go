package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// depth is the most steps of k that a block makes before it goes on to the next
// columns: then the rows of a panel and of a tile's share of A stay in a
// first-level cache. The sums of a tile wait in dst meanwhile. Measured: 256 is
// 2 % faster than 512 and 128.
const depth = 256

// tall is the most rows of a block, in tiles: with depth, a quarter of a
// second-level cache of 1 MiB.
const tall = 20

// product is one multiplication: what is the same for all of its tiles.
type product struct {
	m, k, n int
	a       View
	dst     []float32
	ldc     int
	e       Epilogue
	from    int // where dst begins in the epilogue's C
	level   kernel.Level
}

// check stops at what is too short for the shapes given.
func (p *product) check() {
	if p.m == 0 || p.n == 0 {
		return
	}
	p.a.check(p.m, p.k)
	View{p.dst, p.ldc, 1}.check(p.m, p.n)
	if p.e.Bias != nil {
		_ = p.e.Bias[p.n-1]
	}
	if p.e.RowBias != nil {
		_ = p.e.RowBias[p.m-1]
	}
	if p.e.Beta != 0 {
		View{p.e.C[p.from:], p.e.CRow, 1}.check(p.m, p.n)
	}
}

// panels is where the tiles find their columns of B: in panels that follow each
// other (step 0), each of k rows, or in rows that are step elements apart.
type panels struct {
	data    []float32
	k, step int
	first   int // the column of B that data begins with
}

// at returns the rows from k0 on of the width columns from c on, and the
// distance between the rows.
func (s *panels) at(c, width, k0 int) ([]float32, int) {
	c -= s.first
	if s.step == 0 {
		return s.data[c*s.k+k0*width:], width
	}
	return s.data[k0*s.step+c:], s.step
}

// area is a part of the output.
type area struct{ r0, r1, c0, c1 int }

// block computes one part of the output, unless the context ends: then what is
// in dst means nothing.
func (p *product) block(on *kernel.On, at area, b panels) {
	t := tile{aCol: p.a.Col, cRow: p.ldc}
	steps, e, grows := p.steps(), p.e, p.grows()
	if grows {
		e.Beta = 0
	}
	for k0 := 0; k0 == 0 || k0 < p.k; k0 += steps {
		if k0 > 0 && on.Err() != nil {
			return
		}
		t.k = min(steps, p.k-k0)
		t.flags = 0
		if k0 > 0 || grows {
			t.flags = carry
		}
		if k0+t.k == p.k {
			t.finishing(&e)
		}
		p.sweep(&t, at, k0, b)
	}
	p.rows(at)
}

// rows applies the epilogue's function to finished rows.
func (p *product) rows(at area) {
	if p.e.Row == nil || at.c0 == at.c1 {
		return
	}
	for r := at.r0; r < at.r1; r++ {
		p.e.Row(p.level, p.dst[r*p.ldc+at.c0:r*p.ldc+at.c1])
	}
}

// inside says that the matrix to add is where the result will be.
func (p *product) inside() bool { return p.e.Beta != 0 && &p.e.C[p.from] == &p.dst[0] }

// grows says that the product is just added to what is in dst: then the sums
// begin with that.
func (p *product) grows() bool {
	return p.inside() && p.e.Beta == 1 && (p.e.Alpha == 0 || p.e.Alpha == 1) && p.e.CRow == p.ldc
}

// steps is a part of k, no longer than depth and as long as the others, unless
// sums that wait in dst would destroy a C that is there.
func (p *product) steps() int {
	if p.k == 0 || p.inside() && !p.grows() {
		return max(1, p.k)
	}
	return ceil(p.k, ceil(p.k, depth))
}

// sweep does t.k steps from k0 on, panel by panel: a panel stays in the cache
// while the tiles of all rows use it.
func (p *product) sweep(t *tile, at area, k0 int, b panels) {
	width := panelWidth(p.level)
	for c := at.c0; c < at.c1; c += width {
		t.cols = min(width, at.c1-c)
		if p.k > 0 {
			t.b, t.bRow = b.at(c, t.cols, k0)
		}
		if p.e.Bias != nil {
			t.bias = p.e.Bias[c:]
		}
		p.column(t, at, k0, c, b.next(p, at, t.k, k0, c))
	}
}

// next is what the tiles read after the columns at c: the next columns, or the
// next steps, or nil if that is not known.
func (s *panels) next(p *product, at area, steps, k0, c int) []float32 {
	width := panelWidth(p.level)
	if c += width; c >= at.c1 && k0+steps < p.k {
		c, k0 = at.c0, k0+steps
	} else if c >= at.c1 {
		k0 = 0
	}
	from := (c-s.first)*s.k + k0*width
	if s.step != 0 || from >= len(s.data) {
		return nil
	}
	return s.data[from:]
}

// column does the tiles of one panel. Their heights differ by one at most: 13
// rows are 7 and 6, which is faster than 12 and 1.
func (p *product) column(t *tile, at area, k0, c int, ahead []float32) {
	rows := at.r1 - at.r0
	t.tiles = ceil(rows, tileRows(p.level))
	t.height, t.taller = rows/t.tiles, rows%t.tiles
	t.ahead, t.aheadStep = ahead, ceil(4*t.cols, t.tiles)
	if len(ahead) == 0 {
		t.ahead, t.aheadStep = t.b, 0
	}
	if p.k > 0 {
		t.a, t.aRow = p.a.Data[at.r0*p.a.Row+k0*p.a.Col:], p.a.Row
	}
	t.c = p.dst[at.r0*p.ldc+c:]
	if t.flags&add != 0 {
		t.extra = p.e.C[p.from+at.r0*p.e.CRow+c:]
	}
	if p.e.RowBias != nil {
		t.rowBias = p.e.RowBias[at.r0:]
	}
	t.run(p.level)
}

// grid cuts the output into parts that are computed one by one or side by side.
type grid struct {
	m, n          int
	rows, columns int // parts
	width         int // columns of a part
}

func (g *grid) units() int { return g.rows * g.columns }

// at returns a part: all rows of some columns before the next columns.
func (g *grid) at(unit int) area {
	row, column := unit%g.rows, unit/g.rows
	c := column * g.width
	return area{row * g.m / g.rows, (row + 1) * g.m / g.rows, c, min(c+g.width, g.n)}
}

// cut chooses parts small enough to end within about a millisecond, to fit into
// the caches, and to keep all workers busy.
func (p *product) cut(workers int) grid {
	if p.m == 0 || p.n == 0 {
		return grid{rows: 1}
	}
	panel := panelWidth(p.level)
	rows := ceil(ceil(p.m, tileRows(p.level)), tall)
	steps := max(ceil(p.m, rows), 16) * panel * max(1, min(p.k, depth))
	all := ceil(p.n, panel)
	wide := min(all, max(1, budget(p.level)/steps))
	if workers > 1 {
		wide = max(1, min(wide, all*rows/(4*workers)))
	}
	columns := ceil(all, wide)
	return grid{m: p.m, n: p.n, rows: rows, columns: columns, width: ceil(all, columns) * panel}
}

// alone is how many multiplications take less time than it takes to start a
// goroutine for a part of them.
const alone = 1 << 18

// workers is the number of threads that count products like this are worth.
func (p *product) workers(on *kernel.On, count int) int {
	if float64(count)*float64(p.m)*float64(p.k)*float64(p.n) < alone {
		return 1
	}
	return on.Workers()
}

// budget is how many multiplications take well under a millisecond.
func budget(level kernel.Level) int {
	if level == kernel.Portable {
		return 1 << 20
	}
	return 1 << 24
}

func ceil(a, b int) int { return (a + b - 1) / b }
