package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Layout says where an element of an array lies; see the package comment.
type Layout uint8

// The layouts.
const (
	Planar Layout = iota
	Blocked
)

// maxBlock is the largest Block.
const maxBlock = 16

// Block returns the number of channels in a block at a level: the floats of one
// vector register.
func Block(level kernel.Level) int {
	if level >= kernel.AVX512 {
		return maxBlock
	}
	return 8
}

// blocksOf returns the number of blocks that hold the channels.
func blocksOf(channels, block int) int { return (channels + block - 1) / block }

// BlockedLen returns the number of floats of a Blocked array.
func BlockedLen(level kernel.Level, batch, channels, pixels int) int {
	b := Block(level)
	return batch * blocksOf(channels, b) * b * pixels
}

// reorderPixels is how many pixels a part of a reorder has: it and its copy stay
// in the first cache.
const reorderPixels = 256

// ToBlocked reorders a Planar array of batch x channels x pixels. The unused lanes
// become zero.
func ToBlocked(on *kernel.On, dst, src []float32, batch, channels, pixels int) error {
	return reorder(on, batch, channels, pixels, func(at, plane, from, to, used, block int) {
		gather(dst[at+from*block:], src[plane+from:], to-from, used, pixels, block)
	})
}

// FromBlocked reorders a Blocked array to a Planar one.
func FromBlocked(on *kernel.On, dst, src []float32, batch, channels, pixels int) error {
	return reorder(on, batch, channels, pixels, func(at, plane, from, to, used, block int) {
		scatter(dst[plane+from:], src[at+from*block:], to-from, used, pixels, block)
	})
}

// reorder calls do for every stretch of pixels of every block: at is where the
// block lies in the Blocked array, plane where its first channel does in the
// Planar one, used the number of its channels.
func reorder(on *kernel.On, batch, channels, pixels int, do func(at, plane, from, to, used, block int)) error {
	block := Block(on.Level)
	blocks := blocksOf(channels, block)
	stretches := (pixels + reorderPixels - 1) / reorderPixels
	return on.Parallel(batch*blocks*stretches, func(part int) {
		row, stretch := part/stretches, part%stretches
		n, b := row/blocks, row%blocks
		from := stretch * reorderPixels
		do(row*pixels*block, (n*channels+b*block)*pixels, from, min(from+reorderPixels, pixels), min(block, channels-b*block), block)
	})
}

// gather interleaves used planes, which lie stride floats apart in src, into n
// pixels of block lanes.
func gather(dst, src []float32, n, used, stride, block int) {
	dst = dst[:n*block]
	for c := range used {
		plane := src[c*stride : c*stride+n]
		at := c
		for _, x := range plane {
			dst[at] = x
			at += block
		}
	}
	for c := used; c < block; c++ {
		for at := c; at < len(dst); at += block {
			dst[at] = 0
		}
	}
}

// scatter is the opposite of gather: n pixels of block lanes become used planes.
func scatter(dst, src []float32, n, used, stride, block int) {
	src = src[:n*block]
	for c := range used {
		plane := dst[c*stride : c*stride+n]
		at := c
		for i := range plane {
			plane[i] = src[at]
			at += block
		}
	}
}
