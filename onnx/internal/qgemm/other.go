//go:build !amd64 || purego

package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Without assembly there is nothing to do ahead of the portable loops.

func (t *tile) run(kernel.Level) { t.portable() }

func copyRow[T Byte](kernel.Level, []uint8, []T, uint8) (done int, sum int32) { return 0, 0 }

func interleave[T Byte](kernel.Level, []uint8, []T, int, int, []int32, uint8) (done int) { return 0 }

func interleaveSigned(kernel.Level, []uint8, []uint8, int, int, []int32) (done int) { return 0 }

func scaleVectors(kernel.Level, []float32, []int32, []float32, []float32) (done int) { return 0 }

func quantVectors[T Byte](kernel.Level, []T, []int32, []float32, []int32, *limits) (done int) {
	return 0
}

func narrowVectors[T Byte](kernel.Level, []T, []float32, float32, *limits) (done int) { return 0 }

func widenVectors[T Byte](kernel.Level, []float32, []T, float32, int32) (done int) { return 0 }

func extremeVectors(kernel.Level, []float32, []float32) (done int) { return 0 }
