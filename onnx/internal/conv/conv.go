package conv

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Conv is a convolution of one geometry, with its weights in the order in which
// the kernels read them. It is immutable and safe for concurrent use.
type Conv struct {
	plan   *Plan
	packed []float32
}

// New plans a convolution and packs its weights (M x C/groups x kernel, row-major)
// and bias (M values, or none). in and out are the layouts of the arrays that Run
// will see.
func New(on *kernel.On, g Geometry, in, out Layout, weights, bias []float32) (*Conv, error) {
	plan, err := NewPlan(on.Level, g, in, out)
	if err != nil {
		return nil, err
	}
	packed := tensor.Lasting(plan.PackedLen())
	if err := plan.Pack(on, packed, weights, bias); err != nil {
		return nil, err
	}
	return &Conv{plan, packed}, nil
}

// For plans the same convolution for input of another size; both share the weights.
func (c *Conv) For(batch int, in, begin, out []int) (*Conv, error) {
	g := &c.plan.g
	if g.Batch == batch && slices.Equal(g.In, in) && slices.Equal(g.Begin, begin) && slices.Equal(g.Out, out) {
		return c, nil
	}
	plan, err := c.plan.For(batch, in, begin, out)
	if err != nil {
		return nil, err
	}
	return &Conv{plan, c.packed}, nil
}

// PackedBytes is the memory of the packed weights.
func (c *Conv) PackedBytes() int { return 4 * len(c.packed) }

// Scratch is the number of floats that Run needs besides its arguments.
func (c *Conv) Scratch() int { return c.plan.Scratch() }

// Run computes dst from src; see Plan.Run.
func (c *Conv) Run(on *kernel.On, dst, src, residual []float32, act Activation, scratch []float32) error {
	return c.plan.Run(on, c.packed, dst, src, residual, act, scratch)
}

// Plan is how a convolution of one geometry is computed at one level, without its
// weights: for weights that a graph computes, Pack is called in each run.
type Plan struct {
	level   kernel.Level
	g       Geometry
	in, out Layout
	block   int
	how     method
}

// method is one way to compute a convolution.
type method interface {
	order
	scratch() int
	run(on *kernel.On, c *call) error
}

// call holds what one Run was given. The bias has a value for each lane of the
// output's blocks.
type call struct {
	packed, bias, dst, src, residual, scratch []float32
	act                                       Activation
}

// NewPlan chooses a method for a geometry.
func NewPlan(level kernel.Level, g Geometry, in, out Layout) (*Plan, error) {
	p := &Plan{level: level, g: g, in: in, out: out, block: Block(level)}
	return p.choose(nil)
}

// For plans the same convolution for input of another size: it reads the weights
// that were packed for this one.
func (p *Plan) For(batch int, in, begin, out []int) (*Plan, error) {
	next := *p
	next.g.Batch, next.g.In, next.g.Begin, next.g.Out = batch, in, begin, out
	return next.choose(p)
}

// choose prefers Winograd's form where it is worth it, and then the direct method. The weights lie as those of plan like do.
func (p *Plan) choose(like *Plan) (*Plan, error) {
	if err := p.g.check(); err != nil {
		return nil, err
	}
	p.how = general{p, plainOrder{p}}
	if like != nil {
		p.how = general{p, like.how}
	}
	if m, ok := newDirect(p, like); ok {
		p.how = m
	}
	if m, ok := newWinograd(p, like); ok && (like != nil || worthwhile(p)) {
		p.how = m
	}
	for _, n := range []int{p.how.packedLen(), p.how.scratch()} {
		if n < 0 || n > maxFloats {
			return nil, fmt.Errorf("conv: %d floats of weights or scratch", n)
		}
	}
	return p, nil
}

// lanes is the number of biases: one for each lane of the output blocks, and for a
// set of them that begins at any channel.
func (p *Plan) lanes() int { return (blocksOf(p.g.Filters, p.block) + maxSet) * p.block }

// weights is the number of weights as ONNX has them.
func (p *Plan) weights() int {
	return p.g.Filters * (p.g.Channels / p.g.Groups) * pixels(p.g.Kernel)
}

// PackedLen is the number of floats that Pack fills: the weights, the biases, and
// whether all weights are finite.
func (p *Plan) PackedLen() int { return p.how.packedLen() + p.lanes() + 1 }

// Scratch is the number of floats that Run needs besides its arguments. It does
// not depend on the number of threads.
func (p *Plan) Scratch() int { return p.how.scratch() }

// Pack fills packed from weights (M x C/groups x kernel) and bias (M or none).
//
// The direct method multiplies padding, which is zero, by weights. That is no
// convolution if a weight is infinite or NaN, so such weights go to the general
// method, which leaves padding out.
//
// It looks at the context between filters, or a few of them: a layer may have a
// gigabyte of weights.
func (p *Plan) Pack(on *kernel.On, packed, weights, bias []float32) error {
	if len(weights) != p.weights() || len(bias) != 0 && len(bias) != p.g.Filters || len(packed) != p.PackedLen() {
		return fmt.Errorf("conv: %d weights and %d biases for %d filters of %d weights", len(weights), len(bias), p.g.Filters, p.weights())
	}
	clear(packed)
	rest := packed[p.how.packedLen():]
	copy(rest[1:], bias)
	if m, ok := p.how.(transformer); ok && finite(weights) {
		if ok, err := m.transform(on, packed, weights); ok || err != nil {
			return err
		}
		rest[0] = 1
	}
	if !finite(weights) {
		rest[0] = 1
	}
	for f := 0; f < p.g.Filters; {
		if err := on.Err(); err != nil {
			return err
		}
		f += p.packRow(packed, weights, f)
	}
	return nil
}

// packRow packs filters that lie side by side, from f on, and returns how many they
// are: what is written then lies together.
func (p *Plan) packRow(packed, weights []float32, f int) int {
	base, width := p.how.filterAt(f)
	n := 1
	for ; n < width && f+n < p.g.Filters; n++ {
		if next, w := p.how.filterAt(f + n); next != base+n || w != width {
			break
		}
	}
	taps, channels := pixels(p.g.Kernel), p.g.Channels/p.g.Groups
	each := taps * channels
	for c := range channels {
		at, step := p.how.channelAt(c)
		for tap := range taps {
			to := packed[base+width*(at+tap*step):][:n]
			from := f*each + c*taps + tap
			for i := range to {
				to[i] = weights[from]
				from += each
			}
		}
	}
	return n
}

// finite says that no value is infinite or NaN.
func finite(values []float32) bool {
	var sum float32
	for _, v := range values {
		sum += v * 0
	}
	return sum == 0
}

// Run computes dst (N x M x Out) = act(convolution of src (N x C x In) + bias +
// residual). residual is none or has the size and layout of dst, and must not
// overlap it. The caller has checked the sizes. scratch has at least Scratch
// floats.
func (p *Plan) Run(on *kernel.On, packed, dst, src, residual []float32, act Activation, scratch []float32) error {
	if p.g.empty() {
		return on.Err()
	}
	end := len(packed) - p.lanes()
	c := &call{packed: packed[:end-1], bias: packed[end:], dst: dst, src: src, residual: residual, scratch: scratch, act: act}
	if packed[end-1] != 0 {
		return general{p, p.how}.run(on, c)
	}
	return p.how.run(on, c)
}
