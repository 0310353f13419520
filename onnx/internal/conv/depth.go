package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// depth is what a depthwise convolution needs to read its input where it lies:
// output pixels at the edges leave out the taps that would see padding. So nothing is
// copied, where the copy would take longer than the convolution.
type depth struct {
	lo, hi int       // output columns from lo up to hi see input with all taps
	taps   [][][]int // by the first column of the kernel, and by the one after the last
}

// maxBare is the most taps of a kernel that the tables of a depth have.
const maxBare = 49

// leastParts is in how many parts a depthwise convolution is done at least, so that
// threads have something to share.
const leastParts = 8

// newDepth plans for a grid; nil means that the input has to be staged.
func newDepth(p *Plan, r *grid) *depth {
	// Rows and columns know of padding. The first dimension, of inputs with three, must have none.
	flat := r.kernel[0] == 1 && r.in[0] == 1 && r.out[0] == 1 && r.begin[0] == 0
	if p.in != Blocked || p.out != Blocked || !flat || r.stride[2] > 2 || r.kernel.pixels() > maxBare {
		return nil
	}
	r.staged = false
	r.height, r.width = r.in[1], r.in[2]
	d := &depth{taps: make([][][]int, r.kernel[2])}
	d.lo = min((max(0, r.begin[2])+r.stride[2]-1)/r.stride[2], r.out[2])
	if last := r.in[2] - 1 + r.begin[2] - (r.kernel[2]-1)*r.dilation[2]; last >= 0 {
		d.hi = last/r.stride[2] + 1
	}
	d.hi = min(max(d.hi, d.lo), r.out[2])
	for from := range d.taps {
		d.taps[from] = make([][]int, r.kernel[2]+1)
		for to := from + 1; to <= r.kernel[2]; to++ {
			d.taps[from][to] = r.depthTaps(to-from, 4*p.block)
		}
	}
	return d
}

// depthTaps has for each tap of the first columns of the kernel the bytes to its
// pixel and to its weights.
func (r *grid) depthTaps(columns, pixel int) []int {
	all := make([]int, 0, 2*r.kernel[1]*columns)
	for y := range r.kernel[1] {
		for x := range columns {
			all = append(all, r.tap(0, y*r.dilation[1], x*r.dilation[2])*pixel, (y*r.kernel[2]+x)*pixel)
		}
	}
	return all
}

// within returns the taps, of count that are step apart, that lie on size elements if
// the first lies at element at.
func within(at, step, count, size int) (from, to int) {
	if at < 0 {
		from = min((-at+step-1)/step, count)
	}
	if at < size {
		to = min((size-1-at)/step+1, count)
	}
	return from, max(from, to)
}

// runDepth convolves each block of channels by itself.
func (m *direct) runDepth(on *kernel.On, c *call) error {
	total := m.grid.out.pixels()
	parts := total*m.grid.kernel.pixels()*m.p.block/(partWork(on.Level)/4) + 1 // pixels at the edges are slower
	parts = min(max(parts, leastParts/m.units), total)
	return on.Parallel(m.p.g.Batch*m.units*parts, func(part int) {
		w := newDepthWork(m, c, part/parts)
		from, n := share(0, total, part%parts, parts)
		w.pixels(from, from+n)
	})
}

// depthWork is a part: pixels of one block of one image.
type depthWork struct {
	m                          *direct
	block                      int
	src, dst, residual, filter []float32 // of this block
	each                       Activation
	up, down, line             int // rows of the kernel on the input, and the pixel of the first of them
	t                          tile
}

// newDepthWork prepares for a block among those of all images.
func newDepthWork(m *direct, c *call, plane int) depthWork {
	block, r := m.p.block, m.grid
	in, out, unit := r.in.pixels()*block, r.out.pixels()*block, plane%m.units
	w := depthWork{m: m, block: block, src: c.src[plane*in:][:in], dst: c.dst[plane*out:][:out]}
	if len(c.residual) != 0 {
		w.residual = c.residual[plane*out:][:out]
	}
	w.filter = c.packed[unit*r.kernel.pixels()*block:]
	w.t.bias = c.bias[unit*block:][:block]
	if c.act.kind == actEach {
		w.each = c.act
		return w
	}
	w.t.act, w.t.lo, w.t.hi, w.t.alpha = c.act.kind, c.act.lo, c.act.hi, c.act.alpha
	return w
}

// pixels computes output pixels by rows.
func (w *depthWork) pixels(from, end int) {
	columns := w.m.grid.out[2]
	for at := from; at < end; {
		y, x := at/columns, at%columns
		n := min(columns-x, end-at)
		w.row(y, x, x+n)
		at += n
	}
	if w.each.kind == actEach {
		w.each.finish(w.dst[from*w.block : end*w.block])
	}
}

// row computes columns of an output row: the inner ones at once, and those at the
// edges one by one.
func (w *depthWork) row(y, from, end int) {
	r := w.m.grid
	top := y*r.stride[1] - r.begin[1]
	w.up, w.down = within(top, r.dilation[1], r.kernel[1], r.in[1])
	w.line = (top + w.up*r.dilation[1]) * r.width
	lo := min(max(w.m.bare.lo, from), end)
	hi := min(max(w.m.bare.hi, lo), end)
	for x := from; x < lo; x++ {
		w.edge(y, x)
	}
	if lo < hi {
		w.columns(y, lo, hi-lo, 0, r.kernel[2])
	}
	for x := hi; x < end; x++ {
		w.edge(y, x)
	}
}

func (w *depthWork) edge(y, x int) {
	r := w.m.grid
	from, to := within(x*r.stride[2]-r.begin[2], r.dilation[2], r.kernel[2], r.in[2])
	w.columns(y, x, 1, from, to)
}

// columns computes n output pixels of a row, which all see the kernel's columns from
// up to to.
func (w *depthWork) columns(y, x, n, from, to int) {
	r, t, block := w.m.grid, &w.t, w.block
	at := r.pixel(0, y, x) * block
	t.dst = w.dst[at:]
	if len(w.residual) != 0 {
		t.residual = w.residual[at:]
	}
	if w.up >= w.down || from >= to {
		t.taps, t.count = nil, n // the assembly needs a tap
		t.portable(formDepth, 1, 1, block)
		return
	}
	pixel := w.line + x*r.stride[2] - r.begin[2] + from*r.dilation[2]
	t.src = w.src[pixel*block:]
	t.filter = w.filter[(w.up*r.kernel[2]+from)*block:]
	t.taps = w.m.bare.taps[from][to][:2*(w.down-w.up)*(to-from)]
	how := formDepth
	if r.stride[2] == 2 {
		how = formSkip
	}
	if n == 1 {
		t.step(w.m.p.level, how, 1, 1, 1, block)
		return
	}
	t.run(w.m.p.level, how, 1, n)
}
