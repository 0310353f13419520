package conv

import (
	"cmp"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Indices is where the maxima of a Planar pooling are: the place of each in src, or
// with ColumnMajor in src if its spatial dimensions were stored the first one fastest.
type Indices struct {
	At          []int64
	ColumnMajor bool
}

// MaxPoolOf takes maxima of numbers of any type, Planar, the first of equals. A window
// without pixels gives lowest. indices may be nil. The geometry is one of MaxPool.
func MaxPoolOf[T cmp.Ordered](on *kernel.On, p *Pool, dst, src []T, lowest T, indices *Indices) error {
	g := &p.g
	in := pixels(g.In)
	return p.eachPixel(on, func(plane, at int, w *window, x int) {
		top, place := lowest, -1
		w.visit(x, func(_, pixel int) {
			if v := src[plane*in+pixel]; place < 0 || v > top {
				top, place = v, pixel
			}
		})
		dst[at] = top
		if indices != nil {
			indices.At[at] = int64(plane*in + indices.turned(g.In, max(0, place)))
		}
	})
}

// turned is the number of a pixel in the order of the indices.
func (i *Indices) turned(dims []int, pixel int) int {
	if !i.ColumnMajor {
		return pixel
	}
	at := 0
	for d := len(dims) - 1; d >= 0; d-- {
		scale := 1
		for _, size := range dims[:d] {
			scale *= size
		}
		at += pixel % dims[d] * scale
		pixel /= dims[d]
	}
	return at
}

// LpPool takes the p-norm of the pixels under each window, Planar.
func LpPool(on *kernel.On, pool *Pool, dst, src []float32, p float64) error {
	in := pixels(pool.g.In)
	return pool.eachPixel(on, func(plane, at int, w *window, x int) {
		sum := 0.0
		w.visit(x, func(_, pixel int) { sum += math.Pow(math.Abs(float64(src[plane*in+pixel])), p) })
		dst[at] = float32(math.Pow(sum, 1/p))
	})
}

// eachPixel calls do for each output pixel of a Planar pooling.
func (p *Pool) eachPixel(on *kernel.On, do func(plane, at int, w *window, x int)) error {
	g := &p.g
	last := len(g.Out) - 1
	rows, columns := pixels(g.Out[:last]), g.Out[last]
	return on.Parallel(g.Batch*g.Channels*rows, func(part int) {
		w := newWindow(g, part%rows)
		for x := range columns {
			if on.Err() != nil {
				return
			}
			do(part/rows, part*columns+x, w, x)
		}
	})
}
