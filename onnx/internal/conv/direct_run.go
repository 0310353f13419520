package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// partWork is about how many multiplications a part of the work has, so that it
// takes less than a millisecond.
func partWork(level kernel.Level) int {
	if level < kernel.AVX2 {
		return 1 << 20
	}
	return 24 << 20
}

func (m *direct) run(on *kernel.On, c *call) error {
	if m.bare != nil {
		return m.runDepth(on, c)
	}
	for n := range m.p.g.Batch {
		for i := range m.grid.bands() {
			if err := m.band(on, c, n, m.grid.band(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// band computes a band of image n.
func (m *direct) band(on *kernel.On, c *call, n int, b band) error {
	if m.grid.staged {
		if err := on.Parallel(m.units, func(unit int) { m.stage(c, n, b, unit) }); err != nil {
			return err
		}
	}
	parts := m.cut(b, on.Level)
	return on.Parallel(len(m.sets)*parts, func(part int) {
		at, size := part%parts, parts
		sub := b
		if b.rows > 1 {
			sub.y, sub.rows = share(b.y, b.rows, at, size)
		} else {
			sub.x, sub.cols = share(b.x, b.cols, at, size)
		}
		w := work{m: m, on: on, c: c, n: n, whole: b, band: sub, set: m.sets[part/parts]}
		w.do()
	})
}

// cut returns in how many parts a set's work on a band is done: enough to look at
// the context often, and to give a second thread something.
func (m *direct) cut(b band, level kernel.Level) int {
	work := b.rows * b.cols * m.sets[0].f * m.p.block * m.depth()
	parts := max(1, work/partWork(level))
	if len(m.sets) < 4 && work > 1<<20 {
		parts = max(parts, 4)
	}
	if b.rows > 1 {
		return min(parts, b.rows)
	}
	return min(parts, max(1, b.cols/minCols))
}

// depth is the number of products in one output element.
func (m *direct) depth() int {
	return max(1, m.p.g.Channels/m.p.g.Groups) * m.grid.kernel.pixels()
}

// share is part at of size nearly equal parts of n things from start on.
func share(start, n, at, size int) (int, int) {
	from, to := n*at/size, n*(at+1)/size
	return start + from, to - from
}

// stage copies one plane of a band's input.
func (m *direct) stage(c *call, n int, b band, unit int) {
	r, block, g := m.grid, m.p.block, &m.p.g
	size := r.in.pixels()
	dst := c.scratch[unit*r.planePixels()*m.lane():][:r.planePixels()*m.lane()]
	blocks := blocksOf(g.Channels, block)
	switch {
	case m.form == formPlanar && m.p.in == Planar:
		src := c.src[(n*g.Channels+unit)*size:][:size]
		r.fill(b, func(to int, l *line) { l.plane(dst[to:], src, 1) })
	case m.form == formPlanar:
		src := c.src[(n*blocks+unit/block)*size*block+unit%block:]
		r.fill(b, func(to int, l *line) { l.plane(dst[to:], src, block) })
	case m.p.in == Planar:
		src := c.src[(n*g.Channels+unit*block)*size:]
		used := min(block, g.Channels-unit*block)
		r.fill(b, func(to int, l *line) { l.lanes(m.p.level, dst[to*block:], src, used, size, block) })
	default:
		src := c.src[(n*blocks+unit)*size*block:][:size*block]
		r.fill(b, func(to int, l *line) { l.pixels(dst[to*block:], src, block) })
	}
}

// work is a part: a set of filters over a part of a band.
type work struct {
	m     *direct
	on    *kernel.On
	c     *call
	n     int
	whole band // as staged
	band  band // to be computed
	set   set
}

func (w *work) do() {
	m := w.m
	blocks := 1
	if m.form == formBlocked {
		blocks = blocksOf(m.p.g.Channels/m.p.g.Groups, m.p.block)
	}
	for from := 0; from < blocks; from += m.chunk {
		to := min(from+m.chunk, blocks)
		t := w.tile(from, to, blocks)
		rows, cols := w.lines()
		for y := range rows {
			if w.on.Err() != nil {
				return
			}
			row := t
			w.place(&row, w.band.y+y, from)
			w.hint(&row, y, rows, cols, to-from)
			row.run(m.p.level, m.form, w.set.f, cols)
		}
	}
	if m.direct {
		w.finish()
	} else {
		w.emit()
	}
}

// lines says in how many runs of how many pixels the part is done: all rows are one
// if they follow each other in the input and in the output.
func (w *work) lines() (rows, cols int) {
	b, r := w.band, w.m.grid
	if r.rowPixels() == b.cols && r.cols == b.cols && r.out[2] == b.cols {
		return 1, b.rows * b.cols
	}
	return b.rows, b.cols
}

// tile prepares all that the rows of a chunk of input blocks have in common.
func (w *work) tile(from, to, blocks int) tile {
	m, c, block := w.m, w.c, w.m.p.block
	per := m.p.g.Channels / m.p.g.Groups
	t := tile{taps: m.taps, blocks: to - from, last: 1}
	t.filter = c.packed[w.set.weight:]
	if m.form == formBlocked {
		t.last = min(block, per-(to-1)*block)
		t.srcBlock = m.grid.planePixels() * block * 4
		t.filter = t.filter[from*block*len(m.taps)*w.set.f*block:]
	}
	if from == 0 {
		t.bias = c.bias[w.set.bias:][:w.set.f*block]
	}
	if to == blocks && m.direct {
		t.act, t.lo, t.hi, t.alpha = c.act.kind, c.act.lo, c.act.hi, c.act.alpha
		if t.act == actEach {
			t.act = actNone
		}
	}
	t.dstBlock = w.blockPixels() * block * 4
	if to == blocks && m.direct {
		t.residual = c.residual
	}
	return t
}

// A round of the innermost loop has hintRound channels, and tells the cache of
// hintFloats weights or of as many as it uses.
const (
	hintRound  = 4
	hintFloats = 2 * 16
)

// hinted is how many weights a round should tell the cache of, if the weights of a
// chunk are used in so many calls for sets of f blocks. With one call only each round
// has to ask for as many as it uses: layers of few pixels take half the time of what
// they take with less, and the others more.
func hinted(calls, f, block int) int {
	if calls == 1 {
		return max(hintFloats, hintRound*f*block)
	}
	return hintFloats
}

// hint points the tile at the weights of the next chunk, which the rows of this
// one bring into the second cache bit by bit.
func (w *work) hint(t *tile, row, rows, cols, blocks int) {
	m := w.m
	if m.form != formBlocked {
		return
	}
	used := blocks * m.p.block * len(m.taps) * w.set.f * m.p.block
	most := widest(m.p.level, m.form, w.set.f)
	calls := (cols + most - 1) / most
	steps := blocks * m.p.block / hintRound * len(m.taps) * calls
	each := hinted(rows*calls, w.set.f, m.p.block)
	at := row * steps * each
	if at < used && used+at < len(t.filter) {
		t.ahead, t.stride = t.filter[used+at:], 4*each
	}
}

// blockPixels is the distance of output blocks where the microkernels write.
func (w *work) blockPixels() int {
	if w.m.direct {
		return w.m.grid.out.pixels()
	}
	return w.m.grid.rows * w.m.grid.cols
}

// place points the tile at an output row and at input block from.
func (w *work) place(t *tile, y, from int) {
	m, c, r := w.m, w.c, w.m.grid
	src := c.src
	unit := w.set.unit + from
	if r.staged {
		src = c.scratch[:m.stageLen()]
	} else {
		unit += w.n * m.units
	}
	pixel := r.origin(w.whole) + (y-w.whole.y)*r.rowPixels() + w.band.x - w.whole.x
	t.src = src[(unit*r.planePixels()+pixel)*m.lane():]
	at := w.at(y)
	t.dst = w.output()[at:]
	if len(t.residual) != 0 {
		t.residual = t.residual[at:]
	}
}

// output is where the microkernels write.
func (w *work) output() []float32 {
	if w.m.direct {
		return w.c.dst
	}
	return w.c.scratch[w.m.stageLen():][:w.m.bandLen()]
}

// at is where output row y begins.
func (w *work) at(y int) int {
	m, r, block := w.m, w.m.grid, w.m.p.block
	if m.direct {
		return ((w.n*m.rows+w.set.row)*r.out.pixels() + r.pixel(w.band.z, y, w.band.x)) * block
	}
	return (w.set.row*r.rows*r.cols + (y-w.whole.y)*r.cols + w.band.x - w.whole.x) * block
}

// finish calls the activation's function on what is done.
func (w *work) finish() {
	if w.c.act.kind != actEach {
		return
	}
	block := w.m.p.block
	width := w.band.cols * block
	for f := range w.set.f {
		at := w.at(w.band.y) + f*w.blockPixels()*block
		if w.band.cols == w.m.grid.out[2] {
			w.c.act.finish(w.c.dst[at:][:width*w.band.rows])
			continue
		}
		w.c.act.finish(w.c.dst[at:][:width])
	}
}
