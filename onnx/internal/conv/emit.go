package conv

// emit brings a finished part from the scratch into the output's layout, with
// residual and activation.
func (w *work) emit() {
	for y := range w.band.rows {
		for l := range w.set.lanes {
			w.emitRow(w.band.y+y, l)
		}
	}
}

// emitRow brings one row of one output channel.
func (w *work) emitRow(y, lane int) {
	m, c, r, block := w.m, w.c, w.m.grid, w.m.p.block
	from := w.at(y) + lane/block*w.blockPixels()*block + lane%block
	src := w.output()[from:]
	v := newView(m.p.out, m.p.g.Filters, r.out[:], block)
	at := v.at(w.n, w.set.filter+lane, r.pixel(w.band.z, y, w.band.x))
	step := v.block
	dst := c.dst[at:]
	if c.residual == nil && c.act.kind == actNone && step == 1 {
		for i := range dst[:w.band.cols] {
			dst[i] = src[i*block]
		}
		return
	}
	for i := range w.band.cols {
		x := src[i*block]
		if c.residual != nil {
			x += c.residual[at+i*step]
		}
		dst[i*step] = c.act.at(x)
	}
	w.emitted(dst, step)
}

// emitted calls the activation's function on a row.
func (w *work) emitted(dst []float32, step int) {
	if w.c.act.kind != actEach {
		return
	}
	if step == 1 {
		w.c.act.finish(dst[:w.band.cols])
		return
	}
	for i := range w.band.cols {
		w.c.act.finish(dst[i*step:][:1])
	}
}
