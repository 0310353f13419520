package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// general computes a convolution of any rank and any groups, in either layout,
// one element after the other. It never touches padding.
type general struct {
	p *Plan
	order
}

// order is where packed weights lie: one of filter f, channel c of its group and a
// tap at base + width*(at + tap*step).
type order interface {
	packedLen() int
	filterAt(f int) (base, width int)
	channelAt(c int) (at, step int)
}

// plainOrder is that of ONNX: M x C/groups x kernel.
type plainOrder struct{ p *Plan }

func (o plainOrder) packedLen() int { return o.p.weights() }

func (o plainOrder) filterAt(f int) (base, width int) {
	return f * o.p.g.Channels / o.p.g.Groups * pixels(o.p.g.Kernel), 1
}

func (o plainOrder) channelAt(c int) (at, step int) { return c * pixels(o.p.g.Kernel), 1 }

func (m general) scratch() int { return 0 }

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
	per := g.Channels / g.Groups
	base, width := m.filterAt(f)
	first := f / (g.Filters / g.Groups) * per
	columns := g.Out[len(g.Out)-1]
	for x := range columns {
		if on.Err() != nil {
			return
		}
		sum := c.bias[f]
		w.visit(x, func(tap, pixel int) {
			for ch := range per {
				at, step := m.channelAt(ch)
				sum += c.src[src.at(n, first+ch, pixel)] * c.packed[base+width*(at+tap*step)]
			}
		})
		at := dst.at(n, f, row*columns+x)
		if c.residual != nil {
			sum += c.residual[at]
		}
		c.dst[at] = c.act.at(sum)
		c.act.finish(c.dst[at : at+1])
	}
}
