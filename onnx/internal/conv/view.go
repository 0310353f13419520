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

// window visits the input pixels under a kernel, for any number of dimensions.
type window struct {
	g     *Geometry
	start []int // where the kernel begins, in all dimensions but the last
	taps  int
	index []int // of the tap
}

// newWindow places windows along one output row, counted over all dimensions but
// the last.
func newWindow(g *Geometry, row int) *window {
	last := len(g.In) - 1
	w := &window{g: g, start: make([]int, last+1), index: make([]int, last+1), taps: pixels(g.Kernel)}
	for d := last - 1; d >= 0; d-- {
		w.start[d] = row%g.Out[d]*g.Strides[d] - g.Begin[d]
		row /= g.Out[d]
	}
	return w
}

// visit calls do for each tap that lies on an input pixel, in row-major order,
// for the window at position x of the last dimension.
func (w *window) visit(x int, do func(tap, pixel int)) {
	g := w.g
	last := len(g.In) - 1
	w.start[last] = x*g.Strides[last] - g.Begin[last]
	clear(w.index)
	for tap := range w.taps {
		if pixel, ok := w.pixel(); ok {
			do(tap, pixel)
		}
		for d := last; d >= 0; d-- {
			if w.index[d]++; w.index[d] < g.Kernel[d] {
				break
			}
			w.index[d] = 0
		}
	}
}

// pixel is the input pixel under the current tap, unless that is padding.
func (w *window) pixel() (int, bool) {
	at := 0
	for d, size := range w.g.In {
		i := w.start[d] + w.index[d]*w.g.Dilation[d]
		if i < 0 || i >= size {
			return 0, false
		}
		at = at*size + i
	}
	return at, true
}
