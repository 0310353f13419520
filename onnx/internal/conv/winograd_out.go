package conv

// output is one block of channels of one image, where finished tiles go.
type output struct {
	s             *tiling
	row           int // which block
	dst, residual []float32
}

// at is where the first pixel of a tile lies.
func (o *output) at(y, x int) int {
	return (y*o.s.m.p.g.Out[1] + x) * tileOut * o.s.m.p.block
}

// whole computes n tiles that lie in the output.
func (o *output) whole(t outward, y, x, n int) {
	at := o.at(y, x)
	t.count, t.dst, t.dstRow = n, o.dst[at:], 4*o.s.m.p.block*o.s.m.p.g.Out[1]
	if o.residual != nil {
		t.residual = o.residual[at:]
	}
	t.run(o.s.m.p.level)
}

// part computes a tile that reaches beyond the output, by way of copies.
func (o *output) part(t outward, y, x int) {
	block := o.s.m.p.block
	var dst, residual [tileOut * tileOut * maxBlock]float32
	t.count, t.dst, t.dstRow = 1, dst[:], 4*block*tileOut
	if o.residual != nil {
		t.residual = residual[:]
		o.eachRow(y, x, 1, func(i int, at, size int) { copy(residual[i*tileOut*block:], o.residual[at:at+size]) })
	}
	t.run(o.s.m.p.level)
	o.eachRow(y, x, 1, func(i int, at, size int) { copy(o.dst[at:at+size], dst[i*tileOut*block:]) })
}

// eachRow calls do for the rows of pixels of n tiles that lie in the output.
func (o *output) eachRow(y, x, n int, do func(i, at, size int)) {
	g, block := &o.s.m.p.g, o.s.m.p.block
	columns := min(n*tileOut, g.Out[1]-x*tileOut)
	for i := range min(tileOut, g.Out[0]-y*tileOut) {
		do(i, o.at(y, x)+i*g.Out[1]*block, columns*block)
	}
}

// activate calls the activation's function on n tiles.
func (o *output) activate(y, x, n int) {
	if o.s.c.act.kind != actEach {
		return
	}
	o.eachRow(y, x, n, func(_, at, size int) { o.s.c.act.finish(o.dst[at : at+size]) })
}

// again computes n tiles without transforms: some of their sums were not finite, which
// may come from a pixel that other outputs of the tile do not see.
func (o *output) again(y, x, n int) {
	g, block := &o.s.m.p.g, o.s.m.p.block
	o.eachRow(y, x, n, func(i, at, size int) {
		w := newWindow(g, y*tileOut+i)
		for p := range size / block {
			if o.s.on.Err() != nil {
				return
			}
			o.pixel(w, x*tileOut+p, at+p*block)
		}
	})
}

// pixel computes one pixel, which lies at o.dst[at].
func (o *output) pixel(w *window, x, at int) {
	s := o.s
	m, c, block := s.m, s.c, s.m.p.block
	used := min(block, m.p.g.Filters-o.row*block)
	var sum [maxBlock]float32
	copy(sum[:used], c.bias[o.row*block:])
	src := newView(m.p.in, m.p.g.Channels, m.p.g.In, block)
	w.visit(x, func(tap, pixel int) {
		for ch := range m.p.g.Channels {
			v := c.src[src.at(s.n, ch, pixel)]
			weights := o.weights(tap, ch, used)
			for lane := range used {
				sum[lane] += v * weights[lane]
			}
		}
	})
	for lane, v := range sum[:used] {
		if o.residual != nil {
			v += o.residual[at+lane]
		}
		o.dst[at+lane] = c.act.at(v)
	}
}

// weights brings one tap of one channel back from the transform.
func (o *output) weights(tap, ch, used int) (w [maxBlock]float32) {
	m := o.s.m
	set := m.sets[0]
	for _, s := range m.sets {
		if s.row <= o.row {
			set = s
		}
	}
	place := set.weight + (ch*set.f+o.row-set.row)*m.p.block
	rows, down, n := filterParts(tap / 3)
	columns, across, k := filterParts(tap % 3)
	for i := range n {
		for j := range k {
			from := o.s.c.packed[(rows[i]*tileIn+columns[j])*m.spot()+place:][:used]
			for lane, u := range from {
				w[lane] += down[i] * across[j] * u
			}
		}
	}
	return w
}
