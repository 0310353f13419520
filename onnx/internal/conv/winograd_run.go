package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

func (m *winograd) run(on *kernel.On, c *call) error {
	tiles := m.high * m.wide
	for n := range m.p.g.Batch {
		for from := 0; from < tiles; from += m.band {
			s := &tiling{m: m, on: on, c: c, n: n, from: from, to: min(from+m.band, tiles)}
			if err := s.run(); err != nil {
				return err
			}
		}
	}
	return nil
}

// tiling is the work on some tiles of image n, counted row by row.
type tiling struct {
	m        *winograd
	on       *kernel.On
	c        *call
	n        int
	from, to int
}

// run transforms the input, multiplies, and transforms the sums.
func (s *tiling) run() error {
	if err := s.on.Parallel(s.m.units, s.spread); err != nil {
		return err
	}
	if err := s.on.Parallel(tileSpots, s.multiply); err != nil {
		return err
	}
	return s.on.Parallel(s.m.rows, s.collect)
}

// each calls do for stretches of tiles in one row, and asks whether to go on.
func (s *tiling) each(do func(y, x, n int)) {
	wide := s.m.wide
	for at := s.from; at < s.to && s.on.Err() == nil; {
		y, x := at/wide, at%wide
		n := min(wide-x, s.to-at)
		do(y, x, n)
		at += n
	}
}

// fitting is how many of n tiles from number x on have all their size pixels between 0
// and limit, or, negative, how many of them have not. before is the padding.
func fitting(x, n, before, size, limit int) int {
	low := (max(0, before) + tileOut - 1) / tileOut
	high := 0 // the first that reaches beyond the limit
	if room := limit + before - size; room >= 0 {
		high = room/tileOut + 1
	}
	switch {
	case x >= high:
		return -n
	case x < low:
		return -min(n, low-x)
	}
	return min(n, high-x)
}

// patchTiles is how many tiles of the border are copied at once.
const patchTiles = 4

// patchFloats is the size of the largest such copy.
const patchFloats = tileIn * (patchTiles*tileOut + 2) * maxBlock

// spread transforms one block of input channels.
func (s *tiling) spread(unit int) {
	m, g, block := s.m, &s.m.p.g, s.m.p.block
	src := s.c.src[(s.n*m.units+unit)*pixels(g.In)*block:][:pixels(g.In)*block]
	dst := s.c.scratch[unit*block*m.band:]
	var tmp [tileSpots * maxBlock]float32
	var patch [patchFloats]float32
	t := inward{tmp: tmp[:], dstStep: 4 * m.inStep(), factors: inwardFactors()}
	s.each(func(y, x, n int) {
		at := (y*m.wide + x - s.from) * block
		row := y*tileOut - g.Begin[0]
		border := fitting(y, 1, g.Begin[0], tileIn, g.In[0]) < 0
		for n > 0 {
			t.count = n
			if !border {
				t.count = fitting(x, n, g.Begin[1], tileIn, g.In[1])
			}
			if border || t.count < 0 {
				t.count = min(max(t.count, -t.count), patchTiles)
				t.src, t.srcRow = patch[:], 4*block*(t.count*tileOut+2)
				s.cut(patch[:], src, row, x*tileOut-g.Begin[1], t.count*tileOut+2)
			} else {
				t.src, t.srcRow = src[(row*g.In[1]+x*tileOut-g.Begin[1])*block:], 4*block*g.In[1]
			}
			t.dst = dst[at:]
			t.run(m.p.level)
			at += t.count * block
			x, n = x+t.count, n-t.count
		}
	})
}

// cut copies columns of six rows of the input, which may lie outside of it.
func (s *tiling) cut(dst, src []float32, row, column, columns int) {
	g, block := &s.m.p.g, s.m.p.block
	l := line{lead: min(max(0, -column), columns), end: max(0, min(g.In[1]-column, columns)), columns: columns, step: 1}
	l.end = max(l.end, l.lead)
	for y := row; y < row+tileIn; y++ {
		r := l
		r.at = y*g.In[1] + column + l.lead
		if y < 0 || y >= g.In[0] {
			r.lead, r.end = columns, columns
		}
		r.pixels(dst, src, block)
		dst = dst[columns*block:]
	}
}

// multiply computes one of the 36 products of matrices.
func (s *tiling) multiply(spot int) {
	m, block := s.m, s.m.p.block
	n := s.to - s.from
	src := s.c.scratch[spot*m.inStep():]
	dst := s.c.scratch[tileSpots*m.inStep()+spot*m.outStep():]
	var zero [maxSet * maxBlock]float32
	for _, set := range m.sets {
		if s.on.Err() != nil {
			return
		}
		most := widest(m.p.level, formBlocked, set.f)
		filter := s.c.packed[spot*m.spot()+set.weight:]
		for from := 0; from < m.units; from += m.chunk {
			to := min(from+m.chunk, m.units)
			t := tile{taps: m.taps, blocks: to - from, last: min(block, m.p.g.Channels-(to-1)*block)}
			t.src, t.srcBlock = src[from*block*m.band:], 4*block*m.band
			t.dst, t.dstBlock = dst[set.row*block*m.band:], 4*block*m.band
			t.filter = filter
			if used := (to - from) * block * set.f * block; used < len(filter) {
				filter = filter[used:]
				t.ahead, t.stride = filter, 4*hinted((n+most-1)/most, set.f, block)
			}
			if from == 0 {
				t.bias = zero[:set.f*block]
			}
			t.run(m.p.level, formBlocked, set.f, n)
		}
	}
}

// collect transforms the sums of one block of output channels.
func (s *tiling) collect(row int) {
	m, g, c, block := s.m, &s.m.p.g, s.c, s.m.p.block
	base := (s.n*m.rows + row) * pixels(g.Out) * block
	size := pixels(g.Out) * block
	sums := c.scratch[tileSpots*m.inStep()+row*block*m.band:]
	o := output{s: s, row: row, dst: c.dst[base:][:size]}
	if c.residual != nil {
		o.residual = c.residual[base:][:size]
	}
	var tmp [tileSpots * maxBlock]float32
	var bad [maxBlock]float32
	t := outward{tmp: tmp[:], bad: bad[:block], bias: c.bias[row*block:][:block], srcStep: 4 * m.outStep(), factors: outwardFactors()}
	t.act, t.lo, t.hi, t.alpha = c.act.kind, c.act.lo, c.act.hi, c.act.alpha
	if t.act == actEach {
		t.act = actNone
	}
	s.each(func(y, x, n int) {
		t.src = sums[(y*m.wide+x-s.from)*block:]
		for n > 0 {
			done := 1
			if whole := min(n, g.Out[1]/tileOut-x); whole > 0 && (y+1)*tileOut <= g.Out[0] {
				done = whole
				o.whole(t, y, x, done)
			} else {
				o.part(t, y, x)
			}
			if !finite(bad[:block]) {
				clear(bad[:])
				o.again(y, x, done)
			}
			o.activate(y, x, done)
			t.src = t.src[done*block:]
			x, n = x+done, n-done
		}
	})
}
