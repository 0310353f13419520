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
// may come from a pixel that other outputs of the tile do not see. It takes a few times
// as long as the transforms, no more: inputs that are not finite must not stop a server.
func (o *output) again(y, x, n int) {
	s, block := o.s, o.s.m.p.block
	o.eachRow(y, x, n, func(_, at, size int) {
		for p := at; p < at+size; p += block {
			copy(o.dst[p:p+block], s.c.bias[o.row*block:])
		}
	})
	for unit := range s.m.units {
		for tap := range 9 {
			if s.on.Err() != nil {
				return
			}
			o.addTap(unit, tap, y, x, n)
		}
	}
	o.eachRow(y, x, n, func(_, at, size int) {
		for i := at; i < at+size; i++ {
			v := o.dst[i]
			if o.residual != nil {
				v += o.residual[i]
			}
			o.dst[i] = s.c.act.at(v)
		}
	})
}

// addTap adds what one tap of one block of input channels gives n tiles.
func (o *output) addTap(unit, tap, y, x, n int) {
	s := o.s
	m, g, block := s.m, &s.m.p.g, s.m.p.block
	channels := min(block, g.Channels-unit*block)
	var filter [maxBlock * maxBlock]float32
	o.weights(filter[:channels*block], tap, unit*block)
	src := s.c.src[(s.n*m.units+unit)*pixels(g.In)*block:][:pixels(g.In)*block]
	right := tap%3 - g.Begin[1] // from an output's column to the one that the tap sees
	o.eachRow(y, x, n, func(i, at, size int) {
		row := y*tileOut + i + tap/3 - g.Begin[0]
		if row < 0 || row >= g.In[0] {
			return
		}
		first := x * tileOut
		from, to := max(first, -right), min(first+size/block, g.In[1]-right)
		if from >= to {
			return
		}
		t := tile{taps: m.taps, blocks: 1, last: channels, filter: filter[:channels*block]}
		t.src, t.dst = src[(row*g.In[1]+from+right)*block:], o.dst[at+(from-first)*block:]
		t.run(m.p.level, formBlocked, 1, to-from)
	})
}

// weights brings one tap of some channels from the given one on back from the transform.
func (o *output) weights(filter []float32, tap, channel int) {
	m := o.s.m
	block, set := m.p.block, m.sets[0]
	for _, s := range m.sets {
		if s.row <= o.row {
			set = s
		}
	}
	rows, down, n := filterParts(tap / 3)
	columns, across, k := filterParts(tap % 3)
	for i := range n {
		for j := range k {
			spot, factor := (rows[i]*tileIn+columns[j])*m.spot(), down[i]*across[j]
			for at := 0; at < len(filter); at += block {
				from := o.s.c.packed[spot+set.weight+((channel+at/block)*set.f+o.row-set.row)*block:]
				for lane, u := range from[:block] {
					filter[at+lane] += factor * u
				}
			}
		}
	}
}
