package conv

import "github.com/blindbox/blindbox/onnx/internal/vec"

// emit brings a finished part from the scratch into the output's layout, with
// residual and activation.
func (w *work) emit() {
	for y := range w.band.rows {
		if w.m.p.out == Planar {
			w.emitPlanes(w.band.y + y)
			continue
		}
		for l := range w.set.lanes {
			w.emitLane(w.band.y+y, l)
		}
	}
}

// emitPlanes brings one row of all output channels of the set into their planes.
func (w *work) emitPlanes(y int) {
	m, c, r, block := w.m, w.c, w.m.grid, w.m.p.block
	plane := r.out.pixels()
	first := (w.n*m.p.g.Filters+w.set.filter)*plane + r.pixel(w.band.z, y, w.band.x)
	for lane := 0; lane < w.set.lanes; lane += block {
		src := w.output()[w.at(y)+lane*w.blockPixels():]
		used := min(block, w.set.lanes-lane)
		vec.Transpose2D(m.p.level, c.dst[first+lane*plane:], plane, src, block, w.band.cols, used)
	}
	if c.residual == nil && c.act.kind == actNone {
		return
	}
	for lane := range w.set.lanes {
		at := first + lane*plane
		row := c.dst[at:][:w.band.cols]
		if c.residual != nil {
			vec.Add(m.p.level, row, row, c.residual[at:][:len(row)])
		}
		c.act.apply(m.p.level, row)
	}
}

// emitLane brings one row of one output channel into its lane of a block.
func (w *work) emitLane(y, lane int) {
	m, c, r, block := w.m, w.c, w.m.grid, w.m.p.block
	src := w.output()[w.at(y)+lane/block*w.blockPixels()*block+lane%block:]
	v := newView(m.p.out, m.p.g.Filters, r.out[:], block)
	at := v.at(w.n, w.set.filter+lane, r.pixel(w.band.z, y, w.band.x))
	for i := range w.band.cols {
		x := src[i*block]
		if c.residual != nil {
			x += c.residual[at+i*block]
		}
		dst := c.dst[at+i*block:][:1]
		dst[0] = c.act.at(x)
		c.act.finish(dst)
	}
}
