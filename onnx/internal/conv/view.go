package conv

// view finds elements of an array in either layout.
type view struct {
	channels int // as stored
	pixels   int
	block    int // 1 if Planar
}

func newView(l Layout, channels int, dims []int, block int) view {
	if l == Planar {
		return view{channels, pixels(dims), 1}
	}
	return view{blocksOf(channels, block) * block, pixels(dims), block}
}

// at is the place of channel c of a pixel of image n.
func (v *view) at(n, c, pixel int) int {
	return (n*v.channels+c-c%v.block)*v.pixels + pixel*v.block + c%v.block
}

// window visits the input pixels under a kernel, for any number of dimensions. It
// leaves padding out without looking at it, however large the kernel.
type window struct {
	g      *Geometry
	start  []int // where the kernel begins, in each dimension
	lo, hi []int // the taps that lie on the input, in each dimension
	index  []int // of the tap
}

// newWindow places windows along one output row, counted over all dimensions but
// the last.
func newWindow(g *Geometry, row int) *window {
	rank := len(g.In)
	all := make([]int, 4*rank)
	w := &window{g: g, start: all[:rank], lo: all[rank : 2*rank], hi: all[2*rank : 3*rank], index: all[3*rank:]}
	w.row(row)
	return w
}

// row moves to another output row.
func (w *window) row(row int) {
	for d := len(w.start) - 2; d >= 0; d-- {
		w.place(d, row%w.g.Out[d])
		row /= w.g.Out[d]
	}
}

// place moves the window to output position i of dimension d.
func (w *window) place(d, i int) {
	g := w.g
	start, step := i*g.Strides[d]-g.Begin[d], g.Dilation[d]
	w.start[d] = start
	w.lo[d] = 0
	if start < 0 {
		w.lo[d] = (-start + step - 1) / step
	}
	w.hi[d] = 0
	if left := g.In[d] - start; left > 0 {
		w.hi[d] = min(g.Kernel[d], (left+step-1)/step)
	}
}

// visit calls do for each tap that lies on an input pixel, in row-major order,
// for the window at position x of the last dimension.
func (w *window) visit(x int, do func(tap, pixel int)) {
	last := len(w.start) - 1
	w.place(last, x)
	w.visitRows(func(tap, pixel int) {
		for k := w.lo[last]; k < w.hi[last]; k++ {
			do(tap+k, pixel+w.start[last]+k*w.g.Dilation[last])
		}
	})
}

// visitRows calls do for each tap of all dimensions but the last, with the numbers
// of the first tap and of the first pixel of its row.
func (w *window) visitRows(do func(tap, pixel int)) {
	last := len(w.start) - 1
	for d := range last {
		if w.lo[d] >= w.hi[d] {
			return
		}
	}
	copy(w.index, w.lo)
	for {
		tap, pixel := 0, 0
		for d := range last {
			tap = tap*w.g.Kernel[d] + w.index[d]
			pixel = pixel*w.g.In[d] + w.start[d] + w.index[d]*w.g.Dilation[d]
		}
		do(tap*w.g.Kernel[last], pixel*w.g.In[last])
		if !w.next(last - 1) {
			return
		}
	}
}

// next moves the tap on over the dimensions up to d.
func (w *window) next(d int) bool {
	for ; d >= 0; d-- {
		if w.index[d]++; w.index[d] < w.hi[d] {
			return true
		}
		w.index[d] = w.lo[d]
	}
	return false
}
