package conv

// axes holds a value for each of depth, height and width. Fewer dimensions stand
// at the end.
type axes [3]int

func axesOf(s []int, missing int) axes {
	a := axes{missing, missing, missing}
	copy(a[3-len(s):], s)
	return a
}

func (a axes) pixels() int { return a[0] * a[1] * a[2] }

// grid is how the input of a convolution lies for the microkernels: they read the
// pixel of tap t for output column x, row y at t + y*rowPixels + x. If strides or
// padding forbid that in the input itself, bands of it are copied (staged) with
// zeros around, and with a stride s split in s grids of every s-th row and column,
// of which only those that a tap needs are there.
type grid struct {
	in, out, kernel, stride, dilation, begin axes
	staged                                   bool
	least                                    float64        // floats of the smallest band
	rows, cols                               int            // output rows and columns in a band
	phase                                    [3]map[int]int // which of the split grids has a remainder
	phases                                   axes           // how many there are
	order                                    [3][]int       // remainder of each
	height, width                            int            // input rows and columns of one grid
}

// newGrid plans for a geometry of up to 3 dimensions. perPixel is the number of
// floats that all channels of one input pixel have.
func newGrid(g *Geometry, staged bool, perPixel int) *grid {
	r := &grid{
		in: axesOf(g.In, 1), out: axesOf(g.Out, 1), kernel: axesOf(g.Kernel, 1),
		stride: axesOf(g.Strides, 1), dilation: axesOf(g.Dilation, 1), begin: axesOf(g.Begin, 0),
	}
	if r.pointwise() {
		r.in, r.out = axes{1, 1, r.in.pixels()}, axes{1, 1, r.out.pixels()}
	}
	r.staged = staged || !r.plain()
	for d := range r.phase {
		r.split(d)
	}
	r.cut(perPixel)
	r.height, r.width = r.in[1], r.in[2]
	if r.staged {
		r.height, r.width = r.rows+r.reach(1), r.cols+r.reach(2)
	}
	return r
}

// pointwise says that every output pixel sees just the input pixel at its place.
func (r *grid) pointwise() bool {
	one := axes{1, 1, 1}
	return r.kernel == one && r.stride == one && r.begin == axes{} && r.in == r.out
}

// plain says that the kernels can read the input as it is.
func (r *grid) plain() bool {
	for d := range r.in {
		if r.stride[d] != 1 || r.begin[d] != 0 || r.out[d]+(r.kernel[d]-1)*r.dilation[d] > r.in[d] {
			return false
		}
	}
	return true
}

// split finds the remainders that the taps of a dimension have by its stride.
func (r *grid) split(d int) {
	r.phase[d] = map[int]int{}
	for k := range min(r.kernel[d], r.stride[d]) {
		rest := k * r.dilation[d] % r.stride[d]
		if _, ok := r.phase[d][rest]; !ok {
			r.phase[d][rest] = len(r.order[d])
			r.order[d] = append(r.order[d], rest)
		}
	}
	r.phases[d] = len(r.order[d])
}

// reach is how far behind the first the last tap is in its grid.
func (r *grid) reach(d int) int { return (r.kernel[d] - 1) * r.dilation[d] / r.stride[d] }

// bandFloats is how large a band's input may get: it should stay in the second
// cache while all filters go over it. smallFloats is an input that is not cut,
// as reading the filters more than once costs more.
const (
	bandFloats  = 160 << 10
	smallFloats = 256 << 10
)

// cut chooses the size of bands: whole rows, or parts of the row if there is but
// one.
func (r *grid) cut(perPixel int) {
	r.rows, r.cols = max(1, r.out[1]), max(1, r.out[2])
	grids := r.kernel[0] * r.phases[1] * r.phases[2]
	cost := func(rows, cols int) float64 { // which may be beyond an int
		return float64(rows+r.reach(1)) * float64(cols+r.reach(2)) * float64(grids) * float64(perPixel)
	}
	r.least = cost(1, min(minCols, r.cols))
	if cost(r.rows, r.cols) <= smallFloats {
		return
	}
	if r.rows > 1 {
		r.rows = evenly(r.rows, func(n int) bool { return cost(n, r.cols) <= bandFloats })
	}
	if r.rows == 1 {
		r.cols = evenly(r.cols, func(n int) bool { return cost(1, n) <= bandFloats || n <= minCols })
	}
}

// minCols is a width below which bands are not cut: the microkernels have it in
// two calls.
const minCols = 28

// evenly cuts n in the fewest parts of nearly equal size that fit, or in ones.
func evenly(n int, fits func(int) bool) int {
	for parts := 1; parts < n; parts++ {
		if size := (n + parts - 1) / parts; fits(size) {
			return size
		}
	}
	return 1
}

// rowPixels is the distance of output rows in the input.
func (r *grid) rowPixels() int { return r.width }

// planePixels is the number of input pixels of one channel or block: of the whole
// input, or of a staged band.
func (r *grid) planePixels() int {
	if !r.staged {
		return r.in.pixels()
	}
	return r.kernel[0] * r.phases[1] * r.phases[2] * r.height * r.width
}

// taps returns the place of each tap, in row-major order.
func (r *grid) taps() []int {
	all := make([]int, 0, r.kernel.pixels())
	for z := range r.kernel[0] {
		for y := range r.kernel[1] {
			for x := range r.kernel[2] {
				all = append(all, r.tap(z, y*r.dilation[1], x*r.dilation[2]))
			}
		}
	}
	return all
}

// tap is the place of depth tap z, y rows and x columns behind the first.
func (r *grid) tap(z, y, x int) int {
	if !r.staged {
		return (z*r.dilation[0]*r.height+y)*r.width + x
	}
	py, px := r.phase[1][y%r.stride[1]], r.phase[2][x%r.stride[2]]
	plane := (z*r.phases[1]+py)*r.phases[2] + px
	return (plane*r.height+y/r.stride[1])*r.width + x/r.stride[2]
}

// band is a part of one output image: rows from y and columns from x at depth z.
type band struct{ z, y, x, rows, cols int }

// bands is how many there are.
func (r *grid) bands() int {
	return r.out[0] * ((r.out[1] + r.rows - 1) / r.rows) * ((r.out[2] + r.cols - 1) / r.cols)
}

// band returns one of them.
func (r *grid) band(i int) band {
	across := (r.out[2] + r.cols - 1) / r.cols
	down := (r.out[1] + r.rows - 1) / r.rows
	b := band{z: i / across / down, y: i / across % down * r.rows, x: i % across * r.cols}
	b.rows, b.cols = min(r.rows, r.out[1]-b.y), min(r.cols, r.out[2]-b.x)
	return b
}

// origin is the input pixel of the band's first output pixel.
func (r *grid) origin(b band) int {
	if r.staged {
		return 0
	}
	return (b.z*r.height+b.y)*r.width + b.x
}

// pixel is the place of an output pixel in its image.
func (r *grid) pixel(z, y, x int) int { return (z*r.out[1]+y)*r.out[2] + x }
