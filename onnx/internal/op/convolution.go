package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/conv"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func convolutionOperators() map[string]Spec {
	return map[string]Spec{
		"Conv":          {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeConv},
		"ConvTranspose": {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeConvTranspose},
	}
}

// Conv is a convolution and what follows it:
//
//	act(W * X + B + D)
//
// Operands are X, W, B and D; B and D may be missing, and D has the result's shape.
// It is immutable.
//
// In and Out are the layouts of X and of the result with D. A Blocked array of C
// channels has the shape N x ceil(C/b) x spatial x b with b = conv.Block of the level
// that runs it, and Block says which that is.
type Conv struct {
	frame
	Groups  int64
	Act     Activation
	In, Out conv.Layout
	Block   int64 // of Blocked results

	packed *conv.Conv // W and B, if they are known
	shape  []int64    // of W, if it is packed
}

func makeConv(a *Attributes, _ int64) (Operator, error) {
	o := &Conv{frame: readFrame(a), Groups: a.int("group", 1)}
	o.readDilation(a)
	return o, nil
}

// Infer follows ONNX's Conv.
func (o *Conv) Infer(in []*Info) ([]Info, error) {
	if err := o.check(in); err != nil {
		return nil, err
	}
	x, w := in[0], o.weights(in)
	if !x.Ranked {
		return []Info{unranked(tensor.Float32)}, nil
	}
	batch, channels, spatial := image(x.Shape, o.In)
	filters, per, kernel, err := o.filters(w, len(spatial))
	if err != nil {
		return nil, err
	}
	if o.Groups < 1 || channels >= 0 && channels%o.Groups != 0 || channels >= 0 && per >= 0 && channels/o.Groups != per || filters%o.Groups != 0 && filters >= 0 {
		return nil, BadInput(1, "has %d filters of %d channels in %d groups, but there are %d channels", filters, per, o.Groups, channels)
	}
	if err := needLen(in, 2, filters); err != nil {
		return nil, err
	}
	if kernel == nil {
		return []Info{ranked(tensor.Float32, imageShape(batch, filters, openShape(len(spatial)), o.Out, o.Block)...)}, nil
	}
	p, err := o.place(spatial, kernel)
	if err != nil {
		return nil, &OperandError{0, err}
	}
	shape := imageShape(batch, filters, p.out, o.Out, o.Block)
	if len(in) > 3 && in[3] != nil && in[3].Ranked {
		if shape, err = broadcastShapes(shape, in[3].Shape); err != nil {
			return nil, &OperandError{3, err}
		}
	}
	return []Info{ranked(tensor.Float32, shape...)}, nil
}

func (o *Conv) check(in []*Info) error {
	for i, v := range in {
		if v == nil && (i > 1 || i == 1 && o.packed != nil) {
			continue
		}
		if err := needType(in, i, tensor.Float32); err != nil {
			return err
		}
	}
	return needImage(in, 0, o.In)
}

// weights is the shape of W, or nil if its rank is not known.
func (o *Conv) weights(in []*Info) []int64 {
	if o.shape != nil {
		return o.shape
	}
	if in[1].Ranked {
		return append([]int64{}, in[1].Shape...) // a scalar's is empty, and not unknown
	}
	return nil
}

// filters reads the shape of W, M x C/groups x kernel, beside the attribute that says
// the kernel's size too. The kernel is nil if it is not known altogether.
func (o *Conv) filters(w []int64, rank int) (filters, per int64, kernel []int64, err error) {
	if w == nil {
		return -1, -1, o.kernel, nil
	}
	if len(w) != rank+2 {
		return 0, 0, nil, BadInput(1, "has shape %v, expected %d dimensions", w, rank+2)
	}
	kernel = w[2:]
	if o.kernel != nil {
		if len(o.kernel) != rank {
			return 0, 0, nil, BadInput(1, "has shape %v, but kernel_shape is %v", w, o.kernel)
		}
		for d, k := range o.kernel {
			if kernel[d] >= 0 && kernel[d] != k {
				return 0, 0, nil, BadInput(1, "has shape %v, but kernel_shape is %v", w, o.kernel)
			}
		}
		kernel = o.kernel
	}
	if slices.Contains(kernel, -1) {
		kernel = nil
	}
	return w[0], w[1], kernel, nil
}

// Pack lays out W and B, if they are known, for the kernels of the level.
func (o *Conv) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	w := fixed(1)
	if w == nil || o.packed != nil || !in[0].Ranked {
		return nil, nil, nil
	}
	packed, unread := *o, []int{1}
	var bias []float32
	if len(in) > 2 && in[2] != nil {
		b := fixed(2)
		if b == nil {
			return nil, nil, nil
		}
		bias, unread = tensor.Data[float32](b), append(unread, 2)
	}
	g, err := o.geometry(o.likely(in[0].Shape, w.Shape), w.Shape)
	if err != nil {
		return nil, nil, err
	}
	packed.packed, err = conv.New(on, g, o.In, o.Out, tensor.Data[float32](w), bias)
	if err != nil {
		return nil, nil, err
	}
	packed.shape = slices.Clone(w.Shape)
	return &packed, unread, nil
}

// WillPack is what PackedBytes will be.
func (o *Conv) WillPack(level kernel.Level, in []*Info) int64 {
	if !in[0].Ranked || in[1] == nil || !in[1].Complete() {
		return 0
	}
	g, err := o.geometry(o.likely(in[0].Shape, in[1].Shape), in[1].Shape)
	if err != nil { // Pack will say so
		return 0
	}
	p, err := conv.NewPlan(level, g, o.In, o.Out)
	if err != nil {
		return 0
	}
	return 4 * int64(p.PackedLen())
}

// PackedBytes is the memory of W and B as the kernels read them: Winograd's form has four
// times as many weights, and few filters fill whole blocks.
func (o *Conv) PackedBytes() int64 {
	if o.packed == nil {
		return 0
	}
	return int64(o.packed.PackedBytes())
}

// likely replaces open dimensions of X by some that give an output.
func (o *Conv) likely(x, w []int64) []int64 {
	x = slices.Clone(x)
	_, _, spatial := image(x, o.In)
	if x[0] < 0 {
		x[0] = 1
	}
	for d, size := range spatial {
		if size >= 0 {
			continue
		}
		spatial[d] = likelySize + w[2+d]
		if len(o.dilation) == len(spatial) {
			spatial[d] += w[2+d] * min(max(0, o.dilation[d]), maxWindow)
		}
	}
	return x
}

// geometry of a convolution of which all sizes are known.
func (o *Conv) geometry(x, w []int64) (conv.Geometry, error) {
	batch, _, spatial := image(x, o.In)
	p, err := o.place(spatial, w[2:])
	if err != nil {
		return conv.Geometry{}, &OperandError{0, err}
	}
	return p.geometry(batch, w[1]*o.Groups, w[0], o.Groups), nil
}

// plan is the convolution for an input of shape x: one with weights or a plan without.
func (o *Conv) plan(level kernel.Level, x, w []int64) (*conv.Conv, *conv.Plan, error) {
	g, err := o.geometry(x, w)
	if err != nil {
		return nil, nil, err
	}
	if o.packed == nil {
		plan, err := conv.NewPlan(level, g, o.In, o.Out)
		return nil, plan, err
	}
	c, err := o.packed.For(g.Batch, g.In, g.Begin, g.Out)
	return c, nil, err
}

// Settle plans the convolution for the input's shape, if its weights are known.
func (o *Conv) Settle(level kernel.Level, in []*Info) Operator {
	c, _, err := o.plan(level, in[0].Shape, o.weights(in))
	if c == nil || err != nil { // Run will say so
		return o
	}
	settled := *o
	settled.packed = c
	return &settled
}

// Scratch is what the kernels need, with the packed weights if the graph computes
// them.
func (o *Conv) Scratch(on *kernel.On, in []*Info) int64 {
	c, plan, err := o.plan(on.Level, in[0].Shape, o.weights(in))
	if err != nil { // Run will say so
		return 0
	}
	n := int64(0)
	if alone, differs := o.alone(in); differs {
		n = countStack(alone)
	}
	if c != nil {
		return n + int64(c.Scratch())
	}
	return n + int64(plan.PackedLen()+plan.Scratch())
}

// alone is the shape of the convolution without D, and whether D has another one.
func (o *Conv) alone(in []*Info) ([]int64, bool) {
	if len(in) < 4 || in[3] == nil {
		return nil, false
	}
	results, err := o.Infer(in[:3])
	if err != nil {
		return nil, false
	}
	return results[0].Shape, !slices.Equal(results[0].Shape, in[3].Shape)
}

// Run convolves.
func (o *Conv) Run(env *Env, in, out []*tensor.Tensor) error {
	if len(in) > 3 && in[3] != nil {
		if shape, differs := o.alone(infosOf(in)); differs {
			return o.apart(env, in, out, shape)
		}
	}
	return o.together(env, in, out)
}

// apart convolves first and adds D then, since one of them repeats.
func (o *Conv) apart(env *Env, in, out []*tensor.Tensor, shape []int64) error {
	n := countStack(shape)
	alone := tensor.Of(env.Scratch[:n], shape...)
	first := *o
	first.Act = Activation{}
	rest := *env
	rest.Scratch = env.Scratch[n:]
	if err := first.together(&rest, in[:3], []*tensor.Tensor{alone}); err != nil {
		return err
	}
	if err := zip(env, out[0], alone, in[3], func(a, b float32) float32 { return a + b }); err != nil {
		return err
	}
	return o.Act.apply(env, tensor.Data[float32](out[0]))
}

// together convolves and adds in one go.
func (o *Conv) together(env *Env, in, out []*tensor.Tensor) error {
	w := o.shape
	if w == nil {
		w = in[1].Shape
	}
	c, plan, err := o.plan(env.On.Level, in[0].Shape, w)
	if err != nil {
		return err
	}
	dst, src := tensor.Data[float32](out[0]), tensor.Data[float32](in[0])
	act := o.Act.convolved(env.On.Level)
	if c != nil {
		return c.Run(env.On, dst, src, optionalFloats(in, 3), act, env.Scratch)
	}
	packed := env.Scratch[:plan.PackedLen()]
	if err := plan.Pack(env.On, packed, tensor.Data[float32](in[1]), optionalFloats(in, 2)); err != nil {
		return err
	}
	return plan.Run(env.On, packed, dst, src, optionalFloats(in, 3), act, env.Scratch[len(packed):])
}

// optionalFloats are the elements of an operand that may be missing.
func optionalFloats(in []*tensor.Tensor, i int) []float32 {
	if t := operand(in, i); t != nil {
		return tensor.Data[float32](t)
	}
	return nil
}

// convolved is the activation for package conv.
func (a Activation) convolved(level kernel.Level) conv.Activation {
	if low, high, ok := a.Bounds(); ok {
		return conv.Clip(low, high)
	}
	if a.Kind == LeakyRelu {
		return conv.LeakyRelu(a.A)
	}
	if row := a.Row(); row != nil {
		return conv.Each(func(x []float32) { row(level, x) })
	}
	return conv.Activation{}
}
