package conv

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

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
		gather(on.Level, dst[at+from*block:], src[plane+from:], to-from, used, pixels, block)
	})
}

// FromBlocked reorders a Blocked array to a Planar one.
func FromBlocked(on *kernel.On, dst, src []float32, batch, channels, pixels int) error {
	return reorder(on, batch, channels, pixels, func(at, plane, from, to, used, block int) {
		vec.Transpose2D(on.Level, dst[plane+from:], pixels, src[at+from*block:], block, to-from, used)
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
func gather(level kernel.Level, dst, src []float32, n, used, stride, block int) {
	dst = dst[:n*block]
	if used < block {
		clear(dst)
	}
	vec.Transpose2D(level, dst, block, src, stride, used, n)
}
