package conv

import (
	"fmt"
	"math"
)

// Geometry is the shape of a convolution or of a pooling: N x C x In gives
// N x M x Out. The slices have one entry for each spatial dimension. Padding has
// been resolved: Begin zeros stand before the first element, and as many after the
// last one as Out needs.
type Geometry struct {
	Batch    int
	Channels int   // of the input
	In       []int // spatial
	Filters  int   // channels of the output
	Groups   int
	Kernel   []int
	Strides  []int
	Dilation []int
	Begin    []int // padding before; of a convolution it may be negative, which cuts
	Out      []int // spatial
}

// OutDim returns the size of one output dimension for an input of size in with
// begin+end padding (ONNX, Conv and the pools). With ceil the last window may go
// past the padded input, though not start there. It is at least zero.
func OutDim(in, kernel, stride, dilation, begin, end int, ceil bool) int {
	span := (kernel-1)*dilation + 1
	free := in + begin + end - span
	if free < 0 {
		return 0
	}
	out := free/stride + 1
	if ceil && free%stride != 0 && out*stride < in+begin {
		out++
	}
	return out
}

// maxFloats bounds every array: beyond it, sizes in bytes would not fit an int.
const maxFloats = math.MaxInt / 64

// product multiplies sizes, or says that they are negative or too many.
func product(sizes ...int) (int, error) {
	n := 1
	for _, s := range sizes {
		if s < 0 {
			return 0, fmt.Errorf("conv: negative size %d", s)
		}
		if s != 0 && n > maxFloats/s {
			return 0, fmt.Errorf("conv: sizes %v are too many elements", sizes)
		}
		n *= s
	}
	return n, nil
}

// check says whether the sizes belong together and stay far from overflow.
func (g *Geometry) check() error {
	rank := len(g.In)
	for _, s := range [][]int{g.Kernel, g.Strides, g.Dilation, g.Begin, g.Out} {
		if len(s) != rank {
			return fmt.Errorf("conv: %d spatial dimensions, but %d values", rank, len(s))
		}
	}
	if rank == 0 || g.Groups <= 0 || g.Channels < 0 || g.Filters < 0 || g.Channels%g.Groups != 0 || g.Filters%g.Groups != 0 {
		return fmt.Errorf("conv: %d channels and %d filters in %d groups over %d dimensions", g.Channels, g.Filters, g.Groups, rank)
	}
	for d := range rank {
		if err := g.checkDim(d); err != nil {
			return err
		}
	}
	for _, sizes := range [][]int{
		append([]int{g.Batch, g.Channels + maxBlock}, g.In...),
		append([]int{g.Batch, g.Filters + maxBlock}, g.Out...),
		append([]int{g.Filters + maxBlock, g.Channels + maxBlock}, g.Kernel...),
	} {
		if _, err := product(sizes...); err != nil {
			return err
		}
	}
	return nil
}

// checkDim keeps every position that a window can reach within 32 bits. Sizes that are
// negative are for check's products to find.
func (g *Geometry) checkDim(d int) error {
	for _, s := range []int{g.Kernel[d], g.Strides[d], g.Dilation[d]} {
		if s < 1 {
			return fmt.Errorf("conv: kernel, stride or dilation %d in dimension %d", s, d)
		}
	}
	if g.Begin[d] < -math.MaxInt32 || g.Begin[d] > math.MaxInt32 {
		return fmt.Errorf("conv: padding %d before dimension %d", g.Begin[d], d)
	}
	reach, err := product(g.Out[d]+1, g.Strides[d])
	if err != nil {
		return err
	}
	span, err := product(g.Kernel[d], g.Dilation[d])
	if err != nil || reach > math.MaxInt32 || span > math.MaxInt32 || g.In[d] > math.MaxInt32 {
		return fmt.Errorf("conv: dimension %d is too large", d)
	}
	return nil
}

// pixels is the product of spatial sizes that check has accepted.
func pixels(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// empty says that the output has no elements.
func (g *Geometry) empty() bool { return g.Batch == 0 || g.Filters == 0 || pixels(g.Out) == 0 }
