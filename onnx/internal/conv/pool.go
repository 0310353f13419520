package conv

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Pool is a pooling: for each channel by itself, the maximum or the mean of the
// pixels under a kernel. It is immutable and safe for concurrent use. A global
// pooling is one whose kernel is the whole input.
type Pool struct {
	g       Geometry
	layout  Layout
	block   int // 1 if Planar
	mean    bool
	padded  bool
	end     []int
	columns span // output columns whose windows lie on the input altogether
}

// span is a range of numbers.
type span struct{ from, to int }

// MaxPool takes the maximum; it ignores padding and NaN. Filters and Groups of the
// geometry are not looked at.
func MaxPool(level kernel.Level, g Geometry, layout Layout) (*Pool, error) {
	return newPool(level, g, layout)
}

// AveragePool takes the mean of the pixels that lie on the input. With padded it
// divides by the number of all that lie on the input or its padding, of which
// there are end pixels behind each dimension.
func AveragePool(level kernel.Level, g Geometry, layout Layout, padded bool, end []int) (*Pool, error) {
	if padded && len(end) != len(g.In) {
		return nil, fmt.Errorf("conv: %d dimensions, but %d values of padding", len(g.In), len(end))
	}
	p, err := newPool(level, g, layout)
	if err != nil {
		return nil, err
	}
	p.mean, p.padded, p.end = true, padded, end
	return p, nil
}

func newPool(level kernel.Level, g Geometry, layout Layout) (*Pool, error) {
	g.Groups, g.Filters = 1, g.Channels
	whole := g.Kernel
	g.Kernel = make([]int, len(whole)) // its product is no number of weights
	for d := range g.Kernel {
		g.Kernel[d] = 1
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	g.Kernel = whole
	for d := range g.In {
		if g.Begin[d] < 0 {
			return nil, fmt.Errorf("conv: padding %d before dimension %d", g.Begin[d], d)
		}
		if err := g.checkDim(d); err != nil {
			return nil, err
		}
	}
	p := &Pool{g: g, layout: layout, block: 1}
	if layout == Blocked {
		p.block = Block(level)
	}
	p.columns = inside(&g)
	return p, nil
}

// inside finds the columns whose windows see no padding beside them.
func inside(g *Geometry) span {
	d := len(g.In) - 1
	from := (g.Begin[d] + g.Strides[d] - 1) / g.Strides[d]
	free := g.In[d] + g.Begin[d] - (g.Kernel[d]-1)*g.Dilation[d] - 1
	if free < 0 {
		return span{}
	}
	s := span{min(from, g.Out[d]), min(free/g.Strides[d]+1, g.Out[d])}
	s.to = max(s.from, s.to)
	return s
}

// poolRows is how many output rows are a part of the work.
const poolRows = 16

// Run pools src (N x C x In) into dst (N x C x Out), both in the layout given.
func (p *Pool) Run(on *kernel.On, dst, src []float32) error {
	g := &p.g
	last := len(g.Out) - 1
	rows, width := pixels(g.Out[:last]), g.Out[last]
	if pixels(g.Out) == 0 {
		return nil
	}
	planes := g.Batch * blocksOf(g.Channels, p.block)
	parts := (rows + poolRows - 1) / poolRows
	in, out := pixels(g.In)*p.block, pixels(g.Out)*p.block
	return on.Parallel(planes*parts, func(part int) {
		plane, first := part/parts, part%parts*poolRows
		w := &poolWork{Pool: p, on: on, src: src[plane*in:][:in], at: newWindow(g, first)}
		for row := first; row < min(first+poolRows, rows) && on.Err() == nil; row++ {
			w.row(row, dst[plane*out+row*width*p.block:][:width*p.block])
		}
	})
}

// poolWork is one part: some rows of one plane.
type poolWork struct {
	*Pool
	at     *window
	on     *kernel.On
	src    []float32
	offset []int // of the input rows under the window, in floats
	taps   []int // bytes, by columns of the kernel
}

// row computes one output row.
func (w *poolWork) row(row int, dst []float32) {
	last := len(w.g.In) - 1
	w.at.row(row)
	w.offset = w.offset[:0]
	w.at.visitRows(func(_, pixel int) { w.offset = append(w.offset, pixel*w.block) })
	for x := range w.columns.from {
		w.columnsAt(x, 1, dst[x*w.block:])
	}
	if n := w.columns.to - w.columns.from; n > 0 {
		w.columnsAt(w.columns.from, n, dst[w.columns.from*w.block:])
	}
	for x := w.columns.to; x < w.g.Out[last]; x++ {
		if x >= w.columns.from {
			w.columnsAt(x, 1, dst[x*w.block:])
		}
	}
}

// columnsAt computes n output pixels, whose windows see the same taps.
func (w *poolWork) columnsAt(x, n int, dst []float32) {
	if w.on.Err() != nil {
		return
	}
	last := len(w.at.start) - 1
	w.at.place(last, x)
	w.taps = w.taps[:0]
	g, size := w.g, 4*w.block
	lo, hi := w.at.lo[last], w.at.hi[last]
	for k := lo; k < hi; k++ {
		for _, o := range w.offset {
			w.taps = append(w.taps, 4*o+(k-lo)*g.Dilation[last]*size)
		}
	}
	t := poolTile{dst: dst[:n*w.block], taps: w.taps, count: n, step: g.Strides[last] * size}
	if len(w.taps) == 0 {
		w.nothing(t.dst)
		return
	}
	t.src = w.src[(w.at.start[last]+lo*g.Dilation[last])*w.block:]
	t.scale, t.start = 1, float32(math.Inf(-1))
	if w.mean {
		t.scale, t.start = 1/float32(w.divisor(x)), 0
	}
	t.run(w.on.Level, w.mean, w.block)
}

// nothing is the result of windows that lie on padding altogether.
func (w *poolWork) nothing(dst []float32) {
	for i := range dst {
		dst[i] = 0
		if !w.mean {
			dst[i] = float32(math.Inf(-1))
		}
	}
}

// divisor is the number of pixels that a mean is taken over.
func (w *poolWork) divisor(x int) int {
	if !w.padded {
		return len(w.taps)
	}
	n := 1
	g := w.g
	for d, start := range w.at.start {
		room := g.In[d] + w.end[d] - start // the last window may go on behind the padding
		n *= min(g.Kernel[d], (room+g.Dilation[d]-1)/g.Dilation[d])
	}
	return n
}
