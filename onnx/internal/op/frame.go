package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/conv"
)

// frame is the attributes by which convolutions and poolings place their kernel. A
// list that a node leaves out is nil.
type frame struct {
	auto                            string
	kernel, strides, dilation, pads []int64
	ceil                            bool
}

// readFrame reads the attributes that all have.
func readFrame(a *Attributes) frame {
	w := frame{auto: a.oneOf("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")}
	w.kernel, _ = a.ints("kernel_shape")
	w.strides, _ = a.ints("strides")
	w.pads, _ = a.ints("pads")
	return w
}

// needKernel refuses a node that does not say how large the kernel is.
func (w frame) needKernel() error {
	if w.kernel == nil {
		return errors.New(`attribute "kernel_shape" is required`)
	}
	return nil
}

func (w *frame) readDilation(a *Attributes) { w.dilation, _ = a.ints("dilations") }

// placed is a window on an input whose rank is known, with one entry for each spatial
// dimension. Sizes that follow from an open dimension are -1.
type placed struct{ in, kernel, strides, dilation, begin, end, out []int64 }

// maxWindow bounds kernels, strides, dilations and padding: positions stay far from
// overflow.
const maxWindow = math.MaxInt32 / 2

// perDim returns a list of the rank, each entry at least low; a missing one is filled.
func perDim(name string, v []int64, rank int, fill, low int64) ([]int64, error) {
	if v == nil {
		return slices.Repeat([]int64{fill}, rank), nil
	}
	if len(v) != rank {
		return nil, fmt.Errorf("%s %v are not for %d dimensions", name, v, rank)
	}
	for _, x := range v {
		if x < low || x > maxWindow {
			return nil, fmt.Errorf("%s %v have a value outside of %d to %d", name, v, low, maxWindow)
		}
	}
	return v, nil
}

// sizes fills in what the node leaves out, for a kernel of the sizes given.
func (w frame) sizes(in, kernel []int64) (p placed, err error) {
	rank := len(in)
	if rank == 0 {
		return p, errors.New("there is no spatial dimension")
	}
	p.in = in
	if p.kernel, err = perDim("kernel sizes", kernel, rank, 1, 1); err != nil {
		return p, err
	}
	if p.strides, err = perDim("strides", w.strides, rank, 1, 1); err != nil {
		return p, err
	}
	if p.dilation, err = perDim("dilations", w.dilation, rank, 1, 1); err != nil {
		return p, err
	}
	pads, err := perDim("pads", w.pads, 2*rank, 0, 0)
	if err != nil {
		return p, err
	}
	p.begin, p.end, p.out = slices.Clone(pads[:rank]), slices.Clone(pads[rank:]), make([]int64, rank)
	for d := range rank {
		if p.kernel[d]*p.dilation[d] > maxWindow || in[d] > maxWindow {
			return p, fmt.Errorf("dimension %d of size %d with a kernel of %d, dilated by %d, is too large", d, in[d], p.kernel[d], p.dilation[d])
		}
	}
	return p, nil
}

// place puts the window on an input of the spatial dimensions given.
func (w frame) place(in, kernel []int64) (placed, error) {
	p, err := w.sizes(in, kernel)
	if err != nil {
		return p, err
	}
	for d, size := range in {
		if w.auto != "NOTSET" {
			p.begin[d], p.end[d] = w.automatic(p, d)
		}
		p.out[d] = -1
		if size >= 0 {
			p.out[d] = int64(conv.OutDim(int(size), int(p.kernel[d]), int(p.strides[d]), int(p.dilation[d]), int(p.begin[d]), int(p.end[d]), w.ceil))
		}
	}
	return p, nil
}

// automatic is the padding of dimension d: with SAME as much as makes the output
// ceil(input / stride).
func (w frame) automatic(p placed, d int) (begin, end int64) {
	if w.auto == "VALID" || p.in[d] < 0 {
		return 0, 0
	}
	span := (p.kernel[d]-1)*p.dilation[d] + 1
	out := (p.in[d] + p.strides[d] - 1) / p.strides[d]
	pad := max(0, (out-1)*p.strides[d]+span-p.in[d])
	if w.auto == "SAME_LOWER" {
		return pad - pad/2, pad / 2
	}
	return pad / 2, pad - pad/2
}

// geometry is the window for package conv. All sizes are known.
func (p placed) geometry(batch, channels, filters, groups int64) conv.Geometry {
	return conv.Geometry{
		Batch: int(batch), Channels: int(channels), Filters: int(filters), Groups: int(groups),
		In: integers(p.in), Kernel: integers(p.kernel), Strides: integers(p.strides), Dilation: integers(p.dilation),
		Begin: integers(p.begin), Out: integers(p.out),
	}
}

func integers(v []int64) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = int(x)
	}
	return out
}

// image takes a shape apart: N x C x spatial or, Blocked, N x blocks x spatial x block,
// where C is not in the shape. The shape has at least one spatial dimension.
func image(shape []int64, l conv.Layout) (batch, channels int64, spatial []int64) {
	if l == conv.Blocked {
		return shape[0], -1, shape[2 : len(shape)-1]
	}
	return shape[0], shape[1], shape[2:]
}

// imageShape puts it together.
func imageShape(batch, channels int64, spatial []int64, l conv.Layout, block int64) []int64 {
	if l == conv.Planar {
		return append([]int64{batch, channels}, spatial...)
	}
	blocks := int64(-1)
	if channels >= 0 {
		blocks = (channels + block - 1) / block
	}
	return append(append([]int64{batch, blocks}, spatial...), block)
}

// needImage refuses an operand that is no image of the layout.
func needImage(in []*Info, index int, l conv.Layout) error {
	least := 3
	if l == conv.Blocked {
		least = 4
	}
	if in[index].Ranked && len(in[index].Shape) < least {
		return BadInput(index, "has shape %v, expected at least %d dimensions", in[index].Shape, least)
	}
	return nil
}
