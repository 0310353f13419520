package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/conv"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ConvTranspose is a transposed convolution and what follows it. Operands are X, W
// and B. The layouts are those of Conv. It is immutable.
type ConvTranspose struct {
	frame
	outPad, outShape []int64
	Groups           int64
	Act              Activation
	In, Out          conv.Layout
	Block            int64

	plan   *conv.Transposed // for the shape of which W is packed, if it is known
	packed []float32
	shape  []int64 // of W, if it is packed
}

func makeConvTranspose(a *Attributes, _ int64) (Operator, error) {
	o := &ConvTranspose{frame: readFrame(a), Groups: a.int("group", 1)}
	o.readDilation(a)
	o.outPad, _ = a.ints("output_padding")
	o.outShape, _ = a.ints("output_shape")
	return o, nil
}

// Infer follows ONNX's ConvTranspose.
func (o *ConvTranspose) Infer(in []*Info) ([]Info, error) {
	like := &Conv{frame: o.frame, Groups: o.Groups, In: o.In, shape: o.shape}
	if o.packed != nil {
		like.packed = &conv.Conv{}
	}
	if err := like.check(in); err != nil {
		return nil, err
	}
	x := in[0]
	if !x.Ranked {
		return []Info{unranked(tensor.Float32)}, nil
	}
	batch, channels, spatial := image(x.Shape, o.In)
	inputs, per, kernel, err := like.filters(like.weights(in), len(spatial))
	if err != nil {
		return nil, err
	}
	if _, ok := sameDim(inputs, channels); !ok || o.Groups < 1 || inputs%o.Groups != 0 && inputs >= 0 || per > maxWindow/o.Groups {
		return nil, BadInput(1, "has %d channels with %d filters each in %d groups, but there are %d channels", inputs, per, o.Groups, channels)
	}
	filters := per
	if per >= 0 {
		filters *= o.Groups
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
	return []Info{ranked(tensor.Float32, imageShape(batch, filters, p.out, o.Out, o.Block)...)}, nil
}

// place finds the padding and the size of the output; each follows from the other.
func (o *ConvTranspose) place(in, kernel []int64) (placed, error) {
	p, err := o.sizes(in, kernel)
	if err != nil {
		return p, err
	}
	extra, err := perDim("output paddings", o.outPad, len(in), 0, 0)
	if err != nil {
		return p, err
	}
	want := o.outShape
	if len(want) == len(in)+2 { // some exporters write N and C too
		want = want[2:]
	}
	if want != nil {
		if want, err = perDim("output sizes", want, len(in), 0, 0); err != nil {
			return p, err
		}
	}
	for d, size := range in {
		if p.out[d] = -1; size < 0 {
			continue
		}
		full := (size-1)*p.strides[d] + extra[d] + (p.kernel[d]-1)*p.dilation[d] + 1
		switch {
		case want != nil:
			p.out[d] = want[d]
			p.begin[d] = o.cut(full - want[d])
		case o.auto == "SAME_UPPER" || o.auto == "SAME_LOWER":
			p.out[d] = size * p.strides[d]
			p.begin[d] = o.cut(full - p.out[d])
		case o.auto == "VALID":
			p.begin[d], p.out[d] = 0, max(0, full)
		default:
			p.out[d] = max(0, full-p.begin[d]-p.end[d])
		}
		if size > 0 && p.out[d] > maxWindow || p.strides[d] > maxWindow/max(1, size) {
			return p, fmt.Errorf("dimension %d of the result is too large", d)
		}
	}
	return p, nil
}

// cut divides what is to be cut off: with SAME_UPPER the greater half is at the end.
func (o *ConvTranspose) cut(total int64) int64 {
	total = max(0, total)
	if o.auto == "SAME_UPPER" {
		return total / 2
	}
	return total - total/2
}

// Pack lays out W and B, if they are known.
func (o *ConvTranspose) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	w := fixed(1)
	if w == nil || o.packed != nil || !in[0].Ranked || !in[0].Complete() && (o.outShape != nil || o.auto != "NOTSET" && o.auto != "VALID") {
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
	var err error
	if packed.plan, err = o.transposed(on.Level, o.likely(in[0].Shape), w.Shape); err != nil {
		return nil, nil, err
	}
	packed.packed = make([]float32, packed.plan.PackedLen())
	packed.shape = slices.Clone(w.Shape)
	return &packed, unread, packed.plan.Pack(on, packed.packed, tensor.Data[float32](w), bias)
}

// WillPack is what PackedBytes will be.
func (o *ConvTranspose) WillPack(level kernel.Level, in []*Info) int64 {
	if !in[0].Ranked || in[1] == nil || !in[1].Complete() {
		return 0
	}
	p, err := o.transposed(level, o.likely(in[0].Shape), in[1].Shape)
	if err != nil { // Pack will say so
		return 0
	}
	return 4 * int64(p.PackedLen())
}

// PackedBytes is the memory of W as the kernels read it.
func (o *ConvTranspose) PackedBytes() int64 { return 4 * int64(len(o.packed)) }

// likely replaces open dimensions of X by some that give an output: the packed
// weights do not depend on them, as long as the padding does not.
func (o *ConvTranspose) likely(x []int64) []int64 {
	x = slices.Clone(x)
	for d := range x {
		if x[d] < 0 {
			x[d] = likelySize
		}
	}
	return x
}

// likelySize stands for an open dimension while weights are packed.
const likelySize = 28

// transposed plans for an input of shape x.
func (o *ConvTranspose) transposed(level kernel.Level, x, w []int64) (*conv.Transposed, error) {
	batch, _, spatial := image(x, o.In)
	p, err := o.place(spatial, w[2:])
	if err != nil {
		return nil, &OperandError{0, err}
	}
	g := p.geometry(batch, w[0], w[1]*o.Groups, o.Groups)
	if o.plan != nil {
		return o.plan.For(g.Batch, g.In, g.Out)
	}
	return conv.NewTransposed(level, g, o.In, o.Out)
}

// Scratch is what the kernels need, with the packed weights if the graph computes
// them.
func (o *ConvTranspose) Scratch(on *kernel.On, in []*Info) int64 {
	w := o.shape
	if w == nil {
		w = in[1].Shape
	}
	t, err := o.transposed(on.Level, in[0].Shape, w)
	switch {
	case err != nil: // Run will say so
		return 0
	case o.packed != nil:
		return int64(t.Scratch())
	}
	return int64(t.PackedLen() + t.Scratch())
}

// Run convolves.
func (o *ConvTranspose) Run(env *Env, in, out []*tensor.Tensor) error {
	w := o.shape
	if w == nil {
		w = in[1].Shape
	}
	t, err := o.transposed(env.On.Level, in[0].Shape, w)
	if err != nil {
		return err
	}
	packed, scratch := o.packed, env.Scratch
	if packed == nil {
		packed, scratch = scratch[:t.PackedLen()], scratch[t.PackedLen():]
		if err := t.Pack(env.On, packed, tensor.Data[float32](in[1]), optionalFloats(in, 2)); err != nil {
			return err
		}
	}
	return t.Run(env.On, packed, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), o.Act.convolved(env.On.Level), scratch)
}
