package conv

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Transposed is a transposed convolution (ConvTranspose): each input pixel adds the
// kernel, times its value, to the output. Channels and In of the geometry are those
// of its input, Begin is what is cut off the output's start; weights are C x M/groups
// x kernel.
//
// With stride s, the output pixels whose positions have one remainder by s see the
// same taps: they are a plain convolution of the input. So it is done as up to s
// convolutions a dimension (phases), whose results are put side by side. It is
// immutable and safe for concurrent use.
type Transposed struct {
	level   kernel.Level
	g       Geometry
	in, out Layout
	phases  []phase
	packed  int
	scratch int
}

// phase is the output pixels with one remainder in each dimension.
type phase struct {
	plan *Plan // nil: no tap reaches them
	rest []int // remainders
	size []int // how many pixels, in each dimension
	taps []int // the kernel's taps, in the order of the plan's
	from int   // where its weights begin
}

// maxPhases is the most convolutions that one may become. More than that are
// strides that make no sense.
const maxPhases = 1 << 12

// NewTransposed plans a transposed convolution. in and out are the layouts of the
// arrays that Run will see.
func NewTransposed(level kernel.Level, g Geometry, in, out Layout) (*Transposed, error) {
	t := &Transposed{level: level, g: g, in: in, out: out}
	if err := t.divide(nil); err != nil {
		return nil, err
	}
	return t, nil
}

// For plans the same for input of another size: it reads the weights that were
// packed for this one.
func (t *Transposed) For(batch int, in, out []int) (*Transposed, error) {
	next := &Transposed{level: t.level, g: t.g, in: t.in, out: t.out}
	next.g.Batch, next.g.In, next.g.Out = batch, in, out
	if err := next.divide(t); err != nil {
		return nil, err
	}
	return next, nil
}

// divide makes the phases.
func (t *Transposed) divide(like *Transposed) error {
	if err := t.g.check(); err != nil {
		return err
	}
	count := 1
	for _, s := range t.g.Strides {
		if s > maxPhases/count {
			return fmt.Errorf("conv: strides %v", t.g.Strides)
		}
		count *= s
	}
	for i := range count {
		var old *Plan
		if like != nil {
			old = like.phases[i].plan
		}
		if err := t.add(i, old); err != nil {
			return err
		}
	}
	return nil
}

// add plans phase number i, whose weights lie as those of plan like, if there is one.
func (t *Transposed) add(i int, like *Plan) error {
	g := &t.g
	rank := len(g.In)
	p := phase{rest: make([]int, rank), size: make([]int, rank), from: t.packed}
	sub := Geometry{
		Batch: g.Batch, Channels: g.Channels, In: g.In, Filters: g.Filters, Groups: g.Groups,
		Kernel: make([]int, rank), Strides: make([]int, rank), Dilation: make([]int, rank), Begin: make([]int, rank), Out: p.size,
	}
	first, step := make([]int, rank), make([]int, rank)
	for d := rank - 1; d >= 0; d-- {
		n := g.Strides[d]
		p.rest[d] = i % n
		i /= n
		p.size[d] = max(0, g.Out[d]-p.rest[d]+n-1) / n
		c := comb(p.rest[d]+g.Begin[d], g.Kernel[d], g.Strides[d], g.Dilation[d])
		sub.Kernel[d], sub.Strides[d], sub.Dilation[d], sub.Begin[d] = c.n, 1, c.dilation, c.begin
		first[d], step[d] = c.last, c.step
	}
	if p.taps = tapsOf(g.Kernel, sub.Kernel, first, step); len(p.taps) > 0 {
		bare := &Plan{level: t.level, g: sub, in: t.in, out: t.out, block: Block(t.level)}
		plan, err := bare.choose(like)
		if err != nil {
			return err
		}
		p.plan = plan
		t.packed += plan.PackedLen()
		t.scratch = max(t.scratch, plan.Scratch()+t.arrayLen(p.size))
	}
	t.phases = append(t.phases, p)
	return nil
}

// teeth are the taps of one dimension that reach outputs of one remainder: last,
// last-step and so on, n of them. As a convolution they have a dilation and padding.
type teeth struct{ last, step, n, dilation, begin int }

// comb finds the taps k with (at - k*dilation) divisible by the stride, where at is
// the place of the first output.
func comb(at, kernel, stride, dilation int) teeth {
	common := divisor(stride, dilation)
	c := teeth{step: stride / common, dilation: dilation / common}
	for k := range min(kernel, c.step) {
		if (at-k*dilation)%stride == 0 {
			c.n = (kernel-1-k)/c.step + 1
			c.last = k + (c.n-1)*c.step
			c.begin = -((at - c.last*dilation) / stride)
			break
		}
	}
	return c
}

// divisor is the greatest common one.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// tapsOf lists the taps of a grid that counts down in each dimension.
func tapsOf(kernel, size, first, step []int) []int {
	taps := []int{0}
	for d := range kernel {
		var next []int
		for _, t := range taps {
			for i := range size[d] {
				next = append(next, t*kernel[d]+first[d]-i*step[d])
			}
		}
		taps = next
	}
	return taps
}

// arrayLen is the number of floats of an output with other spatial dimensions.
func (t *Transposed) arrayLen(size []int) int {
	if t.out == Planar {
		return t.g.Batch * t.g.Filters * pixels(size)
	}
	return BlockedLen(t.level, t.g.Batch, t.g.Filters, pixels(size))
}

// PackedLen is the number of floats that Pack fills, Scratch those that Run needs.
func (t *Transposed) PackedLen() int { return t.packed + t.g.Filters }

// Scratch is the number of floats that Run needs besides its arguments.
func (t *Transposed) Scratch() int { return t.scratch }

// Pack fills packed from weights (C x M/groups x kernel) and bias (M or none).
func (t *Transposed) Pack(on *kernel.On, packed, weights, bias []float32) error {
	g := &t.g
	filters, per, taps := g.Filters/g.Groups, g.Channels/g.Groups, pixels(g.Kernel)
	if len(weights) != g.Channels*filters*taps || len(bias) != 0 && len(bias) != g.Filters || len(packed) != t.PackedLen() {
		return fmt.Errorf("conv: %d weights and %d biases for %d channels", len(weights), len(bias), g.Channels)
	}
	clear(packed[t.packed:])
	copy(packed[t.packed:], bias)
	for _, p := range t.phases {
		if p.plan == nil {
			continue
		}
		sub := make([]float32, 0, p.plan.weights())
		for f := range g.Filters {
			if err := on.Err(); err != nil {
				return err
			}
			for c := range per {
				row := weights[((f/filters*per+c)*filters+f%filters)*taps:]
				for _, tap := range p.taps {
					sub = append(sub, row[tap])
				}
			}
		}
		if err := p.plan.Pack(on, packed[p.from:][:p.plan.PackedLen()], sub, bias); err != nil {
			return err
		}
	}
	return nil
}

// Run computes dst = act(transposed convolution of src + bias).
func (t *Transposed) Run(on *kernel.On, packed, dst, src []float32, act Activation, scratch []float32) error {
	if t.g.empty() {
		return on.Err()
	}
	for _, p := range t.phases {
		if pixels(p.size) == 0 {
			continue
		}
		part := scratch
		switch {
		case p.plan == nil:
			part = nil
		case len(t.phases) == 1:
			return p.plan.Run(on, packed[:p.plan.PackedLen()], dst, src, nil, act, scratch)
		default:
			n := t.arrayLen(p.size)
			part = scratch[:n]
			if err := p.plan.Run(on, packed[p.from:][:p.plan.PackedLen()], part, src, nil, act, scratch[n:]); err != nil {
				return err
			}
		}
		if err := t.spread(on, p, dst, part, packed[t.packed:], act); err != nil {
			return err
		}
	}
	return nil
}

// spread puts the pixels of a phase between those of the others. Without part it
// puts the bias there.
func (t *Transposed) spread(on *kernel.On, p phase, dst, part, bias []float32, act Activation) error {
	block := 1
	if t.out == Blocked {
		block = Block(t.level)
	}
	planes := blocksOf(t.g.Filters, block)
	size, all := pixels(p.size)*block, pixels(t.g.Out)*block
	return on.Parallel(t.g.Batch*planes, func(plane int) {
		to := dst[plane*all:][:all]
		if part != nil {
			t.each(p, func(from, at, step, n int) {
				strided(to[at*block:], part[plane*size+from*block:], n, step*block, block)
			})
			return
		}
		value := make([]float32, block)
		first := plane % planes * block
		copy(value, bias[first:min(first+block, len(bias))])
		for i := range value {
			value[i] = act.at(value[i])
		}
		act.finish(value)
		t.each(p, func(_, at, step, n int) {
			for i := range n {
				copy(to[(at+i*step)*block:], value)
			}
		})
	})
}

// each calls do for each row of a phase: n pixels, which stand in the output from
// pixel at on, step apart.
func (t *Transposed) each(p phase, do func(from, at, step, n int)) {
	last := len(p.size) - 1
	n := p.size[last]
	for row := range pixels(p.size[:last]) {
		at, scale := p.rest[last], t.g.Out[last]
		for d, rest := last-1, row; d >= 0; d-- {
			at += (rest%p.size[d]*t.g.Strides[d] + p.rest[d]) * scale
			rest /= p.size[d]
			scale *= t.g.Out[d]
		}
		do(row*n, at, t.g.Strides[last], n)
	}
}

// strided copies n pixels of block floats to places step floats apart.
func strided(dst, src []float32, n, step, block int) {
	if block == 1 {
		for i, x := range src[:n] {
			dst[i*step] = x
		}
		return
	}
	for i := range n {
		copy(dst[i*step:][:block], src[i*block:])
	}
}
