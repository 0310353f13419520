package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// general computes a convolution of any rank and any groups, in either layout,
// one element after the other. It never touches padding.
type general struct{ p *Plan }

func newGeneral(p *Plan) method { return general{p} }

func (m general) packedLen() int                 { return m.p.weights() }
func (m general) pack(packed, weights []float32) { copy(packed, weights) }
func (m general) scratch() int                   { return 0 }

func (m general) run(on *kernel.On, c *call) error {
	g := &m.p.g
	rows := pixels(g.Out[:len(g.Out)-1])
	return on.Parallel(g.Batch*g.Filters*rows, func(part int) {
		nf, row := part/rows, part%rows
		m.row(on, c, nf/g.Filters, nf%g.Filters, row)
	})
}

// row computes one output row of one filter.
func (m general) row(on *kernel.On, c *call, n, f, row int) {
	g := &m.p.g
	src := newView(m.p.in, g.Channels, g.In, m.p.block)
	dst := newView(m.p.out, g.Filters, g.Out, m.p.block)
	w := newWindow(g, row)
	per, taps := g.Channels/g.Groups, pixels(g.Kernel)
	first := f / (g.Filters / g.Groups) * per
	width := g.Out[len(g.Out)-1]
	for x := range width {
		if on.Err() != nil {
			return
		}
		sum := c.bias[f]
		w.visit(x, func(tap, pixel int) {
			at := (f*per)*taps + tap
			for ch := range per {
				sum += c.src[src.at(n, first+ch, pixel)] * c.packed[at+ch*taps]
			}
		})
		at := dst.at(n, f, row*width+x)
		if c.residual != nil {
			sum += c.residual[at]
		}
		c.dst[at] = c.act.at(sum)
		c.act.finish(c.dst[at : at+1])
	}
}
